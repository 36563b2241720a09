"""Pruning: what no listed snapshot needs goes to the trash, and trash whose grace is over goes for good.

The order that no crash can break: marks, merged packs (read back), index, generation, dead packs into the trash.
Until a dead pack is moved everything stands twice; a run that was killed only leaves more for the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from memorybank_cli.base import clock, locks
from memorybank_cli.base.records import QUIET, Finding, Progress
from memorybank_cli.snapshots import documents, index, marking, trash
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.documents import Listing
from memorybank_cli.snapshots.marking import Marks
from memorybank_cli.snapshots.packing import PackWriter
from memorybank_cli.snapshots.packs import PACK_SIZE, Pack
from memorybank_cli.snapshots.repository import FULL, Repository, explained, pack_path
from memorybank_cli.snapshots.sealing import Damaged
from memorybank_cli.snapshots.trash import Bin

YOUNG_NS = 24 * 3600 * clock.SECOND_NS
MAX_UNUSED = 20
SMALL = 1 << 20
MANY = 16
_T = TypeVar("_T")


@dataclass
class Pruned:
    """What was done, or would be."""

    dry_run: bool
    now: bool = False
    """Nothing waits in the trash."""
    snapshots: int = 0
    """Whose needs were looked at."""
    packs: int = 0
    """That stand in the repository afterwards; in a rehearsal about so many."""
    removed: list[str] = field(default_factory=list)
    """Packs that went to the trash, or at once."""
    removed_bytes: int = 0
    repacked: list[str] = field(default_factory=list)
    """Those of them that held something needed, which was written anew."""
    written_bytes: int = 0
    young: int = 0
    """Packs with nothing that is needed, kept because they are not a day old."""
    rescued: list[str] = field(default_factory=list)
    """Packs that were taken back from the trash, because a snapshot needs them."""
    emptied: list[str] = field(default_factory=list)
    """Bins of the trash that went for good."""
    emptied_snapshots: int = 0
    """Forgotten snapshots in them, which cannot be brought back any more."""
    freed_bytes: int = 0
    leftovers: int = 0
    """Files that interrupted runs left."""
    findings: list[Finding] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON."""
        return {**vars(self), "findings": [one.as_dict() for one in self.findings]}


def prune(
    repo: Repository,
    *,
    now: bool = False,
    dry_run: bool = False,
    max_unused: int = MAX_UNUSED,
    without: Collection[str] = (),
    progress: Progress = QUIET,
    lock_timeout: float = locks.DEFAULT_TIMEOUT,
) -> Pruned:
    """Move dead packs to the trash, and remove trash whose grace is over; with `now` all of it, at once.

    A pack of which more than `max_unused` percent is not needed is written anew, as are small ones when there are many.
    `without` names snapshots that a dry run is to take for forgotten.
    Raises Refused where it is not known what a snapshot needs, OperationFailed, Locked.
    """
    with explained("cannot prune the repository"), repo.reading(lock_timeout) if dry_run else repo.alone(lock_timeout):
        listing = _listing(repo, without if dry_run else ())
        found = trash.bins(repo)
        blobs = Blobs(trash.with_trash(repo, found))
        plan = Plan(repo, blobs, marking.of_listing(blobs, listing, progress), found, max_unused)
        run = _Run(repo, plan, found, Pruned(dry_run, now, len(listing.documents)), progress)
        run.carry_out(trash.new_bin(listing.documents))
        return run.report


def _listing(repo: Repository, without: Collection[str]) -> Listing:
    """The snapshots as if some were forgotten."""
    found = documents.listing(repo)
    return Listing(
        tuple(one for one in found.documents if one.id not in without),
        tuple(one for one in found.findings if one.pointer.rpartition("/")[2] not in without),
    )


