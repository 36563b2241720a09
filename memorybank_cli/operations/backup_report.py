"""What a backup came to, or would."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from memorybank_cli.base.records import Finding
from memorybank_cli.base.words import counted, size
from memorybank_cli.snapshots.documents import Document

_IF_SUSPECT = "; next: memorybank rollback --dry-run, or memorybank accept PATH if it was wanted"


@dataclass(frozen=True)
class BackupReport:
    """The snapshot that was made, or would be."""

    document: Document | None
    """None for a rehearsal."""
    files: int
    bytes: int
    new_files: int
    """Files whose bytes the repository did not have."""
    new_bytes: int
    """Bytes that the repository grew by; an estimate in a rehearsal."""
    damaged: tuple[dict[str, str], ...]
    excluded: tuple[str, ...]
    findings: tuple[Finding, ...]
    repository: str
    seconds: float
    encrypted: bool = False
    changed_files: int | None = None
    """Of the new ones those of which the newest snapshot has another version; only in a rehearsal."""
    adopted_packs: int = 0
    """Packs that an interrupted run had finished."""

    def as_dict(self) -> dict[str, Any]:
        """The contract's fields."""
        made = self.document
        snapshot: dict[str, Any] = {
            "id": made.id if made else None,
            "time": made.time if made else None,
            "seq": made.seq if made else None,
            "status": made.status if made else None,
            "reasons": list(made.reasons) if made else [],
            "files": self.files,
            "bytes": self.bytes,
            "new_files": self.new_files,
            "changed_files": self.changed_files,
            "new_bytes": self.new_bytes,
            "adopted_packs": self.adopted_packs,
            "damaged": list(self.damaged),
            "excluded": list(self.excluded),
        }
        return {
            "snapshot": snapshot,
            "dry_run": made is None,
            "findings": [one.as_dict() for one in self.findings],
            "repository": self.repository,
            "encrypted": self.encrypted,
            "seconds": round(self.seconds, 3),
        }

    def exit_code(self) -> int:
        """1 when damage was held back, a file was unreadable, or the snapshot is suspect."""
        suspect = self.document is not None and self.document.status == "suspect"
        unreadable = any(one.rule in ("MB307", "MB130") for one in self.findings)
        return 1 if self.damaged or unreadable or suspect else 0

    def summary(self) -> str:
        """What was kept, and what deserves a look."""
        left = f"; {len(self.excluded):,} left out" if self.excluded else ""
        held = f"; {counted(len(self.damaged), 'damaged file')} beside the last good version" if self.damaged else ""
        if self.document is None:
            new = f"{self.new_files:,} new or changed, about {size(self.new_bytes)} to write"
            return (
                f"Would save {counted(self.files, 'file')}, {size(self.bytes)}: {new}{held}{left}; nothing was written"
            )
        new = f"{self.new_files:,} new or changed, {size(self.new_bytes)} written"
        adopted = f"; {counted(self.adopted_packs, 'pack')} of an interrupted run adopted" if self.adopted_packs else ""
        held += "; next: memorybank repair" if held else ""
        suspect = (
            f"; SUSPECT: {'; '.join(self.document.reasons)}{_IF_SUSPECT}" if self.document.status == "suspect" else ""
        )
        what = f"{counted(self.files, 'file')}, {size(self.bytes)} ({new})"
        return f"Snapshot {self.document.id}: {what}{adopted}{left}{held}{suspect}"
