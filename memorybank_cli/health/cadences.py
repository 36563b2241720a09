"""Whether agents still write what they wrote regularly: the age of each section against its cadence (spec 000).

A section that was never written regularly is not missed when it is not: the samples of the last day must have seen it
young several times. So a bot that stopped is told of for a day, and a bank that nobody feeds is not told of at all.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator, Sequence

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base import clock
from memorybank_cli.base.records import Finding
from memorybank_cli.health.probing import Reading
from memorybank_cli.health.samples import LONG, Sample, read

LIMITS = {"metrics": "health.metrics_seconds", "state": "health.state_seconds"}
"""By section the setting that says how old its newest file may be; trades come when they come."""
SEEN = 3
"""So often within the last day a section must have been seen young."""
DAY = 86_400
AHEAD_NS = 60 * clock.SECOND_NS
"""So far the clocks of machines that share a disk may differ."""


def cadences(bank: Bank, _known: Sequence[Finding] = ()) -> Reading:
    """MB302: sections that were written regularly within the last day, and are not any more."""
    ages = dict(_ages(bank))
    now = clock.now_ns() / clock.SECOND_NS
    limits = {name: float(bank.settings[setting]) for name, setting in LIMITS.items()}
    late = {name: limit for name, limit in limits.items() if limit and ages.get(name, 0.0) > limit}
    known = read(bank.root, LONG, now - DAY, now) if late else []
    findings = (_late(name, ages[name], limit) for name, limit in late.items() if _regular(name, limit, known))
    return Reading({f"{name}_age_seconds": round(age, 1) for name, age in ages.items()}, tuple(findings))


def _regular(section: str, limit: float, known: Iterable[Sample]) -> bool:
    name = f"{section}_age_seconds"
    return sum(one.values.get(name, limit + 1) <= limit for one in known) >= SEEN


def _late(section: str, age: float, limit: float) -> Finding:
    message = f"not updated for {age:,.0f} s; within the last day it was written every {limit:g} s or more often"
    hint = f"see whether the agent that writes {section}/ still runs, and where it writes now"
    return Finding("MB302", message, section, hint)


def _ages(bank: Bank) -> Iterator[tuple[str, float]]:
    """Seconds since the newest file right in each section was written; one dated in the future says nothing."""
    now = clock.now_ns()
    for section in LIMITS:
        if bank.root.is_dir(section):
            times = (one.mtime_ns for one in bank.root.listing(section) if stat.S_ISREG(one.mode))
            newest = max((one for one in times if one <= now + AHEAD_NS), default=None)
            if newest is not None:
                yield section, max(0.0, (now - newest) / clock.SECOND_NS)
