"""What a source of changes may say, and the contract that every source keeps.

A hint is never a fact: it names a place that is worth a fresh look. Sources: `inotify`, `observer`, `polling`.
"""

from __future__ import annotations

import math
import os
import select
from typing import Literal, NamedTuple, Protocol

Kind = Literal["changed", "closed", "complete", "directory", "lost", "asked"]


class Hint(NamedTuple):
    """One hint: escaped path relative to the root, and how much is known of it.

    `changed`: made, written, touched or removed, and perhaps not finished. `closed`: a writer closed it.
    `complete`: renamed into place. `directory`: came, went, or changed its mode. `lost`: the source was blind.
    `asked`: something came into the directory of requests.
    """

    kind: Kind
    path: str


LOST = Hint("lost", "")


class Source(Protocol):
    """Where hints come from. Names starting with a dot give none, links to directories are not followed."""

    def arm(self) -> None:
        """Start watching; what happens from the return on leads to a hint. Raises OSError where it cannot."""

    def read(self, timeout: float, wake: int) -> list[Hint]:
        """Hints since the last call; waits up to `timeout` seconds, or until the descriptor `wake` is readable.

        A `lost` hint comes after the source watches everything again, as far as it can. Raises OSError when
        the source is at its end.
        """

    def watched(self) -> int:
        """How many watches are set: one for each directory, or one for all."""

    def unwatched(self) -> frozenset[str]:
        """Directories that could not be watched; they come as `directory` hints every few seconds instead."""

    def queued(self) -> int:
        """The most events that waited at once since the last call; 0 where that is not known."""

    def close(self) -> None:
        """Give back descriptors and threads; a second call does nothing."""


def wait(timeout: float, *descriptors: int) -> None:
    """Sleep until one of the descriptors is readable or `timeout` seconds have gone by."""
    poll = select.poll()
    for fd in descriptors:
        poll.register(fd, select.POLLIN)
    poll.poll(math.ceil(max(timeout, 0.0) * 1000))


def doorbell() -> tuple[int, int]:
    """A pipe for waking a sleeper: the end that becomes readable, and the end for `ring`; neither blocks."""
    out, into = os.pipe()
    os.set_blocking(out, False)
    os.set_blocking(into, False)
    return out, into


def ring(into: int) -> None:
    """Make the other end of a doorbell readable; may be called from a signal handler."""
    try:
        os.write(into, b"\0")
    except BlockingIOError:
        return  # full, so it is rung already


def answer(out: int) -> bool:
    """Whether a doorbell was rung since the last answer."""
    try:
        return bool(os.read(out, 1 << 16))
    except BlockingIOError:
        return False
