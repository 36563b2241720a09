"""Alerting: findings go into the ledger, groups that are due become messages, messages go to their channels.

`Alerting` goes along with `watch`; `raise_alerts` does the same once, for runs from cron; `feed` leaves telling to a
`watch` that gave a sign of life.
They may run side by side: what was told is kept in one transaction with what tells it, so whoever comes first tells it.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from memorybank_cli.alerts import settings, standing
from memorybank_cli.alerts.channels import terminal
from memorybank_cli.alerts.grouping import TERMINAL, Grouping, forget_terminals
from memorybank_cli.alerts.ledger import SIGNS_EVERY, Ledger, Origin
from memorybank_cli.alerts.outbox import Outbox
from memorybank_cli.alerts.silences import Silences
from memorybank_cli.alerts.values import Notice
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.events import EventStore
from memorybank_cli.base.records import Finding
from memorybank_cli.integrity.requests import is_watched
from memorybank_cli.operations.alert_keeping import Keeping

Line = dict[str, Any]
T = TypeVar("T")
LOOKS_EVERY = 5.0
"""Seconds between two looks for what other processes, or another part of this one, told the ledger."""
GATHERS = 1.0
"""Seconds between two runs while findings pour in."""
COST = 20
"""It rests so many times as long as the last run took: alerts by the ten thousand must not hold up the watching."""
PATIENCE = 2.0
"""Seconds to wait for others who write: a `watch` watches nothing meanwhile, and a monitor that asks gives up."""
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
        self.keeping = Keeping(bank, PATIENCE, lasting=self.watches)
        self.store = self.keeping.store
        self._own: tuple[int, list[tuple[str, str]]] | None = None
        """What was last told the ledger of the alerting itself, and in which turn; None where nothing was."""
        self._ran = self._due = self._next = self._signs_at = 0.0
        self._rests, self._version = GATHERS, -1
        self._aside = self._put_aside()
        self.policy = settings.read(bank)
        self.outbox = Outbox(self.store, self.policy.channels, bank.root, bank.owner)
        self._use_settings()
        if self.watches:
            self.outbox.start()
            _RUNNING[bank] = self
            self.keeping.kept(self._forget_terminals)

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
            self.keeping.kept(lambda: self.ledger.told(there, gone))
            self._soon()

    def looked(self, findings: Iterable[Finding]) -> None:
        """Take in what a whole look found: what it could see and did not is gone."""
        self.seen(findings, self.origin)

    def seen(self, findings: Iterable[Finding], origin: Origin) -> None:
        """The same of a look by somebody else in this process."""
        found = tuple(findings)
        if any(self.keeping.kept(lambda: self.ledger.looked(found, origin))):
            self._soon()

    def _soon(self) -> None:
        self._next = 0.0
        self._due = min(self._due, max(time.monotonic(), self._ran + self._rests))

    def run(self) -> list[Line]:
        """Tell what is due: lines for the terminal, and how deliveries went."""
        self._ran = now = time.monotonic()
        self.keeping.follow()
        if settings.signature(self.bank) != self.policy.signature:
            self.policy = settings.read(self.bank)
            self.outbox.define(self.policy.channels)
            self._use_settings()
            self._next = 0.0
        self._look_at_itself()
        if now >= self._signs_at:
            self._signs_at = now + SIGNS_EVERY
            self._sign()
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
        notices, seconds = self.keeping.kept(lambda: self._put(at_once))
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

    def _sign(self) -> None:
        """Say that somebody tells people, where that is so."""
        self._aside = self._put_aside()
        if self.watches and self.outbox.is_alive and not self.keeping.failure:
            self.keeping.kept(lambda: self.ledger.tells(alive=True))

    def _put_aside(self) -> list[Finding]:
        try:
            return standing.put_aside(self.bank.root)
        except OSError:
            return []  # other rules tell of a directory that cannot be read

    def _look_at_itself(self) -> None:
        """MB550 to MB555: what is wrong with the alerting."""
        found = [*self.policy.findings, *self._aside, *self.outbox.findings(self.policy.routing.leads_to)]
        if self.keeping.failure:
            found.append(standing.not_kept(self.keeping.failure, "see to the disk and to .memorybank/findings.sqlite"))
        own = self.keeping.turn, [(one.fingerprint, one.message) for one in found]
        if own != self._own:
            self.keeping.kept(lambda: self.ledger.looked(found, "alerting"))
            self._own = own
            self._next = 0.0

    def close(self) -> None:
        """Tell what waits for more of its group: nothing more comes. What is not taken in time waits on disk."""
        self.finish()

    def finish(self) -> list[Line]:
        """`close`, with what became of the deliveries."""
        self.grouping.terminal = ""  # nobody reads lines any more
        _RUNNING.pop(self.bank, None)
        try:
            self.keeping.come_back()
            if self.watches:
                self.keeping.kept(lambda: self.ledger.tells(alive=False))
            self._look_at_itself()
            self._tell(at_once=True)
            lines = self.outbox.drain() if self.watches else self.outbox.deliver(DELIVERY)
            self.outbox.close(ENDING if self.watches else 0.0)
            return lines
        finally:
            self.keeping.close()


def raise_alerts(bank: Bank, findings: Iterable[Finding], origin: Origin = "health") -> list[Line]:
    """Feed a whole look once, tell what is due, and deliver it: lines about the deliveries."""
    alerting = Alerting(bank, origin)
    alerting.looked(findings)
    lines = alerting.finish()
    if alerting.keeping.failure:
        bank.context.progress.note(f"alerts were told from memory and are kept nowhere: {alerting.keeping.failure}")
    return lines


def feed(bank: Bank, findings: Iterable[Finding], origin: Origin) -> bool:
    """Tell the ledger of a look; whether a `watch` tells people of it: one that is stopped, or fails, does not."""
    beside = _RUNNING.get(bank)
    if beside is not None:
        beside.seen(findings, origin)
        return True
    found, policy = tuple(findings), settings.read(bank)
    try:
        with closing(EventStore(bank.root, PATIENCE)) as store:
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
    except (PermissionError, ValueError, OverflowError):
        return True  # or nobody can tell
    return True
