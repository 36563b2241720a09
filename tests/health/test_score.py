"""The score: one number and one word from findings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.base.records import SEVERITIES, Finding, Severity
from memorybank_cli.base.rules import RULES
from memorybank_cli.health.score import LADDER, NOT_KNOWN, UNKNOWN, score, word


def finding(rule: str = "MB101", path: str = "a.json", level: Severity | None = None) -> Finding:
    return Finding(rule, "what", path, level=level)


@pytest.mark.parametrize(
    ("rules", "value", "name"),
    [
        ([], 100, "healthy"),
        (["MB202"], 100, "healthy"),
        (["MB301"], 96, "degraded"),
        (["MB301", "MB501"], 92, "degraded"),
        (["MB507"], 75, "unknown"),
        (["MB507", "MB301"], 72, "unknown"),
        (["MB101"], 50, "error"),
        (["MB101", "MB507"], 45, "error"),
        (["MB101", "MB102"], 40, "error"),
        (["MB115"], 20, "error"),
        (["MB115", "MB101", "MB301"], 15, "error"),
    ],
)
def test_what_is_taken_off(rules: list[str], value: int, name: str) -> None:
    found = score(map(finding, rules))
    assert (found.value, found.word) == (value, name)


def test_a_hundred_files_with_one_trouble_weigh_as_one() -> None:
    found = score(finding(path=f"{number}.json") for number in range(100))
    assert found.value == 50
    assert [(one.rule, one.findings, one.points) for one in found.deductions] == [("MB101", 100, 50.0)]


def test_a_rule_counts_by_its_worst_finding() -> None:
    found = score([finding(level="warning"), finding(level="critical"), finding(level="info")])
    assert [(one.severity, one.findings) for one in found.deductions] == [("critical", 3)]


def test_the_heaviest_deduction_stands_first() -> None:
    found = score(map(finding, ["MB301", "MB202", "MB102", "MB115", "MB101"]))
    assert [one.rule for one in found.deductions] == ["MB115", "MB101", "MB102", "MB301"]


def test_what_is_fine_never_hides_a_lost_history() -> None:
    assert score([finding("MB116"), *(finding("MB202", f"{number}.json") for number in range(10_000))]).value == 20


def test_the_worst_rule_sets_the_ceiling_and_says_so() -> None:
    found = score(map(finding, ["MB301", "MB101", "MB102"]))
    assert [(one.rule, one.points, one.ceiling) for one in found.deductions] == [
        ("MB101", 50.0, 50),
        ("MB102", 10.0, None),
        ("MB301", 1.6, None),
    ]


@pytest.mark.parametrize("severity", SEVERITIES)
def test_a_number_stays_in_the_range_of_its_word(severity: Severity) -> None:
    everything = [finding(rule, level=severity) for rule in RULES if rule not in NOT_KNOWN]
    found, step = score(everything), LADDER[severity]
    assert (found.word, step.floor <= found.value <= step.ceiling) == (step.word, True)
    assert (round(sum(one.points for one in found.deductions)), found.value) == (100 - step.floor, step.floor)


def test_the_ladder_leaves_no_number_to_two_words() -> None:
    steps = [LADDER[one] for one in ("info", "warning", "unknown", "error", "critical")]
    assert all(better.floor > worse.ceiling for better, worse in zip(steps, steps[1:], strict=False))


def test_what_is_unknown_is_never_healthy() -> None:
    assert word([finding(UNKNOWN)]) == "unknown"
    assert word([finding(UNKNOWN), finding("MB301")]) == "unknown"
    assert word([finding(UNKNOWN), finding("MB101")]) == "error"
    assert score([finding("MB301"), finding(UNKNOWN)]).deductions[0].rule == UNKNOWN


@given(st.lists(st.builds(finding, st.sampled_from(sorted(RULES)), level=st.none() | st.sampled_from(SEVERITIES))))
def test_the_number_fits_the_word_and_the_deductions(findings: list[Finding]) -> None:
    found = score(findings)
    assert 0 <= found.value <= 100
    assert found.word == word(findings)
    assert (found.word == "healthy") == (not found.deductions)
    assert abs(100 - sum(one.points for one in found.deductions) - found.value) <= 0.5 + 0.05 * len(found.deductions)
    assert score(reversed(findings)).value == found.value
    assert score([*findings, finding("MB115")]).value <= found.value
