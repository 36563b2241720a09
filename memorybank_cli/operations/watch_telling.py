"""What `watch` says: each change and each finding once, what is gone, and the health that follows from it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Protocol, TypeVar

from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.scan import Change, Scan
from memorybank_cli.base import clock
from memorybank_cli.base.records import Finding
from memorybank_cli.health.score import score
from memorybank_cli.integrity import corruption
from memorybank_cli.integrity.masses import Mass, Masses
from memorybank_cli.integrity.permissions import GROUP, MODE, OWNER
from memorybank_cli.operations.changed_records import ChangedRecords

Line = dict[str, Any]
FEW = 20
"""Of so many changes at once the records are told, too."""
PERMISSIONS = (OWNER, MODE, GROUP)


class Placed(Protocol):
    """What is about a file."""

    @property
    def path(self) -> str:
        """Its path in the bank."""


T = TypeVar("T", bound=Placed)


@dataclass(frozen=True)
class Seen:
    """What a look came to: at `paths`, or at the whole bank where they are None."""

    scan: Scan
    findings: list[Finding]
    paths: frozenset[str] | None = None
    unsettled: frozenset[str] = frozenset()
    """Files that are being written: nothing is said of them yet."""
    beside: list[Finding] = field(default_factory=list)
    """Those findings that do not come from looking at files one by one."""
    permissions: bool = True
    """Whether permissions were looked at."""

    @property
    def is_whole(self) -> bool:
        """Whether it was a look at everything."""
        return self.paths is None

    def settled(self, things: Iterable[T]) -> list[T]:
        """Those that are not about files that are being written."""
        return [one for one in things if one.path not in self.unsettled] if self.unsettled else list(things)

    def about(self, finding: Finding) -> bool:
        """Whether this look would have found it, if it were still there."""
        if finding.path in self.unsettled:
            return False
        if self.paths is None:
            return True
        if finding.rule in PERMISSIONS:
            return self.permissions and finding.path in self.paths
        return self.covers(finding.path)

    def covers(self, path: str) -> bool:
        """Whether a path was looked at."""
        if self.paths is None or path in self.paths:
            return True
        return any(above in self.paths for above in parents(path))


@dataclass(frozen=True)
class Told:
    """What there is to say after a look."""

    changed: Iterable[Line]
    """Made when they are asked for."""
    opened: list[Finding]
    resolved: list[Finding]
    damage: list[Finding]
    """Damage that was found, also where a mass change stands for it."""

    def lines(self) -> Iterator[Line]:
        """In the order in which they are said."""
        for one in self.opened:
            yield line("finding", path=one.path, finding=one.as_dict())
        yield from self.changed
        for one in self.resolved:
            yield line("resolved", path=one.path, rule=one.rule, fingerprint=one.fingerprint)


class Teller:
    """What was told so far. `open` holds the findings that were told and not resolved, by fingerprint."""

    def __init__(self, bank: Bank) -> None:
        self.bank = bank
        self.open: dict[str, Finding] = {}
        # Those of them that only a look at the whole bank finds: a look at some files neither tells nor resolves them.
        self._wide: set[str] = set()
        self._changes: dict[str, str | None] = {}
        self._health = ""
        self._records = ChangedRecords(bank)
        settings = bank.settings
        most, share, seconds = (settings[f"watch.mass_{name}"] for name in ("files", "share", "seconds"))
        self._masses = Masses(int(most), float(share), float(seconds))

    @property
    def mass(self) -> Mass | None:
        """The mass change that goes on."""
        return self._masses.mass

    def knows(self, *rules: str) -> bool:
        """Whether a finding of one of these rules is open."""
        return any(one.rule in rules for one in self.open.values())

    def adopted(self, paths: Iterable[str]) -> None:
        """These changes are recorded: the same content again would be news."""
        for path in paths:
            self._changes.pop(path, None)

    def tell(self, seen: Seen) -> Told:
        """What is new after a look, and what is gone."""
        moment, now = clock.now(), time.monotonic()
        fresh = self._fresh(seen.settled([*seen.scan.changes, *seen.scan.outside]))
        # Which records changed takes longer to find out than what is wrong, so that is said afterwards.
        lines = chain(list(self._short_lived(seen)), (self._changed(one, len(fresh) <= FEW) for one in fresh))
        found = {one.fingerprint: one for one in seen.settled(seen.findings)}
        damage = [one for name, one in found.items() if name not in self.open and one.rule in corruption.TYPES]
        happened: dict[str, str] = {one.path: one.pending for one in fresh if one.pending in ("removed", "changed")}
        happened |= {one.path: one.rule for name, one in found.items() if name not in self.open and self._counts(one)}
        self._masses.note(happened.items(), lambda: sum(self.bank.catalog.sections().values()), now, moment)
        found = self._gathered(seen, found, now)
        if seen.is_whole:
            self._wide = {one.fingerprint for one in seen.beside if not self._is_single(one)}
        if (mass := self._masses.finding()) is not None:
            found[mass.fingerprint] = mass
            self._wide.add(mass.fingerprint)
        return Told(lines, self._opened(found), self._resolved(seen, found), damage)

    def health(self, beside: Iterable[Finding]) -> Iterator[Line]:
        """The health as it is now with the findings of companions, where it is another than was told."""
        now = score([*self.open.values(), *beside])
        if self._health != f"{now.value} {now.word}":
            self._health = f"{now.value} {now.word}"
            yield line("health", score=now.value, status=now.word)

    def _fresh(self, changes: Iterable[Change]) -> list[Change]:
        """Changes that were not told."""
        fresh = []
        for change in changes:
            sha = change.seen.sha if change.seen else None
            if self._changes.get(change.path, "") != sha:
                self._changes[change.path] = sha
                fresh.append(change)
        return fresh

    def _changed(self, change: Change, with_records: bool) -> Line:
        sha = change.seen.sha if change.seen else None
        before = change.expected.sha if change.expected else None
        what = "removed" if sha is None else "new" if before is None else "changed"
        records = self._records.of(change) if with_records else None
        more = {"records": records} if records else {}
        return line("changed", path=change.path, change=what, before=before, after=sha, **more)

    def _short_lived(self, seen: Seen) -> Iterator[Line]:
        """Files that were told as new and went before anybody recorded them: no look can miss what nothing knows of."""
        waiting = {one.path for one in (*seen.scan.changes, *seen.scan.outside)} | seen.unsettled
        for path in [path for path in self._changes if path not in waiting and seen.covers(path)]:
            before = self._changes[path]
            if before is None or self.bank.catalog.row(path).expected is not None:
                del self._changes[path]
            elif self.bank.root.stat(path) is None:  # what came back meanwhile is looked at once more
                del self._changes[path]
                yield line("changed", path=path, change="removed", before=before, after=None)

    def _counts(self, finding: Finding) -> bool:
        """Whether it is about a file that was recorded, and may be a part of a mass change."""
        return self._masses.is_part(finding) and self.bank.catalog.row(finding.path).expected is not None

    def _gathered(self, seen: Seen, found: dict[str, Finding], now: float) -> dict[str, Finding]:
        """The findings without those that the mass change stands for; what was told stays told."""
        covered = [one for name, one in found.items() if name not in self.open and self._masses.covers(one)]
        wrong = {one.path for one in covered}
        self._masses.wrong = {path for path in self._masses.wrong if not seen.covers(path)} | wrong
        self._masses.settle(now, lambda path: self.bank.catalog.row(path).expected is not None)
        gone = {one.fingerprint for one in covered}
        return {name: one for name, one in found.items() if name not in gone}

    def _opened(self, found: dict[str, Finding]) -> list[Finding]:
        opened = []
        for name, finding in found.items():
            known = self.open.get(name)
            # What counts many records says another number after each: that is no news.
            if known is None or (known.message != finding.message and name not in self._wide):
                opened.append(finding)
        return opened

    def _resolved(self, seen: Seen, found: dict[str, Finding]) -> list[Finding]:
        """What is gone; `open` is what is there afterwards."""
        resolved = [
            known
            for name, known in self.open.items()
            if name not in found and seen.about(known) and (seen.is_whole or name not in self._wide)
        ]
        for one in resolved:
            del self.open[one.fingerprint]
        self.open |= found
        return resolved

    def _is_single(self, finding: Finding) -> bool:
        """Whether it is about the permissions of one file, at which a look at that file looks too."""
        return finding.rule in PERMISSIONS and self.bank.catalog.row(finding.path).expected is not None


def parents(path: str) -> Iterator[str]:
    """Every directory above a path, the nearest first."""
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def line(kind: str, **fields: Any) -> Line:
    """One line of the stream."""
    return {"type": kind, "ts": clock.now(), **fields}
