"""Alerting: findings go into the ledger, groups that are due become messages, messages go to their channels.

`Alerting` goes along with `watch`; `raise_alerts` does the same once, for runs from cron; `feed` leaves telling to a
`watch` that gave a sign of life.
They may run side by side: what was told is kept in one transaction with what tells it, so whoever comes first tells it.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from math import inf
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from memorybank_cli.alerts import settings, ticks
from memorybank_cli.alerts.channels import terminal
from memorybank_cli.alerts.grouping import TERMINAL, Grouping, forget_terminals
from memorybank_cli.alerts.ledger import SIGNS_EVERY, Ledger, Origin
from memorybank_cli.alerts.outbox import Outbox
from memorybank_cli.alerts.silences import Silences
from memorybank_cli.alerts.values import Notice
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.events import EventStore
from memorybank_cli.base import clock, database
from memorybank_cli.base.database import is_busy, is_damaged
from memorybank_cli.base.records import Finding
from memorybank_cli.integrity.requests import is_watched
from memorybank_cli.operations.alert_journal import recall

Line = dict[str, Any]
T = TypeVar("T")
LOOKS_EVERY = 5.0
"""Seconds between two looks for what other processes, or another part of this one, told the ledger."""
GATHERS = 1.0
"""Seconds between two runs while findings pour in."""
COST = 20
"""It rests so many times as long as the last run took: alerts by the ten thousand must not hold up the watching."""
KEPT = {
    "alerts": "REPLACE",
    "alert_told": "REPLACE",
    "alert_groups": "REPLACE",
    "alert_looks": "IGNORE",
    "alert_silences": "IGNORE",
}
"""Tables that are taken along when the disk can be written again, and what happens where it has such a row."""
RETURNS_EVERY = 15.0
"""Seconds between two tries to write again after a write failed."""
PATIENCE = 2.0
"""Seconds for which a `watch` waits for others who write; it watches nothing meanwhile."""
DELIVERY = 10.0
"""Seconds that a run from cron waits for channels; what they have not taken by then waits on disk."""
ENDING = 5.0
"""The same for `watch` when it ends."""


_RUNNING: WeakKeyDictionary[Bank, Alerting] = WeakKeyDictionary()
"""The alerting that goes along with a `watch` of this process, by its bank: what is fed to that needs no disk."""


class Alerting:
    """The alerting of one process. In `watch` a thread delivers, else `finish` does."""

    def __init__(self, bank: Bank, origin: Origin = "watch") -> None:
        self.bank, self.origin = bank, origin
        self.watches = origin == "watch"
        self.store = EventStore(bank.root, PATIENCE if self.watches else database.PATIENCE)
        self.failure = ""
        """Why nothing is written, '' while all is."""
        self._own: list[tuple[str, str]] | None = None
        """What was last told the ledger of the alerting itself; None where nothing was."""
        self._ran = self._due = self._next = 0.0
        self._returns_at, self._rests, self._signs_at = inf, GATHERS, 0.0
        self._left_at = ""
        self._version = -1
        if self.store.in_memory:
            self._left("it cannot be opened for writing")
        self.policy = settings.read(bank)
        self.outbox = Outbox(self.store, self.policy.channels, bank.root, bank.owner)
        self._use_settings()
        self._kept(self._read)  # before anything is fed: what is found damaged later takes along what was
        self._kept(lambda: recall(bank, self.store))
        if self.watches:
            self.outbox.start()
            _RUNNING[bank] = self
            self._kept(self._forget_terminals)

    def _forget_terminals(self) -> None:
        """What terminals were told is nothing to the reader of this one, whatever number its process has."""
        with self.store.writing() as db:
            forget_terminals(db, lambda process: process != str(os.getpid()) and _runs(process))

    def _use_settings(self) -> None:
        self.ledger = Ledger(self.store, self.policy.wait, self.policy.refractory)
        ours = f"{TERMINAL}:{os.getpid()}" if self.watches else ""
        self.grouping = Grouping(self.ledger, self.policy, self.bank.root.path, ours)

    def due(self) -> float:
        """When there may be something to tell, by `time.monotonic()`."""
        return self._due

    def told(self, opened: Iterable[Finding], resolved: Iterable[Finding]) -> None:
        """Take findings in that began, and those that are gone."""
        there, gone = tuple(opened), tuple(resolved)
        if there or gone:
            self._kept(lambda: self.ledger.told(there, gone))
            self._soon()

    def looked(self, findings: Iterable[Finding]) -> None:
        """Take in what a whole look found: what it could see and did not is gone."""
        self.seen(findings, self.origin)

    def seen(self, findings: Iterable[Finding], origin: Origin) -> None:
        """The same of a look by somebody else in this process."""
        found = tuple(findings)
        if any(self._kept(lambda: self.ledger.looked(found, origin))):
            self._soon()

    def _soon(self) -> None:
        self._next = 0.0
        self._due = min(self._due, max(time.monotonic(), self._ran + self._rests))

    def run(self) -> list[Line]:
        """Tell what is due: lines for the terminal, and how deliveries went."""
        self._ran = now = time.monotonic()
        self._follow()
        if settings.signature(self.bank) != self.policy.signature:
            self.policy = settings.read(self.bank)
            self.outbox.define(self.policy.channels)
            self._use_settings()
            self._next = 0.0
        self._look_at_itself()
        if self.watches and now >= self._signs_at and self.outbox.is_alive and not self.failure:
            self._signs_at = now + SIGNS_EVERY
            self._kept(lambda: self.ledger.tells(alive=True))
        lines: list[Line] = []
        version = self.store.db.execute("PRAGMA data_version").fetchone()[0]
        if now >= self._next or version != self._version:
            self._version = version
            lines = [terminal.line(one) for one in self._tell() if one.channel == TERMINAL]
        self._rests = max(GATHERS, COST * (time.monotonic() - now))
        self._due = max(now + self._rests, min(now + LOOKS_EVERY, self._next))
        return [*lines, *self.outbox.drain()]

    def _tell(self, at_once: bool = False) -> list[Notice]:
        """Have what is due wait for its channels; all of it."""
        notices, seconds = self._kept(lambda: self._put(at_once))
        self._next = time.monotonic() + seconds
        if notices and self.watches:
            self.outbox.wake()
        return notices

    def _put(self, at_once: bool) -> tuple[list[Notice], float]:
        with self.store.writing():
            notices, seconds = self.grouping.notices(Silences(self.store).active(), at_once)
            for notice in notices:
                if notice.channel != TERMINAL:
                    self.outbox.put(notice)
        return notices, seconds

    def _look_at_itself(self) -> None:
        """MB550 to MB555: what is wrong with the alerting."""
        found = [*self.policy.findings, *self.outbox.findings(self.policy.routing.leads_to)]
        if self.failure:
            message = f"alerts are kept in memory only: {self.failure}"
            found.append(Finding("MB551", message, "", "see to the disk and to .memorybank/findings.sqlite", "/memory"))
        if self.store.lost:
            message = f"findings.sqlite was damaged and begun anew; what was there is {self.store.lost}"
            found.append(
                Finding("MB551", message, "", "nothing to do unless it happens again", "/lost", level="warning")
            )
        names = [(one.fingerprint, one.message) for one in found]
        if names != self._own:
            self._kept(lambda: self.ledger.looked(found, "alerting"))
            self._own = names
            self._next = 0.0

    def _kept(self, write: Callable[[], T]) -> T:
        """What a write gives; in memory from now on where the disk takes none, or somebody keeps the file busy."""
        try:
            return write()
        except sqlite3.DatabaseError as error:
            damaged = is_damaged(error)
            self.store.leave_disk(damaged=damaged)
            self._left("another process keeps it to itself" if is_busy(error) else str(error))
        if damaged:
            recall(self.bank, self.store)
        return write()

    def _left(self, why: str) -> None:
        self.failure, self._returns_at, self._left_at = why, time.monotonic() + RETURNS_EVERY, clock.now()

    def _follow(self) -> None:
        """Use the file that is there, once it can be written again or where it is another than the one that is open."""
        if not self.store.is_current:
            try:
                self._read()
                damaged = False
            except sqlite3.DatabaseError:  # somebody put it aside for that
                damaged = True
            self.store.leave_disk(damaged)
            self._left("somebody removed it")
            self._return()
        elif time.monotonic() >= self._returns_at:
            self._return()

    def _read(self) -> None:
        """Raise sqlite3.DatabaseError where what is kept cannot be read."""
        self.ledger.firing()
        Silences(self.store).all()

    def _return(self) -> None:
        """Write again if that can be done, what was kept in memory first; what was told meanwhile may be told twice."""
        kept = {table: self.store.db.execute(f"SELECT * FROM {table}").fetchall() for table in KEPT}  # noqa: S608 - ours
        tick, begun = ticks.read(self.store.db), time.monotonic()
        if not self.store.return_to_disk():
            now = time.monotonic()
            self._returns_at = now + max(RETURNS_EVERY, COST * (now - begun))
            return
        self.failure, self._returns_at, self._own = "", inf, None
        self._kept(lambda: self._take_over(kept, tick))

    def _take_over(self, kept: dict[str, list[sqlite3.Row]], tick: float) -> None:
        with self.store.writing() as db:
            ticks.advance(db, tick)  # what is taken along was timed by that clock: nothing may lie ahead of it
            acknowledged = db.execute("SELECT fingerprint FROM alerts WHERE acked_at > ?", (self._left_at,))
            skipped = {row["fingerprint"] for row in acknowledged}
            for table, rows in kept.items():
                for row in rows:
                    if table != "alerts" or row["fingerprint"] not in skipped:
                        marks = ", ".join("?" * len(row))
                        db.execute(f"INSERT OR {KEPT[table]} INTO {table} VALUES ({marks})", tuple(row))  # noqa: S608 - ours

    def close(self) -> None:
        """Tell what waits for more of its group: nothing more comes. What is not taken in time waits on disk."""
        self.finish()

    def finish(self) -> list[Line]:
        """`close`, with what became of the deliveries."""
        self.grouping.terminal = ""  # nobody reads lines any more
        _RUNNING.pop(self.bank, None)
        try:
            if self.failure:
                self._return()
            if self.watches:
                self._kept(lambda: self.ledger.tells(alive=False))
            self._look_at_itself()
            self._tell(at_once=True)
            lines = self.outbox.drain() if self.watches else self.outbox.deliver(DELIVERY)
            self.outbox.close(ENDING if self.watches else 0.0)
            return lines
        finally:
            self.store.close()


def raise_alerts(bank: Bank, findings: Iterable[Finding], origin: Origin = "health") -> list[Line]:
    """Feed a whole look once, tell what is due, and deliver it: lines about the deliveries."""
    alerting = Alerting(bank, origin)
    alerting.looked(findings)
    return alerting.finish()


def feed(bank: Bank, findings: Iterable[Finding], origin: Origin) -> bool:
    """Tell the ledger of a look; whether a `watch` tells people of it: one that is stopped, or fails, does not."""
    beside = _RUNNING.get(bank)
    if beside is not None:
        beside.seen(findings, origin)
        return True
    found, policy = tuple(findings), settings.read(bank)
    try:
        with closing(EventStore(bank.root)) as store:
            ledger = Ledger(store, policy.wait, policy.refractory)
            ledger.looked(found, origin)
            return not store.in_memory and bool(ledger.is_told()) and is_watched(bank.root)
    except sqlite3.Error:
        return False


def _runs(process: str) -> bool:
    """Whether a process by that number is there."""
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, ValueError):
        return True
    return True
