"""Sampling: what is around a bank is looked at by its cadences while `watch` runs, and numbers are kept as samples.

`Sampling` goes along with `watch`; `sample_once` does the same once, for `health` from cron.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base import clock
from memorybank_cli.base.errors import MemorybankError, from_os_error
from memorybank_cli.base.records import Finding, at_least
from memorybank_cli.health.probing import (
    HEALTH,
    METRICS,
    SAMPLES,
    Probe,
    Reading,
    Result,
    fact_of,
    findings_of,
    samples_of,
    unknown,
)
from memorybank_cli.health.samples import Samples
from memorybank_cli.health.score import UNKNOWN, score
from memorybank_cli.health.status import STALE, Counts, status_document
from memorybank_cli.operations.alerting import feed, raise_alerts
from memorybank_cli.operations.examining import Examined, not_written, put_status
from memorybank_cli.operations.last_saved import Saved
from memorybank_cli.operations.metric_snapshots import record_if_due
from memorybank_cli.operations.probes import last_look
from memorybank_cli.operations.probing_beside import Beside
from memorybank_cli.operations.surroundings import PROBES

Line = dict[str, Any]
COST = 500
"""A probe rests so many times as long as it took: all the slow ones together cost little, however slow they are."""
HANGS = 120.0
"""Seconds after which a slow probe that did not answer counts as one that hangs."""
SOON = 0.1
"""Seconds after which it is asked whether it has."""
LOOKS = 3
"""So many looks at the whole bank may fail to come before what they told is called stale."""


def numbers(findings: Iterable[Finding]) -> dict[str, float]:
    """Findings as samples."""
    found = list(findings)
    return {
        "score": score(found).value,
        "errors": sum(at_least([one], "error") for one in found),
        "warnings": sum(one.severity == "warning" for one in found),
    }


def sample_once(bank: Bank, found: Examined, *, record: bool) -> str | None:
    """Keep one look as a sample and raise its alerts; with `record` the path of the metric snapshot that was due."""
    values = {**found.samples, **numbers(found.findings)}
    samples = Samples(bank.root)
    try:
        samples.put(values)
    finally:
        samples.close()
    # At the end: channels may take a while, and the report must not. Not `afterwards`, which a full disk leaves out.
    bank.resources.callback(_alert, bank, found.findings)
    return _recorded(bank, values) if record else None


def _recorded(bank: Bank, values: dict[str, float], timeout: float | None = None) -> str | None:
    """The metric snapshot that was due; where the bank takes none now, the next time does."""
    try:
        return record_if_due(bank, values, timeout)
    except (MemorybankError, OSError) as error:
        words = from_os_error(error) if isinstance(error, OSError) else error
        bank.context.progress.note(f"no snapshot of the metrics was made: {words.message}")
        return None


def _alert(bank: Bank, findings: list[Finding]) -> None:
    """Raise alerts; where a watch tells people, that one does."""
    try:
        if not feed(bank, findings, "health"):
            raise_alerts(bank, findings, "health")
    except (sqlite3.Error, OSError) as error:
        bank.context.progress.note(f"no alert was raised: {error}; the next look at the health does")


class Sampling:
    """The companion of one `watch`. Of several the one that `leads` keeps samples; the others look for themselves."""

    def __init__(self, bank: Bank, leads: bool = True) -> None:
        self.bank, self.leads = bank, leads
        self.samples = Samples(bank.root)
        self._own: tuple[Finding, ...] = ()
        self.results: dict[str, Result] = {}
        now = time.monotonic()
        self.beside = Beside(bank)
        self._due = {probe.name: now for probe in PROBES}
        self._look_again = now
        self._document_due = self._record_due = now
        self._sample_due = now
        self._data: dict[str, Finding] = {}
        self._noted = ""
        self._looked_at, self._looked = _elapsed(), clock.now()
        self._every = max(float(bank.settings["reconcile_seconds"]), HEALTH)

    def due(self) -> float:
        """When the next probe or sample is due, by `time.monotonic()`."""
        waiting = [self._due[probe.name] for probe in PROBES if self.beside.running is None or not _is_slow(probe)]
        if self.beside.running is not None:
            waiting.append(self._look_again)
        if self._keeps():
            waiting += (self._sample_due, self._document_due, self._record_due)
        return min(waiting)

    def _is_complete(self) -> bool:
        """Whether each probe ran: what was not looked at yet is not told as fine."""
        return len(self.results) == len(PROBES)

    def _keeps(self) -> bool:
        """Whether samples and documents are kept now."""
        return self._is_complete() and self.leads

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Those that stand now, without those of the data; until each probe ran, one that not all is known."""
        return self._own if self._is_complete() else (*self._own, _BEGINNING)

    def told(self, opened: Iterable[Finding], resolved: Iterable[Finding]) -> None:
        """What is known of the data now."""
        for one in resolved:
            self._data.pop(one.fingerprint, None)
        self._data |= {one.fingerprint: one for one in opened}

    def looked(self, findings: Iterable[Finding]) -> None:
        """All that is known of the data now."""
        self._data = {one.fingerprint: one for one in findings}
        self._looked_at, self._looked = _elapsed(), clock.now()

    def run(self) -> Iterator[Line]:
        """Probe what is due, keep a sample, write the status document; lines of findings that began or are gone."""
        now = time.monotonic()
        for probe in PROBES:
            if self._due[probe.name] <= now and not _is_slow(probe):
                self._probe(probe)
        self._go_on_beside(now)
        yield from self._tell()
        if not self._keeps():
            return
        if now >= self._sample_due:
            self._sample_due = now + METRICS
            self.samples.put(self.values())
        if now >= self._document_due:
            self._document_due = now + HEALTH
            self._write()
        if now >= self._record_due:
            self._record_due = now + SAMPLES
            _recorded(self.bank, self.values(), timeout=0)

    def close(self) -> None:
        """End the thread, and give the samples back."""
        self.beside.close()
        self.samples.close()

    def values(self) -> dict[str, float]:
        """What is known now as one sample."""
        return {**samples_of(self.results.values()), **numbers(self._all())}

    def _all(self) -> list[Finding]:
        own = {one.fingerprint for one in self._own}
        return [*(one for name, one in self._data.items() if name not in own), *self._own]

    def _go_on_beside(self, now: float) -> None:
        """Take what came of a slow probe, and have the one that waits longest run, where its time has come."""
        self._take()
        slow = [probe for probe in PROBES if _is_slow(probe)]
        if self.beside.running is None and slow:
            probe = min(slow, key=lambda one: self._due[one.name])
            if self._due[probe.name] <= now:
                self.beside.start(probe, self._all())
                self._take()
        if self.beside.running is not None:
            hangs = now - self.beside.since > HANGS
            self._look_again = now + (METRICS if hangs else SOON)
            waiting = (one for one in slow if self._due[one.name] <= now)
            for probe in waiting if hangs else ():
                why = f"is not known: {self.beside.running.name} has not answered for {HANGS:.0f} s or more"
                self.results[probe.name] = Result(probe, now, 0.0, Reading({}, (unknown(probe, why),)))

    def _take(self) -> None:
        found = self.beside.take()
        if found is not None:
            self._keep(found)

    def _probe(self, probe: Probe) -> None:
        started = time.monotonic()
        reading = probe.run(self.bank, self._all())
        ended = time.monotonic()
        self._keep(Result(probe, ended, ended - started, reading))

    def _keep(self, found: Result) -> None:
        self.results[found.probe.name] = found
        self._due[found.probe.name] = found.at + max(found.probe.cadence, COST * found.seconds)

    def _tell(self) -> Iterator[Line]:
        """Lines of what is new among our own findings, and of what is gone."""
        found = findings_of(self.results.values())
        blind = _elapsed() - self._looked_at
        if blind > LOOKS * self._every:
            found.append(_stale(self._looked, blind))
        former = {one.fingerprint: one for one in self._own}
        now = {one.fingerprint: _since(one, former.get(one.fingerprint)) for one in found}
        self._own = tuple(now.values())
        for name, one in now.items():
            if name not in former:
                yield _line("finding", path=one.path, finding=one.as_dict())
        for name, one in former.items():
            if name not in now:
                yield _line("resolved", path=one.path, rule=one.rule, fingerprint=name)

    def _write(self) -> None:
        look, saved = last_look(self.bank), fact_of(self.results.values(), "saved")
        time_saved = saved.time if isinstance(saved, Saved) else None
        seen = Counts(look.get("sections", {}), look.get("mtimes", {}), time_saved)
        feed(self.bank, self._own, "sampling")
        try:
            put_status(self.bank, status_document(self._all(), seen, self._looked))
        except OSError as error:
            self._note(not_written(error))
        else:
            self._noted = ""

    def _note(self, words: str) -> None:
        """Say something that may go on for long, once."""
        if words != self._noted:
            self._noted = words
            self.bank.context.progress.note(words)


def _is_slow(probe: Probe) -> bool:
    """Whether it runs beside watching: all that do more than ask the system."""
    return probe.cadence > METRICS


_BEGINNING = Finding(UNKNOWN, "not every probe has run yet", "", "wait a moment", "/monitoring/probes")


def _since(finding: Finding, former: Finding | None) -> Finding:
    """A finding with the time at which it began to stand."""
    return finding if former is None else replace(finding, detected_at=former.detected_at)


def _stale(since: str, seconds: float) -> Finding:
    message = f"{STALE} {since}: no look at the whole bank was finished for {seconds:,.0f} s"
    return Finding(
        UNKNOWN, message, "", "memorybank validate looks now; see whether watch is held up", "/monitoring/look"
    )


def _elapsed() -> float:
    """Seconds on a clock that nobody sets and that goes on while the machine sleeps, where there is one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _line(kind: str, **fields: Any) -> Line:
    return {"type": kind, "ts": clock.now(), **fields}
