"""Where alerting keeps what it knows: `findings.sqlite`, or memory while that takes nothing.

A full disk is what alerts are for, and a process that keeps the file locked must not silence anybody. What was kept in
memory is taken along when the file can be written again, or when somebody removed it and there is another.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from math import inf
from typing import TypeVar

from memorybank_cli.alerts import ticks
from memorybank_cli.alerts.ledger import Ledger
from memorybank_cli.alerts.silences import Silences
from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.events import EventStore
from memorybank_cli.base import clock, files
from memorybank_cli.base.database import is_busy, is_damaged
from memorybank_cli.base.errors import Locked, OperationFailed
from memorybank_cli.base.names import escape_text
from memorybank_cli.operations.alert_journal import recall

T = TypeVar("T")
TAKEN_ALONG = {
    "alerts": "REPLACE",
    "alert_told": "REPLACE",
    "alert_groups": "REPLACE",
    "alert_looks": "IGNORE",
    "alert_silences": "IGNORE",
}
"""Tables, and what happens where the file has a row by that key."""
RETURNS_EVERY = 15.0
"""Seconds between two tries to write again after a write failed."""
RESERVES = (1 << 20, 1 << 19, 1 << 18)
"""Bytes that are kept back on the disk, as many as it takes."""
COST = 20
"""Such a try rests so many times as long as the last one took: somebody may hold it up for seconds."""


class Keeping:
    """The store of a bank's alerting; `patience` is in seconds, for others who write.

    One that is not `lasting`, as from cron, has no memory of what it told: on a full disk it uses a reserve.
    """

    def __init__(self, bank: Bank, patience: float, *, lasting: bool = True) -> None:
        self.bank, self.store, self.lasting = bank, EventStore(bank.root, patience), lasting
        self.failure = ""
        """Why nothing is written, '' while all is."""
        self.turn = 0
        """Changes with each return to a file, whose content may be another one."""
        self._returns_at, self._left_at = inf, ""
        if self.store.in_memory and not (self._gave_room() and self.store.return_to_disk()):
            self._left("it cannot be opened for writing")
        self.kept(self._read)  # before anything is fed: what is found damaged later takes along what was
        self.kept(lambda: recall(bank, self.store))

    def kept(self, write: Callable[[], T]) -> T:
        """What a write gives; in memory from now on where the disk takes none, or somebody keeps the file busy."""
        try:
            return write()
        except sqlite3.DatabaseError as error:
            damaged = is_damaged(error)
            if not damaged and not is_busy(error) and self._gave_room():
                return self.kept(write)
            self.store.leave_disk(damaged=damaged)
            self._left("another process keeps it to itself" if is_busy(error) else str(error))
        if damaged:
            recall(self.bank, self.store)
        return write()

    def follow(self) -> None:
        """Use the file that is there, where it is another than the one that is open, or it is time to try it again."""
        if not self.store.is_current:
            try:
                self._read()
                damaged = False
            except sqlite3.DatabaseError:  # somebody put it aside for that
                damaged = True
            self.store.leave_disk(damaged)
            self._left("somebody removed it")
            self.come_back()
        elif time.monotonic() >= self._returns_at:
            self.come_back()

    def come_back(self) -> None:
        """Write again if that can be done, what was kept in memory first; what was told meanwhile may be told twice."""
        if not self.failure:
            return
        tables = {name: self.store.db.execute(f"SELECT * FROM {name}").fetchall() for name in TAKEN_ALONG}  # noqa: S608 - ours
        tick, begun = ticks.read(self.store.db), time.monotonic()
        if not self.store.return_to_disk():
            now = time.monotonic()
            self._returns_at = now + max(RETURNS_EVERY, COST * (now - begun))
            return
        self.failure, self._returns_at = "", inf
        self.turn += 1
        self.kept(lambda: self._take_over(tables, tick))

    def close(self) -> None:
        """Give the database back, and keep room for the next time."""
        self.store.close()
        if not self.lasting:
            with suppress(OSError):
                any(files.allocate(self.bank.root, layout.RESERVE, size) for size in RESERVES)

    def _gave_room(self) -> bool:
        """Whether there was a reserve to be given up."""
        try:
            if self.lasting or self.bank.root.stat(layout.RESERVE) is None:
                return False
            files.remove(self.bank.root, layout.RESERVE)
        except OSError:
            return False
        return True

    def _left(self, why: str) -> None:
        self.failure, self._returns_at, self._left_at = why, time.monotonic() + RETURNS_EVERY, clock.now()

    def _read(self) -> None:
        """Raise sqlite3.DatabaseError where what is kept cannot be read."""
        Ledger(self.store).firing()
        Silences(self.store).all()

    def _take_over(self, tables: dict[str, list[sqlite3.Row]], tick: float) -> None:
        with self.store.writing() as db:
            # What is taken along was timed by another clock: nothing may lie ahead of it, and no silence end by that.
            ahead = max(0.0, tick - ticks.read(db))
            ticks.advance(db, tick)
            db.execute("UPDATE alert_silences SET ends_tick = ends_tick + ?", (ahead,))
            acknowledged = db.execute("SELECT fingerprint FROM alerts WHERE acked_at > ?", (self._left_at,))
            skipped = {row["fingerprint"] for row in acknowledged}
            for name, rows in tables.items():
                for row in rows:
                    if name != "alerts" or row["fingerprint"] not in skipped:
                        marks = ", ".join("?" * len(row))
                        db.execute(f"INSERT OR {TAKEN_ALONG[name]} INTO {name} VALUES ({marks})", tuple(row))  # noqa: S608 - ours


@contextmanager
def opened(bank: Bank) -> Iterator[EventStore]:
    """The bank's `findings.sqlite`, for a command. Raises OperationFailed where it is there and unusable, Locked."""
    where = bank.root.absolute(layout.FINDINGS)
    try:
        with closing(EventStore(bank.root)) as store:
            if store.in_memory and bank.root.stat(layout.FINDINGS) is not None:
                what = f"{where} cannot be opened for writing, which reading it needs too"
                raise OperationFailed(what, hint="check the disk, and the owner and mode of .memorybank")
            recall(bank, store)
            yield store
    except sqlite3.DatabaseError as error:
        if is_busy(error):
            raise Locked(f"another process keeps {where} to itself", hint="wait for it, and try again") from None
        if is_damaged(error):
            hint = "memorybank health puts it into quarantine and begins a new one"
            raise OperationFailed(f"{where} is damaged: {error}", hint=hint) from None
        raise OperationFailed(f"{where} cannot be written: {error}", hint="check the disk, and its owner") from None


def why_not_kept(store: EventStore) -> str:
    """Why the store takes nothing that is found now, '' where it does."""
    try:
        if not store.in_memory:  # where there is no file, nobody looked either
            store.check_writable()
    except sqlite3.DatabaseError as error:
        busy = "another process keeps findings.sqlite to itself"
        return busy if is_busy(error) else escape_text(f"findings.sqlite: {error}")
    return ""
