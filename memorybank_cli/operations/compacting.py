"""Keeping the journal within its budget: looked at by who began a segment of it, done after that or beside it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from threading import Event, Thread

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base.errors import MemorybankError


class Upkeep:
    """What a process remembers: how many segments it had begun when it last looked. Called when the bank is closed."""

    def __init__(self, bank: Bank) -> None:
        self.bank, self._seen = bank, bank.journal.begun
        self._end = Event()
        self._thread: Thread | None = None

    def __call__(self) -> None:
        """Compact the journal where a segment was begun since, and it is too large."""
        if self.bank.journal.begun != self._seen:
            self._seen = self.bank.journal.begun
            self._compact(self.bank)

    def noticed(self, another: Callable[[], Bank]) -> None:
        """Do so now, in a thread with a bank of its own: for processes that live long. Costs nothing that grows."""
        if self.bank.journal.begun == self._seen or (self._thread is not None and self._thread.is_alive()):
            return
        self._seen = self.bank.journal.begun
        self._thread = Thread(target=partial(self._aside, another), name="memorybank-compaction", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Wait for the segment that is being compacted; the others wait for the next one that is begun."""
        self._end.set()
        if self._thread is not None:
            self._thread.join()

    def _aside(self, another: Callable[[], Bank]) -> None:
        own = another()
        try:
            self._compact(own)
        finally:
            own.abandon()

    def _compact(self, bank: Bank) -> None:
        from memorybank_cli.bank.compaction import overdue
        from memorybank_cli.operations.account_compact import dispensable

        try:
            bank.refresh()
            overdue(bank, partial(dispensable, bank), lambda: not self._end.is_set())
        except (MemorybankError, OSError, sqlite3.DatabaseError) as error:  # the next segment is another try
            bank.context.progress.note(f"the journal could not be compacted: {error}")
