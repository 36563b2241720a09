"""Which alerts are meant: the one form of conditions that routes and silences share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from memorybank_cli.alerts.values import FAMILIES, Alert
from memorybank_cli.base.errors import UsageError
from memorybank_cli.base.records import SEVERITIES, Severity

KEYS = ("rule", "family", "severity", "section", "path")


@dataclass(frozen=True)
class Matcher:
    """Conditions that must all hold; one that is empty always does. Of several values of one, one is enough."""

    rules: tuple[str, ...] = ()
    """Rules, or beginnings of them: `MB101`, `MB1`."""
    families: tuple[str, ...] = ()
    severity: Severity | None = None
    """This one or a worse one."""
    sections: tuple[str, ...] = ()
    """Top directories; `bank` is the bank itself."""
    paths: tuple[str, ...] = ()
    """Patterns such as `trades/*.json`; `*` also stands for what is in directories below."""

    def fits(self, alert: Alert) -> bool:
        """Whether an alert is meant."""
        return not self.why_not(alert)

    def why_not(self, alert: Alert) -> str:
        """The first condition that does not hold, in words; '' where all do."""
        if self.rules and not alert.rule.startswith(self.rules):
            return f"rule is {alert.rule}, not {_any(self.rules)}"
        if self.families and alert.family not in self.families:
            return f"family is {alert.family}, not {_any(self.families)}"
        if self.severity and SEVERITIES.index(alert.severity) < SEVERITIES.index(self.severity):
            return f"severity is {alert.severity}, below {self.severity}"
        if self.sections and (alert.section or "bank") not in self.sections:
            return f"section is {alert.section or 'bank'}, not {_any(self.sections)}"
        if self.paths and not any(fnmatchcase(alert.path, one) for one in self.paths):
            return f"path is '{alert.path}', which does not fit {_any(self.paths)}"
        return ""

    def as_dict(self) -> dict[str, Any]:
        """The conditions that there are, in the form that `matcher` reads."""
        values = (self.rules, self.families, self.severity, self.sections, self.paths)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in zip(KEYS, values) if value}  # noqa: B905 - as many

    def __str__(self) -> str:
        told = [f"{name} {value if isinstance(value, str) else _any(value)}" for name, value in self.as_dict().items()]
        return ", ".join(told) or "every alert"


def matcher(conditions: Mapping[str, Any]) -> Matcher:
    """Conditions as JSON has them: each a word or a list of words. Raises UsageError that names what is wrong."""
    unknown = sorted(set(conditions) - set(KEYS))
    if unknown:
        raise UsageError(f"there is no condition '{unknown[0]:.40}'", hint=f"conditions are {_any(KEYS)}")
    rules, families, severity, sections, paths = (_words(name, conditions.get(name, ())) for name in KEYS)
    if wrong := [one for one in rules if not (one.startswith("MB") and one[2:].isdecimal())]:
        raise UsageError(
            f"'{wrong[0]:.40}' is no rule", hint="give a rule or the beginning of some, such as MB101 or MB1"
        )
    if wrong := [one for one in families if one not in FAMILIES]:
        raise UsageError(f"there is no family '{wrong[0]:.40}'", hint=f"families are {_any(FAMILIES)}")
    if len(severity) > 1 or any(one not in SEVERITIES for one in severity):
        raise UsageError("severity must be one word", hint=f"it is {_any(SEVERITIES)}, and means that and worse")
    least = next((one for one in SEVERITIES if one in severity), None)
    return Matcher(rules, families, least, sections, paths)


def _words(name: str, value: Any) -> tuple[str, ...]:
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list | tuple) or not all(isinstance(one, str) and one for one in words):
        raise UsageError(f"'{name}' must be a word or a list of words")
    if any("\ud800" <= char <= "\udfff" for one in words for char in one):
        hint = r"give it as memorybank shows it, with \xNN for what is no text"
        raise UsageError(f"'{name}' has bytes that are no text", hint=hint)
    return tuple(words)


def _any(words: tuple[str, ...] | list[str]) -> str:
    return " or ".join(words)
