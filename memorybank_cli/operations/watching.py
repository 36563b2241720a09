"""One run of `watch`: the loop, the looks, and who leads where several watch one bank."""

from __future__ import annotations

import errno
import math
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict

from memorybank_cli.bank import baseline, layout
from memorybank_cli.bank.adopt import Adopter
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.catalog import is_busy
from memorybank_cli.bank.events import EventStore
from memorybank_cli.bank.scan import Scan, Scanner
from memorybank_cli.base import clock
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import BankNotFound, JournalDamaged, Locked, from_os_error
from memorybank_cli.base.records import Finding
from memorybank_cli.integrity import limits
from memorybank_cli.integrity.limits import Load
from memorybank_cli.integrity.permissions import Permissions
from memorybank_cli.integrity.watcher import Batch, Pumping, Watcher
from memorybank_cli.operations import documents
from memorybank_cli.operations.companions import Company
from memorybank_cli.operations.finding import is_bank
from memorybank_cli.operations.healing import Healer
from memorybank_cli.operations.probes import all_probes
from memorybank_cli.operations.watch_lead import Lead
from memorybank_cli.operations.watch_telling import Line, Seen, Teller, line

BREATH = 1.0
"""Seconds at most between two moments at which requests and the lead are looked for."""
AGAIN = 5.0
"""Seconds after a look that failed."""
SHARE = 0.003
"""Of a core that looks at everything may take."""
MOST_USUAL = 2.5
"""Times reconcile_seconds until the next look at the latest: after three times what is known counts as stale."""
DAMAGE = "MB10"
MOST_SINGLY = 1_000
"""More files of one batch are left to the next look at everything, as far as permissions go."""


