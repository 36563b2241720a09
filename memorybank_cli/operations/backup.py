"""Backup: the bank as it stands becomes a snapshot; a damaged file never displaces its last good version."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from typing import Annotated, Any

from memorybank_cli.bank import baseline
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.journal import Entry as JournalEntry
from memorybank_cli.bank.rows import SOUND, Seen
from memorybank_cli.bank.scan import Scan
from memorybank_cli.base.records import Finding
from memorybank_cli.base.words import counted, size
from memorybank_cli.operations.loss import sudden_loss
from memorybank_cli.operations.options import Option
from memorybank_cli.operations.repositories import Snapshots, repository_path
from memorybank_cli.operations.snapshot_rows import Source
from memorybank_cli.snapshots.documents import Document, Meta
from memorybank_cli.snapshots.repository import Repository
from memorybank_cli.snapshots.saving import Saved, Totals, save


@dataclass(frozen=True)
class BackupReport:
    """The snapshot that was made, or would be."""

    document: Document | None
    files: int
    bytes: int
    new_bytes: int
    damaged: tuple[dict[str, str], ...]
    excluded: tuple[str, ...]
    findings: tuple[Finding, ...]
    repository: str
    seconds: float

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
            "new_bytes": self.new_bytes,
            "damaged": list(self.damaged),
            "excluded": list(self.excluded),
        }
        return {
            "snapshot": snapshot,
            "findings": [one.as_dict() for one in self.findings],
            "repository": self.repository,
            "seconds": round(self.seconds, 3),
        }

    def exit_code(self) -> int:
        """1 when damage was held back, a file was unreadable, or the snapshot is suspect."""
        suspect = self.document is not None and self.document.status == "suspect"
        unreadable = any(one.rule in ("MB307", "MB130") for one in self.findings)
        return 1 if self.damaged or unreadable or suspect else 0

    def summary(self) -> str:
        """What was kept, and what deserves a look."""
        what = f"{counted(self.files, 'file')}, {size(self.bytes)} ({size(self.new_bytes)} new)"
        if self.document is None:
            return f"Would save {what}; {len(self.damaged)} damaged ones beside their last good version"
        held = (
            f"; {counted(len(self.damaged), 'damaged file')} beside the last good version; next: memorybank repair"
            if self.damaged
            else ""
        )
        suspect = f"; SUSPECT: {'; '.join(self.document.reasons)}" if self.document.status == "suspect" else ""
        return f"Snapshot {self.document.id}: {what}{held}{suspect}"


def backup(
    bank: Bank,
    *,
    repo: Annotated[str | None, Option("the repository; default: in the owner's data directory", metavar="DIR")] = None,
    tag: Annotated[tuple[str, ...], Option("a word to find the snapshot by", metavar="T")] = (),
    dry_run: Annotated[bool, Option("say what would be saved, write nothing", short="-n")] = False,
    verify: Annotated[bool, "check afterwards that every file of the snapshot can be had"] = True,
) -> BackupReport:
    """Make a snapshot.

    Unchanged files are not read again. What is written is read back. A damaged file stands in the
    snapshot with its last good version, the found bytes beside it.

    Exit codes:
        0  made, all good
        1  made, but damage was held back, a file could not be read, or it is suspect
        3  none was made

    Examples:
        memorybank backup
        memorybank backup --repo /mnt/backup/bank --tag before-upgrade
    """
    return make_snapshot(bank, repo, tag, dry_run=dry_run, verify=verify)


def make_snapshot(
    bank: Bank, repo: str | None, tags: tuple[str, ...], *, dry_run: bool = False, verify: bool = True
) -> BackupReport:
    """`backup`, for other operations too."""
    started = time.perf_counter()
    path = repository_path(bank, repo)
    if dry_run:
        from memorybank_cli.bank.scan import Scanner

        return _rehearsal(Scanner(bank, bank.context.progress).run(), path, started)
    bank.check_writable()
    bank.render()
    baseline.establish(bank, bank.context.progress)
    with Repository.create(path) as repository:
        return _save(bank, repository, tags, verify, started)


def _save(bank: Bank, repository: Repository, tags: tuple[str, ...], verify: bool, started: float) -> BackupReport:
    snapshots = Snapshots(bank, repository.path)
    try:
        source = Source(bank, snapshots)

        def describe(totals: Totals) -> Meta:
            return _meta(bank, snapshots, source, totals, tags)

        saved = save(repository, source.rows(), describe, bank.context.progress, lock_timeout=bank.lock_timeout)
    finally:
        snapshots.close()
    findings = [*source.findings, *saved.findings]
    if verify:
        from memorybank_cli.snapshots.verifying import verify as check

        findings += check(repository, [saved.document.id]).findings
    _record(bank, repository, saved)
    made = saved.document
    return BackupReport(
        made,
        made.files,
        made.bytes,
        saved.new_bytes,
        tuple(source.damaged),
        made.excluded,
        tuple(findings),
        repository.path,
        time.perf_counter() - started,
    )


def _record(bank: Bank, repository: Repository, saved: Saved) -> None:
    document = saved.document
    fields = {
        "snapshot": document.id,
        "digest": document.digest,
        "repository": repository.path,
        "at": [document.seq, document.checkpoint["hash"] if document.checkpoint else ""],
        "status": document.status,
    }
    bank.commit([JournalEntry("snapshot.created", fields)])


def _meta(bank: Bank, snapshots: Snapshots, source: Source, totals: Totals, tags: tuple[str, ...]) -> Meta:
    end = source.end
    newest = snapshots.newest_first()
    reference = next((one for one in newest if one.status == "good"), None)
    losses = sudden_loss(bank, snapshots, reference, totals.files, source.records) if reference else []
    reasons = list(losses)
    if source.damaged:
        reasons.append(f"{counted(len(source.damaged), 'damaged file')} beside the last good version")
    if totals.findings:
        reasons.append(f"{counted(len(totals.findings), 'file')} could not be read")
    return Meta(
        bank_id=bank.bank_id,
        seq=end.seq,
        checkpoint={"seq": end.seq, "hash": end.hash},
        parent=newest[0].id if newest else None,
        records=source.records,
        status="suspect" if losses else "good",
        reasons=tuple(reasons),
        excluded=tuple(source.excluded),
        tags=tags,
        host=socket.gethostname(),
    )


def _rehearsal(scan: Scan, path: str, started: float) -> BackupReport:
    damaged = tuple({"path": one.path, "rule": _rule_of(one.seen)} for one in scan.damaged if one.seen is not None)
    return BackupReport(None, scan.checked, scan.bytes, 0, damaged, (), (), path, time.perf_counter() - started)


def _rule_of(seen: Seen | None) -> str:
    return next((one.rule for one in seen.content if one.rule not in SOUND), "MB113") if seen else "MB111"
