"""Health as one number and one word, computed from findings here and nowhere else.

The worst rule that is broken sets the ceiling, so that no number of things that are fine hides it; each further rule
takes its share of what is left, by its worst finding; a hundred files with the same trouble weigh as one trouble. The
number never leaves the range of its word: healthy 100, degraded 96 to 76, unknown 75 to 51, error 50 and less.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from memorybank_cli.base.records import Finding, Severity

Word = Literal["healthy", "degraded", "unknown", "error"]
Weight = Literal["info", "warning", "unknown", "error", "critical"]
UNKNOWN = "MB507"
"""The rule of what could not be looked at, or was looked at too long ago."""
NOT_KNOWN = frozenset((UNKNOWN, "MB525"))
"""Rules by which something is not known: the latter says that what looks at it failed."""


class Step(NamedTuple):
    """What the worst rule makes of the score, and what each further one takes of what is left."""

    word: Word
    ceiling: int
    floor: int
    share: float


LADDER: dict[Weight, Step] = {
    "info": Step("healthy", 100, 100, 0.0),
    "warning": Step("degraded", 96, 76, 0.04),
    "unknown": Step("unknown", 75, 51, 0.1),
    "error": Step("error", 50, 21, 0.2),
    "critical": Step("error", 20, 0, 0.5),
}
"""The weights, mildest first."""
_ORDER = list(LADDER)


class Deduction(NamedTuple):
    """What one rule took from the score."""

    rule: str
    severity: Severity
    findings: int
    points: float
    ceiling: int | None = None
    """Of the worst rule: higher than this the score cannot be."""


class Score(NamedTuple):
    """0 to 100, its word, and what was taken off, the heaviest first."""

    value: int
    word: Word
    deductions: list[Deduction]


def weight(finding: Finding) -> Weight:
    """How much a finding weighs: its severity, but what is not known weighs more than a warning."""
    return "unknown" if finding.rule in NOT_KNOWN and finding.severity == "warning" else finding.severity


def rank(finding: Finding) -> int:
    """The place of a finding's weight in the ladder, higher for worse."""
    return _ORDER.index(weight(finding))


def word(findings: Iterable[Finding]) -> Word:
    """healthy, degraded (warnings), unknown (something could not be looked at) or error."""
    return LADDER[_ORDER[max(map(rank, findings), default=0)]].word


def score(findings: Iterable[Finding]) -> Score:
    """The score of a bank with these findings."""
    by_rule: dict[str, list[Finding]] = {}
    for finding in findings:
        by_rule.setdefault(finding.rule, []).append(finding)
    rows = [(max(group, key=rank), len(group)) for group in by_rule.values()]
    rows.sort(key=lambda row: (-rank(row[0]), row[0].rule))
    worst = LADDER[weight(rows[0][0])] if rows else LADDER["info"]
    left, deductions = 100.0, list[Deduction]()
    for finding, count in rows:
        step = LADDER[weight(finding)]
        after = max(left * (1 - step.share) if deductions else float(step.ceiling), worst.floor)
        if step.share:
            ceiling = None if deductions else step.ceiling
            deductions.append(Deduction(finding.rule, finding.severity, count, round(left - after, 1), ceiling))
            left = after
    return Score(round(left), worst.word, deductions)
