"""A limit of time for a piece of work: it ends at the next place where the work tells how far it has come."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from types import FrameType

from memorybank_cli.base.records import Progress

GRACE = 30.0
"""Seconds after the limit until work that tells nothing (it waits for a program, or a slow disk) is interrupted."""


class TimeUp(BaseException):
    """The work has used up its time. It is ended as by Ctrl-C, past whoever bears an Exception; what it did is done."""


class Boxed(Progress):
    """Passes on what it hears until `seconds` are over (0: never), then raises TimeUp, once: cleaning up goes on."""

    def __init__(self, inner: Progress, seconds: float) -> None:
        self._inner = inner
        self._end = time.monotonic() + seconds if seconds else inf
        self._thread = threading.get_ident()
        self._is_up = False

    def start(self, what: str, total: int | None = None) -> None:
        """A step begins. Raises TimeUp."""
        self._check()
        self._inner.start(what, total)

    def advance(self, count: int = 1) -> None:
        """More is done. Raises TimeUp."""
        self._check()
        self._inner.advance(count)

    def finish(self) -> None:
        """The step is over."""
        self._inner.finish()

    def note(self, text: str) -> None:
        """Something the user should know."""
        self._inner.note(text)

    def _check(self) -> None:
        if time.monotonic() >= self._end and threading.get_ident() == self._thread:
            self.end()

    def end(self) -> None:
        """Raise TimeUp, unless that was done already."""
        if not self._is_up:
            self._is_up = True
            raise TimeUp


@contextmanager
def time_box(progress: Progress, seconds: float) -> Iterator[Progress]:
    """Give the progress to hand to work that may take so many seconds (0: any number); TimeUp comes out of it.

    In the main thread a timer interrupts work that has told nothing for `GRACE` seconds after its time was over.
    """
    boxed = Boxed(progress, seconds)
    if not seconds or threading.current_thread() is not threading.main_thread():
        yield boxed
        return

    def ring(_number: int, _frame: FrameType | None) -> None:
        boxed.end()

    former = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds + GRACE)
    try:
        yield boxed
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
