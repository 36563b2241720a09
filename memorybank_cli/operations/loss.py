"""Sudden loss: whether a snapshot would hold so much less than the last good one that it must not take its place.

It is held against the newest good snapshot, and against the oldest good one of the week before that: so a bank that
loses a little less than what is noticed with every backup is noticed too. Each section counts for itself too: fifty
trades are nothing beside a million messages. What somebody asked for does not count.
"""

from __future__ import annotations

import stat
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import NamedTuple

from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.examine import Examiner
from memorybank_cli.bank.rows import Seen
from memorybank_cli.bank.scan import Change
from memorybank_cli.base import clock
from memorybank_cli.base.errors import MemorybankError
from memorybank_cli.base.exact_json import FlawedJSON, loads
from memorybank_cli.operations.repositories import Snapshots
from memorybank_cli.operations.scope import Scope
from memorybank_cli.snapshots import trees
from memorybank_cli.snapshots.documents import Document
from memorybank_cli.snapshots.retention import is_good
from memorybank_cli.snapshots.sealing import Damaged

SHARE = 0.2
LEAST = 10
EROSION_SHARE = 0.5
EROSION_SPAN = timedelta(days=7)
WANTED = ("file.accepted", "restore.end")
WHOLE = ""
"""Stands for the whole bank among its top directories."""


class Amount(NamedTuple):
    """How much there is."""

    files: int
    records: int


def amounts(
    files: int, records: int, sections: Mapping[str, Iterable[int]] | None, missing: Mapping[str, int] | None = None
) -> dict[str, Amount]:
    """How much there is in all, under WHOLE, and by top directory; without `missing`: the records of files by path."""
    found = {name: [*pair] for name, pair in (sections or {}).items() if name}
    found[WHOLE] = [files, records]
    for path, lost in (missing or {}).items():
        for pair in filter(None, (found.get(WHOLE), found.get(path.partition("/")[0]))):
            pair[0] -= 1
            pair[1] -= lost
    return {name: Amount(*pair) for name, pair in found.items()}


def sudden_loss(bank: Bank, snapshots: Snapshots, now: Mapping[str, Amount], pending: Container[str] = ()) -> list[str]:
    """Reasons to call a snapshot of a bank that has so much suspect; none where there is no good one before it.

    `pending` are paths of changes that a backup would adopt first.
    """
    good = [one for one in snapshots.newest_first() if is_good(one)]
    if not good:
        return []
    newest = _Reference(bank, snapshots, good[0])
    reasons = [*newest.fewer(now, SHARE), *newest.emptied(), *newest.forgotten_messages(pending)]
    oldest = _oldest_of_the_week(good)
    if reasons or oldest is good[0]:
        return reasons
    return _Reference(bank, snapshots, oldest).fewer(now, EROSION_SHARE)


def told_losses(bank: Bank, paths: Iterable[str]) -> Iterator[Change]:
    """What is gone, or holds fewer records, below some paths since the good snapshot that the suspect last one names.

    A backup adopts what agents do to their own files, so that nothing else would wait there to be accepted.
    """
    snapshots = Snapshots(bank, look=True)
    try:
        found = snapshots.newest_first()
        good = next((one for one in found if is_good(one)), None)
        if snapshots.trouble:
            bank.context.progress.note(f"losses that a snapshot names could not be looked for: {snapshots.trouble}")
        if good is not None and max(found, key=lambda one: one.order).status == "suspect":
            yield from _Reference(bank, snapshots, good).lost(Scope(paths))
    finally:
        snapshots.close()


def _oldest_of_the_week(good: list[Document]) -> Document:
    """The last of these, newest first, whose time is believable and at most a week before that of the first."""
    end = clock.parse(good[0].time)
    return [one for one in good if timedelta() <= end - clock.parse(one.time) <= EROSION_SPAN][-1]


