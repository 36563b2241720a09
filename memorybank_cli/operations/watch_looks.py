"""Looks at a bank that is watched, at everything or at some files: what each came to, and when the next one is due."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable

from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.events import EventStore
from memorybank_cli.bank.scan import Scan, Scanner
from memorybank_cli.bank.turns import Turns
from memorybank_cli.base.database import is_damaged
from memorybank_cli.base.errors import Locked
from memorybank_cli.base.records import Finding
from memorybank_cli.integrity import limits
from memorybank_cli.integrity.limits import Load
from memorybank_cli.integrity.permissions import Permissions
from memorybank_cli.integrity.watcher import Pumping, Watcher
from memorybank_cli.operations.probes import all_probes
from memorybank_cli.operations.watch_telling import Seen

DAMAGE = "MB10"
MOST_SINGLY = 1_000
"""More files of one batch are left to the next look at everything, as far as permissions go."""


class Looks:
    """The looks of one watch, which takes in events meanwhile; `slowest` is the longest batch of late, in seconds."""

    def __init__(self, bank: Bank, watcher: Watcher, store: Callable[[], EventStore]) -> None:
        self.bank, self.watcher, self.store = bank, watcher, store
        self._permissions: Permissions | None = None
        self.slowest = 0.0
        self._turns = Turns()
        self._doubted = frozenset[str]()
        """Files that were damaged when they were looked at first."""
        self._pumping = Pumping(watcher)

    def whole(self, keep: bool, failures: Iterable[Finding] = (), by_turns: bool = False) -> Seen:
        """Look at everything; nothing is said of files that are written before or while they are looked at.

        With `keep` what was first seen of permissions is remembered; `by_turns` it costs less in a large bank, as long
        as no event can have been missed.
        """
        unsettled, permissions = self.pumped(), self._allowed(keep)
        if not (by_turns and self.watcher.backend == "inotify" and not self.watcher.unwatched()):
            self._turns.forget()
        scan = Scanner(self.bank, self._pumping, permissions.hear, self._turns).run()
        beside = [*all_probes(self.bank), *permissions.findings(), *self._strain(), *failures]
        unsettled |= self.pumped()
        return Seen(scan, [*scan.findings, *beside], unsettled=unsettled, beside=beside)

    def pumped(self) -> frozenset[str]:
        """Take in what happened up to now; the files that are being written."""
        if self.watcher.backend:
            self.watcher.pump()
        return self.watcher.unsettled()

    def some(self, paths: frozenset[str], complete: frozenset[str] | None = None) -> Seen:
        """Look at files or directories. Damage is told when it was seen twice, of `complete` ones once (None: all).

        Whoever is at the others may not be done: they come again when they have been quiet once more.
        """
        seq = self.bank.end.seq
        scan = self._scan(paths)
        if (scan.changes or scan.outside) and self._tells_more(seq):
            scan = self._scan(paths)
        doubtful = frozenset[str]()
        if complete is not None:
            damaged = {one.path for one in scan.findings if one.rule.startswith(DAMAGE)}
            doubtful = frozenset(damaged - complete - self._doubted)
            self._doubted = (self._doubted - paths) | doubtful
            self.watcher.doubt(doubtful)
        few = self._permissions is not None and len(paths) <= MOST_SINGLY
        allowed = self._permissions.of(sorted(paths)) if self._permissions is not None and few else []
        return Seen(scan, [*scan.findings, *allowed], paths, doubtful, permissions=few)

    def _scan(self, paths: frozenset[str]) -> Scan:
        return Scanner(self.bank, self._pumping).run_on(sorted(paths))

    def _tells_more(self, seq: int) -> bool:
        """Whether the journal goes on after a line once nobody holds the lock.

        A rollback puts files in place before the line that says so: until then they look like somebody else's.
        """
        try:
            with self.bank.locked():
                return self.bank.end.seq != seq
        except (Locked, OSError):
            return False

    def _allowed(self, keep: bool) -> Permissions:
        """What is known of permissions; where that is damaged it is begun anew."""
        if self._permissions is None or self._permissions.keeps != keep:
            try:
                self._permissions = Permissions(self.bank, self.store(), keep)
            except sqlite3.DatabaseError as error:
                if not is_damaged(error):
                    raise
                self.store().begin_anew()
                self._permissions = Permissions(self.bank, self.store(), keep)
        return self._permissions

    def _strain(self) -> list[Finding]:
        """How near watching is to its limits."""
        watcher, slowest, self.slowest = self.watcher, self.slowest, 0.0
        if not watcher.backend:
            return []
        load = Load(
            watcher.backend, watcher.refused(), watcher.watched(), watcher.unwatched(), watcher.queued(), slowest
        )
        return limits.findings(load, float(self.bank.settings["watch.lag_seconds"]))