def with_room(repo: Repository, step: Callable[[], _T]) -> _T:
    """Do a step; where the disk is full, with the room of the reserve, or else of the index. Raises OSError."""
    for make_room in (repo.release_reserve, partial(index.drop, repo)):
        try:
            return step()
        except OSError as error:
            if error.errno not in FULL:
                raise
        make_room()
    return step()


class Plan:
    """Which packs are dead, which are to be written anew, and which have to come back from the trash."""

    def __init__(self, repo: Repository, blobs: Blobs, marks: Marks, found: list[Bin], max_unused: int) -> None:
        self.marks, self.blobs = marks, blobs
        self.stored = repo.stored_packs()
        self.dead: list[str] = []
        self.repack: list[str] = []
        self.young: list[str] = []
        self.needed: dict[str, dict[int, list[str]]] = {}
        """By pack and frame the needed blobs that are read from there."""
        self.findings = list(blobs.findings)
        self._choose_copies()
        self.rescue = {name: one for one in found for name in one.packs if name in self.needed}
        self.rescue = {name: one for name, one in self.rescue.items() if name not in self.stored}
        self._judge(max_unused)

    def _choose_copies(self) -> None:
        """Of each needed blob one copy; where there are several, one that was read."""
        index = self.blobs.index
        several: dict[str, list[int]] = {}
        for name in (*self.marks.trees, *self.marks.files):
            if name in index.copies:
                several[name] = sorted(index.places(name), key=self._is_in_trash)
            elif name in index.where:  # else it is lost already; `snapshot verify` names whom it hits
                self._need(name, index.where[name])
        # In the order in which they stand: else nearly every blob would have its frame read once more.
        for name, places in sorted(several.items(), key=lambda item: item[1][0]):
            for chosen in self._first_good(name, places):
                self._need(name, chosen)

    def _is_in_trash(self, place: int) -> bool:
        return self.blobs.index.frames[place].pack not in self.stored

    def _need(self, name: str, place: int) -> None:
        frame = self.blobs.index.frames[place]
        self.needed.setdefault(frame.pack, {}).setdefault(frame.number, []).append(name)

    def _first_good(self, name: str, places: list[int]) -> list[int]:
        """The first copy that is good; all of them where none is."""
        return next(([place] for place in places if self.blobs.is_good(place, name)), places)

    def _judge(self, max_unused: int) -> None:
        now = clock.now_ns()
        small = []
        for name, pack in sorted(self.blobs.index.packs.items()):
            stored = self.stored.get(name)
            if stored is None:
                continue
            needed = self.needed.get(name)
            if stored.mtime_ns > now - YOUNG_NS:  # also one of the future
                self.young += [] if needed else [name]
            elif not needed:
                self.dead.append(name)
            elif self._unused(pack, needed) > max_unused:
                self.repack.append(name)
            elif pack.size < SMALL:
                small.append(name)
        if len(small) + len(self.repack) >= MANY:
            self.repack += small

    @staticmethod
    def _unused(pack: Pack, needed: dict[int, list[str]]) -> float:
        """How much of a pack nobody needs, in percent of its content."""
        total = used = 0
        for number, frame in enumerate(pack.frames):
            total += sum(frame.sizes)
            wanted = set(needed.get(number, ()))
            used += sum(size for name, size in zip(frame.ids, frame.sizes, strict=True) if name in wanted)
        return 100 * (total - used) / max(total, 1)


