"""Status: the document of spec 000, and what stands behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base.names import escape
from memorybank_cli.base.records import at_least
from memorybank_cli.base.words import counted
from memorybank_cli.health.score import Word, score
from memorybank_cli.health.status import counts
from memorybank_cli.operations.examining import examine, write_status
from memorybank_cli.operations.health import TONES
from memorybank_cli.operations.proofs import last_drill


@dataclass(frozen=True)
class StatusReport:
    """The status document of spec 000 and what stands behind it."""

    document: dict[str, Any]
    changes: tuple[dict[str, str], ...]
    head: dict[str, Any]
    score: int
    errors: int
    sections: dict[str, int]
    path: str
    bank_id: str
    last_drill: dict[str, Any]
    """Of the last restore drill `time`, `ok`, `snapshot`, `seconds` and `last_good`; {} where none was made."""
    snapshots_unknown: str = ""
    """Why the snapshots could not be looked at, '' where they were."""
    snapshots_elsewhere: str = ""
    """The repository of the last snapshot where the one that commands use by default has none."""
    counts: tuple[dict[str, Any], ...] = ()
    """How many findings there are of each `level` and `rule`; the document's alerts are the first of them only."""
    word: Word = "healthy"

    def as_dict(self) -> dict[str, Any]:
        """The contract's fields, and the bank's id, place, files by section, last drill, and health in one word."""
        return {
            **self.document,
            "changes": list(self.changes),
            "head": self.head,
            "score": self.score,
            "health": self.word,
            "errors": self.errors,
            "sections": self.sections,
            "path": self.path,
            "bank_id": self.bank_id,
            "last_drill": self.last_drill,
            "snapshots_unknown": self.snapshots_unknown,
            "snapshots_elsewhere": self.snapshots_elsewhere,
            "counts": list(self.counts),
        }

    @property
    def tone(self) -> str:
        """How the closing line is meant."""
        return TONES[self.word]

    def summary(self) -> str:
        """One line, and the next step."""
        document = self.document["memory_bank_status"]
        waiting = f", {counted(len(self.changes), 'change')} not recorded yet" if self.changes else ""
        saved = self.snapshots_unknown or document["integrity_checks"]["state"]["last_snapshot"]
        unsaved = self.changes or not saved
        quiet = all(one["level"] == "info" for one in document["alerts"])
        next_step = "backup" if unsaved and not self.errors else "log" if quiet else "validate"
        errors = counted(self.errors, "error")
        return f"{self.word} ({self.score} of 100), {errors}{waiting}. Next: memorybank {next_step}"


def status(bank: Bank) -> StatusReport:
    """Show how the bank is, and what changed.

    Exit codes:
        0  done, whatever is found

    Examples:
        memorybank status --json
    """
    found = examine(bank, writing=False)
    document, saved, end, now = write_status(bank, found), found.saved, bank.end, score(found.findings)
    return StatusReport(
        document,
        tuple({"path": one.path, "change": one.pending} for one in found.scan.changes),
        {"seq": end.seq, "hash": end.hash},
        now.value,
        sum(at_least([one], "error") for one in found.findings),
        dict(sorted(found.scan.by_section.items())),
        escape(bank.root.path),
        bank.bank_id,
        last_drill(bank),
        "" if saved.elsewhere else saved.trouble,
        saved.elsewhere,
        tuple(counts(found.findings)),
        now.word,
    )
