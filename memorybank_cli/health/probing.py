"""What a probe is: a function that measures or judges one thing, how often, and what became of it when it failed."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base.errors import MemorybankError, from_os_error
from memorybank_cli.base.records import Finding
from memorybank_cli.health.score import UNKNOWN

METRICS = 5.0
"""Seconds between two looks at metrics (spec 000)."""
HEALTH = 30.0
"""Seconds between two checks of health (spec 000)."""
STATE = 60.0
"""Seconds between two looks at what changes slowly (spec 000: state)."""
SAMPLES = 300.0
"""Seconds between two samples that are kept for long (spec 001), and between looks that cost more."""

Group = Literal["system", "data", "performance", "protection"]


class Reading(NamedTuple):
    """What a probe came to: numbers by name, units in the name, and what is wrong."""

    samples: dict[str, float]
    findings: tuple[Finding, ...] = ()
    fact: Any = None
    """What it learnt besides, for documents that tell it whole."""


Look = Callable[[Bank, Sequence[Finding]], Reading]
"""Gets the findings that are known already: what they say need not be said twice."""


class Probe(NamedTuple):
    """One row of the table of probes."""

    name: str
    group: Group
    component: str
    """Whose health it tells: a component of `health.status`."""
    cadence: float
    """Seconds between two runs while the bank is watched."""
    look: Look
    writes: bool = False
    """It puts a file of memorybank's own into `.memorybank`."""

    def run(self, bank: Bank, known: Sequence[Finding] = ()) -> Reading:
        """What it comes to now. One that fails says so by MB507: what it would tell is unknown, not fine."""
        try:
            return self._looked(bank, known)
        except (OSError, MemorybankError) as error:
            return failed(self, error)

    def _looked(self, bank: Bank, known: Sequence[Finding]) -> Reading:
        try:
            return self.look(bank, known)
        except sqlite3.DatabaseError as error:
            bank.explain(error)  # of the catalog, which is made again
            raise


def failed(probe: Probe, error: OSError | MemorybankError) -> Reading:
    """What a probe comes to that failed: that it is not known."""
    words = from_os_error(error) if isinstance(error, OSError) else error
    return Reading({}, (unknown(probe, f"could not be looked at: {words.message}"),))


def unknown(probe: Probe, why: str) -> Finding:
    """The finding that what a probe tells is not known."""
    hint = "memorybank health --explain shows each probe; it is looked at again by itself"
    return Finding(UNKNOWN, f"{probe.name} {why}", "", hint, f"/{probe.component}/{probe.name}")


class Result(NamedTuple):
    """A probe that ran: when by `time.monotonic()`, how many seconds it took, and what it came to."""

    probe: Probe
    at: float
    seconds: float
    reading: Reading


def run_all(probes: Iterable[Probe], bank: Bank, known: Sequence[Finding] = ()) -> list[Result]:
    """Every probe once; each hears of what those before it found."""
    found, results = list(known), list[Result]()
    for probe in probes:
        started = time.monotonic()
        reading = probe.run(bank, found)
        ended = time.monotonic()
        results.append(Result(probe, ended, ended - started, reading))
        found += reading.findings
    return results


def samples_of(results: Iterable[Result]) -> dict[str, float]:
    """All numbers of some probes."""
    return {name: value for one in results for name, value in one.reading.samples.items()}


def findings_of(results: Iterable[Result]) -> list[Finding]:
    """All findings of some probes, each once."""
    found = {finding.fingerprint: finding for one in results for finding in one.reading.findings}
    return list(found.values())


def fact_of(results: Iterable[Result], name: str) -> Any:
    """What the probe of that name learnt besides, None where it did not run or failed."""
    return next((one.reading.fact for one in results if one.probe.name == name), None)