class _Reference:
    """A good snapshot that the bank is held against."""

    def __init__(self, bank: Bank, snapshots: Snapshots, document: Document) -> None:
        self.bank, self.blobs, self.document = bank, snapshots.blobs, document
        self.examiner = Examiner(bank.registry)
        self.wanted = self._wanted()

    def _wanted(self) -> dict[str, str | None]:
        """What somebody asked for since: the digest by path, None for a file that was to go."""
        lines = self.bank.journal.lines(self.document.seq, tuple(f'"{op}"'.encode() for op in WANTED))
        asked = (line.core for line in lines if line.op in WANTED)
        by_hand = (core for core in asked if core.get("reason") != "repair" and "shown" not in core)  # none of `repair`
        return {row[0]: row[1] for core in by_hand for row in core["files"]}

    def fewer(self, now: Mapping[str, Amount], share: float) -> list[str]:
        """Whether more than this share of the files or records is gone, of the bank or of a section."""
        made = self.document
        before = amounts(made.files, made.records, made.sections)
        lost = {name: _difference(had, now.get(name, Amount(0, 0))) for name, had in before.items()}
        if not any(
            _is_loss(*pair, share) for name, had in before.items() for pair in zip(had, lost[name], strict=True)
        ):
            return []
        for name, meant in self._meant().items():
            if name in lost:
                lost[name] = _difference(lost[name], meant)
        return [reason for kind in (0, 1) for reason in self._told(kind, before, lost, share)]

    def _told(self, kind: int, before: Mapping[str, Amount], lost: Mapping[str, Amount], share: float) -> Iterator[str]:
        """The reason about files (0) or records (1): of the bank with the sections in brackets, or of each section."""
        noun, since = Amount._fields[kind], f"are gone since snapshot {self.document.id}"
        of = {name: f"{lost[name][kind]:,} of {before[name][kind]:,}" for name in before}
        sections = [
            name
            for name in sorted(before)
            if name != WHOLE
            and _has_files(self.bank, name)  # `emptied` tells of the others
            and not (kind and layout.account_of(name))  # `forgotten_messages` tells
            and not (kind and _is_loss(before[name].files, lost[name].files, share))  # they went with the files
            and _is_loss(before[name][kind], lost[name][kind], share)
        ]
        if _is_loss(before[WHOLE][kind], lost[WHOLE][kind], share):
            where = ", ".join(f"{of[name]} in {_titled(name)}" for name in sections)
            yield f"{of[WHOLE]} {noun} {since}{f' ({where})' if where else ''}"
        else:
            yield from (f"{of[name]} {noun} of {_titled(name)} {since}" for name in sections)

    def _meant(self) -> dict[str, Amount]:
        """How much it has and the bank has no more because somebody said so, in all and by top directory."""
        found = {WHOLE: [0, 0]}
        patterns = self.bank.settings["exclude"]
        for entry in trees.files(self.blobs, self.document.root, _passed_over):
            excluded = layout.is_excluded(entry.path, patterns)
            if entry.path not in self.wanted and not excluded:
                continue
            there = not excluded and _is_there(self.bank, entry.path)
            seen = self.bank.catalog.row(entry.path).seen if there else None
            if not excluded and self.wanted[entry.path] != (seen.sha if seen else None):
                continue  # it was lost, or changed, after that
            fewer = max(0, self._records(entry) - (seen.records if seen else 0))
            for name in {WHOLE, entry.path.partition("/")[0]}:
                pair = found.setdefault(name, [0, 0])
                pair[0] += seen is None
                pair[1] += fewer
        return {name: Amount(*pair) for name, pair in found.items()}

    def lost(self, scope: Scope) -> Iterator[Change]:
        """Each file that is gone, or has fewer records, as a change that nobody asked for yet."""
        for entry in trees.files(self.blobs, self.document.root, _passed_over):
            row = self.bank.catalog.row(entry.path)
            seen = row.seen if _is_there(self.bank, entry.path) else None
            sha = seen.sha if seen else None
            if not scope.has(entry.path) or entry.good == (sha,) or self.wanted.get(entry.path, "") == sha:
                continue
            if sha != (row.expected.sha if row.expected else None):
                continue  # damage, which is repaired and not accepted
            if seen is None or seen.records < self._records(entry):
                yield Change(entry.path, "changed" if seen else "removed", layout.place(entry.path), row.expected, seen)

    def _records(self, entry: trees.FileEntry) -> int:
        try:
            return self.examiner.memory(trees.read_file(self.blobs, entry), layout.place(entry.path)).records
        except Damaged:
            return 0

    def emptied(self) -> Iterator[str]:
        """Directories of the bank itself that had files and have none."""
        for entry in self._top():
            if not _has_files(self.bank, entry.path) and self._had_files(entry):
                yield f"{_titled(entry.path)} is empty; snapshot {self.document.id} has files there"

    def _top(self) -> list[trees.DirectoryEntry]:
        with suppress(Damaged):
            return trees.read(self.blobs, trees.DirectoryEntry("", 0, 0, self.document.root)).directories
        return []

    def _had_files(self, top: trees.DirectoryEntry) -> bool:
        """Whether there is a file in it that nobody wanted to go."""
        found = (
            f"{top.path}/{file.path}"
            for level in trees.walk(self.blobs, top.tree, _passed_over)
            for file in level.files
        )
        return any(self.wanted.get(path, "") is not None for path in found)

    def forgotten_messages(self, pending: Container[str]) -> Iterator[str]:
        """Accounts whose history says that it has much less messages than it had, or none."""
        for top in self._top():
            account = layout.account_of(top.path)
            path = layout.account_file(account, "whole_history") if account else ""
            row = self.bank.catalog.row(path)
            sha = row.seen.sha if row.seen and _is_there(self.bank, path) else None
            if not account or path in self.wanted or not _has_files(self.bank, top.path):
                continue
            if row.expected is not None and row.expected.sha != sha and path not in pending:
                continue  # that is damage, and the last good version stands in the snapshot
            before = self._messages_before(path, row.seen if sha else None)
            now = self._messages_now(path, before) if before else 0
            if _is_loss(before, before - now, SHARE) or (before and not now):
                yield f"{before - now:,} of {before:,} messages of account {account} are gone since {self.document.id}"

    def _messages_before(self, path: str, seen: Seen | None) -> int:
        """How many messages it has of an account whose history is another one now."""
        with suppress(Damaged):
            entry = trees.find(self.blobs, self.document.root, path)
            if isinstance(entry, trees.FileEntry) and not _is_same(entry, seen):
                return self._messages(trees.read_file(self.blobs, entry), path)
        return 0

    def _messages_now(self, path: str, before: int) -> int:
        try:
            return self._messages(self.bank.root.content(path) or b"{}", path)
        except PermissionError:
            return before  # what cannot be seen is not called gone

    def _messages(self, data: bytes, path: str) -> int:
        """What a history says of itself; of one that an agent wrote, how many records it has."""
        try:
            value = loads(data)
        except FlawedJSON:
            return 0
        total = value.get("total") if isinstance(value, dict) else None
        return total if type(total) is int else self.examiner.memory(data, layout.place(path)).records


