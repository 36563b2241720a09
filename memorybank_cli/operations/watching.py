"""One run of `watch`: the loop, and who leads where several watch one bank.

What is seen comes from `watch_looks`, what is said from `watch_telling`, what is done from `watch_acting`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from collections.abc import Set as AbstractSet

from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.events import EventStore
from memorybank_cli.base import clock
from memorybank_cli.base.context import Context
from memorybank_cli.base.records import Finding
from memorybank_cli.health.probing import findings_of, run_all
from memorybank_cli.integrity.watcher import Batch, Watcher
from memorybank_cli.operations.companions import Company
from memorybank_cli.operations.finding import is_bank
from memorybank_cli.operations.probes import keep_look
from memorybank_cli.operations.watch_acting import Acting
from memorybank_cli.operations.watch_failing import Failing
from memorybank_cli.operations.watch_lead import Lead
from memorybank_cli.operations.watch_looks import Looks
from memorybank_cli.operations.watch_telling import Line, Seen, Teller, line

BREATH = 1.0
"""Seconds at most between two moments at which requests and the lead are looked for."""

PATIENCE = 2.0
"""Seconds to wait for another process that keeps the event store: nothing is watched meanwhile."""


class Watching:
    """One run. Only `stop` may be called from elsewhere."""

    def __init__(self, bank: Bank, context: Context, adopt: bool, heal: str = "accounts") -> None:
        self.bank, self.context, self.wants = bank, context, adopt
        self.leads = True
        self.stopping = ""
        self.watcher = Watcher(
            bank.root,
            settle=float(bank.settings["settle_ms"]) / 1000,
            reconcile=float(bank.settings["reconcile_seconds"]),
            requests=layout.WATCH,
        )
        self.lead = Lead(bank)
        self._store: EventStore | None = None
        self.looks = Looks(bank, self.watcher, self.store)
        self.teller = Teller(bank)
        self.acting = Acting(bank, self.teller, self.store, heal)
        self.failing = Failing(bank, self._hear)
        self.company: Company | None = None
        """Whoever goes along, once the first look is over; None for a single look."""
        self.recorded = bank.end.seq
        """The line of the journal up to which findings are up to date."""

    @property
    def adopts(self) -> bool:
        """Whether changes are adopted and damage is cured here."""
        return self.wants and self.leads

    def store(self) -> EventStore:
        """The event store, opened when it is first needed."""
        if self._store is None:
            self._store = EventStore(self.bank.root, patience=PATIENCE)
        elif not self._store.is_current:  # somebody removed the file
            self._store.return_to_disk()
        return self._store

    def stop(self, reason: str) -> None:
        """Let it end soon; for signal handlers."""
        self.stopping = reason
        self.watcher.wake()

    # The loop

    def run(self, once: bool, around: bool = True) -> Iterator[Line]:
        """The lines, until somebody stops it, or of one look, with what is `around` the data. Raises BankNotFound."""
        try:
            if once:
                self.watcher.arm()
                yield from self.failing.unless_gone(self.everything())
                yield from self._around() if around else ()
                yield self._ready()
            else:
                yield from self._begin()
                while not self.stopping:
                    yield from self._step()
                yield from self._accompanied()
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

    def _around(self) -> Iterator[Line]:
        """What stands around the data, looked at once, and the health that follows from both."""
        from memorybank_cli.operations.surroundings import PROBES  # who watches for long has them from a companion

        known = list(self.teller.open.values())
        found = findings_of(run_all(PROBES, self.bank, known))
        for one in found:
            yield line("finding", path=one.path, finding=one.as_dict())
        yield from self.teller.health(found)

    def _begin(self) -> Iterator[Line]:
        """Up to the first look that succeeds."""
        self.leads = self.lead.take()
        self.watcher.arm()
        yield from self.failing.enduring(self.everything())
        ready = self.failing.finding is None
        if ready:
            yield self._ready()
        self._gather()  # it takes longer than the first look does
        while self.failing.finding is not None and not self.stopping:
            yield from self._step()
        if not ready and self.failing.finding is None:
            yield self._ready()

    def _gather(self) -> None:
        """Have those companions come along who go with a watch that leads, or that follows."""
        if self.company is not None:
            self.company.close()
        self.company = Company(self.bank, self.leads)
        if self.failing.finding is None:
            self.company.looked(self.teller.open.values())
        else:
            self.company.told([*self.teller.open.values(), self.failing.finding], [])

    def _step(self) -> Iterator[Line]:
        yield from self.failing.enduring(self._stepped())
        yield from self._beside()

    def _stepped(self) -> Iterator[Line]:
        due = self.company.due() if self.company is not None else math.inf
        batch = self.watcher.next(max(0.0, min(BREATH, due - time.monotonic())))
        if self.stopping:
            return
        if batch is not None:
            yield from self._batch(batch)
        elif (self.leads and self.lead.asked()) or time.monotonic() >= self.failing.again_at:
            yield from self._timed(self.everything())
        elif changed := self._recorded():
            yield from self._timed(self.some(changed))
        self.lead.answer(self.watcher.unsettled())

    def _recorded(self) -> frozenset[str]:
        """Files with findings of which others recorded something since: accepted, rolled back, repaired."""
        seq, about = self.bank.end.seq, {one.path for one in self.teller.open.values()}
        if not about:
            return frozenset()
        self.bank.refresh()
        since, self.recorded = min(seq, self.recorded), self.bank.end.seq
        if self.bank.end.seq <= since:
            return frozenset()
        told = (row[0] for each in self.bank.journal.lines(since) for row in each.core.get("files", ()))
        return frozenset(about.intersection(told) - {""})

    # Beside the looks

    def _beside(self) -> Iterator[Line]:
        led, self.leads = self.leads, self.lead.take()
        if self.leads != led:
            yield line("role", role=self._role)
            self._gather()
            self.failing.again_at = 0.0  # from now on it keeps what it sees, or does not
        yield from self._accompanied()
        yield from self._health()

    @property
    def _role(self) -> str:
        return "leading" if self.leads else "following"

    def _accompanied(self) -> Iterator[Line]:
        if self.company is not None:
            yield from self.company.run()

    def _health(self) -> Iterator[Line]:
        """The health, where it changed; nothing is said of it where only the data are looked at."""
        if self.company is not None:
            own = [self.failing.finding] if self.failing.finding is not None else []
            yield from self.teller.health([*own, *self.company.findings()])

    def _hear(self, opened: list[Finding], resolved: list[Finding]) -> None:
        if self.company is not None:
            self.company.told(opened, resolved)

    def _ready(self) -> Line:
        refused = self.watcher.refused()
        why = {"why": "; ".join(f"{name}: {reason}" for name, reason in refused.items())} if refused else {}
        watched, found = self.watcher.watched(), len(self.teller.open)
        return line("ready", watched=watched, backend=self.watcher.backend, findings=found, role=self._role, **why)

    # Looking

    def _batch(self, batch: Batch) -> Iterator[Line]:
        if batch.gap is not None:
            yield line("gap", **{"from": batch.gap[0], "to": batch.gap[1]})
        if not is_bank(self.bank.root.path) or (batch.gap is not None and self.watcher.displaced()):
            yield from self.failing.gone()
        self.bank.refresh()
        some = batch.paths | batch.directories
        everything = self.everything(by_turns=batch.gap is None)
        yield from self._timed(everything if batch.full else self.some(some, batch.complete))

    def _timed(self, lines: Iterator[Line]) -> Iterator[Line]:
        started = time.monotonic()
        yield from lines
        self.looks.slowest = max(self.looks.slowest, time.monotonic() - started)

    def everything(self, by_turns: bool = False) -> Iterator[Line]:
        """Look at the whole bank, in a large one `by_turns`; whoever asks has every file looked at."""
        started = time.monotonic()
        self.bank.leave_memory()
        self.failing.again_at, self.recorded = math.inf, self.bank.end.seq
        # What is being written now is judged when it has settled; who asks is answered then.
        unsettled = self.looks.pumped()
        asked = self.lead.asked() if self.leads else []
        if self.adopts:
            yield from self.acting.begin()
        failures = self.company.failures() if self.company is not None else []
        seen = self.looks.whole(self.adopts, failures, by_turns and not asked)
        yield from self.failing.over()
        yield from self._follow(seen)
        if self.leads:
            keep_look(self.bank, seen.scan, time.monotonic() - started)
        if self.company is not None:
            self.company.looked(self.teller.open.values())
        if self.adopts:
            yield from self.acting.keep_documents(seen.findings)
        yield self._looked(seen, time.monotonic() - started)
        self.lead.looked(asked, unsettled)

    def some(self, paths: AbstractSet[str], complete: frozenset[str] | None = None) -> Iterator[Line]:
        """Look at files or directories; see `Looks.some`."""
        if "" in paths:
            yield from self.everything()
            return
        yield from self._follow(self.looks.some(frozenset(paths), complete))
        if self.acting.is_journal_damaged and not self.teller.knows("MB120", "MB121"):
            self.failing.soon()

    def _follow(self, seen: Seen) -> Iterator[Line]:
        """What follows from a look: it is told, adopted and cured."""
        told = self.teller.tell(seen)
        yield from told.lines()
        if self.adopts:
            yield from self.acting.adopt(seen)
            self.acting.account(seen, told)
        self._hear(told.opened, told.resolved)
        yield from self._health()
        cured = set()
        for one in self.acting.recover(seen) if self.adopts else ():
            cured.add(one["path"])
            yield one
        if cured:
            yield from self.some(cured)

    def _looked(self, seen: Seen, seconds: float) -> Line:
        """The heartbeat: who reads the stream knows by it that the view is not stale."""
        scan = seen.scan
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
