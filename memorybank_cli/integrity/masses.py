"""Sudden change or loss of many recorded files: ransomware, a runaway agent, an `rm -r` in the wrong place.

Many findings that began within a short time are one trouble with one cure. Time is that of any clock that never runs
back; moments for people are RFC 3339.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

from memorybank_cli.base.names import quoted
from memorybank_cli.base.records import Finding
from memorybank_cli.base.words import counted

RULE = "MB117"
COVERED = frozenset(
    ("MB101", "MB102", "MB103", "MB104", "MB105", "MB106", "MB107", "MB108", "MB110", "MB111", "MB113", "MB114")
)
"""Findings of single files that a mass change stands for."""
REWRITTEN_SHARE = 0.5
"""Valid changes are what agents are there for: alone they count from this share of all files on."""
QUIET = 600.0
"""Seconds after the last of it when a mass change without open findings is over."""
NAMED = 3
_WORDS = {"MB111": "gone", "removed": "gone", "MB110": "changed", "MB113": "changed", "changed": "rewritten"}


class Mass(NamedTuple):
    """What happened: to how many files, since when, and how."""

    since: str
    paths: dict[str, str]
    """By path a rule, or `removed` or `changed` for what was adopted."""
    known: int


class Masses:
    """Counts what happens to recorded files; `most` of 0 counts nothing."""

    def __init__(self, most: int, share: float, seconds: float) -> None:
        self._most, self._share, self._seconds = most, share, seconds
        self._window: deque[tuple[float, str, str, str]] = deque()
        self._last = 0.0
        self.mass: Mass | None = None
        self.wrong: set[str] = set()
        """Paths that a mass change stands for, and about which there is still a finding."""

    def note(self, happened: Iterable[tuple[str, str]], known: Callable[[], int], now: float, moment: str) -> None:
        """Recorded files to which something happened: path and rule, `removed` or `changed`.

        `known` counts all recorded files; it is asked only where so many are not few.
        """
        if not self._most:
            return
        while self._window and self._window[0][0] < now - self._seconds:
            self._window.popleft()
        before = len(self._window)
        self._window.extend((now, moment, path, what) for path, what in happened)
        if len(self._window) == before:
            return
        if self.mass is not None:
            self._last = now
            self.mass.paths.update((path, what) for _, _, path, what in list(self._window)[before:])
        elif (paths := self._paths()) and len(paths) >= self._most and self._is_mass(paths, count := known()):
            self._last = now
            self.mass = Mass(self._window[0][1], paths, count)

    def is_part(self, finding: Finding) -> bool:
        """Whether a finding may be a part of a mass change, where those are looked for."""
        return bool(self._most) and finding.rule in COVERED

    def covers(self, finding: Finding) -> bool:
        """Whether the mass change that goes on stands for a finding."""
        return self.mass is not None and finding.rule in COVERED and finding.path in self.mass.paths

    def settle(self, now: float, stands: Callable[[str], bool]) -> None:
        """Let it be over when nothing is wrong any more, and all of it is undone or nothing was added for a while.

        `stands` says whether a file is recorded: one that was removed is back then.
        """
        if self.mass is None or self.wrong:
            return
        if now - self._last >= min(QUIET, 10 * self._seconds) or self._is_undone(self.mass, stands):
            self.mass = None
            self._window.clear()

    @staticmethod
    def _is_undone(mass: Mass, stands: Callable[[str], bool]) -> bool:
        return all(what != "changed" and (what != "removed" or stands(path)) for path, what in mass.paths.items())

    def finding(self) -> Finding | None:
        """MB117, while it lasts."""
        if self.mass is None:
            return None
        since, paths, known = self.mass
        counts = Counter(_WORDS.get(what, "damaged") for what in paths.values())
        how = ", ".join(f"{count:,} {word}" for word, count in counts.most_common())
        tops = {path.partition("/")[0] if "/" in path else "" for path in paths}
        top = tops.pop() if len(tops) == 1 else ""
        examples = ", ".join(sorted(paths)[:NAMED])
        message = f"{counted(len(paths), 'recorded file')} of {known:,} within a short time: {how}; {examples} …"
        within = f" --path {quoted(top)}" if top else ""
        return Finding(
            RULE, message, top, f"stop what does it, then memorybank rollback --at {since}{within} --dry-run"
        )

    def _paths(self) -> dict[str, str]:
        return {path: what for _, _, path, what in self._window}

    def _is_mass(self, paths: dict[str, str], known: int) -> bool:
        bad = sum(what != "changed" for what in paths.values())
        return (bad >= self._most and bad >= self._share * known) or (
            len(paths) >= self._most and len(paths) >= REWRITTEN_SHARE * known
        )
