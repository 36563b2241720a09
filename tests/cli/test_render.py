"""What people see: plain in pipes, drawn on a terminal, and nothing of an agent's text raw."""

from __future__ import annotations

from typing import Any

import pytest

from memorybank_cli.base.records import Finding
from memorybank_cli.cli import terminal
from memorybank_cli.cli.blocks import Block, Fields, Findings, Table, Text
from memorybank_cli.cli.render import cell, rows, show
from memorybank_cli.cli.views import generic, streams


def printed(capsys: pytest.CaptureFixture[str], *blocks: Any, live: bool = False, verbose: bool = False) -> str:
    terminal.console.cache_clear()
    show(blocks, live=live, verbose=verbose)
    terminal.console.cache_clear()
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        ("", "-"),
        (True, "yes"),
        (1234567, "1,234,567"),
        (0.5, "0.5"),
        (2.0, "2"),
        ([1, "a"], "1, a"),
        ([], "-"),
        ({"a": 1}, "a=1"),
        ("a\nb", "a\\x0ab"),
    ],
)
def test_cells(value: Any, text: str) -> None:
    assert cell(value) == text


def test_a_plain_table_is_aligned_and_numbers_stand_right(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(("name", "bytes"), [["a", 5], ["longer", 1000]], "Files")
    assert printed(capsys, table) == "Files\nNAME    BYTES\na           5\nlonger  1,000\n"


def test_a_drawn_table_holds_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, Table(("name", "bytes"), [["[red]a\x1b[0m", 5]], "Files"), live=True)
    assert "[red]a\\x1b[0m" in out
    assert "\x1b" not in out


def test_fields_and_text(capsys: pytest.CaptureFixture[str]) -> None:
    blocks: list[Block] = [Text("a\x07\nb", "strong"), Fields([("name", "x"), ("longer name", None)])]
    for live in (False, True):
        assert printed(capsys, *blocks, live=live) == "a\\x07\nb\nname:         x\nlonger name:  -\n"


def found(rule: str, count: int, **other: Any) -> list[dict[str, Any]]:
    return [Finding(rule, "what is wrong", f"trades/{n}.json", **other).as_dict() for n in range(count)]


def test_rows_have_no_breaks_and_keep_their_styles() -> None:
    blocks: list[Block] = [Text("a\nb", "bad"), Fields([("name", 1)]), Table(("n",), [[1_000]])]
    assert rows(blocks) == [
        (("a", "bad"),),
        (("b", "bad"),),
        (("name:", "dim"), ("  1", "")),
        (("    N", ""),),
        (("1,000", ""),),
    ]


def test_findings_are_lines_with_their_hint_worst_first(capsys: pytest.CaptureFixture[str]) -> None:
    findings = [*found("MB301", 1), *found("MB115", 1), *found("MB101", 1, hint="do this", line=3, pointer="/a")]
    assert printed(capsys, Findings(findings)).splitlines() == [
        "critical MB115 trades/0.json: what is wrong",
        "error MB101 trades/0.json:3 at /a: what is wrong",
        "    do this",
        "warning MB301 trades/0.json: what is wrong",
    ]


def test_without_a_file_there_is_no_place_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    one = Finding("MB550", "it may be read by others", "", "chmod 600", "/mode").as_dict()
    assert printed(capsys, Findings([one])).splitlines()[0] == "error MB550 the bank: it may be read by others"


def test_at_most_twenty_of_a_rule_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    different = [Finding("MB101", f"trouble {'x' * n}", f"trades/{n}.json").as_dict() for n in range(25)]
    lines = printed(capsys, Findings(different)).splitlines()
    assert len(lines) == 21
    assert lines[-1] == "... and 5 more of MB101 (--json shows all)"


def test_up_to_three_that_are_alike_are_shown_one_by_one_and_their_hint_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert printed(capsys, Findings(found("MB101", 3, hint="do this"))).splitlines() == [
        "error MB101 trades/0.json: what is wrong",
        "error MB101 trades/1.json: what is wrong",
        "error MB101 trades/2.json: what is wrong",
        "    do this",
    ]


