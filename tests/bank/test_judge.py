"""What a file's content means, held against what the journal expects: every row of the table of policies."""

from __future__ import annotations

from typing import Any

import pytest

from memorybank_cli.bank.judge import EMPTY_OBJECT, ROT, Rules, Verdict, judge, recorded_rules
from memorybank_cli.bank.layout import place
from memorybank_cli.bank.rows import Content, Expected, Seen
from memorybank_cli.base import digests

RULES = Rules(frozenset(), {"trades": 100, "metrics": 1000}, ())
KINDS = {"trades": "trade", "state": "state", "metrics": "metrics", "account_a": "short_term", "config": "memorybank"}
FLAW = Content("MB102", "5 NUL bytes follow")
MISFIT = Content("MB201", "expected a number", "/price", 3, "a number", "'12'")


def seen(sha: str, *content: Content, size: int = 10, kind: str = "trade") -> Seen:
    return Seen(sha, size, 0, 0, 0, 0o600, kind, content, 0, 1)


def expected(sha: str, *rules: str, kind: str = "trade") -> Expected:
    return Expected(sha, 10, 0o600, 1, rules, kind)


def verdict(path: str, before: Expected | None, now: Seen | None, **rules: Any) -> Verdict:
    return judge(path, place(path), before, now, RULES._replace(**rules))


def found(one: Verdict) -> list[str]:
    return [finding.rule for finding in one.findings]


T, S, A, C = "trades/t.json", "state/s.json", "account_a/short_term.json", "config/memorybank.json"


@pytest.mark.parametrize(
    ("path", "before", "now", "rules", "pending", "outside", "rule"),
    [
        # new
        (T, None, seen("a"), [], "new", False, ""),
        (S, None, seen("a", kind="state"), [], "new", False, ""),
        (T, None, seen("a", FLAW), ["MB102"], "found", False, "MB102"),
        (A, None, seen("a", kind="short_term"), ["MB110"], "", True, ""),
        ("x.json", None, seen("a", kind=""), ["MB112"], "new", False, ""),
        ("notes.md", None, seen("a", kind=""), [], "new", False, ""),
        # as recorded
        (T, expected("a"), seen("a"), [], "", False, ""),
        (A, expected("a", kind="short_term"), seen("a", kind="short_term"), [], "", False, ""),
        # changed
        (T, expected("a"), seen("b"), ["MB113"], "", True, "MB113"),
        (T, expected("a", "MB102"), seen("b"), [], "changed", False, ""),
        (T, expected("a", kind="trade_list"), seen("b", kind="trade_list"), [], "changed", False, ""),
        (T, expected("a", kind="trade_list"), seen("b"), [], "changed", False, ""),
        (S, expected("a", kind="state"), seen("b", kind="state"), [], "changed", False, ""),
        (A, expected("a", kind="short_term"), seen("b", kind="short_term"), ["MB110"], "", True, "MB110"),
        (C, expected("a", kind="memorybank"), seen("b", kind="memorybank"), ["MB110"], "", True, "MB110"),
        ("docs/a.md", expected("a", kind=""), seen("b", kind=""), [], "changed", False, ""),
        # damaged
        (T, expected("a"), seen("b", FLAW), ["MB102"], "", False, "MB102"),
        (T, expected("b", "MB102"), seen("b", FLAW), ["MB102"], "", False, "MB102"),
        (T, expected("a", "MB103"), seen("b", FLAW), ["MB102"], "found", False, "MB102"),
        (A, expected("a", kind="short_term"), seen("b", FLAW, kind="short_term"), ["MB102"], "", False, "MB102"),
        (S, expected("a", kind="state"), seen("b", Content(ROT, "rot"), kind="state"), [ROT], "", False, ROT),
        (S, expected("a"), seen("b", Content(ROT, "rot"), FLAW), [ROT, "MB102"], "", False, ROT),
        # gone
        (T, None, None, [], "", False, ""),
        (T, expected("a"), None, ["MB111"], "", True, "MB111"),
        (T, expected("a", "MB102"), None, [], "removed", False, ""),
        (T, expected("a", kind="trade_list"), None, [], "removed", False, ""),
        (S, expected("a", kind="state"), None, [], "removed", False, ""),
        (A, expected("a", kind="short_term"), None, ["MB111"], "", True, "MB111"),
    ],
)
def test_the_table(
    path: str, before: Expected | None, now: Seen | None, rules: list[str], pending: str, outside: bool, rule: str
) -> None:
    one = verdict(path, before, now)
    assert (found(one), one.pending, one.outside, one.rule) == (rules, pending, outside, rule)
    assert all(finding.path == path for finding in one.findings)
    assert all(finding.hint for finding in one.findings)


def test_before_there_is_a_baseline_managed_files_are_simply_new() -> None:
    one = verdict(A, None, seen("a", kind="short_term"), recorded=False)
    assert (one.findings, one.pending, one.outside) == ([], "new", False)


def test_open_patterns_make_a_trade_open() -> None:
    one = verdict(T, expected("a"), seen("b"), open_patterns=("trades/t*",))
    assert (one.findings, one.pending) == ([], "changed")
    assert verdict(T, expected("a"), None, open_patterns=("trades/*",)).pending == "removed"


