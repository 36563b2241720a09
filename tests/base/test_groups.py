"""Findings that are alike become one, whatever their files and numbers; nothing is lost in counting."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.base.groups import EXAMPLES, group, section, with_groups
from memorybank_cli.base.records import SEVERITIES, Finding


def found(path: str, message: str = "wrong", rule: str = "MB201", **other: Any) -> dict[str, Any]:
    return Finding(rule, message, path, **other).as_dict()


def test_files_that_fail_alike_are_one_group() -> None:
    findings = [
        found(f"trades/{n}.json", f"expected number, found '{n}'", pointer=f"/fills/{n}/qty", expected="number",
              found=f"'{n}'", hint="look", line=n + 1)
        for n in range(1_000)
    ]  # fmt: skip
    [one] = group(findings)
    assert one.as_dict() == {
        "rule": "MB201",
        "name": "schema-mismatch",
        "severity": "error",
        "where": "trades",
        "pointer": "/fills/*/qty",
        "expected": "number",
        "found": "'0'",
        "message": "expected number, found '0'",
        "hint": "look",
        "count": 1_000,
        "files": 1_000,
        "examples": ["trades/0.json", "trades/1.json", "trades/2.json"],
    }


@pytest.mark.parametrize(
    "other",
    [
        found("metrics/a.json", "expected number, found 1", expected="number"),
        found("a.json", "expected number, found 1", expected="number"),
        found("trades/a.json", "expected text, found 1", expected="text"),
        found("trades/a.json", "expected number, found 1", expected="number", pointer="/x"),
        found("trades/a.json", "expected number, found 1", expected="number", level="warning"),
        found("trades/a.json", "expected number, found 1", rule="MB202", expected="number"),
    ],
)
def test_what_differs_stands_apart(other: dict[str, Any]) -> None:
    assert len(group([found("trades/b.json", "expected number, found 2", expected="number"), other])) == 2


@pytest.mark.parametrize(
    ("first", "second", "groups"),
    [
        ("valid JSON ends at byte 9; 2,087 NUL bytes follow", "valid JSON ends at byte 10; 5 NUL bytes follow", 1),
        ('the key "a" stands twice', 'the key "b" stands twice', 1),
        ("blob 6a64ebdbd883: pack 8a84341f3031", "blob fa0d8922f23a: pack 8a84341f3031", 1),
        ("blob deadbeefdead", "blob 0123456789ab", 1),
        ("the file is gone", "changed outside memorybank", 2),
        ("an apostrophe's 'end", "an apostrophe's 'begin", 2),
    ],
)
def test_messages_are_compared_without_their_particulars(first: str, second: str, groups: int) -> None:
    assert len(group([found("a/1", first, "MB101"), found("a/2", second, "MB101")])) == groups


def test_only_array_indexes_are_put_aside() -> None:
    findings = [found("a/b", pointer=one) for one in ("/0", "/12/x", "/3/x", "/x/y1", "/x/y2", "/4")]
    assert sorted((one.pointer, len(one.findings)) for one in group(findings)) == [
        ("/*", 2),
        ("/*/x", 2),
        ("/x/y1", 1),
        ("/x/y2", 1),
    ]


def test_several_in_one_file_are_counted_once_as_a_file() -> None:
    [one] = group([found(f"a/{n // 10}", pointer=f"/{n}") for n in range(50)])
    assert (len(one.findings), one.files, one.examples) == (50, 5, ["a/0", "a/1", "a/2"])


def test_a_path_in_a_hint_stands_for_all() -> None:
    one, other = (found(f"a/{n}.json", "x", "MB101", hint=f"memorybank repair a/{n}.json") for n in (1, 2))
    assert [found.hint for found in group([one])] == ["memorybank repair a/1.json"]
    assert [found.hint for found in group([one, other])] == ["memorybank repair PATH"]


def test_the_worst_come_first_then_by_rule_then_as_found() -> None:
    findings = [
        found("b/1", rule="MB202"),
        found("b/1", rule="MB301"),
        found("b/1", rule="MB201"),
        found("a/1", rule="MB201"),
        found("b/1", rule="MB115"),
        found("b/1", rule="MB101"),
    ]
    assert [(one.first["rule"], one.where) for one in group(findings)] == [
        ("MB115", "b"),
        ("MB101", "b"),
        ("MB201", "b"),
        ("MB201", "a"),
        ("MB301", "b"),
        ("MB202", "b"),
    ]


RULES = st.sampled_from(["MB101", "MB102", "MB115", "MB202", "MB301"])
FINDINGS = st.builds(found, st.sampled_from(["a/1", "a/2", "b/1", "c", ""]), st.text(max_size=9), RULES)


@given(st.lists(FINDINGS, max_size=40))
def test_every_finding_is_in_one_group(findings: list[dict[str, Any]]) -> None:
    groups = group(findings)
    assert sorted(id(one) for found in groups for one in found.findings) == sorted(map(id, findings))
    assert all(1 <= len(one.examples) <= EXAMPLES and one.files <= len(one.findings) for one in groups)
    ranks = [SEVERITIES.index(one.first["severity"]) for one in groups]
    assert ranks == sorted(ranks, reverse=True)


def test_sections() -> None:
    assert [section(path) for path in ("trades/2026/a.json", "bank.json", "", "/tmp/a")] == ["trades", "", "", ""]


def test_groups_are_added_to_reports_that_have_findings() -> None:
    assert with_groups({"ok": True}) == {"ok": True}
    assert with_groups([1]) == [1]
    assert with_groups({"findings": 3}) == {"findings": 3}
    assert with_groups({"findings": [], "groups": "mine"})["groups"] == "mine"
    report = with_groups({"findings": [found("a/1")], "ok": False})
    assert list(report) == ["findings", "ok", "groups"]
    assert [one["count"] for one in report["groups"]] == [1]


def test_the_work_grows_with_the_findings_only() -> None:
    """100,000 findings that are all different, and 100,000 that are alike: both would take hours if each met each."""
    different = [found(f"s{n}/a", pointer=f"/k{n}") for n in range(1_000)] * 100
    assert len(group(different)) == 1_000
    assert len(group([found("a/b")] * 100_000)) == 1
