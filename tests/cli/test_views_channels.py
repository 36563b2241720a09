from __future__ import annotations

from typing import Any

import pytest

from memorybank_cli.alerts.channels import terminal
from memorybank_cli.cli.blocks import Findings, Table, Text
from memorybank_cli.cli.views import channels, streams
from tests.alerts.receivers import alert, notice

TS = "2026-11-21T23:00:00.000000Z"


def row(name: str, ok: bool | None, **more: Any) -> dict[str, Any]:
    return {"channel": name, "kind": "file", "ok": ok, "seconds": 0.123, "reason": "", "hint": "", "waiting": 0, **more}


def test_a_row_a_channel_and_why_one_failed() -> None:
    rows = [row("a", True), row("b", False, reason="it hangs", hint="look", waiting=3), row("c", None)]
    table, reason, hint = channels.tested({"channels": rows, "findings": []})
    assert isinstance(table, Table)
    assert [list(one) for one in table.rows] == [
        ["a", "file", "took it", "0.12 s", ""],
        ["b", "file", "failed", "0.12 s", 3],
        ["c", "file", "not tried", "0.12 s", ""],
    ]
    assert reason == Text("b: it hangs", "bad")
    assert hint == Text("    look")


def test_findings_alone() -> None:
    found = [{"rule": "MB554"}]
    assert channels.tested({"channels": [], "findings": found}) == [Findings(found)]


def test_an_alert_in_the_stream() -> None:
    line = {**terminal.line(notice("terminal", alert(1), alert(2))), "ts": TS}
    assert streams.watched(line) == (
        "2026-11-21T23:00:00Z alert error memorybank /srv/memory: 2 alerts (data error trades)"
    )


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"type": "delivered", "try": 1, "late_seconds": 59.0}, ""),
        ({"type": "delivered", "try": 1, "late_seconds": 60.0}, "delivered to desk, 60 seconds late"),
        ({"type": "delivered", "try": 2, "late_seconds": 1.2}, "delivered to desk, 1 second late"),
        ({"type": "undelivered", "reason": "bad \x1b[31m"}, "undelivered to desk: bad \\x1b[31m"),
    ],
)
def test_a_delivery_in_the_stream(fields: dict[str, Any], words: str) -> None:
    expected = f"2026-11-21T23:00:00Z {words}" if words else ""
    assert streams.watched({"ts": TS, "channel": "desk", **fields}) == expected
