"""The values that everything passes around: findings, and the reports that operations return."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from memorybank_cli.base import clock
from memorybank_cli.base.rules import RULES

Severity = Literal["info", "warning", "error", "critical"]
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "error", "critical")


@dataclass(frozen=True)
class Finding:
    """Something wrong, found now."""

    rule: str
    """`MB101`; the table of `base.rules` knows its name, severity and meaning."""
    message: str
    """What is wrong, in one sentence."""
    path: str = ""
    """Relative to the bank, escaped; '' for the bank itself."""
    hint: str = ""
    """What to do next, usually a command."""
    pointer: str = ""
    """JSON Pointer to the place in the document."""
    line: int | None = None
    """Line in the document, counted from 1."""
    level: Severity | None = None
    """A severity other than the rule's own."""
    expected: str = ""
    """What should stand there, shortened and printable; '' where no value is at fault."""
    found: str = ""
    """What stands there, shortened and printable."""
    detected_at: str = field(default_factory=clock.now)

    @property
    def severity(self) -> Severity:
        """One of the ladder info < warning < error < critical."""
        return self.level or RULES[self.rule].severity

    @cached_property
    def fingerprint(self) -> str:
        """The same for the same trouble at the same place, whenever it is found."""
        from hashlib import sha256

        return sha256(f"{self.rule}\0{self.path}\0{self.pointer}".encode(errors="replace")).hexdigest()[:16]

    def as_dict(self) -> dict[str, Any]:
        """The finding as the contract of the command line gives it."""
        return {
            "rule": self.rule,
            "name": RULES[self.rule].name,
            "severity": self.severity,
            "path": self.path,
            "message": self.message,
            "hint": self.hint,
            "pointer": self.pointer,
            "line": self.line,
            "expected": self.expected,
            "found": self.found,
            "fingerprint": self.fingerprint,
            "detected_at": self.detected_at,
        }


def worst(findings: Iterable[Finding]) -> Severity | None:
    """The highest severity among findings, None where there are none."""
    ranks = [SEVERITIES.index(finding.severity) for finding in findings]
    return SEVERITIES[max(ranks)] if ranks else None


def at_least(findings: Iterable[Finding], floor: Severity) -> bool:
    """Whether any finding is as severe as `floor`."""
    lowest = SEVERITIES.index(floor)
    return any(SEVERITIES.index(finding.severity) >= lowest for finding in findings)


class Progress:
    """Receives how far long work has come; the quiet one, surfaces bring their own."""

    def start(self, what: str, total: int | None = None) -> None:
        """A step begins, of `total` units where that is known."""

    def advance(self, count: int = 1) -> None:
        """`count` more units are done."""

    def finish(self) -> None:
        """The step is over."""

    def note(self, text: str) -> None:
        """Something the user should know that is no finding and no error."""


QUIET = Progress()
