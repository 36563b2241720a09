"""What became of the health: samples over a span of time, as a report."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base import clock
from memorybank_cli.base.errors import UsageError
from memorybank_cli.base.names import escape
from memorybank_cli.health.history import History, history


@dataclass(frozen=True)
class HistoryReport:
    """What became of the samples."""

    history: History
    span: str

    def as_dict(self) -> dict[str, Any]:
        """From when to when, seconds of a step, and by name the values of each step, null where nobody looked."""
        found = self.history
        return {
            "from": clock.from_ns(found.since * clock.SECOND_NS),
            "to": clock.from_ns(found.until * clock.SECOND_NS),
            "step_seconds": found.step,
            "last_sample": None if found.newest is None else clock.from_ns(found.newest * clock.SECOND_NS),
            "series": [{**one._asdict(), "values": list(one.values)} for one in found.series],
        }

    def summary(self) -> str:
        """How old the last sample is."""
        if self.history.newest is None:
            return f"No samples of the last {self.span}. Next: memorybank watch, or memorybank health from cron"
        return f"The last sample is of {clock.from_ns(self.history.newest * clock.SECOND_NS)[:19]}Z"


def history_report(bank: Bank, span: str, names: tuple[str, ...]) -> HistoryReport:
    """The samples of a span, of those named or of all. Raises UsageError for a sample that is not there."""
    seconds = clock.span(span).total_seconds()
    if not seconds:
        raise UsageError("--history of no time shows nothing", hint="give a span such as 1h, 24h or 90d")
    found = history(bank.root, seconds, time.time(), names)
    for name in names if found.newest is not None else ():
        if name not in {one.name for one in found.series}:
            raise _no_sample(bank, name, span, seconds)
    return HistoryReport(found, span)


def _no_sample(bank: Bank, name: str, span: str, seconds: float) -> UsageError:
    from memorybank_cli.base.suggestions import did_you_mean

    known = [one.name for one in history(bank.root, seconds, time.time()).series]
    hint = did_you_mean(name, known, f"memorybank health --history {span} shows all")
    return UsageError(f"there is no sample '{escape(name)}' in the last {span}", hint=hint)