def test_more_that_are_alike_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    alike = found("MB101", 2_000, hint="do this", pointer="/list/3/a")
    assert printed(capsys, Findings([*alike, alike[-1]])).splitlines() == [
        "error MB101 2,001 times in 2,000 files in trades at /list/*/a: what is wrong",
        "    such as trades/0.json, trades/1.json, trades/2.json",
        "    do this",
    ]
    assert printed(capsys, Findings(found("MB101", 4))).splitlines() == [
        "error MB101 4 files in trades: what is wrong",
        "    such as trades/0.json, trades/1.json, trades/2.json",
    ]


def test_the_unimportant_is_one_line_unless_verbose(capsys: pytest.CaptureFixture[str]) -> None:
    findings = Findings(found("MB202", 3))
    assert printed(capsys, findings) == "info MB202 no-schema: 3 (--verbose lists them)\n"
    assert len(printed(capsys, findings, verbose=True).splitlines()) == 3
    many = Findings(found("MB202", 30))
    assert printed(capsys, many, verbose=True).startswith("info MB202 30 files in trades: what is wrong\n")


def test_a_report_without_a_view_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    report = {"ok": True, "findings": found("MB101", 1), "rows": [{"a": 1}, {"b": 2}], "inner": {"list": [{"x": 1}]}}
    out = printed(capsys, *generic.report(report))
    assert out.splitlines() == [
        "error MB101 trades/0.json: what is wrong",
        "ok:  yes",
        "rows",
        "A  B",
        "1  -",
        "-  2",
        "inner",
        "list",
        "X",
        "1",
    ]


def test_lines_of_streams() -> None:
    finding = found("MB101", 1)[0]
    when = "2026-11-20T14:00:00.123456Z"
    assert streams.change({"type": "finding", "ts": when, **finding}).startswith(
        "2026-11-20T14:00:00Z finding error MB101 trades/0.json: what is wrong"
    )
    assert "error MB101" in streams.change({"type": "finding", "ts": when, "finding": finding})
    assert streams.change({"type": "gap", "paths": ["a", "b"]}) == "gap a, b"
    assert streams.event({"type": "event", "seq": 7, "op": "message", "account": "a", "actor": "me"}) == (
        "       7  message a (me)"
    )
    files = [{"path": name} for name in ("a", "b\n", "c", "d", "e")]
    gone = {"op": "snapshot.forgotten", "snapshots": ["a", "b", "c", "d"], "actor": "me"}
    assert streams.event({"seq": 9, "ts": when, **gone}) == (
        "       9 2026-11-20T14:00:00Z snapshot.forgotten a b c and 1 more (me)"
    )
    pruned = {"op": "snapshot.pruned", "packs": 2, "bytes": 10, "freed": 2_048}
    assert streams.event({"seq": 9, "ts": when, **pruned}) == (
        "       9 2026-11-20T14:00:00Z snapshot.pruned 2 packs to the trash, 2.0 KiB freed"
    )
    assert streams.event({"seq": 8, "ts": when, "op": "file.adopted", "files": files}) == (
        "       8 2026-11-20T14:00:00Z file.adopted a b\\x0a c and 2 more"
    )
    for fields, shown in (
        ({"type": "changed", "path": "a", "change": "new", "after": "5e"}, "new a"),
        ({"type": "adopted", "paths": ["a", "b", "c", "d"]}, "adopted a b c and 1 more"),
        ({"type": "resolved", "rule": "MB101", "path": "a"}, "resolved MB101 a"),
        ({"type": "health", "score": 97, "status": "healthy"}, "health 97 of 100, healthy"),
        ({"type": "ready", "watched": 3}, "ready watched=3"),
    ):
        assert streams.watched({"ts": when, **fields}) == f"2026-11-20T14:00:00Z {shown}"
    message = {"type": "message", "timestamp": when, "role": "user", "content": "one\ntwo"}
    assert streams.message(message) == f"{when} user: one\n    two"
    assert streams.message({"content": {"a": 1}}) == " : a=1"


@pytest.mark.parametrize(
    ("environment", "colourful"),
    [({"TERM": "xterm"}, True), ({"TERM": "dumb"}, False), ({"TERM": "xterm", "NO_COLOR": "1"}, False), ({}, False)],
)
def test_colour_is_for_terminals_that_want_it(
    environment: dict[str, str], colourful: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TERM", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert terminal.is_colourful("stdout", no_color=False) is colourful
    assert not terminal.is_colourful("stdout", no_color=True)
    monkeypatch.setattr("sys.stdout.isatty", lambda: False, raising=False)
    assert not terminal.is_colourful("stdout", no_color=False)
