"""The channel `terminal`: whoever looks at `watch` sees a notice among the other lines. Nothing waits for it."""

from __future__ import annotations

from typing import Any

from memorybank_cli.alerts.channels.values import title
from memorybank_cli.alerts.values import Notice
from memorybank_cli.base import clock
from memorybank_cli.base.records import SEVERITIES

SHOWN = 20
"""Alerts that a line holds; the rest is counted."""


def line(notice: Notice) -> dict[str, Any]:
    """A notice as a line of the stream: its fields, the first of its alerts, the worst severity, and words."""
    fields = notice.as_dict()
    ranks = [SEVERITIES.index(one.severity) for one in notice.alerts if one.state == "firing"]
    return {
        "type": "alert",
        "ts": clock.now(),
        **fields,
        "alerts": fields["alerts"][:SHOWN],
        "severity": SEVERITIES[max(ranks, default=0)],
        "message": title(fields),
    }
