"""What a backup came to, or would."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from itertools import product
from typing import Any

from memorybank_cli.base.records import Finding
from memorybank_cli.base.words import counted, size
from memorybank_cli.snapshots.documents import Document

_IF_WANTED = "memorybank accept PATH if it was wanted"
_SHOWN = 5
_MISSING = "MB111"


def held_back(damaged: Collection[dict[str, str]], lacking: Collection[str]) -> list[str]:
    """What is told of damaged and missing files; of those in `lacking` no good version is kept."""
    counts = Counter((one["rule"] == _MISSING, one["path"] in lacking) for one in damaged)
    return [_told(number, *what) for what in product((True, False), (False, True)) if (number := counts[what])]


def _told(number: int, missing: bool, lacking: bool) -> str:
    if not missing:
        return counted(number, "damaged file") + ("" if lacking else " beside the last good version")
    are = f"{counted(number, 'recorded file')} {'is' if number == 1 else 'are'} missing"
    if lacking:
        return f"{are}, and no good version is kept"
    return f"{are}; the snapshot keeps {'its last good version' if number == 1 else 'their last good versions'}"


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
    lacking: frozenset[str] = frozenset()
    """Damaged or missing files of which no good version is kept."""
    losses: tuple[str, ...] = ()
    """Why it is suspect, or would be."""

    def as_dict(self) -> dict[str, Any]:
        """The contract's fields."""
        made = self.document
        snapshot: dict[str, Any] = {
            "id": made.id if made else None,
            "time": made.time if made else None,
            "seq": made.seq if made else None,
            "status": "suspect" if self.losses else "good",
            "reasons": list(made.reasons if made else (*self.losses, *held_back(self.damaged, self.lacking))),
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
        """1 for damage held back, an unreadable file, a suspect snapshot, a damaged or lost repository."""
        unreadable = any(one.rule in ("MB307", "MB130") for one in self.findings)
        return 1 if self.damaged or unreadable or self.losses else 0

    def summary(self) -> str:
        """What was kept, and what deserves a look."""
        what = f"{counted(self.files, 'file')}, {size(self.bytes)}"
        new = counted(self.new_files, "new content")
        left = f"{len(self.excluded):,} left out" if self.excluded else ""
        if self.document is None:
            parts = [f"Would save {what}: {new}, about {size(self.new_bytes)} to write", left, *self._trouble()]
            return "; ".join(filter(None, [*parts, "nothing was written"]))
        adopted = f"{counted(self.adopted_packs, 'pack')} of an interrupted run adopted" if self.adopted_packs else ""
        made = f"Snapshot {self.document.id}: {what} ({new}, {size(self.new_bytes)} written)"
        gone = [one.message for one in self.findings if one.rule == "MB130" and not one.path]
        return "; ".join(filter(None, [made, adopted, left, *gone, *self._trouble()]))

    def warnings(self) -> list[str]:
        """What is said though somebody asked for quiet: trouble, where there is some."""
        trouble = self._trouble()
        found = [f"{one.severity} {one.rule} {one.path or 'the bank'}: {one.message}" for one in self.findings]
        if not trouble and not found:
            return []
        which = f"Snapshot {self.document.id}" if self.document else "The snapshot"
        lines = [f"{which}: {'; '.join(trouble)}"] if trouble else []
        for told in ([f"damaged {one['rule']} {one['path']}" for one in self.damaged], found):
            lines += told[:_SHOWN]
            if len(told) > _SHOWN:
                lines.append(f"... and {len(told) - _SHOWN:,} more (--json shows all)")
        return lines

    def _trouble(self) -> list[str]:
        """Why it is suspect, what was held back, and what to do next."""
        told = held_back(self.damaged, self.lacking)
        if not self.losses:
            return [*told, "next: memorybank repair"] if told else []
        cure = "memorybank repair, memorybank rollback --dry-run" if told else "memorybank rollback --dry-run"
        head = "SUSPECT" if self.document else "would be suspect"
        return [f"{head}: {'; '.join(self.losses)}", *told, f"next: {cure}, or {_IF_WANTED}"]
