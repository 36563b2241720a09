"""Locks that a killed process cannot leave behind: flock on an open file, which no child that it forked keeps open."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakSet

from memorybank_cli.base.errors import Locked
from memorybank_cli.base.files import open_to_write
from memorybank_cli.base.walk import Root, is_named

DEFAULT_TIMEOUT = 30.0
_BUSY = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES}
_SHORTEST, _LONGEST = 0.000_05, 0.008
"""Seconds between two tries. The system's queue would be fairer, and is a third as fast with many who wait."""
_LONG = 0.005


class Lock:
    """One lock file below a root, whose descriptor stays open between two holds. Threads must take turns at it."""

    def __init__(self, root: Root, path: str, is_written: bool = False) -> None:
        self.root, self.path, self._is_written = root, path, is_written
        self.fd = -1
        self._waits = 0.0
        """Seconds that it takes of late to get it, about."""
        _ALL.add(self)

    def acquire(self, timeout: float, shared: bool = False) -> None:
        """Hold it until `release`. Raises Locked when another process keeps it past `timeout` seconds."""
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        while True:
            if self.fd < 0:
                self.open()
            self._waits += (_wait(self.fd, kind, timeout, self.root, self.path, self._waits) - self._waits) / 8
            if self.stands():
                return
            self.close()  # the file was removed, and others may hold the one that stands there now

    def open(self, create: bool = True) -> bool:
        """Open the file without holding it; says whether it is there, and makes it unless told otherwise."""
        try:
            self.fd = open_to_write(self.root, self.path, create)
        except FileNotFoundError:
            if create:
                raise
            return False
        return True

    def try_once(self) -> bool:
        """Hold it if nobody else does."""
        while True:
            if self.fd < 0:
                self.open()
            if not _try(self.fd, fcntl.LOCK_EX):
                return False
            if self.stands():
                return True
            self.close()

    def stands(self) -> bool:
        """Whether the open file is still the one at its path; one that is written to is not asked by stat."""
        if self._is_written:
            return is_named(self.fd, self.root, self.path)
        try:
            return os.path.samestat(os.fstat(self.fd), os.stat(self.path, dir_fd=self.root.fd, follow_symlinks=False))
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Give the lock back and keep the descriptor."""
        fcntl.flock(self.fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give the descriptor back, and with it the lock; a second call does nothing."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


_ALL: WeakSet[Lock] = WeakSet()


def _leave() -> None:
    """In a forked child: what the parent holds stays held until the parent gives it back or dies."""
    for lock in list(_ALL):
        lock.close()


os.register_at_fork(after_in_child=_leave)


@contextmanager
def hold(root: Root, path: str, *, shared: bool = False, timeout: float = DEFAULT_TIMEOUT) -> Iterator[None]:
    """Hold the lock file `path` below `root`; raises Locked when another process keeps it past `timeout` seconds."""
    lock = Lock(root, path)
    try:
        lock.acquire(timeout, shared)
        yield
    finally:
        lock.close()


def hold_root(root: Root, timeout: float = DEFAULT_TIMEOUT) -> None:
    """Hold a directory itself until the root is closed; it stays held when it is renamed. Raises Locked."""
    _wait(root.fd, fcntl.LOCK_EX, timeout, root, "")


def _try(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _BUSY:
            raise
        return False
    return True


def _pause(waited: float, usual: float) -> float:
    """Seconds until the next try, by how long it took already and how long it takes of late.

    Many who look often take the machine from the one who holds it; and who has waited for longer than is usual looks
    more often than those who came later.
    """
    if waited > 2 * usual + _LONG:
        return max(usual / 20, _SHORTEST)
    return min(max(waited, usual, 16 * _SHORTEST) / 4, _LONGEST)


def _wait(fd: int, kind: int, timeout: float, root: Root, path: str, usual: float = 0.0) -> float:
    """Hold an open file; how many seconds that took. Raises Locked."""
    begun, waited = 0.0, 0.0
    while not _try(fd, kind):
        now = time.monotonic()
        begun = begun or now
        waited = now - begun
        if waited >= timeout:
            name = root.absolute(path)
            raise Locked(f"another process holds {name} (waited {timeout:g} s)", path=name)
        time.sleep(_pause(waited, usual))
    return waited
