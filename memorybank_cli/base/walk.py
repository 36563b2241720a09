"""Reading a tree by directory descriptors: no symbolic link below the root is ever followed.

A `Root` is a directory opened once; every path given to it is relative, escaped (`base.names`) and
walked one component at a time with O_NOFOLLOW, so a link planted by an agent leads nowhere.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import itemgetter
from typing import NamedTuple

from memorybank_cli.base.errors import OperationFailed, from_os_error
from memorybank_cli.base.names import escape, unescape

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# Asking os.read for 128 KiB or more makes malloc map memory for every file: a scan is 4 times slower.
READ_SIZE = 1 << 16
MOST = (1 << 63) - 1
_NAME = itemgetter(0)
# Directories nested deeper are not gone into: they stand among the `others` of the last one.
DEEPEST = 60


class Entry(NamedTuple):
    """One directory entry as it was found: an escaped name and the parts of its stat that tell a change."""

    name: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    mode: int
    links: int
    uid: int


class Listing(NamedTuple):
    """One directory: its path below the root ('' for the root), an open descriptor, and what is in it.

    `hidden` are the names that start with a dot; nothing else is known of them.
    """

    path: str
    fd: int
    files: list[Entry]
    directories: list[Entry]
    others: list[Entry]
    hidden: list[str]


Found = tuple[list[Entry], list[Entry], list[Entry], list[str]]
"""What is in a directory: regular files, directories and everything else, each sorted, and its dot names."""

Known = Callable[[str, int], Found | None]
"""May know what is in a directory, by its path and a descriptor."""


class Root:
    """A directory below which everything is reached by descriptors."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.path.realpath(os.fspath(path))
        try:
            self.fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise from_os_error(error, "cannot open the directory") from error
        self.place = ""

    def look_again(self) -> str:
        """Where the system says that the root stands now; kept as `place`. Raises OSError where it does not tell."""
        self.place = os.readlink(f"/proc/self/fd/{self.fd}")
        return self.place

    def __repr__(self) -> str:
        return f"Root({self.path!r})"

    def close(self) -> None:
        """Give the descriptor back; a second call does nothing."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def absolute(self, path: str) -> str:
        """The path for messages and for programs that take names only (SQLite)."""
        return os.path.join(self.path, unescape(path)) if path else self.path

    @contextmanager
    def directory(self, path: str) -> Iterator[int]:
        """A descriptor of a directory below the root. Raises OSError as the system does, with the whole path."""
        fd = self._descend(path)
        try:
            yield fd
        except OSError as error:
            if isinstance(error.filename, int):  # of scandir, which was given the descriptor
                error.filename = self.absolute(path)
            elif isinstance(error.filename, str):
                error.filename = os.path.join(self.absolute(path), error.filename)
            raise
        finally:
            os.close(fd)

    def _descend(self, path: str) -> int:
        parts, fd = components(path), os.dup(self.fd)
        for depth, part in enumerate(parts, 1):
            try:
                inner = os.open(part, DIRECTORY, dir_fd=fd)
            except OSError as error:
                error.filename = os.path.join(self.path, *parts[:depth])
                raise
            finally:
                os.close(fd)
            fd = inner
        return fd

    @contextmanager
    def parent(self, path: str) -> Iterator[tuple[int, str]]:
        """A descriptor of the directory that holds `path`, and the name in it. An OSError has the whole path."""
        head, _, name = path.rpartition("/")
        own, fd = component(name), self._descend(head)
        try:
            yield fd, own
        except OSError as error:
            if error.filename2 == own:  # the target of a rename, of which another `parent` has the source
                error.filename2 = self.absolute(path)
            elif isinstance(error.filename, str):
                error.filename = os.path.join(self.absolute(head), error.filename)
            raise
        finally:
            os.close(fd)

    def stat(self, path: str) -> os.stat_result | None:
        """Lstat of a path below the root, or None where there is nothing."""
        try:
            if not path:
                return os.fstat(self.fd)
            with self.parent(path) as (fd, name):
                return os.stat(name, dir_fd=fd, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                return None
            raise

    def is_dir(self, path: str) -> bool:
        """Whether a real directory stands there."""
        info = self.stat(path)
        return info is not None and stat.S_ISDIR(info.st_mode)

    def open(self, path: str) -> int:
        """A descriptor of a regular file. Raises OSError; ELOOP for links, EINVAL for special files."""
        with self.parent(path) as (fd, name):
            return open_regular(name, fd)

    def read(self, path: str, limit: int | None = None) -> bytes:
        """The bytes of a regular file, of at most `limit` bytes. Raises OSError; EFBIG past the limit."""
        fd = self.open(path)
        try:
            return read_all(fd, limit)
        finally:
            os.close(fd)

    def read_if_there(self, path: str, limit: int | None = None) -> bytes | None:
        """Like `read`, None where there is no such file."""
        try:
            return self.read(path, limit)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def content(self, path: str, limit: int | None = None) -> bytes | None:
        """The bytes of a file, None where no readable file of at most `limit` bytes stands: a check reports that."""
        try:
            return self.read_if_there(path, limit)
        except OSError:
            return None

    def listing(self, path: str = "") -> list[Entry]:
        """What a directory holds, sorted by name; nothing where there is no such directory."""
        try:
            with self.directory(path) as fd:
                files, directories, others, _ = entries(fd)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(files + directories + others)

    def has_files(self, path: str) -> bool:
        """Whether a regular file stands below a directory, as `walk` would find it, or may do so too deep for it.

        At the first one it is told. Raises OSError of a directory that cannot be read.
        """
        waiting = [path]
        while waiting:
            here = waiting.pop()
            try:
                with self.directory(here) as fd, os.scandir(fd) as found:
                    for item in found:
                        if item.name[0] == ".":
                            continue
                        if item.is_file(follow_symlinks=False):
                            return True
                        if item.is_dir(follow_symlinks=False):
                            if here.count("/") >= DEEPEST:
                                return True
                            waiting.append(f"{here}/{escape(item.name)}" if here else escape(item.name))
            except (FileNotFoundError, NotADirectoryError):
                continue
        return False

    def walk(
        self,
        path: str = "",
        shape: Callable[[Listing], Listing | None] | None = None,
        found: Known = lambda _path, _fd: None,
    ) -> Iterator[Listing]:
        """Every directory below `path`, parents first, names sorted, without dot names.

        `shape` may take entries out of a listing, or give None for a directory that is not to be gone into. `found`
        may know what is in a directory.

        The descriptor of a listing is open only until the next one is asked for. A directory that
        vanishes meanwhile is left out; one that cannot be read stands among its parent's `others`.
        """
        waiting = [path]
        while waiting:
            here = waiting.pop()
            try:
                with self.directory(here) as fd:
                    listing = _listed(here, fd, found(here, fd) or entries(fd), shape)
                    if listing is None:
                        continue
                    yield listing
            except (FileNotFoundError, NotADirectoryError):
                continue
            prefix = f"{here}/" if here else ""
            waiting += [prefix + entry.name for entry in reversed(listing.directories)]


def _listed(path: str, fd: int, found: Found, shape: Callable[[Listing], Listing | None] | None) -> Listing | None:
    files, directories, others, hidden = found
    if path.count("/") < DEEPEST:
        directories, unreadable = _readable(fd, directories)
    else:
        directories, unreadable = [], directories
    listing = Listing(path, fd, files, directories, others + unreadable, hidden)
    return listing if shape is None else shape(listing)


def _readable(fd: int, directories: list[Entry]) -> tuple[list[Entry], list[Entry]]:
    good: list[Entry] = []
    bad: list[Entry] = []
    for entry in directories:
        (good if may(unescape(entry.name), os.R_OK | os.X_OK, fd) else bad).append(entry)
    return good, bad


def may(path: str, mode: int, dir_fd: int | None = None) -> bool:
    """Whether we may use a path so (os.R_OK …), by effective ids where the system can tell."""
    return os.access(path, mode, dir_fd=dir_fd, effective_ids=os.access in os.supports_effective_ids)


def is_named(fd: int, root: Root, path: str) -> bool:
    """Whether an open file is still the one at a path below the root.

    Not asked by stat where /proc tells: since Linux 6.13 the first write after one changes the file's times at once,
    and the next fdatasync, also of another file, has that to write, too: it takes half as long again.
    """
    try:
        found = os.readlink(f"/proc/self/fd/{fd}")
        if found == f"{root.place}/{path}" or found == f"{root.look_again()}/{path}":
            return True
    except OSError:
        pass  # no /proc here
    there = root.stat(path)
    return there is not None and os.path.samestat(os.fstat(fd), there)


def components(path: str) -> list[str]:
    """The checked parts of an escaped relative path. Raises OperationFailed for one that leads elsewhere."""
    return [component(part) for part in path.split("/")] if path else []


def component(part: str) -> str:
    """One checked part of a path, as the system knows it."""
    if part in ("", ".", "..") or "\0" in part:
        raise OperationFailed(f"'{escape(part)}' is not a part of a path inside this directory")
    name = unescape(part)
    if "/" in name or "\0" in name or name in (".", ".."):
        raise OperationFailed(f"'{escape(part)}' is not a part of a path inside this directory")
    return name


def fitting(value: int) -> int:
    """A time or a number of a stat as 64 bits with a sign can hold it: file systems know later years than 2262."""
    return max(-MOST, min(MOST, value))


def entries(fd: int) -> Found:
    """What is in an open directory."""
    files: list[Entry] = []
    directories: list[Entry] = []
    others: list[Entry] = []
    hidden: list[str] = []
    is_file, is_dir = stat.S_ISREG, stat.S_ISDIR
    with os.scandir(fd) as found:
        for item in found:
            name = item.name
            if name[0] == ".":
                hidden.append(escape(name))
                continue
            try:
                info = item.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if not name.isprintable() or "\\" in name:  # as in `escape`, whose call would cost a tenth of the walk
                name = escape(name)
            mode, mtime, ctime = info.st_mode, info.st_mtime_ns, info.st_ctime_ns
            if not (-MOST < mtime < MOST and -MOST < ctime < MOST):
                mtime, ctime = fitting(mtime), fitting(ctime)
            entry = Entry(
                name,
                info.st_size,
                mtime,
                ctime,
                info.st_ino & MOST,
                mode,
                info.st_nlink,
                info.st_uid,
            )
            (files if is_file(mode) else directories if is_dir(mode) else others).append(entry)
    files.sort(key=_NAME)
    directories.sort(key=_NAME)
    return files, directories, others, hidden


def entry_of(name: str, info: os.stat_result) -> Entry:
    """The entry of one escaped name with what lstat says of it."""
    times = fitting(info.st_mtime_ns), fitting(info.st_ctime_ns)
    return Entry(name, info.st_size, *times, info.st_ino & MOST, info.st_mode, info.st_nlink, info.st_uid)


def entry_at(directory: int, name: str) -> Entry | None:
    """What stands at an escaped name in an open directory, None for nothing."""
    try:
        return entry_of(name, os.stat(unescape(name), dir_fd=directory, follow_symlinks=False))
    except (FileNotFoundError, NotADirectoryError):
        return None


def open_regular(name: str, dir_fd: int) -> int:
    """A descriptor of a regular file in an open directory; anything else is an OSError."""
    return open_with_stat(name, dir_fd)[0]


def open_with_stat(name: str, dir_fd: int) -> tuple[int, os.stat_result]:
    """Like `open_regular`, with the stat that told what it is."""
    fd = os.open(name, READ, dir_fd=dir_fd)
    info = os.fstat(fd)
    if stat.S_ISREG(info.st_mode):
        return fd, info
    os.close(fd)
    raise OSError(errno.EINVAL, "not a regular file", name)


def chunks(fd: int) -> Iterator[bytes]:
    """What is left of an open file, a piece at a time: for files of any size in little memory."""
    while piece := os.read(fd, READ_SIZE):
        yield piece


def read_all(fd: int, limit: int | None = None) -> bytes:
    """What is left of an open file. Raises OSError EFBIG when that is more than `limit` bytes."""
    first = os.read(fd, READ_SIZE)
    if len(first) < READ_SIZE and not (limit is not None and len(first) > limit):
        rest = os.read(fd, READ_SIZE) if first else b""
        if not rest:
            return first
        first += rest
    parts, size = [first], len(first)
    while limit is None or size <= limit:
        # In as few pieces as can be: the allocator would keep thousands of small ones when they are given back.
        left = os.fstat(fd).st_size - size + 1
        part = os.read(fd, max(READ_SIZE, left if limit is None else min(left, limit - size + 1)))
        if not part:
            return b"".join(parts)
        parts.append(part)
        size += len(part)
    raise OSError(errno.EFBIG, "larger than it may be")
