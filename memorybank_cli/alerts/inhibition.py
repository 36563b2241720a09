"""What is not told because something worse explains it: one table, and the look into it.

An alert that is inhibited stays in `alert list`. Security alerts never are, and none is by what is less severe.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Literal, NamedTuple

from memorybank_cli.alerts.values import Alert
from memorybank_cli.base import clock
from memorybank_cli.base.records import SEVERITIES

STALE = timedelta(minutes=15)
"""A cause that was seen so long before the newest alert explains nothing any more: who found it may have ended."""
Scope = Literal["file", "below", "bank"]


class Inhibition(NamedTuple):
    """One row: while an alert of a rule that begins with `causes` fires, those of `effects` are not told."""

    causes: tuple[str, ...]
    effects: tuple[str, ...]
    scope: Scope
    """Where: at the same path, at it and below it ('' is the whole bank), or everywhere."""
    why: str


TABLE: tuple[Inhibition, ...] = (
    Inhibition(("MB118",), ("MB",), "bank", "the bank is gone"),
    Inhibition(("MB117",), ("MB1", "MB2", "MB301", "MB302"), "below", "it is part of one large change"),
    Inhibition(("MB307",), ("MB1", "MB2", "MB301", "MB302"), "below", "what cannot be read cannot be judged"),
    Inhibition(
        ("MB10", "MB111", "MB115"),
        ("MB110", "MB113", "MB114", "MB2", "MB301", "MB302"),
        "file",
        "a damaged file says nothing reliable",
    ),
    Inhibition(("MB120", "MB121"), ("MB122", "MB505", "MB506"), "bank", "they follow from the journal"),
    Inhibition(("MB502",), ("MB503", "MB504", "MB505"), "bank", "a full disk is slow and fails"),
    Inhibition(("MB506",), ("MB504", "MB505"), "bank", "a failing part is slow or behind"),
)


class Inhibitions:
    """The causes among alerts that fire, without those that nobody has looked at while others were seen."""

    def __init__(self, firing: Iterable[Alert]) -> None:
        alerts = list(firing)
        self._causes: list[dict[str, Alert]] = [{} for _ in TABLE]
        newest = max((one.last_seen for one in alerts), default="")
        before = clock.show(clock.parse(newest) - STALE) if newest else ""
        for alert in (one for one in alerts if one.last_seen >= before):
            for row, found in zip(TABLE, self._causes, strict=True):
                if alert.rule.startswith(row.causes):
                    known = found.get(alert.path)
                    if known is None or _rank(alert) > _rank(known):
                        found[alert.path] = alert

    def of(self, alert: Alert) -> tuple[Alert, str] | None:
        """The alert that explains this one, and why; None where none does."""
        if alert.family == "security":
            return None
        for row, causes in zip(TABLE, self._causes, strict=True):
            if causes and alert.rule.startswith(row.effects) and not alert.rule.startswith(row.causes):
                for cause in _near(alert.path, row.scope, causes):
                    if _rank(cause) >= _rank(alert):
                        return cause, row.why
        return None


def _near(path: str, scope: Scope, causes: dict[str, Alert]) -> Iterable[Alert]:
    if scope == "bank":
        return causes.values()
    parts = path.split("/")
    paths = [path] if scope == "file" else ["/".join(parts[:count]) for count in range(len(parts), -1, -1)]
    return [causes[one] for one in dict.fromkeys(paths) if one in causes]


def _rank(alert: Alert) -> int:
    return SEVERITIES.index(alert.severity)
