"""The score: one number and one word from findings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.base.records import SEVERITIES, Finding, Severity
from memorybank_cli.base.rules import RULES
from memorybank_cli.health.score import score, word


def finding(rule: str = "MB101", path: str = "a.json", level: Severity | None = None) -> Finding:
    return Finding(rule, "what", path, level=level)


@pytest.mark.parametrize(
    ("rules", "value", "name"),
    [
        ([], 100, "healthy"),
        (["MB202"], 100, "healthy"),
        (["MB301"], 96, "degraded"),
        (["MB101"], 80, "error"),
        (["MB115"], 50, "error"),
        (["MB101", "MB102"], 64, "error"),
        (["MB115", "MB101", "MB301"], 38, "error"),
    ],
)
def test_what_is_taken_off(rules: list[str], value: int, name: str) -> None:
    found = score(map(finding, rules))
    assert (found.value, found.word) == (value, name)


def test_a_hundred_files_with_one_trouble_weigh_as_one() -> None:
    found = score(finding(path=f"{number}.json") for number in range(100))
    assert found.value == 80
    assert [(one.rule, one.findings, one.points) for one in found.deductions] == [("MB101", 100, 20.0)]


def test_a_rule_counts_by_its_worst_finding() -> None:
    found = score([finding(level="warning"), finding(level="critical"), finding(level="info")])
    assert [(one.severity, one.findings) for one in found.deductions] == [("critical", 3)]


def test_the_heaviest_deduction_stands_first() -> None:
    found = score(map(finding, ["MB301", "MB202", "MB102", "MB115", "MB101"]))
    assert [one.rule for one in found.deductions] == ["MB115", "MB101", "MB102", "MB301"]


@given(st.lists(st.builds(finding, st.sampled_from(sorted(RULES)), level=st.none() | st.sampled_from(SEVERITIES))))
def test_the_number_fits_the_word_and_the_deductions(findings: list[Finding]) -> None:
    found = score(findings)
    assert 0 <= found.value <= 100
    assert found.word == word(findings)
    assert (found.word == "healthy") == (not found.deductions)
    assert abs(100 - sum(one.points for one in found.deductions) - found.value) <= 0.5 + 0.05 * len(found.deductions)
    assert score(reversed(findings)).value == found.value
    assert score([*findings, finding("MB115")]).value <= found.value
