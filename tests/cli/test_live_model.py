"""What the live view knows: counts, health and age of sections, open findings, events; and when it knows nothing."""

from __future__ import annotations

from typing import Any

import pytest

from memorybank_cli.base.records import Finding
from memorybank_cli.cli.live.model import BUCKET, EVENTS, POINTS, Model, section_of, span

NOW = 1_000.0
TS = "2026-11-20T14:00:00.000000Z"


def line(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "ts": TS, **fields}


def finding(rule: str = "MB101", path: str = "trades/a.json", **fields: Any) -> dict[str, Any]:
    one = Finding(rule, "is not JSON", path, "memorybank repair", **fields)
    return line("finding", path=path, finding=one.as_dict())


def looked(**sections: Any) -> dict[str, Any]:
    return line("looked", checked=3, pending=0, findings=0, seconds=0.1, sections=sections)


def told(*lines: dict[str, Any], at: float = NOW) -> Model:
    model = Model("/bank", 30.0)
    for one in lines:
        model.take(one, at)
    return model


HEALTHY = (looked(trades={"files": 3, "records": 9, "changed": TS}), line("health", score=100, status="healthy"))


def test_nothing_is_known_before_the_first_look() -> None:
    model = told()
    assert model.standing(NOW) == ("unknown", None, "the first look is not over")
    assert model.rows(NOW) == []
    assert told(line("health", score=100, status="healthy")).standing(NOW).word == "unknown"


def test_healthy_after_a_look() -> None:
    assert told(*HEALTHY).standing(NOW + 4) == ("healthy", 100, "no findings, looked 4 s ago")
    only_ready = told(line("ready", backend="inotify", watched=7), HEALTHY[1])
    assert only_ready.standing(NOW).word == "unknown"
    assert (only_ready.backend, only_ready.watches) == ("inotify", 7)


def test_what_was_not_all_looked_at_is_not_told_as_fine() -> None:
    model = told(looked(), line("health", score=75, status="unknown"))
    assert model.standing(NOW) == ("unknown", 75, "not everything was looked at, looked 0 s ago")


def test_what_is_stale_is_unknown_and_never_green() -> None:
    model = told(*HEALTHY)
    assert model.standing(NOW + 90).word == "healthy"
    assert model.standing(NOW + 91) == ("unknown", None, "the last look is 2 min old, one is due every 30 s")
    assert [one.status for one in model.rows(NOW + 91)] == ["unknown"]
    model.take(looked(), NOW + 92)
    assert model.standing(NOW + 92).word == "healthy"


def test_a_gap_is_unknown_until_everything_was_looked_at() -> None:
    model = told(*HEALTHY, line("gap", **{"from": TS, "to": TS}))
    assert model.standing(NOW).word == "unknown"
    assert "2026-11-20T14:00:00Z" in model.standing(NOW).why
    model.take(HEALTHY[0], NOW)
    assert model.standing(NOW).word == "healthy"


def test_the_end_is_unknown() -> None:
    assert told(*HEALTHY, line("stopped", reason="SIGTERM")).standing(NOW) == (
        "unknown",
        None,
        "watching ended (SIGTERM)",
    )


def test_sections_follow_what_changes() -> None:
    model = told(*HEALTHY)
    later = "2026-11-20T15:00:00.000000Z"
    for change, path in (("new", "trades/b.json"), ("removed", "trades/a.json"), ("changed", "state/s.json")):
        model.take({"type": "changed", "ts": later, "path": path, "change": change}, NOW)
    model.take({"type": "changed", "ts": later, "path": "trades/c.json", "change": "new"}, NOW)
    state, trades = model.rows(NOW)
    assert (trades.name, trades.files, trades.records, trades.changed, trades.status) == ("trades", 4, 9, later, "ok")
    assert (state.name, state.files, state.records) == ("state", 0, None)
    assert model.changes == 4


