"""Keeping the journal within its budget: after a backup, and beside the work of processes that live long."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from threading import Event, Thread
from typing import TYPE_CHECKING

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base.errors import MemorybankError

if TYPE_CHECKING:
    from memorybank_cli.bank.compaction import MayGo

BESIDE = 2  # segments that are compacted for each that was begun, until the journal is within its budget


def compact_overdue(bank: Bank, most: int, goes_on: Callable[[], bool] = lambda: True) -> None:
    """Compact the oldest segments, so many at most, while the journal is beyond its budget and `goes_on` says yes.

    What goes wrong is only said: the next time is another try.
    """
    from memorybank_cli.bank.compaction import overdue

    def may_go() -> MayGo:
        from memorybank_cli.operations.account_compact import dispensable

        return dispensable(bank)

    try:
        bank.refresh()
        overdue(bank, may_go, most, goes_on)
    except (MemorybankError, OSError, sqlite3.DatabaseError) as error:
        bank.context.progress.note(f"the journal could not be compacted: {error}")


class Upkeep:
    """Compacts while a process that lives long goes on writing; `another` opens a second bank at the same place."""

    def __init__(self, bank: Bank, another: Callable[[], Bank]) -> None:
        self.bank, self._another, self._seen = bank, another, bank.journal.begun
        self._end = Event()
        self._thread: Thread | None = None

    def noticed(self) -> None:
        """Something was written: where that began a segment the journal is looked at. Costs nothing that grows."""
        if self.bank.journal.begun == self._seen or (self._thread is not None and self._thread.is_alive()):
            return
        self._seen = self.bank.journal.begun
        self._thread = Thread(target=self._aside, name="memorybank-compaction", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Wait for the segment that is being compacted; the others wait for the next one that is begun."""
        self._end.set()
        if self._thread is not None:
            self._thread.join()

    def _aside(self) -> None:
        own = self._another()
        try:
            compact_overdue(own, BESIDE, lambda: not self._end.is_set())
        finally:
            own.abandon()
