"""Sudden loss: whether a snapshot would hold so much less than the last good one that it must not take its place.

It is held against the newest good snapshot, and against the oldest good one of the week before that: so a bank that
loses a little less than what is noticed with every backup is noticed too. What somebody asked for does not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import timedelta

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


def sudden_loss(bank: Bank, snapshots: Snapshots, files: int, records: int) -> list[str]:
    """Reasons to call a snapshot of so many files and records suspect; none where there is no good one before it."""
    good = [one for one in snapshots.newest_first() if is_good(one)]
    if not good:
        return []
    newest = _Reference(bank, snapshots, good[0])
    reasons = [*newest.fewer(files, records, SHARE), *newest.emptied(), *newest.forgotten_messages()]
    oldest = _oldest_of_the_week(good)
    if reasons or oldest is good[0]:
        return reasons
    return _Reference(bank, snapshots, oldest).fewer(files, records, EROSION_SHARE)


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
        asked = (line for line in lines if line.op in WANTED and line.core.get("reason") != "repair")
        return {row[0]: row[1] for line in asked for row in line.core["files"]}

    def fewer(self, files: int, records: int, share: float) -> list[str]:
        """Whether more than this share of the files or records is gone."""
        counts = (("files", self.document.files, files), ("records", self.document.records, records))
        if not any(_is_loss(before, before - now, share) for _, before, now in counts):
            return []
        meant = dict(zip(("files", "records"), self._meant(), strict=True))
        return [
            f"{lost:,} of {before:,} {name} are gone since snapshot {self.document.id}"
            for name, before, now in counts
            if _is_loss(before, lost := before - now - meant[name], share)
        ]

    def _meant(self) -> tuple[int, int]:
        """How many files and records it has and the bank has no more because somebody said so."""
        files = records = 0
        patterns = self.bank.settings["exclude"]
        for entry in trees.files(self.blobs, self.document.root, _passed_over):
            excluded = layout.is_excluded(entry.path, patterns)
            if entry.path not in self.wanted and not excluded:
                continue
            there = not excluded and self.bank.root.stat(entry.path) is not None
            seen = self.bank.catalog.row(entry.path).seen if there else None
            if not excluded and self.wanted[entry.path] != (seen.sha if seen else None):
                continue  # it was lost, or changed, after that
            files += seen is None
            records += max(0, self._records(entry) - (seen.records if seen else 0))
        return files, records

    def lost(self, scope: Scope) -> Iterator[Change]:
        """Each file that is gone, or has fewer records, as a change that nobody asked for yet."""
        for entry in trees.files(self.blobs, self.document.root, _passed_over):
            row = self.bank.catalog.row(entry.path)
            seen = row.seen if self.bank.root.stat(entry.path) is not None else None
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
                account = layout.account_of(entry.path)
                what = f"account {account}" if account else f"section {entry.path}"
                yield f"{what} is empty; snapshot {self.document.id} has files there"

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

    def forgotten_messages(self) -> Iterator[str]:
        """Accounts whose history says that it has much less messages than it had, or none."""
        for top in self._top():
            account = layout.account_of(top.path)
            path = layout.account_file(account, "whole_history") if account else ""
            row = self.bank.catalog.row(path)
            sha = row.seen.sha if row.seen and self.bank.root.stat(path) is not None else None
            if not account or path in self.wanted or not _has_files(self.bank, top.path):
                continue
            if row.expected is not None and row.expected.sha != sha:
                continue  # that is damage, and the last good version stands in the snapshot
            before = self._messages_before(path, row.seen if sha else None)
            now = self._messages(self.bank.root.content(path) or b"{}", path) if before else 0
            if _is_loss(before, before - now, SHARE) or (before and not now):
                yield f"{before - now:,} of {before:,} messages of account {account} are gone since {self.document.id}"

    def _messages_before(self, path: str, seen: Seen | None) -> int:
        """How many messages it has of an account whose history is another one now."""
        with suppress(Damaged):
            entry = trees.find(self.blobs, self.document.root, path)
            if isinstance(entry, trees.FileEntry) and not _is_same(entry, seen):
                return self._messages(trees.read_file(self.blobs, entry), path)
        return 0

    def _messages(self, data: bytes, path: str) -> int:
        """What a history says of itself; of one that an agent wrote, how many records it has."""
        try:
            value = loads(data)
        except FlawedJSON:
            return 0
        total = value.get("total") if isinstance(value, dict) else None
        return total if type(total) is int else self.examiner.memory(data, layout.place(path)).records


def _is_loss(before: int, lost: int, share: float) -> bool:
    return lost >= LEAST and lost > before * share


def _is_same(entry: trees.FileEntry, seen: Seen | None) -> bool:
    """Whether a history need not be read: it is the one it was, or a large one that did not shrink."""
    if seen is None or entry.good is None or len(entry.good) == 1:
        return seen is not None and entry.good == (seen.sha,)
    return entry.size <= seen.size  # of several blobs there is no digest of the whole


def _passed_over(_path: str, _error: MemorybankError) -> None:
    """A tree that cannot be read: what it held counts as lost, which at worst makes a snapshot suspect."""


def _has_files(bank: Bank, directory: str) -> bool:
    if not bank.root.is_dir(directory):
        return False
    try:
        return any(listing.files for listing in bank.root.walk(directory))
    except PermissionError:
        return True  # what cannot be seen is not called gone
