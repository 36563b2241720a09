"""Locks that a killed process cannot leave behind: flock on an open file."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from memorybank_cli.base.errors import Locked
from memorybank_cli.base.files import open_for_append
from memorybank_cli.base.walk import Root

DEFAULT_TIMEOUT = 30.0
_BUSY = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES}


@contextmanager
def hold(root: Root, path: str, *, shared: bool = False, timeout: float = DEFAULT_TIMEOUT) -> Iterator[None]:
    """Hold the lock file `path` below `root`; raises Locked when another process keeps it past `timeout` seconds."""
    fd = open_for_append(root, path)
    try:
        _acquire(fd, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, timeout, root.absolute(path))
        yield
    finally:
        os.close(fd)


def hold_root(root: Root, timeout: float = DEFAULT_TIMEOUT) -> None:
    """Hold a directory itself until the root is closed; it stays held when it is renamed. Raises Locked."""
    _acquire(root.fd, fcntl.LOCK_EX, timeout, root.path)


def _acquire(fd: int, kind: int, timeout: float, name: str) -> None:
    deadline = time.monotonic() + timeout
    pause = 0.001
    while True:
        try:
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno not in _BUSY:
                raise
        if time.monotonic() >= deadline:
            raise Locked(f"another process holds {name} (waited {timeout:g} s)", path=name)
        time.sleep(pause)
        pause = min(pause * 2, 0.05)