def _titled(directory: str) -> str:
    account = layout.account_of(directory)
    return f"account {account}" if account else f"section {directory}"


def _difference(one: Amount, other: Amount) -> Amount:
    return Amount(one.files - other.files, one.records - other.records)


def _is_loss(before: int, lost: int, share: float) -> bool:
    return lost >= LEAST and lost > before * share


def _is_same(entry: trees.FileEntry, seen: Seen | None) -> bool:
    """Whether a history need not be read: it is the one it was, or a large one that did not shrink."""
    if seen is None or entry.good is None or len(entry.good) == 1:
        return seen is not None and entry.good == (seen.sha,)
    return entry.size <= seen.size  # of several blobs there is no digest of the whole


def _passed_over(_path: str, _error: MemorybankError) -> None:
    """A tree that cannot be read: what it held counts as lost, which at worst makes a snapshot suspect."""


def _is_there(bank: Bank, path: str) -> bool:
    try:
        return bank.root.stat(path) is not None
    except PermissionError:
        return True  # what cannot be seen is not called gone


def _has_files(bank: Bank, directory: str) -> bool:
    if not bank.root.is_dir(directory):
        return False
    try:
        listings = bank.root.walk(directory)
        return any(one.files or any(stat.S_ISDIR(inner.mode) for inner in one.others) for one in listings)
    except PermissionError:
        return True  # what cannot be seen is not called gone