def test_every_flaw_is_told_with_its_cure() -> None:
    [rot, flaw] = verdict(T, expected("a"), seen("b", Content(ROT, "rot"), FLAW)).findings
    assert rot.hint == "memorybank repair trades/t.json, then check the disk"
    assert (flaw.hint, flaw.message) == ("memorybank repair trades/t.json", "5 NUL bytes follow")


def test_a_misfit_counts_where_the_schema_is_bound() -> None:
    loose = verdict(T, None, seen("a", MISFIT))
    assert (found(loose), loose.pending) == (["MB202"], "new")
    assert "expected a number" in loose.findings[0].message
    assert (loose.findings[0].pointer, loose.findings[0].line) == ("/price", 3)
    [bound] = verdict(T, None, seen("a", MISFIT), bound=frozenset({"trade"})).findings
    assert (bound.rule, bound.pointer, bound.line) == ("MB201", "/price", 3)
    assert (bound.expected, bound.found) == ("a number", "'12'")
    assert found(verdict(A, expected("a"), seen("a", MISFIT, kind="short_term"))) == ["MB201"]


@pytest.mark.parametrize(("rule", "hint"), [("MB203", "memorybank explain MB203"), ("MB209", "memorybank migrate")])
def test_other_versions_are_judged_like_misfits(rule: str, hint: str) -> None:
    other, bound = seen("a", Content(rule, "another version", "/schema_version")), frozenset({"trade"})
    [one] = verdict(T, None, other, bound=bound).findings
    assert (one.rule, one.pointer) == (rule, "/schema_version")
    assert one.hint.startswith(hint)
    assert found(verdict(T, None, other)) == ["MB202"]
    assert verdict(T, None, other).pending == "new"
    assert recorded_rules(place(T), other, frozenset()) == ["MB202"]
    assert recorded_rules(place(T), other, bound) == [rule]


def test_a_misfit_counts_once_this_file_has_fitted() -> None:
    assert found(verdict(S, expected("a", kind="state"), seen("b", MISFIT, kind="state"))) == ["MB201"]
    assert found(verdict(S, expected("a", "MB202", kind="state"), seen("b", MISFIT, kind="state"))) == ["MB202"]
    assert found(verdict(S, expected("a", kind="other"), seen("b", MISFIT, kind="state"))) == ["MB202"]


def test_a_misfit_does_not_hold_adoption_back() -> None:
    assert verdict(S, expected("a", kind="state"), seen("b", MISFIT, kind="state")).pending == "changed"


def test_no_schema_is_information() -> None:
    assert found(verdict("agents/a/x.json", expected("a"), seen("a", kind=""))) == ["MB202"]


def test_limits() -> None:
    assert found(verdict(T, expected("a"), seen("a", size=100))) == []
    [one] = verdict(T, expected("a"), seen("a", size=101)).findings
    assert (one.rule, one.severity) == ("MB301", "warning")
    assert found(verdict(S, expected("a"), seen("a", size=10**9, kind="state"))) == []


@pytest.mark.parametrize(
    ("path", "now", "bound", "rules"),
    [
        (T, seen("a"), frozenset(), []),
        (T, seen("a", MISFIT), frozenset(), ["MB202"]),
        (T, seen("a", MISFIT), frozenset({"trade"}), ["MB201"]),
        (A, seen("a", MISFIT, kind="short_term"), frozenset(), ["MB201"]),
        (T, seen("a", FLAW), frozenset(), ["MB102"]),
        (T, seen("a", FLAW, Content(ROT, "")), frozenset(), ["MB102", "MB115"]),
        ("agents/x.json", seen("a", kind=""), frozenset(), ["MB202"]),
        ("a.md", seen("a", kind=""), frozenset(), []),
        (S, seen(EMPTY_OBJECT, kind="state"), frozenset(), ["MB202"]),
    ],
)
def test_what_is_recorded_beside_a_version(path: str, now: Seen, bound: frozenset[str], rules: list[str]) -> None:
    assert recorded_rules(place(path), now, bound) == rules


def test_the_placeholder_is_known_by_its_digest() -> None:
    assert digests.of(b"{}\n") == EMPTY_OBJECT


TWICE = Content("MB208", "the id '7' stands at /0 already", "/1/id", None, "an id of its own", "'7'")


def test_an_id_that_stands_twice_is_neither_damage_nor_a_misfit() -> None:
    for before in (None, expected("a"), expected("a", "MB202")):
        one = verdict("trades/list.json", before, seen("a", TWICE, kind="trade_list"))
        assert ([finding.pointer for finding in one.findings], one.rule, one.outside) == (["/1/id"], "", False)
        assert one.pending == ("new" if before is None else "")
    both = verdict("trades/list.json", None, seen("a", MISFIT, TWICE, kind="trade_list"))
    assert found(both) == ["MB202", "MB208"]
    assert found(verdict("trades/list.json", None, seen("a", FLAW, TWICE, kind="trade_list")))[0] == "MB102"
    where = place("trades/list.json")
    assert recorded_rules(where, seen("a", TWICE), frozenset()) == []
    assert recorded_rules(where, seen("a", MISFIT, TWICE), frozenset()) == ["MB202"]
    assert recorded_rules(where, seen("a", MISFIT, TWICE), frozenset({"trade"})) == ["MB201"]
