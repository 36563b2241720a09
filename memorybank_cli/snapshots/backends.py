"""Where a repository's files are kept: a small protocol, and the directory of a local file system that fulfils it.

Names are ASCII, of parts joined by `/`. What is acknowledged by a method that changes something is durable.
All methods raise OSError as the medium has it: FileNotFoundError where a name is missing, EROFS or a
PermissionError where the place may only be read.
"""

from __future__ import annotations

import os
import stat
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from threading import Lock
from typing import NamedTuple, Protocol

from memorybank_cli.base import digests, files, locks
from memorybank_cli.base.walk import Root, component, open_regular, read_all

# A restore goes back and forth between the packs that a bank grew over; each open costs as much as a small read.
OPEN_FILES = 16
LOCK = "lock"


class Stored(NamedTuple):
    """One thing that stands in a folder."""

    name: str
    """Its last part."""
    size: int
    """In bytes."""
    mtime_ns: int
    """When it was written, by the clock of whoever wrote it."""
    regular: bool
    """Whether it is a file; links and special files never are."""
    folder: bool


class Backend(Protocol):
    """Keeps files by name. Writing is all or nothing: nobody ever sees half a file under its name."""

    place: str
    """Where it is, for messages."""

    def entries(self, folder: str) -> list[Stored]:
        """What stands in a folder, sorted by name, without hidden and temporary names; nothing in a missing folder."""

    def size(self, name: str) -> int | None:
        """The bytes of a file, None where no file stands."""

    def read(self, name: str, limit: int) -> bytes:
        """A whole file; EFBIG for one of more than `limit` bytes."""

    def read_each(self, folder: str, names: Iterable[str], limit: int) -> Iterator[tuple[str, bytes | OSError]]:
        """Whole files of one folder, in any order, as `read` does; for each its error where it cannot be read."""

    def read_part(self, name: str, offset: int, length: int) -> bytes:
        """A part of a file that never changes; shorter where the file ends. Threads may call it at once."""

    def digest(self, name: str) -> tuple[str, int]:
        """The SHA-256 and size of a file as the medium gives it back, not as memory remembers it."""

    def put(self, name: str, data: bytes | Iterator[bytes]) -> None:
        """Put a file under a name, over one that stands there; folders are made."""

    def put_new(self, name: str, data: bytes) -> bool:
        """Put a file under a free name; False, and nothing changed, where something stands."""

    def move(self, name: str, target: str) -> None:
        """Give a file another name, over one that stands there; folders are made."""

    def remove(self, name: str) -> None:
        """Remove a file; a missing one is fine."""

    def remove_folder(self, name: str) -> None:
        """Remove a folder with all that is in it, while nobody else uses it; a missing one is fine."""

    def settle(self, names: Collection[str]) -> None:
        """Make files durable that another run left, which may have been killed before it had done so."""

    def allocate(self, name: str, size: int) -> bool:
        """Have a file that occupies `size` bytes; False, and no file, where there is no room or no such notion."""

    def clean(self) -> int:
        """Remove what interrupted writes left, while nobody else writes; how many files that were."""

    def lock(self, shared: bool, timeout: float) -> AbstractContextManager[None]:
        """Hold the lock of the whole place, shared or alone. Raises Locked after `timeout` seconds."""

    def close(self) -> None:
        """Give back what is held; a second call does nothing."""


