"""System calls that Python does not offer. ctypes takes 10 ms to import, so it is only where one of them is needed."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import cache

_TIME_ERROR = 5
"""The answer of adjtimex for a clock that nobody keeps in step."""


def renameat2(one_fd: int, one: str, other_fd: int, other: str, how: int) -> bool:
    """Rename with flags, e.g. swap two files, by open directories; whether the system can. Raises OSError."""
    import ctypes

    call = renameat2_call()
    if call is None:
        return False
    if call(one_fd, os.fsencode(one), other_fd, os.fsencode(other), how) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS):
        return False
    raise OSError(number, os.strerror(number), one)


@cache
def renameat2_call() -> Callable[[int, bytes, int, bytes, int], int] | None:
    """The call, None where the system has none."""
    import ctypes

    try:
        return ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        return None


def clock_in_step() -> bool | None:
    """Whether the kernel says that something keeps the clock in step with others (NTP), None where nobody tells."""
    import ctypes

    call = getattr(ctypes.CDLL(None, use_errno=True), "adjtimex", None)
    if call is None:
        return None
    state = call(ctypes.create_string_buffer(512))  # all zero: it only asks; the structure has 208 bytes or fewer
    return None if state < 0 else state != _TIME_ERROR


def syncfs(fd: int, path: str) -> None:
    """Make the whole file system on which an open file is durable. Raises OSError, which names `path`."""
    import ctypes

    call = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if call is None:
        os.sync()
    elif call(fd) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
