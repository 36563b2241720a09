"""Alerting: findings go into the ledger, groups that are due become messages, messages go to their channels.

`Alerting` goes along with `watch`; `raise_alerts` does the same once, for runs from cron; `feed` only tells the ledger.
They may run side by side: what was told is kept in one transaction with what tells it, so whoever comes first tells it.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterable
from math import inf
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from memorybank_cli.alerts import settings
from memorybank_cli.alerts.channels import terminal
from memorybank_cli.alerts.grouping import TERMINAL, Grouping, forget_terminals
from memorybank_cli.alerts.ledger import Ledger, Origin
from memorybank_cli.alerts.outbox import Outbox
from memorybank_cli.alerts.silences import Silences
from memorybank_cli.alerts.values import Notice
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.catalog import is_busy
from memorybank_cli.bank.events import EventStore
from memorybank_cli.base.records import Finding

Line = dict[str, Any]
T = TypeVar("T")
LOOKS_EVERY = 5.0
"""Seconds between two looks for what other processes, or another part of this one, told the ledger."""
GATHERS = 1.0
"""Seconds between two runs while findings pour in."""
COST = 20
"""It rests so many times as long as the last run took: alerts by the ten thousand must not hold up the watching."""
KEPT = ("alerts", "alert_told", "alert_groups")
"""Tables that are taken along when the disk can be written again."""
RETURNS_EVERY = 15.0
"""Seconds between two tries to write again after a write failed."""
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
        self.store = EventStore(bank.root)
        self.watches = origin == "watch"
        self.failure = ""
        """Why nothing is written, '' while all is."""
        self._own: list[tuple[str, str]] | None = None
        """What was last told the ledger of the alerting itself; None where nothing was."""
        self._ran = self._due = self._next = 0.0
        self._returns_at, self._rests = inf, GATHERS
        self._version = -1
        if self.store.in_memory:
            self._left("it cannot be opened for writing")
        self._read_settings()
        if self.watches:
            _RUNNING[bank] = self
            self._kept(self._forget_terminals)

    def _forget_terminals(self) -> None:
        """What terminals were told is nothing to the reader of this one, whatever number its process has."""
        with self.store.writing() as db:
            forget_terminals(db, lambda process: process != str(os.getpid()) and _runs(process))

    def _read_settings(self) -> None:
        self.policy = settings.read(self.bank)
        self.ledger = Ledger(self.store, self.policy.wait, self.policy.refractory)
        ours = f"{TERMINAL}:{os.getpid()}" if self.watches else ""
        self.grouping = Grouping(self.ledger, self.policy, self.bank.root.path, ours)
        self.outbox = Outbox(self.store, self.policy.channels, self.bank.root, self.bank.owner)
        if self.watches:
            self.outbox.start()

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

    def seen(self, findings: Iterable[Finding], origin: Origin) -> bool:
        """The same of a look by somebody else in this process; whether it was taken in."""
        if self.failure:
            self._return()  # who can look finds a disk that takes writes
        found = tuple(findings)
        changed = self._kept(lambda: self.ledger.looked(found, origin))
        if changed is None or any(changed):
            self._soon()
        return changed is not None

    def _soon(self) -> None:
        self._next = 0.0
        self._due = min(self._due, max(time.monotonic(), self._ran + self._rests))

    def run(self) -> list[Line]:
        """Tell what is due: lines for the terminal, and how deliveries went."""
        self._ran = now = time.monotonic()
        if now >= self._returns_at:
            self._return()
        if settings.signature(self.bank) != self.policy.signature:
            self.outbox.close()
            self._read_settings()
            self._next = 0.0
        self._look_at_itself()
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
        told = self._kept(lambda: self._put(at_once))
        if told is None:
            self._next = time.monotonic() + LOOKS_EVERY
            return []
        notices, seconds = told
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
            if self._kept(lambda: self.ledger.looked(found, "alerting")) is not None:
                self._own = names
            self._next = 0.0

    def _kept(self, write: Callable[[], T]) -> T | None:
        """What a write gives; in memory where the disk takes none; None where others kept the file busy.

        What is not taken in then is fed again by the next look.
        """
        try:
            return write()
        except sqlite3.OperationalError as error:
            if is_busy(error):
                self.bank.context.progress.note("findings.sqlite is busy; alerts follow with the next look")
                return None
            self.store.leave_disk()
            self._left(str(error))
        except sqlite3.DatabaseError as error:
            self.store.leave_disk(damaged=True)
            self._left(str(error))
        return write()

    def _left(self, why: str) -> None:
        self.failure, self._returns_at = why, time.monotonic() + RETURNS_EVERY

    def _return(self) -> None:
        """Write again if that can be done, what was kept in memory first; what was told meanwhile may be told twice."""
        kept = {table: self.store.db.execute(f"SELECT * FROM {table}").fetchall() for table in KEPT}  # noqa: S608 - ours
        if not self.store.return_to_disk():
            self._returns_at = time.monotonic() + RETURNS_EVERY
            return
        self.failure, self._returns_at, self._own = "", inf, None
        self._kept(lambda: self._take_over(kept))

    def _take_over(self, kept: dict[str, list[sqlite3.Row]]) -> None:
        with self.store.writing() as db:
            for table, rows in kept.items():
                for row in rows:
                    marks = ", ".join("?" * len(row))
                    db.execute(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", tuple(row))  # noqa: S608 - ours

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
    """Tell the ledger of a look beside which an `Alerting` runs, which tells the rest; whether it was taken in.

    Where it was not, because the file is busy or cannot be written, the next look is.
    """
    beside = _RUNNING.get(bank)
    if beside is not None:
        return beside.seen(findings, origin)
    found = tuple(findings)
    try:
        store = EventStore(bank.root)
    except sqlite3.Error:
        return False
    try:
        policy = settings.read(bank)
        Ledger(store, policy.wait, policy.refractory).looked(found, origin)
        return not store.in_memory
    except sqlite3.Error:
        return False
    finally:
        store.close()


def _runs(process: str) -> bool:
    """Whether a process by that number is there."""
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, ValueError):
        return True
    return True
