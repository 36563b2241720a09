"""Sudden loss: whether a snapshot would hold so much less than the last good one that it must not take its place."""

from __future__ import annotations

from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.operations.repositories import Snapshots
from memorybank_cli.snapshots import trees
from memorybank_cli.snapshots.documents import Document
from memorybank_cli.snapshots.sealing import Damaged

SHARE = 0.2
LEAST = 10
WANTED = ("file.accepted", "restore.end")


def sudden_loss(bank: Bank, snapshots: Snapshots, reference: Document, files: int, records: int) -> list[str]:
    """Reasons to call a snapshot suspect, held against the newest good one; losses that were wanted don't count."""
    wanted = _wanted_losses(bank, reference.seq)
    reasons = []
    for name, before, now in (("files", reference.files, files), ("records", reference.records, records)):
        lost = before - now - wanted
        if lost >= LEAST and lost > before * SHARE:
            reasons.append(f"{lost} of {before} {name} are gone since snapshot {reference.id}")
    if not wanted:
        reasons += [
            f"section {section} is empty; snapshot {reference.id} has files there"
            for section in layout.SECTIONS
            if not _has_files(bank, section) and _had_files(snapshots, reference, section)
        ]
    return reasons


def _wanted_losses(bank: Bank, since: int) -> int:
    return sum(
        1
        for line in bank.journal.lines(since)
        if line.op in WANTED and line.core.get("reason") != "repair"
        for row in line.core["files"]
        if row[1] is None
    )


def _has_files(bank: Bank, section: str) -> bool:
    if not bank.root.is_dir(section):
        return False
    return any(listing.files for listing in bank.root.walk(section))


def _had_files(snapshots: Snapshots, reference: Document, section: str) -> bool:
    try:
        entry = trees.find(snapshots.blobs, reference.root, section)
        if not isinstance(entry, trees.DirectoryEntry):
            return False
        return any(level.files for level in trees.walk(snapshots.blobs, entry.tree))
    except Damaged:
        return False
