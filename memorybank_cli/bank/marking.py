"""When the high-water mark is written: now and then, since it may lag, and at close."""

from __future__ import annotations

import time

from memorybank_cli.bank.chain import START, Position
from memorybank_cli.bank.home import Home
from memorybank_cli.base.records import Progress

LINES = 1_000
SECONDS = 0.25
MOST_LINES = 10 * LINES


class Marking:
    """How far this process knows the journal to be durable, and how far that was written down."""

    def __init__(self, home: Home, progress: Progress) -> None:
        self.home, self.progress = home, progress
        self._durable = START
        self._marked = self._counted = 0
        self._looked_at = 0.0

    def reached(self, end: Position) -> None:
        """The journal is durable up to `end`. The mark is written where that is due and nobody else did just now.

        Many processes at it would wait for each other longer than for the disk.
        """
        if end.seq > self._durable.seq:
            self._durable = end
        now = time.monotonic()
        if self._durable.seq - self._counted < LINES and now - self._looked_at < SECONDS:
            return
        if self.home.marked_ago() >= SECONDS or self._durable.seq - self._marked >= MOST_LINES:
            self.write()
        self._counted, self._looked_at = self._durable.seq, now

    def write(self) -> None:
        """Write it now; the lines are acknowledged already, so a failure here is only said."""
        end = self._durable
        if end.seq <= self._marked:
            return
        self._marked = end.seq
        try:
            self.home.set_mark(end.seq, end.hash)
        except OSError as error:
            self.progress.note(f"the high-water mark could not be written: {(error.strerror or '').lower()}")