class _Run:
    """One prune under way, alone in the repository."""

    def __init__(self, repo: Repository, plan: Plan, found: list[Bin], report: Pruned, progress: Progress) -> None:
        self.repo, self.plan, self.found, self.report, self.progress = repo, plan, found, report, progress

    def carry_out(self, target: Bin) -> None:
        """Every step; in a dry run only what is known without it."""
        report, plan = self.report, self.plan
        report.findings += plan.findings
        report.young = len(plan.young)
        report.rescued = sorted(plan.rescue)
        over = [one for one in self.found if report.now or one.is_over(datetime.now(UTC))]
        report.emptied = [one.name for one in over]
        report.emptied_snapshots = sum(len(one.snapshots) for one in over)
        report.freed_bytes = sum(one.bytes for one in over) - sum(
            one.packs[name].size for name, one in plan.rescue.items() if one in over
        )
        if report.dry_run:
            anew = sum(plan.stored[name].size for name in plan.repack)
            self._count([*plan.dead, *plan.repack], plan.repack, -(-anew // PACK_SIZE))
            report.freed_bytes += report.removed_bytes if report.now else 0
            return
        for name, one in plan.rescue.items():
            trash.take_back(self.repo, one, "packs", name)
        for one in over:
            self._empty(one)
        report.leftovers = with_room(self.repo, self.repo.backend.clean)
        written, merged = self._repack()
        self._count([*plan.dead, *merged], merged, len(written))
        report.written_bytes = sum(pack.size for pack in written)
        if report.removed:
            self._take_away(target, written)
            if report.now:
                report.freed_bytes += report.removed_bytes
                self._empty(target)
        self.repo.keep_reserve()

    def _count(self, removed: list[str], repacked: list[str], written: int) -> None:
        self.report.removed, self.report.repacked = sorted(removed), sorted(repacked)
        self.report.removed_bytes = sum(self.plan.stored[name].size for name in removed)
        self.report.packs = len(self.plan.stored) + len(self.plan.rescue) + written - len(removed)

    def _empty(self, one: Bin) -> None:
        with_room(self.repo, partial(trash.empty, self.repo, one))

    def _repack(self) -> tuple[list[Pack], list[str]]:
        """What was written, and the packs that it stands for; none where there is no room for that now."""
        writer = PackWriter(self.repo, {})
        merged: list[str] = []
        self.progress.start("writing packs anew", len(self.plan.repack))
        try:
            for name in self.plan.repack:
                if self._copy(name, writer):
                    merged.append(name)
                self.progress.advance()
            return writer.finish(), merged
        except OSError as error:
            if error.errno not in FULL:
                raise
            self.progress.note("there is no room to write packs anew; another prune does that when there is")
            for name in self.repo.packs().keys() - self.plan.stored.keys() - self.plan.rescue.keys():
                self.repo.backend.remove(pack_path(name))  # nobody else writes, so they are of this run
            return [], []
        finally:
            writer.give_up()
            self.progress.finish()

    def _copy(self, name: str, writer: PackWriter) -> bool:
        """Write the needed blobs of a pack anew; False where one cannot be read, so that the pack has to stay."""
        whole = True
        for _, needed in sorted(self.plan.needed[name].items()):
            for blob in needed:
                try:
                    data = self.plan.blobs.get(blob)
                except Damaged as error:
                    if whole:
                        self.report.findings.append(index.damaged_pack(name, error.message))
                    whole = False
                    continue
                if blob in self.plan.marks.trees:
                    writer.add_tree(data)
                else:
                    writer.add(data)
        return whole

    def _take_away(self, target: Bin, written: list[Pack]) -> None:
        """From the index that no longer knows the dead packs to the last of them moved."""
        repo, known, gone = self.repo, self.plan.blobs.index, set(self.report.removed)
        stale = [name for name, packs in known.caches.items() if any(pack.name in gone for pack in packs)]
        for name in stale:
            del known.caches[name]
        there = (self.plan.stored.keys() | self.plan.rescue.keys()) - gone
        known.packs = {name: pack for name, pack in known.packs.items() if name in there}
        try:
            index.write(repo, known, written)
        except OSError as error:  # it is a cache, and not worth the room of the reserve
            if error.errno not in FULL:
                raise
        with_room(repo, repo.next_generation)
        self.progress.start("moving packs to the trash", len(gone))
        for name in self.report.removed:
            with_room(repo, partial(trash.throw, repo, target, "packs", name))
            self.progress.advance()
        self.progress.finish()
        for name in stale:
            with_room(repo, partial(repo.backend.remove, f"index/{name}"))
