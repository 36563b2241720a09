"""Verifying a repository: every tree and every blob there, every byte as it was written, and who is hit if not."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from memorybank_cli.base import clock, locks
from memorybank_cli.base.errors import UsageError
from memorybank_cli.base.records import QUIET, Finding, Progress, at_least
from memorybank_cli.base.words import counted
from memorybank_cli.snapshots import documents, pack_checks
from memorybank_cli.snapshots.backends import Stored
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.index import Index, damaged_pack
from memorybank_cli.snapshots.proofs import Proofs
from memorybank_cli.snapshots.repository import Repository, explained
from memorybank_cli.snapshots.tree_checks import Forest

_AGAIN = "memorybank backup stores again what the bank still has of it"
_ELSEWHERE = "all that snapshots need of it is stored elsewhere too; memorybank snapshot prune takes it away"


class Subset(NamedTuple):
    """Some of the packs: the `part`-th of `parts` by name, or the share that was read longest ago."""

    part: int = 0
    parts: int = 0
    percent: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Subset:
        """From `3/7` or `10%`. Raises UsageError."""
        first, slash, second = text.partition("/")
        if slash and first.isdecimal() and second.isdecimal() and 1 <= int(first) <= int(second) <= 10_000:
            return cls(int(first), int(second))
        number = text.removesuffix("%")
        if text.endswith("%") and number.replace(".", "", 1).isdecimal() and 0 < float(number) <= 100:
            return cls(percent=float(number))
        raise UsageError(f"'{text}' is no part of the packs", hint="3/7 is the third of seven parts, 10% a tenth")

    def of(self, names: Iterable[str], proofs: Proofs) -> list[str]:
        """The packs of this part; the same name is always in the same n-th part."""
        if self.parts:
            return [name for name in names if int(name[:16], 16) % self.parts == self.part - 1]
        oldest_first = sorted(names, key=lambda name: (proofs.read.get(name, (0, 0, ""))[2], name))
        return oldest_first[: -int(-len(oldest_first) * self.percent // 100)]


@dataclass(frozen=True)
class Verified:
    """What was checked and what is wrong."""

    snapshots: int
    checked: int
    """Distinct trees and blobs that the snapshots need."""
    packs: int
    """Packs that were read, 0 without reading data."""
    bytes_read: int
    findings: tuple[Finding, ...]
    damaged_packs: frozenset[str]
    """Names for `saving.save(distrust=…)`, which stores again what the bank still has."""
    read_before: int = 0
    """Packs that an interrupted run had read already."""
    unread: int = 0
    """Packs that were not to be read, outside the subset or needed by no snapshot that was meant."""

    @property
    def ok(self) -> bool:
        """Whether nothing was found that is an error."""
        return not at_least(self.findings, "error")

    def exit_code(self) -> int:
        """1 when something is damaged."""
        return 0 if self.ok else 1

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON."""
        return {
            "ok": self.ok,
            "snapshots": self.snapshots,
            "checked": self.checked,
            "packs": self.packs,
            "read_before": self.read_before,
            "unread": self.unread,
            "bytes_read": self.bytes_read,
            "findings": [finding.as_dict() for finding in self.findings],
            "damaged_packs": sorted(self.damaged_packs),
        }


def verify(
    repo: Repository,
    ids: Iterable[str] | None = None,
    read_data: bool = False,
    progress: Progress = QUIET,
    *,
    subset: Subset | None = None,
    resume: bool = False,
    proofs: Proofs | None = None,
    lock_timeout: float = locks.DEFAULT_TIMEOUT,
) -> Verified:
    """Check all snapshots, or those that `documents.resolve` knows by `ids`: every tree, and that every blob is there.

    With `read_data` every byte of every pack (of those that `ids` need, of a `subset`) is read, hashed and unpacked,
    and each blob's digest compared; with `resume` not of those that an interrupted run has read, by its `proofs`.
    Raises SnapshotNotFound or UsageError for an id, OperationFailed, Locked.
    """
    known = Proofs() if proofs is None else proofs
    with explained("cannot verify the repository"), repo.reading(lock_timeout):
        listing = documents.listing(repo)
        chosen = listing.documents if ids is None else tuple(documents.resolve(repo, name) for name in ids)
        blobs = Blobs(repo)
        packs = _Packs(repo, blobs, known)
        forest = Forest(blobs, {})
        with closing(packs):
            if read_data and ids is None:  # a second process reads while this one looks at the trees
                packs.begin(None, subset, resume, progress)
            forest.check(chosen, progress)
            if read_data and ids is not None:
                packs.begin(_holding(blobs.index, forest.needed()), subset, resume, progress)
            packs.read(progress)
        if lost := packs.lost():
            forest = Forest(blobs, lost)
            forest.check(chosen, progress)
        hits = forest.findings(chosen)
        unread = listing.findings if ids is None else ()
        alone = _packs_alone(repo) if ids is None and not chosen and not unread else ()
        findings = [*alone, *unread, *_strangers(repo), *packs.findings(harmless=not hits and not unread), *hits]
    return replace(packs.report(), snapshots=len(chosen), checked=forest.checked, findings=tuple(findings))


def _holding(index: Index, names: Iterable[str]) -> set[str]:
    """The packs that hold these blobs, each copy of them."""
    return {index.frames[place].pack for name in names for place in index.places(name)}


