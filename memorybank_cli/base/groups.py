"""Findings that are alike, put together: 10,000 files that fail in the same way are one group with a count.

Alike are findings of one rule and severity in one section, at the same place of their documents (array indexes put
aside), that expect the same; where nothing is expected, with the same message but for numbers, digests and quoted text.
Findings come and go as the JSON that the contract of the command line gives, so every report can be grouped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from memorybank_cli.base.records import SEVERITIES

EXAMPLES = 3
"""So many paths stand for a group; as many findings that are alike are shown one by one."""

_INDEX = re.compile(r"/[0-9]+(?=/|$)")
_PARTICULAR = re.compile(r"'[^']*'|\"[^\"]*\"|\b[0-9a-f]{12,}\b|[0-9][0-9.,:_-]*")

FindingJSON = Mapping[str, Any]


class Group:
    """Findings that are alike, in the order in which they were found."""

    __slots__ = ("examples", "files", "findings", "pointer", "where")

    def __init__(self, where: str, pointer: str) -> None:
        self.where = where
        """The section they are in, '' for the bank's root."""
        self.pointer = pointer
        """Their JSON Pointer with `*` for array indexes; '' also where they have several."""
        self.findings: list[FindingJSON] = []
        self.examples: list[str] = []
        self.files = 0

    def add(self, finding: FindingJSON) -> None:
        """One more; findings of one file come one after the other."""
        path = finding["path"]
        if not self.findings or self.findings[-1]["path"] != path:
            self.files += 1
            if len(self.examples) < EXAMPLES:
                self.examples.append(path)
        self.findings.append(finding)

    @property
    def first(self) -> FindingJSON:
        """The first of them, which speaks for all."""
        return self.findings[0]

    @property
    def hint(self) -> str:
        """What to do next; a path in it becomes PATH where there are several."""
        hint: str = self.first["hint"]
        path = self.first["path"]
        return hint.replace(path, "PATH") if path and self.files > 1 else hint

    def as_dict(self) -> dict[str, Any]:
        """The group as the contract of the command line gives it; `count` is of findings, `files` of their paths."""
        first = self.first
        return {
            "rule": first["rule"],
            "name": first["name"],
            "severity": first["severity"],
            "where": self.where,
            "pointer": self.pointer,
            "expected": first.get("expected", ""),
            "found": first.get("found", ""),
            "message": first["message"],
            "hint": self.hint,
            "count": len(self.findings),
            "files": self.files,
            "examples": self.examples,
        }


def group(findings: Iterable[FindingJSON]) -> list[Group]:
    """The groups that findings fall into, the most severe first, then by rule, then as they were found."""
    groups: dict[tuple[str, ...], Group] = {}
    patterns: dict[str, str] = {}
    for one in findings:
        given = one["pointer"]
        if given not in patterns:
            patterns[given] = _INDEX.sub("/*", given)
        where, pointer = section(one["path"]), patterns[given]
        key = (one["severity"], one["rule"], where, pointer, one.get("expected") or _general(one["message"]))
        if key not in groups:
            groups[key] = Group(where, pointer)
        groups[key].add(one)
    ranks = {severity: -rank for rank, severity in enumerate(SEVERITIES)}
    return sorted(groups.values(), key=lambda found: (ranks[found.first["severity"]], found.first["rule"]))


def with_groups(report: Any) -> Any:
    """A report's JSON with `groups` beside its `findings`; as it is where there are none or they stand there."""
    if not isinstance(report, dict) or "groups" in report or not isinstance(report.get("findings"), list):
        return report
    return {**report, "groups": [one.as_dict() for one in group(report["findings"])]}


def section(path: str) -> str:
    """The first directory of a path, '' for what stands at the top."""
    top, slash, _ = path.partition("/")
    return top if slash else ""


def _general(message: str) -> str:
    """What a message says of any file."""
    return _PARTICULAR.sub("*", message)
