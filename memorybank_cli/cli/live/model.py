"""What is known of a bank that is watched: made of the lines of `watch` alone, so a test can tell it anything.

What is old is not known: without a look at the whole bank for three of its intervals the health is unknown.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Any, NamedTuple

from memorybank_cli.bank import layout
from memorybank_cli.base.names import escape_text
from memorybank_cli.base.records import SEVERITIES
from memorybank_cli.base.words import counted
from memorybank_cli.cli.blocks import Style
from memorybank_cli.cli.views.streams import clock_time, watched

Line = dict[str, Any]
EVENTS = 2_000
POINTS = 240
BUCKET = 5.0
"""Seconds that one point of a trend stands for, as a sample of the metrics does."""
STALE = 3
UNKNOWN = "unknown"
STYLES: dict[str, Style] = {
    "critical": "strong bad",
    "error": "bad",
    "warning": "warning",
    "info": "dim",
    "ok": "good",
    "healthy": "strong good",
    "degraded": "strong warning",
    UNKNOWN: "strong warning",
}
_KINDS: dict[str, Style] = {"resolved": "good", "recovered": "good", "gap": "warning", "note": "warning"}


class Event(NamedTuple):
    """One line of the stream as it is shown; the number only grows."""

    number: int
    time: str
    """`14:00:00`, UTC"""
    text: str
    style: Style


@dataclass
class Section:
    """What one section holds, at the last look and since."""

    name: str
    files: int = 0
    records: int | None = None
    changed: str = ""
    """When a file in it was last changed, RFC 3339; '' for never."""
    status: str = "ok"
    """ok or the worst severity of what is found in it; unknown."""


class Standing(NamedTuple):
    """The health as far as it is known."""

    word: str
    score: int | None
    why: str


class _Sorted(NamedTuple):
    """Open findings, the worst first, and how bad the worst is, by section."""

    findings: list[dict[str, Any]]
    worst: dict[str, int]


class Model:
    """The state of one watch. `now` is always `time.monotonic()`; `interval` is that of looks at the whole bank."""

    def __init__(self, path: str, interval: float) -> None:
        self.path, self.interval = path, interval
        self.sections: dict[str, Section] = {}
        self.findings: dict[str, dict[str, Any]] = {}
        self.events: deque[Event] = deque(maxlen=EVENTS)
        self.count = 0
        self.score: int | None = None
        self.word = UNKNOWN
        self.backend, self.watches, self.role = "", 0, ""
        self.looked_at: float | None = None
        self.gap: tuple[str, str] | None = None
        self.stopped = ""
        self.trends: dict[str, deque[float]] = {name: deque(maxlen=POINTS) for name in ("changes", "findings")}
        self.samples: dict[str, list[float | None]] = {}
        """What `health` measured of late, by name, None for a slot without a sample."""
        self._order: _Sorted | None = None
        self.changes = 0
        self._changes, self._bucket_end = 0, -math.inf

    def take(self, line: Line, now: float) -> None:
        """Learn what a line says."""
        learn = getattr(self, f"_{line.get('type')}", None)
        if learn is not None:
            learn(line, now)
        self._told(line)

    def tick(self, now: float) -> None:
        """Time goes by: the trends get their points."""
        if now - self._bucket_end > POINTS * BUCKET:  # also at the beginning
            self._bucket_end = now + BUCKET
        while now >= self._bucket_end:
            self.trends["changes"].append(self._changes)
            self.trends["findings"].append(len(self.findings))
            self._changes = 0
            self._bucket_end += BUCKET

    def blind(self, now: float) -> str:
        """Why nothing is known for certain, '' where it is."""
        if self.stopped:
            return f"watching ended ({self.stopped})"
        if self.looked_at is None:
            return "the first look is not over"
        if self.gap is not None:
            start, end = map(clock_time, self.gap)
            return f"nothing was seen from {start} to {end}; everything is looked at again"
        ago = now - self.looked_at
        if ago > STALE * self.interval:
            return f"the last look is {span(ago)} old, one is due every {span(self.interval)}"
        return ""

    def standing(self, now: float) -> Standing:
        """The health, or why it is not known."""
        why = self.blind(now)
        if why or self.looked_at is None:
            return Standing(UNKNOWN, None, why)
        number = len(self.findings)
        nothing = "not everything was looked at" if self.word == UNKNOWN else "no findings"
        found = counted(number, "finding") if number else nothing
        return Standing(self.word, self.score, f"{found}, looked {span(now - self.looked_at)} ago")

    def rows(self, now: float) -> list[Section]:
        """Every section with its health, all accounts as one."""
        unknown, worst = bool(self.blind(now)), self._sorted().worst
        found: dict[str, Section] = {name: Section(name) for name in sorted(worst)}
        for part in self.sections.values():
            known = found.setdefault(_group(part.name), Section(_group(part.name)))
            known.files += part.files
            if part.records is not None:
                known.records = (known.records or 0) + part.records
            known.changed = max(known.changed, part.changed)
        for name, known in found.items():
            known.status = UNKNOWN if unknown else SEVERITIES[worst[name]] if name in worst else "ok"
        return sorted(found.values(), key=lambda one: one.name)

    def shown(self, text: str = "") -> tuple[list[dict[str, Any]], list[Event]]:
        """Open findings, the worst first, and events, the oldest first, in which a text stands."""
        findings = self._sorted().findings
        if not text:
            return findings, list(self.events)
        wanted = text.casefold()
        found = [one for one in findings if wanted in _words(one)]
        return found, [one for one in self.events if wanted in one.text.casefold()]

    def _sorted(self) -> _Sorted:
        """Kept until a finding comes or goes: a flood of them is drawn ten times a second."""
        if self._order is None:
            findings = sorted(
                self.findings.values(), key=lambda one: (-SEVERITIES.index(one["severity"]), one["path"], one["rule"])
            )
            worst: dict[str, int] = {}
            for one in reversed(findings):
                worst[_group(section_of(one["path"]))] = SEVERITIES.index(one["severity"])
            self._order = _Sorted(findings, worst)
        return self._order

    # What the kinds of lines say

    def _ready(self, line: Line, now: float) -> None:
        self.backend, self.watches = str(line.get("backend", "")), int(line.get("watched", 0))
        self._role(line, now)

    def _role(self, line: Line, now: float) -> None:
        self.role = str(line.get("role", ""))

    def _looked(self, line: Line, now: float) -> None:
        self.looked_at, self.gap = now, None
        self.sections = {
            name: Section(name, int(one.get("files", 0)), one.get("records"), str(one.get("changed") or ""))
            for name, one in line.get("sections", {}).items()
        }

    def _changed(self, line: Line, now: float) -> None:
        self.changes += 1
        self._changes += 1
        name = section_of(str(line.get("path", "")))
        section = self.sections.setdefault(name, Section(name))
        section.files += {"new": 1, "removed": -1}.get(str(line.get("change")), 0)
        section.changed = max(section.changed, str(line.get("ts", "")))

    def _finding(self, line: Line, now: float) -> None:
        finding = line["finding"]
        self.findings[finding["fingerprint"]] = finding
        self._order = None

    def _resolved(self, line: Line, now: float) -> None:
        self.findings.pop(line["fingerprint"], None)
        self._order = None

    def _gap(self, line: Line, now: float) -> None:
        self.gap = str(line.get("from")), str(line.get("to"))

    def _health(self, line: Line, now: float) -> None:
        self.score, self.word = line.get("score"), str(line.get("status", UNKNOWN))

    def _stopped(self, line: Line, now: float) -> None:
        self.stopped = str(line.get("reason", "")) or "no reason given"

    def _told(self, line: Line) -> None:
        kind, when = str(line.get("type")), str(line.get("ts", ""))
        text = str(line.get("text", "")) if kind == "note" else watched(line).removeprefix(clock_time(when)).lstrip()
        severity = str((line.get("finding") or line).get("severity", ""))
        style = _KINDS.get(kind, STYLES.get(severity, ""))
        if not text:
            return  # what only programs want
        self.count += 1
        self.events.append(Event(self.count, when[11:19], escape_text(text), style))


def section_of(path: str) -> str:
    """The section that a file of a bank belongs to; `bank` is the bank itself."""
    if not path:
        return "bank"
    where = layout.STRAY if "/" in path else layout.place_in(path)("x.json")  # perhaps a section's own directory
    return (layout.place(path) if where is layout.STRAY else where).section


def span(seconds: float) -> str:
    """A length of time in one unit: `4 s`, `12 min`, `3 h`, `5 d`."""
    value = max(seconds, 0.0)
    for unit, size in (("s", 60.0), ("min", 60.0), ("h", 48.0)):
        if value < size:
            return f"{value:.0f} {unit}"
        value /= size if unit != "h" else 24.0
    return f"{value:.0f} d"


def _group(section: str) -> str:
    return "accounts" if layout.account_of(section) else section


def _words(finding: dict[str, Any]) -> str:
    names = ("severity", "rule", "name", "path", "message")
    return " ".join(str(finding.get(name, "")) for name in names).casefold()