class LocalBackend:
    """A directory: files appear by rename, the lock is a flock, no symbolic link in it is followed."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._root = Root(path)
        self.place = self._root.path
        self._open: OrderedDict[str, int] = OrderedDict()
        self._guard = Lock()

    @classmethod
    def create(cls, path: str | os.PathLike[str]) -> LocalBackend:
        """The directory at `path`, made (0700) with its parents where it is missing."""
        files.make_root(path).close()
        return cls(path)

    def make_folders(self, names: Iterable[str]) -> None:
        """Have these folders, durably."""
        for name in names:
            files.make_dirs(self._root, name)

    def entries(self, folder: str) -> list[Stored]:
        """What stands in a folder."""
        return [
            Stored(entry.name, entry.size, entry.mtime_ns, stat.S_ISREG(entry.mode), stat.S_ISDIR(entry.mode))
            for entry in self._root.listing(folder)
        ]

    def size(self, name: str) -> int | None:
        """The bytes of a regular file."""
        info = self._root.stat(name)
        return info.st_size if info is not None and stat.S_ISREG(info.st_mode) else None

    def read(self, name: str, limit: int) -> bytes:
        """A whole file."""
        return self._root.read(name, limit)

    def read_each(self, folder: str, names: Iterable[str], limit: int) -> Iterator[tuple[str, bytes | OSError]]:
        """Whole files of one folder, which is opened once."""
        waiting = list(names)
        if not waiting:
            return
        with self._root.directory(folder) as fd:
            for name in waiting:
                try:
                    file = open_regular(component(name), fd)
                except OSError as error:
                    yield name, error
                    continue
                try:
                    found: bytes | OSError = read_all(file, limit)
                except OSError as error:
                    found = error
                finally:
                    os.close(file)
                yield name, found

    def read_part(self, name: str, offset: int, length: int) -> bytes:
        """A part of a file, whose descriptor is kept for the next one."""
        with self._guard:
            fd = self._open.get(name)
            if fd is None:
                fd = self._open[name] = self._root.open(name)
                if len(self._open) > OPEN_FILES:
                    os.close(self._open.popitem(last=False)[1])
            else:
                self._open.move_to_end(name)
            data = os.pread(fd, length, offset)
            # Some file systems, as those of networks, may give less than there is.
            while 0 < len(data) < length and (more := os.pread(fd, length - len(data), offset + len(data))):
                data += more
            return data

    def digest(self, name: str) -> tuple[str, int]:
        """The SHA-256 and size of a file, past the page cache where the system can."""
        fd = self._root.open(name)
        try:
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            return digests.of_fd(fd)
        finally:
            os.close(fd)

    def put(self, name: str, data: bytes | Iterator[bytes]) -> None:
        """Put a file under a name."""
        self._forget(name)
        self._have_folder(name)
        files.replace(self._root, name, data)

    def put_new(self, name: str, data: bytes) -> bool:
        """Put a file under a free name."""
        self._have_folder(name)
        return files.create(self._root, name, data)

    def move(self, name: str, target: str) -> None:
        """Give a file another name."""
        self._forget(name)
        self._forget(target)
        self._have_folder(target)
        files.rename(self._root, name, target)

    def remove(self, name: str) -> None:
        """Remove a file."""
        self._forget(name)
        if self._root.stat(name) is not None:
            files.remove(self._root, name)

    def remove_folder(self, name: str) -> None:
        """Remove a folder with all that is in it."""
        with self._guard:
            for inner in [one for one in self._open if one.startswith(f"{name}/")]:
                os.close(self._open.pop(inner))
        files.remove_tree(self._root, name)

    def settle(self, names: Collection[str]) -> None:
        """Sync files and the folders that lead to them."""
        split = [name.split("/") for name in names]
        folders = {"/".join(parts[:depth]) for parts in split for depth in range(len(parts))}
        files.sync_paths(self._root, [*names, *sorted(folders, key=len, reverse=True)])

    def allocate(self, name: str, size: int) -> bool:
        """Have a file that occupies `size` bytes."""
        info = self._root.stat(name)
        return (info is not None and info.st_size >= size) or files.allocate(self._root, name, size)

    def clean(self) -> int:
        """Remove temporary files."""
        count = 0
        for listing in self._root.walk():
            for name in listing.hidden:
                if name.startswith(files.TEMPORARY):
                    files.remove(self._root, f"{listing.path}/{name}" if listing.path else name)
                    count += 1
        return count

    def lock(self, shared: bool, timeout: float) -> AbstractContextManager[None]:
        """Hold a flock on the lock file."""
        return locks.hold(self._root, LOCK, shared=shared, timeout=timeout)

    def close(self) -> None:
        """Close every descriptor."""
        while self._open:
            os.close(self._open.popitem()[1])
        self._root.close()

    def _have_folder(self, name: str) -> None:
        folder = name.rpartition("/")[0]
        if folder and not self._root.is_dir(folder):
            files.make_dirs(self._root, folder)

    def _forget(self, name: str) -> None:
        with self._guard:
            fd = self._open.pop(name, None)
            if fd is not None:
                os.close(fd)