def test_a_section_is_as_bad_as_its_worst_finding() -> None:
    model = told(*HEALTHY, finding("MB301"), finding("MB101", "trades/b.json"), finding("MB120", ""))
    assert {one.name: one.status for one in model.rows(NOW)} == {"bank": "error", "trades": "error"}
    fingerprint = finding("MB101", "trades/b.json")["finding"]["fingerprint"]
    model.take(line("resolved", path="trades/b.json", rule="MB101", fingerprint=fingerprint), NOW)
    assert {one.name: one.status for one in model.rows(NOW)} == {"bank": "error", "trades": "warning"}
    assert model.standing(NOW).why.startswith("2 findings")


def test_accounts_are_one_row() -> None:
    held = {"files": 5, "records": 10, "changed": TS}
    model = told(looked(account_a=held, account_b={**held, "changed": None}), finding(path="account_b/mid_term.json"))
    [row] = model.rows(NOW)
    assert (row.name, row.files, row.records, row.changed, row.status) == ("accounts", 10, 20, TS, "error")


@pytest.mark.parametrize(
    ("path", "section"),
    [
        ("", "bank"),
        ("bank.json", "bank"),
        ("trades/2026/a.json", "trades"),
        ("metrics", "metrics"),
        ("README.md", "documents"),
        ("notes/a.json", "stray"),
        ("account_a/short_term.json", "account_a"),
    ],
)
def test_sections_of_paths(path: str, section: str) -> None:
    assert section_of(path) == section


def test_the_worst_findings_come_first_and_a_filter_finds_words() -> None:
    model = told(finding("MB301", "a.json"), finding("MB101", "trades/Z.json"), finding("MB101", "trades/a.json"))
    findings, events = model.shown()
    assert [one["path"] for one in findings] == ["trades/Z.json", "trades/a.json", "a.json"]
    assert len(events) == 3
    findings, events = model.shown("tradeS/z")
    assert [one["path"] for one in findings] == ["trades/Z.json"]
    assert [one.number for one in events] == [2]
    assert model.shown("nothing") == ([], [])


def test_events_are_lines_for_people() -> None:
    model = told(finding(), line("resolved", path="x\x1b[2J", rule="MB101", fingerprint="f"), line("note", text="a\nb"))
    first, second, third = model.events
    assert first == (1, "14:00:00", "finding error MB101 trades/a.json: is not JSON", "bad")
    assert second[2:] == ("resolved MB101 x\\x1b[2J", "good")
    assert third[2:] == ("a\\x0ab", "warning")


def test_an_unknown_line_is_shown_and_the_heartbeat_is_not() -> None:
    model = told(looked(), line("brand-new", path="a", severity="critical"))
    [event] = model.events
    assert (event.text, event.style) == ("brand-new a severity=critical", "strong bad")


def test_events_are_bounded() -> None:
    model = told(*(line("changed", path=f"trades/{one}.json", change="new") for one in range(EVENTS + 5)))
    assert len(model.events) == EVENTS
    assert model.count == EVENTS + 5


def test_trends_have_a_point_each_five_seconds() -> None:
    model = told()
    model.tick(NOW)
    assert list(model.trends["changes"]) == []
    model.take(line("changed", path="trades/a.json", change="new"), NOW)
    model.take(finding(), NOW)
    model.tick(NOW + BUCKET)
    model.tick(NOW + 3 * BUCKET)
    assert list(model.trends["changes"]) == [1, 0, 0]
    assert list(model.trends["findings"]) == [1, 1, 1]
    model.tick(NOW + 10 * POINTS * BUCKET)  # nobody drew for hours
    assert len(model.trends["changes"]) == 3


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-5, "0 s"), (0.4, "0 s"), (59, "59 s"), (61, "1 min"), (3_600, "1 h"), (47 * 3_600, "47 h"), (72 * 3_600, "3 d")],
)
def test_spans(seconds: float, words: str) -> None:
    assert span(seconds) == words
