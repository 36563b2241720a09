"""Health as one number and one word, computed from findings here and nowhere else.

Each rule that is broken takes a share of what is left of 100, by its worst finding; a hundred files with the same
trouble weigh as one trouble. A critical one halves the score, an error takes 20 %, a warning 4 %, information nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from memorybank_cli.base.records import SEVERITIES, Finding, Severity, worst

Word = Literal["healthy", "degraded", "error"]
_SHARES: dict[Severity, float] = {"info": 0.0, "warning": 0.04, "error": 0.2, "critical": 0.5}
_WORDS: dict[Severity | None, Word] = {
    None: "healthy",
    "info": "healthy",
    "warning": "degraded",
    "error": "error",
    "critical": "error",
}


class Deduction(NamedTuple):
    """What one rule took from the score."""

    rule: str
    severity: Severity
    findings: int
    points: float


class Score(NamedTuple):
    """0 to 100, its word, and what was taken off, the heaviest first."""

    value: int
    word: Word
    deductions: list[Deduction]


def score(findings: Iterable[Finding]) -> Score:
    """The score of a bank with these findings."""
    by_rule: dict[str, list[Finding]] = {}
    for finding in findings:
        by_rule.setdefault(finding.rule, []).append(finding)
    rows = [(rule, _worst(group), len(group)) for rule, group in by_rule.items()]
    rows.sort(key=lambda row: (-SEVERITIES.index(row[1]), row[0]))
    left, deductions = 100.0, []
    for rule, severity, count in rows:
        points = left * _SHARES[severity]
        left -= points
        if points:
            deductions.append(Deduction(rule, severity, count, round(points, 1)))
    return Score(round(left), word(one for group in by_rule.values() for one in group), deductions)


def word(findings: Iterable[Finding]) -> Word:
    """healthy, degraded (warnings) or error."""
    return _WORDS[worst(findings)]


def _worst(group: list[Finding]) -> Severity:
    found = worst(group)
    assert found is not None
    return found
