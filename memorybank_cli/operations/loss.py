"""Sudden loss: whether a snapshot would hold so much less than the last good one that it must not take its place."""

from __future__ import annotations

from contextlib import suppress

from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.examine import Examiner
from memorybank_cli.base.errors import MemorybankError
from memorybank_cli.operations.repositories import Snapshots
from memorybank_cli.snapshots import trees
from memorybank_cli.snapshots.documents import Document
from memorybank_cli.snapshots.sealing import Damaged

SHARE = 0.2
LEAST = 10
WANTED = ("file.accepted", "restore.end")


def sudden_loss(bank: Bank, snapshots: Snapshots, reference: Document, files: int, records: int) -> list[str]:
    """Reasons to call a snapshot suspect, held against the newest good one; losses that were wanted don't count."""
    wanted = _wanted(bank, reference.seq)
    fewer_files, fewer_records = _wanted_losses(bank, snapshots, reference, wanted) if wanted else (0, 0)
    reasons = []
    for name, before, now, meant in (
        ("files", reference.files, files, fewer_files),
        ("records", reference.records, records, fewer_records),
    ):
        lost = before - now - meant
        if lost >= LEAST and lost > before * SHARE:
            reasons.append(f"{lost} of {before} {name} are gone since snapshot {reference.id}")
    reasons += [
        f"section {section} is empty; snapshot {reference.id} has files there"
        for section in layout.SECTIONS
        if not any(path.startswith(f"{section}/") and after is None for path, after in wanted.items())
        and not _has_files(bank, section)
        and _had_files(snapshots, reference, section)
    ]
    return reasons


def _wanted(bank: Bank, since: int) -> dict[str, str | None]:
    """What somebody asked for after a journal line: the digest by path, None for a file that was to go."""
    lines = (line for line in bank.journal.lines(since) if line.op in WANTED and line.core.get("reason") != "repair")
    return {row[0]: row[1] for line in lines for row in line.core["files"]}


def _wanted_losses(
    bank: Bank, snapshots: Snapshots, reference: Document, wanted: dict[str, str | None]
) -> tuple[int, int]:
    """How many files, and how many records, the reference has and the bank has no more because somebody said so."""
    examiner = Examiner(bank.registry)
    files = records = 0
    for entry in trees.files(snapshots.blobs, reference.root, _passed_over):
        if entry.path not in wanted:
            continue
        seen = bank.catalog.row(entry.path).seen if bank.root.stat(entry.path) is not None else None
        if wanted[entry.path] != (seen.sha if seen else None):
            continue  # it was lost, or changed, after that
        files += seen is None
        with suppress(Damaged):
            before = examiner.memory(trees.read_file(snapshots.blobs, entry), layout.place(entry.path)).records
            records += max(0, before - (seen.records if seen else 0))
    return files, records


def _passed_over(_path: str, _error: MemorybankError) -> None:
    """A tree that cannot be read: what it held counts as lost, which at worst makes a snapshot suspect."""


def _has_files(bank: Bank, section: str) -> bool:
    if not bank.root.is_dir(section):
        return False
    try:
        return any(listing.files for listing in bank.root.walk(section))
    except PermissionError:
        return True  # what cannot be seen is not called gone


def _had_files(snapshots: Snapshots, reference: Document, section: str) -> bool:
    try:
        entry = trees.find(snapshots.blobs, reference.root, section)
        if not isinstance(entry, trees.DirectoryEntry):
            return False
        return any(level.files for level in trees.walk(snapshots.blobs, entry.tree))
    except Damaged:
        return False
