"""Random bytes of the system, drawn in advance: to ask for those of each message took longer than hashing it."""

from __future__ import annotations

import os

SIZE = 16
_DRAWN = 64
_left: list[bytes] = []
os.register_at_fork(after_in_child=_left.clear)


def random_bytes() -> bytes:
    """`SIZE` bytes that nobody else gets, no thread and no fork of this process."""
    try:
        return _left.pop()
    except IndexError:
        data = os.urandom(SIZE * _DRAWN)
        _left.extend(data[at : at + SIZE] for at in range(SIZE, len(data), SIZE))
        return data[:SIZE]