def _packs_alone(repo: Repository) -> Iterable[Finding]:
    """Packs without any snapshot: a first backup was interrupted, or the snapshots were lost."""
    if count := len(repo.packs()):
        message = f"there {'are' if count > 1 else 'is'} {counted(count, 'pack')} and no snapshot"
        yield Finding("MB130", message, pointer="/snapshots", level="warning", hint="memorybank backup makes one")


def _strangers(repo: Repository) -> Iterable[Finding]:
    """What stands among the packs and is none."""
    for path in repo.strays():
        message = f"{path} is not a pack of this repository"
        yield Finding("MB130", message, pointer=f"/{path}", level="warning")


class _Packs:
    """The packs as they stand on the medium, and what reading some of them came to."""

    def __init__(self, repo: Repository, blobs: Blobs, proofs: Proofs) -> None:
        self._repo, self._index, self._proofs = repo, blobs.index, proofs
        self._present = repo.stored_packs()
        self._known = proofs.still_damaged(self._present)
        self._why = {finding.pointer.rpartition("/")[2]: finding.message for finding in blobs.findings}
        self._unusable = dict(zip(self._why, blobs.findings, strict=True))
        self._bad: dict[str, set[str]] = {}
        self._read = self._bytes = self._before = self._unread = 0
        self._todo: list[str] | None = None
        """What is to be read, None before it began."""
        self._whole = False
        self._batches: Iterator[list[str]] = iter(())
        self._reading: pack_checks.Reading | None = None

    def begin(self, needed: Collection[str] | None, subset: Subset | None, resume: bool, progress: Progress) -> None:
        """Have a second process begin to read every byte of those that are meant."""
        meant = sorted(self._present if needed is None else self._present.keys() & needed)
        meant = subset.of(meant, self._proofs) if subset else meant
        self._unread = len(self._present) - len(meant)
        self._todo = self._left(meant, resume, progress)
        self._proofs.forget_others(self._present)
        self._whole = needed is None and subset is None
        if self._whole and not (resume and self._proofs.begun):
            self._proofs.begun = clock.now()
        self._batches = pack_checks.batches({name: self._present[name].size for name in self._todo})
        self._next()

    def _next(self) -> None:
        self.close()
        batch = next(self._batches, None)
        self._reading = pack_checks.Reading(self._repo, self._index, batch) if batch else None

    def close(self) -> None:
        """Read no further."""
        if self._reading is not None:
            self._reading.end()
            self._reading = None

    def read(self, progress: Progress) -> None:
        """Read what was begun to its end, and keep what was read after each batch."""
        if self._todo is None:
            return
        proofs = self._proofs
        progress.start("reading packs", len(self._todo))
        try:
            while self._reading is not None:
                found = self._reading.results()
                for one in found:
                    self._take(one, self._present[one.name])
                self._next()
                proofs.keep(proofs)
                progress.advance(len(found))
        except KeyboardInterrupt:
            progress.note(_interrupted(self._read, len(self._todo), resumable=self._whole))
            raise
        proofs.begun = "" if self._whole else proofs.begun
        proofs.keep(proofs)
        progress.finish()

    def _left(self, meant: list[str], resume: bool, progress: Progress) -> list[str]:
        since = self._proofs.begun
        if not (resume and since):
            if since and len(meant) == len(self._present):
                progress.note(
                    f"a run that began at {since} was interrupted; with --resume it would go on, this one begins anew"
                )
            return meant
        todo = [name for name in meant if not self._proofs.is_read(name, self._present[name], since)]
        self._before = len(meant) - len(todo)
        progress.note(
            f"{self._before:,} of {counted(len(meant), 'pack')} were read since {since}; {len(todo):,} are left"
        )
        return todo

    def _take(self, one: pack_checks.Read, stored: Stored) -> None:
        self._read += 1
        self._bytes += one.size
        why = one.why or self._why.get(one.name, "")
        self._proofs.note(one.name, stored, clock.now(), why)
        if one.why and one.name not in self._why:
            self._why[one.name] = one.why
        for blob in one.lost:
            self._bad.setdefault(blob, set()).add(one.name)

    def lost(self) -> dict[str, str]:
        """Blobs of which no copy can be read, and why."""
        return {
            blob: f"pack {min(packs)[:12]} is damaged"
            for blob, packs in self._bad.items()
            if _holding(self._index, [blob]) <= packs
        }

    def findings(self, harmless: bool) -> list[Finding]:
        """One for each damaged pack; a warning where that was known and all that snapshots need is elsewhere too."""
        found = []
        for name, why in sorted(self._why.items()):
            one = self._unusable.get(name) or replace(damaged_pack(name, why), hint=_AGAIN)
            healed = harmless and name in self._known
            found.append(replace(one, level="warning", hint=_ELSEWHERE) if healed else one)
        return found

    def report(self) -> Verified:
        """What was read."""
        damaged = frozenset(self._why)
        return Verified(0, 0, self._read, self._bytes, (), damaged, self._before, self._unread)


def _interrupted(done: int, of: int, resumable: bool) -> str:
    text = f"interrupted: {done:,} of {counted(of, 'pack')} were read"
    return f"{text}; memorybank snapshot verify --read-data --resume goes on from there" if resumable else text
