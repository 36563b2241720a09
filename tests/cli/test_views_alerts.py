from __future__ import annotations

from typing import Any

import pytest

from memorybank_cli.cli.blocks import Fields, Findings, Table, Text
from memorybank_cli.cli.views import alerts

NOW = "2026-11-20T14:00:00.123456Z"


def alert(**fields: Any) -> dict[str, Any]:
    return {
        "fingerprint": "0123456789abcdef",
        "rule": "MB101",
        "severity": "error",
        "family": "data",
        "path": "trades/a.json",
        "message": "not JSON",
        "hint": "memorybank repair trades/a.json",
        "state": "firing",
        "first_seen": NOW,
        "last_seen": NOW,
        "resolved_at": None,
        "times": 1,
        "since": NOW,
        "gone_at": None,
        "acked_at": None,
        "acked_by": "",
        "ack_reason": "",
        "muted": "",
        **fields,
    }


def listed(*found: dict[str, Any]) -> list[tuple[str, str]]:
    blocks = alerts.listing({"alerts": list(found)})
    return [(one.text, one.style) for one in blocks if isinstance(one, Text)]


def test_an_alert_is_listed_with_its_times_and_its_cure() -> None:
    assert listed(alert()) == [
        ("01234567 error MB101 trades/a.json: not JSON", "bad"),
        ("    since 2026-11-20T14:00:00Z; seen 2026-11-20T14:00:00Z", "dim"),
        ("    memorybank repair trades/a.json", "dim"),
    ]


@pytest.mark.parametrize(
    ("fields", "head", "times"),
    [
        (
            {"state": "resolved", "resolved_at": NOW},
            "01234567 error resolved MB101 trades/a.json: not JSON",
            "    from 2026-11-20T14:00:00Z; resolved 2026-11-20T14:00:00Z",
        ),
        (
            {"muted": "silenced", "times": 2_000, "path": ""},
            "01234567 error MB101 the bank: not JSON",
            "    since 2026-11-20T14:00:00Z; seen 2026-11-20T14:00:00Z; 2,000 times; silenced",
        ),
        (
            {"state": "pending", "message": "\x1b[2J"},
            "01234567 error pending MB101 trades/a.json: \\x1b[2J",
            "    since 2026-11-20T14:00:00Z; seen 2026-11-20T14:00:00Z",
        ),
    ],
)
def test_what_is_told_to_nobody_is_dim_and_has_no_cure(fields: dict[str, Any], head: str, times: str) -> None:
    assert listed(alert(**fields)) == [(head, "dim"), (times, "dim")]


def test_what_waits_for_somebody_says_so() -> None:
    lines = listed(alert(gone_at=NOW, acked_at=NOW, acked_by="me", ack_reason="seen", hint=""))
    assert lines[1][0].endswith("; gone 2026-11-20T14:00:00Z, to be acknowledged; acknowledged by me: seen")
    assert len(lines) == 2


def test_the_most_severe_stand_first_and_many_are_cut() -> None:
    many = [alert(severity=("warning", "critical", "error")[n % 3], hint="") for n in range(30)]
    lines = [text for text, _ in listed(alert(state="pending", hint=""), *many)]
    assert [line.split()[1] for line in lines[0:40:2]] == ["critical"] * 10 + ["error"] * 10
    assert lines[-1].startswith("... and 11 more")


def test_one_alert_in_full() -> None:
    told = [
        {"channel": "ops", "delivered_at": NOW, "created_at": NOW, "tries": 1, "reason": ""},
        {"channel": "pager", "delivered_at": None, "created_at": NOW, "tries": 3, "reason": "refused"},
        {"channel": "log", "delivered_at": None, "created_at": NOW, "tries": 0, "reason": ""},
    ]
    report = alert(channels={}, told=told, acked_at=NOW, acked_by="me", ack_reason="seen", muted="silenced")
    fields, *messages = alerts.shown(report)
    assert isinstance(fields, Fields)
    values = dict(fields.pairs)
    assert values["goes to"] == "nowhere"
    assert values["not told"] == "silenced"
    assert values["acknowledged"] == "2026-11-20T14:00:00Z by me: seen"
    assert "resolved at" not in values
    assert [one.text for one in messages if isinstance(one, Text)] == [
        "last message to ops: delivered 2026-11-20T14:00:00Z",
        "last message to pager: waits since 2026-11-20T14:00:00Z, 3 tries: refused",
        "last message to log: waits since 2026-11-20T14:00:00Z, 0 tries",
    ]


def test_what_was_acknowledged() -> None:
    assert alerts.acknowledged({"acknowledged": [alert(state="resolved", path="")]}) == [
        Text("01234567 resolved MB101 the bank")
    ]


def test_silences_are_a_table_unless_one_was_changed() -> None:
    one = {
        "id": "0123456789ab",
        "match": {"rule": ["MB1", "MB2"], "severity": "error"},
        "reason": "x",
        "created_at": NOW,
        "created_by": "me",
        "ends_at": NOW,
        "active": False,
    }
    [table] = alerts.silences({"silences": [one, {**one, "active": True}], "changed": None})
    assert isinstance(table, Table)
    assert [row[2] for row in table.rows] == ["ended", "yes"]
    assert table.rows[0][3] == "rule MB1 or MB2, severity error"
    assert alerts.silences({"silences": [one], "changed": one}) == []
    assert alerts.silences({"silences": [], "changed": None}) == []


def test_routes_are_a_table_with_the_default_and_the_channels() -> None:
    routes = [{"name": "r0", "match": {}, "channels": [], "continue": True}]
    report = {"alert": None, "routes": routes, "default": ["log"], "channels": {"log": "log"}, "findings": []}
    findings, table, channels = alerts.routed(report)
    assert findings == Findings([])
    assert isinstance(table, Table)
    assert isinstance(channels, Table)
    assert table.rows == [["r0", "every alert", "nowhere", "yes"], ["default", "every alert", "log", ""]]
    assert channels.rows == [["log", "log"]]


@pytest.mark.parametrize(("explain", "count"), [(True, 4), (False, 1)])
def test_what_each_route_said_is_told_to_who_asks(explain: bool, count: int) -> None:
    steps = [
        {"route": "r0", "fits": False, "why": "rule is MB101, not MB2", "channels": ["a"]},
        {"route": "r1", "fits": True, "why": "every condition holds", "channels": []},
    ]
    times = {"group_wait": 0.0, "group_interval": 90.0, "repeat_interval": 7_200.0}
    report = {"alert": alert(), "steps": steps, "targets": {"a": times}, "findings": [], "explain": explain}
    blocks = alerts.routed(report)
    assert len(blocks) == count
    if explain:
        assert blocks[1:3] == [
            Text("r0: rule is MB101, not MB2", "dim"),
            Text("r1: every condition holds → nowhere", ""),
        ]
        assert isinstance(blocks[3], Table)
        assert blocks[3].rows == [["a", "0s", "90s", "2h"]]
        assert len(alerts.routed({**report, "targets": {}})) == 3