class Watching:
    """One run. Only `stop` may be called from elsewhere."""

    def __init__(self, bank: Bank, context: Context, adopt: bool, heal: str = "accounts") -> None:
        self.bank, self.context, self.wants = bank, context, adopt
        self.leads = True
        self.stopping = ""
        self.settle = float(bank.settings["settle_ms"]) / 1000
        self.watcher = Watcher(
            bank.root,
            settle=self.settle,
            reconcile=float(bank.settings["reconcile_seconds"]),
            requests=layout.WATCH,
        )
        self.adopter = Adopter(bank)
        self.lead = Lead(bank)
        self._store: EventStore | None = None
        self.healer = Healer(bank, self.store, heal)
        self.company: Company | None = None
        self.permissions: Permissions | None = None
        self.teller = Teller(bank)
        self.slowest = 0.0
        self._doubted = frozenset[str]()
        """Files that were damaged when they were looked at first."""
        self._cost = 0.0
        """Seconds of the processor that the last look at everything took."""
        self.failing: Finding | None = None
        """MB526, while no look succeeds."""
        self.again_at = math.inf
        """When everything is to be looked at because a look failed."""
        self.recorded = bank.end.seq
        """The line of the journal up to which findings are up to date."""
        self.documents_every = float(bank.settings["documents_seconds"])
        self.documents_due = time.monotonic() + self.documents_every
        self._pumping = Pumping(self.watcher)

    @property
    def adopts(self) -> bool:
        """Whether changes are adopted and damage is cured here."""
        return self.wants and self.leads

    def store(self) -> EventStore:
        """The event store, opened when it is first needed."""
        if self._store is None:
            self._store = EventStore(self.bank.root)
        return self._store

    def stop(self, reason: str) -> None:
        """Let it end soon; for signal handlers."""
        self.stopping = reason
        self.watcher.wake()

    # The loop

    def run(self, once: bool) -> Iterator[Line]:
        """The lines, until somebody stops it. Raises BankNotFound."""
        try:
            if not once:
                self._take_lead()
            self.watcher.arm()
            yield from self._unless_gone(self.everything())
            yield self._ready()
            while not once and not self.stopping:
                yield from self._enduring(self._step())
            if self.company is not None:
                yield from self.company.run()
        finally:
            self.close()
        yield line("stopped", reason=self.stopping or "done")

    def close(self) -> None:
        """Give everything back; a second call does nothing."""
        self.watcher.close()
        if self.company is not None:
            self.company.close()
            self.company = None
        self.lead.close()
        if self._store is not None:
            self._store.close()
            self._store = None

    def _step(self) -> Iterator[Line]:
        due = self.company.due() if self.company is not None else math.inf
        batch = self.watcher.next(max(0.0, min(BREATH, due - time.monotonic())))
        if self.stopping:
            return
        if batch is not None:
            yield from self._batch(batch)
        elif (self.leads and self.lead.asked()) or time.monotonic() >= self.again_at:
            yield from self._timed(self.everything())
        elif changed := self._recorded():
            yield from self._timed(self.some(changed))
        self.lead.answer(self.watcher.unsettled())
        yield from self._beside()

    def _enduring(self, lines: Iterator[Line]) -> Iterator[Line]:
        """Go on where the catalog is kept by another process or damaged, or the disk is full: soon all is looked at."""
        try:
            yield from self._unless_gone(lines)
            return
        except Locked as error:
            words = error.message
        except sqlite3.DatabaseError as error:
            if not is_busy(error) and "full" not in str(error):
                self.bank.rebuild_catalog()
            words = f"the catalog cannot be written: {error}"
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            words = from_os_error(error).message
        self.again_at = time.monotonic() + AGAIN
        if self.failing is None:
            self.context.progress.note(f"{words}; everything is looked at again every {AGAIN:g} s")
            self.failing = Finding("MB526", words, "", "free some space, or end the process that keeps the catalog")
            yield line("finding", path="", finding=self.failing.as_dict())
            if self.company is not None:
                self.company.told([self.failing], [])
        yield from self._beside()

    def _unless_gone(self, lines: Iterator[Line]) -> Iterator[Line]:
        """What fails because the bank went away while it was looked at is told as that."""
        try:
            yield from lines
        except OSError:
            if is_bank(self.bank.root.path):
                raise
            yield from self._gone()

    def _works_again(self) -> Iterator[Line]:
        failing, self.failing = self.failing, None
        if failing is not None:
            yield line("resolved", path="", rule=failing.rule, fingerprint=failing.fingerprint)
            if self.company is not None:
                self.company.told([], [failing])

    def _recorded(self) -> set[str]:
        """Files with findings of which others recorded something since: accepted, rolled back, repaired."""
        seq, about = self.bank.end.seq, {one.path for one in self.teller.open.values()}
        if not about:
            return set()
        self.bank.refresh()
        since, self.recorded = min(seq, self.recorded), self.bank.end.seq
        if self.bank.end.seq <= since:
            return set()
        told = (row[0] for each in self.bank.journal.lines(since) for row in each.core.get("files", ()))
        return about.intersection(told) - {""}

    def _beside(self) -> Iterator[Line]:
        if not self.leads and self._take_lead():
            yield line("role", role="leading")
            self.again_at, self.permissions = 0.0, None  # from now on it keeps what it sees
        if self.company is not None:
            yield from self.company.run()
        yield from self.teller.health(self._findings_beside())

    def _findings_beside(self) -> list[Finding]:
        """What is found by others than the looks."""
        own = [self.failing] if self.failing is not None else []
        return [*own, *(self.company.findings() if self.company is not None else ())]

    def _take_lead(self) -> bool:
        """Be the one that adopts, heals and alerts, if no other watch is; whether this one is now."""
        self.leads = self.lead.take()
        if self.leads and self.company is None:
            self.company = Company(self.bank)
        return self.leads

    def _ready(self) -> Line:
        refused = self.watcher.refused()
        why = {"why": "; ".join(f"{name}: {reason}" for name, reason in refused.items())} if refused else {}
        watched, found = self.watcher.watched(), len(self.teller.open)
        role = "leading" if self.leads else "following"
        return line("ready", watched=watched, backend=self.watcher.backend, findings=found, role=role, **why)

    # Looking

    def _batch(self, batch: Batch) -> Iterator[Line]:
        if batch.gap is not None:
            yield line("gap", **{"from": batch.gap[0], "to": batch.gap[1]})
        if not is_bank(self.bank.root.path) or (batch.gap is not None and self.watcher.displaced()):
            yield from self._gone()
        self.bank.refresh()
        some = {*batch.paths, *batch.directories}
        yield from self._timed(self.everything() if batch.full else self.some(some, batch.complete))

    def _timed(self, lines: Iterator[Line]) -> Iterator[Line]:
        started = time.monotonic()
        yield from lines
        self.slowest = max(self.slowest, time.monotonic() - started)

    def _gone(self) -> Iterator[Line]:
        where = self.bank.root.path
        what = "is another directory now" if is_bank(where) else "went away"
        found = Finding("MB118", f"the bank at {where} {what}", "", "mount it, or put it back, and start watch again")
        yield line("finding", path="", finding=found.as_dict())
        if self.company is not None:
            self.company.told([found], [])
            yield from self.company.run()
        raise BankNotFound(f"the bank at {where} {what}", path=where)

    def everything(self) -> Iterator[Line]:
        """Look at the whole bank."""
        started, cost = time.monotonic(), time.process_time()
        self.again_at, self.recorded = math.inf, self.bank.end.seq
        if self.watcher.backend:
            self.watcher.pump()
        asked = self.lead.asked() if self.leads else []
        # What is being written now is judged when it has settled.
        unsettled = self.watcher.unsettled()
        if self.adopts and self.bank.is_empty:
            yield from self._guarded(lambda: baseline.establish(self.bank)[1])
        if self.permissions is None:
            self.permissions = self._permissions()
        # The first look is to be over soon, the others are to cost little.
        scan = Scanner(self.bank, self._pumping, self.permissions.hear, alone=bool(self._cost)).run()
        beside = [*all_probes(self.bank), *self.permissions.findings(), *self._strain()]
        seen = Seen(scan, [*scan.findings, *beside], unsettled=unsettled, beside=beside)
        yield from self._works_again()
        yield from self._tell(seen)
        if self.company is not None:
            self.company.looked(self.teller.open.values())
        if self.adopts and time.monotonic() >= self.documents_due:
            self.documents_due = time.monotonic() + self.documents_every
            yield from self._guarded(lambda: self._sync(seen.findings))
        self._cost = time.process_time() - cost
        self._pace()
        yield self._looked(scan, time.monotonic() - started)
        self.lead.looked(asked, unsettled)

    def _permissions(self) -> Permissions:
        try:
            return Permissions(self.bank, self.store(), keep=self.adopts)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            self.store().leave_disk(damaged=True)
            return Permissions(self.bank, self.store(), keep=self.adopts)

    def _pace(self) -> None:
        """Look at everything less often where that costs much, as long as no event can be missed."""
        usual = float(self.bank.settings["reconcile_seconds"])
        if self.watcher.backend == "inotify" and not self.watcher.unwatched():
            self.watcher.pace(min(max(usual, self._cost / SHARE), usual * MOST_USUAL))

    def _looked(self, scan: Scan, seconds: float) -> Line:
        """The heartbeat: who reads the stream knows by it that the view is not stale."""
        sections = {
            name: {
                "files": count,
                "records": scan.records_by_section[name],
                "changed": clock.from_ns(scan.mtimes[name]) if scan.mtimes[name] else None,
            }
            for name, count in scan.by_section.items()
        }
        found = len(self.teller.open)
        numbers = {"seconds": round(seconds, 3), "checked": scan.checked, "pending": scan.pending, "findings": found}
        return line("looked", **numbers, sections=sections)

    def _strain(self) -> list[Finding]:
        watcher, slowest, self.slowest = self.watcher, self.slowest, 0.0
        if not watcher.backend:
            return []
        load = Load(
            watcher.backend, watcher.refused(), watcher.watched(), watcher.unwatched(), watcher.queued(), slowest
        )
        found = limits.findings(load, float(self.bank.settings["watch.lag_seconds"]))
        return [*found, *(self.company.failures() if self.company is not None else ())]

    def _sync(self, findings: list[Finding]) -> list[str]:
        """Bring the bank's own documents up to date; nobody else's change is adopted by it."""
        documents.sync(self.bank, findings)
        return []

    def some(self, paths: set[str], complete: frozenset[str] | None = None) -> Iterator[Line]:
        """Look at files or directories. Damage is told when it was seen twice, of `complete` ones once (None: all).

        Whoever is at the others may not be done: they come again when they have been quiet once more.
        """
        if "" in paths:
            yield from self.everything()
            return
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
        few = self.permissions is not None and len(paths) <= MOST_SINGLY
        allowed = self.permissions.of(sorted(paths)) if self.permissions is not None and few else []
        yield from self._tell(Seen(scan, [*scan.findings, *allowed], frozenset(paths), doubtful, permissions=few))

    def _scan(self, paths: set[str]) -> Scan:
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

    # What follows from it

    def _tell(self, seen: Seen) -> Iterator[Line]:
        told = self.teller.tell(seen)
        yield from told.lines()
        changes = seen.settled(seen.scan.changes)
        if self.adopts and changes:
            yield from self._guarded(lambda: self.adopter.adopt(changes))
        if self.adopts:
            self.healer.detected(told.damage)
            self.healer.gone(one.fingerprint for one in told.resolved)
            if seen.is_whole:
                self.healer.looked({one.fingerprint for one in seen.findings} | set(self.teller.open))
        if self.company is not None:
            self.company.told(told.opened, told.resolved)
        yield from self.teller.health(self._findings_beside())
        yield from self._recover(seen) if self.adopts and self.teller.mass is None else ()

    def _recover(self, seen: Seen) -> Iterator[Line]:
        """Make damaged files again, where nothing is lost by it."""
        cured = []
        for cure, event in self.healer.heal(seen.settled(seen.findings)):
            cured.append(cure.path)
            yield line("recovered", **asdict(cure), **({"corruption_id": event} if event else {}))
        if cured:
            yield from self.some(set(cured))

    def _guarded(self, adopt: Callable[[], list[str]]) -> Iterator[Line]:
        """Adopt; where that fails (a damaged journal, a lock held long, a full disk) watching goes on without."""
        try:
            adopted = adopt()
        except (JournalDamaged, Locked, OSError) as error:
            words = from_os_error(error) if isinstance(error, OSError) else error
            self.context.progress.note(f"nothing is adopted: {words.message}")
            return
        if adopted:
            self.teller.adopted(adopted)
            yield line("adopted", paths=adopted, count=len(adopted))
