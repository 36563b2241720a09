"""Hints from Linux's inotify, read without a thread: a watch on every directory, set by descriptor.

The kernel drops events silently but for one overflow record; then, and after an unmount, all watches
are set afresh before `lost` is reported. A watch is set before the directory is listed, so whatever is
made in it meanwhile is either listed or queued.
"""

from __future__ import annotations

import errno
import os
import struct
import time
from functools import cache
from typing import TYPE_CHECKING

from memorybank_cli.base.names import escape
from memorybank_cli.base.walk import READ_SIZE, Root
from memorybank_cli.integrity.hints import LOST, Hint, Kind, wait
from memorybank_cli.integrity.polling import kind_of

if TYPE_CHECKING:
    from ctypes import CDLL

MODIFY, ATTRIB, CLOSE_WRITE, MOVED_FROM, MOVED_TO = 0x2, 0x4, 0x8, 0x40, 0x80
CREATE, DELETE, MOVE_SELF = 0x100, 0x200, 0x800
UNMOUNT, Q_OVERFLOW, IGNORED = 0x2000, 0x4000, 0x8000
ONLYDIR, DONT_FOLLOW, EXCL_UNLINK, ISDIR = 0x1000000, 0x2000000, 0x4000000, 0x40000000

EVENTS = MODIFY | ATTRIB | CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE | ONLYDIR | DONT_FOLLOW | EXCL_UNLINK
HEAD = struct.Struct("iIII")
LARGEST = HEAD.size + 256
ROUNDS = 128
RETRY = 5.0
DOT = ord(".")
COUNTING = frozenset(("ext2", "ext3", "ext4", "xfs", "tmpfs"))
LEAF = 2
"""Links that a directory without directories in it has, on file systems that count them: listing it tells nothing."""
NO_BELL = -2  # -1 comes with an overflow
GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class Inotify:
    """A `Source` for a tree on a local file system of Linux; it needs /proc."""

    def __init__(
        self, root: Root, skip: frozenset[str] = frozenset(), retry: float = RETRY, requests: str = ""
    ) -> None:
        self._root, self._skip, self._retry, self._requests = root, skip, retry, requests
        self._bell, self._most, self._counted = NO_BELL, 0, -1
        self._fd = -1
        self._paths: dict[int, str] = {}
        self._watches: dict[str, int] = {}
        self._unwatched: dict[str, int] = {}
        self._retry_at = 0.0
        self._blind = self._rebuild = False

    def arm(self) -> None:
        """Set a watch on every directory. Raises OSError where there is no inotify or the root cannot be watched."""
        try:
            self._fd = _checked(_libc().inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        except AttributeError as error:
            raise OSError(errno.ENOSYS, "this system has no inotify") from error
        self._counted = os.fstat(self._root.fd).st_dev if kind_of(self._root) in COUNTING else -1
        self._watch_tree("")
        if self._requests:
            self._watch_requests()
        if not self._paths:
            number = self._unwatched.get("", errno.ENOENT)
            raise OSError(number, f"inotify cannot watch: {os.strerror(number)}", self._root.path)
        self._retry_at = time.monotonic() + self._retry

    def read(self, timeout: float, wake: int) -> list[Hint]:
        """Hints from all queued events; see `Source`."""
        wait(timeout, self._fd, wake)
        hints: list[Hint] = []
        queued = 0
        for _ in range(ROUNDS):
            try:
                data = os.read(self._fd, READ_SIZE)
            except BlockingIOError:
                break
            queued += self._decode(data, hints)
            if len(data) < READ_SIZE - LARGEST:
                break
        self._most = max(self._most, queued)
        if self._rebuild:
            self._watch_afresh()
        if self._unwatched and time.monotonic() >= self._retry_at:
            self._try_again(hints)
        if self._blind:
            self._blind = False
            hints.append(LOST)
        return hints

    def watched(self) -> int:
        """The number of directories with a watch."""
        return len(self._paths)

    def unwatched(self) -> frozenset[str]:
        """Directories that the kernel refused to watch (fs.inotify.max_user_watches), without those below them."""
        return frozenset(self._unwatched)

    def queued(self) -> int:
        """The most events that one reading found since the last call."""
        most, self._most = self._most, 0
        return most

    def close(self) -> None:
        """Drop all watches."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._paths.clear()
        self._watches.clear()

    def _decode(self, data: bytes, hints: list[Hint]) -> int:
        """The hints of what was read; how many events it was."""
        at, end, paths, count = 0, len(data), self._paths, 0
        while at < end:
            wd, mask, _, length = HEAD.unpack_from(data, at)
            start = at + HEAD.size
            at = start + length
            count += 1
            if wd == self._bell:
                hints.append(Hint("asked", ""))
                continue
            if length and data[start] == DOT:
                continue
            path = paths.get(wd)
            if mask & (Q_OVERFLOW | UNMOUNT):
                self._blind = self._rebuild = True
            elif path is None:
                continue
            elif not length:
                self._of_itself(wd, path, mask, hints)
            else:
                name = escape(os.fsdecode(data[start:at].rstrip(b"\0")))
                if not mask & ISDIR:
                    hints.append(Hint(_kind(mask), f"{path}/{name}" if path else name))
                elif path or name not in self._skip:
                    self._of_directory(f"{path}/{name}" if path else name, mask, hints)
        return count

    def _of_itself(self, wd: int, path: str, mask: int, hints: list[Hint]) -> None:
        if mask & IGNORED:
            del self._paths[wd]
            self._watches.pop(path, None)
        elif not path:
            # A removed root has no event of its own, since our descriptor holds it.
            self._blind |= bool(mask & MOVE_SELF)
            hints.append(Hint("directory", ""))

    def _of_directory(self, path: str, mask: int, hints: list[Hint]) -> None:
        if mask & (MOVED_FROM | DELETE):
            self._forget(path, below=bool(mask & MOVED_FROM))
        else:
            self._watch_tree(path)
        hints.append(Hint("directory", path))

    def _watch_tree(self, top: str) -> None:
        pending = [top]
        while pending:
            path = pending.pop()
            try:
                with self._root.directory(path) as fd:
                    if self._watch(path, fd):
                        pending.extend(self._inner(path, fd))
            except OSError as error:
                self._failed(path, error)

    def _watch_requests(self) -> None:
        """Hear of requests at once; where that cannot be they are found by whoever lists them now and then."""
        try:
            with self._root.directory(self._requests) as fd:
                mask = CREATE | MOVED_TO | ONLYDIR | DONT_FOLLOW
                self._bell = _checked(_libc().inotify_add_watch(self._fd, b"/proc/self/fd/%d/." % fd, mask))
        except OSError:
            self._bell = NO_BELL

    def _watch(self, path: str, fd: int) -> bool:
        """Says whether that is new: what is below a known directory is watched, or has an event in the queue."""
        # By descriptor, since a path could lead through a link that was planted after the directory was opened.
        mask = EVENTS if path else EVENTS | MOVE_SELF
        wd = _checked(_libc().inotify_add_watch(self._fd, b"/proc/self/fd/%d/." % fd, mask))
        before, stale = self._paths.get(wd), self._watches.get(path)
        if before is not None and before != path:
            del self._watches[before]
        if stale is not None and stale != wd:
            self._drop(stale)
        self._paths[wd] = path
        self._watches[path] = wd
        self._unwatched.pop(path, None)
        return before != path

    def _inner(self, path: str, fd: int) -> list[str]:
        info = os.fstat(fd)
        if info.st_dev == self._counted and info.st_nlink == LEAF:
            return []
        with os.scandir(fd) as found:
            names = [item.name for item in found if item.name[0] != "." and item.is_dir(follow_symlinks=False)]
        if path:
            return [f"{path}/{escape(name)}" for name in names]
        return [name for name in map(escape, names) if name not in self._skip]

    def _failed(self, path: str, error: OSError) -> None:
        # What is gone or came in its place has an event of its own; what may not be read, a scan cannot read either.
        if error.errno in GONE or error.errno == errno.EACCES:
            self._unwatched.pop(path, None)
            return
        if path not in self._unwatched:
            self._blind = True
        self._unwatched[path] = error.errno or errno.EIO
        self._forget(path, below=False)

    def _try_again(self, hints: list[Hint]) -> None:
        blind = self._blind
        for path in list(self._unwatched):
            self._watch_tree(path)
            hints.append(Hint("directory", path))
        # These places were reported as lost before, also where only a part of them can be watched now.
        self._blind = blind
        self._retry_at = time.monotonic() + self._retry

    def _watch_afresh(self) -> None:
        self._rebuild = False
        before = list(self._paths)
        self._paths.clear()
        self._watches.clear()
        self._unwatched.clear()
        self._watch_tree("")
        for wd in before:
            if wd not in self._paths:
                self._drop(wd)

    def _forget(self, path: str, *, below: bool) -> None:
        gone = [path] if path in self._watches else []
        if below:
            start = f"{path}/"
            gone += [other for other in self._watches if other.startswith(start)]
        for each in gone:
            self._drop(self._watches.pop(each))

    def _drop(self, wd: int) -> None:
        self._paths.pop(wd, None)
        # EINVAL: the kernel dropped it already, with the directory.
        _libc().inotify_rm_watch(self._fd, wd)


def _kind(mask: int) -> Kind:
    if mask & MOVED_TO:
        return "complete"
    # A removal may be the first half of a replacement, so it waits like a change.
    return "closed" if mask & CLOSE_WRITE else "changed"


def _checked(result: int) -> int:
    if result >= 0:
        return result
    import ctypes

    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number))


@cache
def _libc() -> CDLL:
    import ctypes  # 10 ms, and only watch needs it

    libc = ctypes.CDLL(None, use_errno=True)
    libc.inotify_add_watch.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)
    return libc
