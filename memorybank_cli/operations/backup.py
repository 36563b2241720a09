"""Backup: the bank as it stands becomes a snapshot; a damaged file never displaces its last good version."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any

from memorybank_cli.bank import baseline, layout, versions
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.catalog import Row as CatalogRow
from memorybank_cli.bank.catalog import Seen
from memorybank_cli.bank.examine import Changing, Examiner
from memorybank_cli.bank.journal import Entry as JournalEntry
from memorybank_cli.bank.judge import judge
from memorybank_cli.bank.scan import Scan, judging_rules
from memorybank_cli.base import files
from memorybank_cli.base.names import unescape
from memorybank_cli.base.records import Finding
from memorybank_cli.base.walk import Entry, Listing
from memorybank_cli.operations.loss import sudden_loss
from memorybank_cli.operations.options import Option
from memorybank_cli.operations.repositories import Snapshots, repository_path
from memorybank_cli.snapshots import trees
from memorybank_cli.snapshots.documents import Document, Meta
from memorybank_cli.snapshots.repository import Repository
from memorybank_cli.snapshots.saving import Folder, Row, Saved, Totals, save
from memorybank_cli.snapshots.sealing import Damaged

BLOB_LIMIT = 4 << 20


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
        what = f"{self.files:,} files, {self.bytes:,} bytes ({self.new_bytes:,} new)"
        if self.document is None:
            return f"Would save {what}; {len(self.damaged)} damaged ones beside their last good version"
        held = (
            f"; {len(self.damaged)} damaged files stand beside their last good version: memorybank repair"
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
    bank.render()
    baseline.establish(bank, bank.context.progress)
    with Repository.create(path) as repository:
        return _save(bank, repository, tags, verify, started)


def _save(bank: Bank, repository: Repository, tags: tuple[str, ...], verify: bool, started: float) -> BackupReport:
    snapshots = Snapshots(bank, repository.path)
    try:
        source = _Source(bank, snapshots)

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


def _meta(bank: Bank, snapshots: Snapshots, source: _Source, totals: Totals, tags: tuple[str, ...]) -> Meta:
    end = source.end
    newest = snapshots.newest_first()
    reference = next((one for one in newest if one.status == "good"), None)
    losses = sudden_loss(bank, snapshots, reference, totals.files, source.records) if reference else []
    reasons = list(losses)
    if source.damaged:
        reasons.append(f"{len(source.damaged)} damaged files stand beside their last good version")
    if totals.findings:
        reasons.append(f"{len(totals.findings)} files could not be read")
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
    return next((one[0] for one in seen.content if one[0] != "MB201"), "MB113") if seen else "MB111"


class _Source:
    """The bank as a stream of rows for a snapshot: one walk, held against what the catalog knows."""

    def __init__(self, bank: Bank, snapshots: Snapshots) -> None:
        self.bank, self.snapshots = bank, snapshots
        self.end = bank.end
        self.examiner, self.judging = Examiner(bank.registry), judging_rules(bank)
        self.damaged: list[dict[str, str]] = []
        self.excluded: list[str] = []
        self.findings: list[Finding] = []
        self.records = 0

    def rows(self) -> Iterator[Row | Folder]:
        """Every directory and file that belongs into a snapshot."""
        for listing in self.bank.walk(inner=self.excluded):
            prefix = f"{listing.path}/" if listing.path else ""
            self._exclude(listing, prefix)
            if listing.path:
                info = os.fstat(listing.fd)
                yield Folder(listing.path, info.st_mode & 0o7777, info.st_mtime_ns)
            known = self.bank.catalog.rows(listing.path)
            for entry in listing.files:
                if layout.is_secret(entry.name):
                    continue
                row = self._row(prefix + entry.name, listing, entry, known.pop(entry.name, CatalogRow(None, None)))
                if row is not None:
                    yield row
            yield from self._missing(prefix, known)

    def _exclude(self, listing: Listing, prefix: str) -> None:
        names = [one.name for one in listing.others] + [one.name for one in listing.files if layout.is_secret(one.name)]
        names += [name for name in listing.hidden if not name.startswith(files.TEMPORARY)]
        self.excluded += [prefix + name for name in names if prefix + name != layout.PRIVATE]

    def _row(self, path: str, listing: Listing, entry: Entry, known: CatalogRow) -> Row | None:
        where = layout.place_in(listing.path)(entry.name)
        seen = known.seen
        if seen is None or (seen.mtime, seen.size, seen.inode) != (entry.mtime_ns, entry.size, entry.inode):
            try:
                seen = self.examiner.file(unescape(entry.name), listing.fd, where)
            except FileNotFoundError:
                return None
            except Changing:
                return self._last_good(path, entry, known, "MB307", None)
            except OSError as error:
                self.findings.append(Finding("MB307", f"cannot be read: {(error.strerror or '').lower()}", path))
                return self._last_good(path, entry, known, "MB307", None)
        rule = judge(path, where, known.expected, seen, self.judging).rule
        if rule:
            self.damaged.append({"path": path, "rule": rule})
            return self._last_good(path, entry, known, rule, seen)
        self.records += seen.records
        ids = (seen.sha,) if seen.size <= BLOB_LIMIT else None
        return Row(path, entry.mode & 0o7777, entry.mtime_ns, seen.size, lambda: self._content(path, seen), ids)

    def _content(self, path: str, seen: Seen) -> bytes:
        """The file's bytes; where they changed since they were looked at, the new ones must be good too."""
        from memorybank_cli.base import digests

        data = self.bank.root.read(path)
        if digests.of(data) == seen.sha:
            return data
        again = self.examiner.memory(data, layout.place(path))
        if not any(one[0] != "MB201" for one in again.content):
            return data
        good = self._good_content(path)
        if good is None:
            raise Changing(f"{path} is being written and has no good version yet")
        return good

    def _last_good(self, path: str, entry: Entry | None, known: CatalogRow, rule: str, seen: Seen | None) -> Row | None:
        """The last good version of a file with what was found beside it."""
        expected = known.expected if known.expected and known.expected.good else None
        older = next(self.snapshots.versions(path), None)
        found = (lambda: self.bank.root.read(path)) if seen is not None else None
        ids = (seen.sha,) if seen is not None and seen.size <= BLOB_LIMIT else None
        mode = entry.mode & 0o7777 if entry else expected.mode if expected else 0o600
        mtime = older[1].mtime_ns if older else entry.mtime_ns if entry else 0
        if expected is not None:
            data = versions.find(self.bank.journal, path, expected.sha, expected.seq)
            if data is not None:
                self.records += self._count(path, data)
                return Row(path, expected.mode, mtime, expected.size, lambda: data, (expected.sha,), found, ids, rule)
        if older is not None:
            entry_there = older[1]
            with suppress(Damaged):
                self.records += self._count(path, trees.read_file(self.snapshots.blobs, entry_there))
            return Row(path, entry_there.mode, mtime, entry_there.size, None, entry_there.good, found, ids, rule)
        if found is None:
            return None
        return Row(path, mode, mtime, seen.size if seen else 0, None, None, found, ids, rule)

    def _count(self, path: str, data: bytes) -> int:
        return self.examiner.memory(data, layout.place(path)).records

    def _good_content(self, path: str) -> bytes | None:
        expected = self.bank.catalog.row(path).expected
        if expected is not None and expected.good:
            data = versions.find(self.bank.journal, path, expected.sha, expected.seq)
            if data is not None:
                return data
        found = self.snapshots.content(path)
        return found[0] if found else None

    def _missing(self, prefix: str, known: dict[str, CatalogRow]) -> Iterator[Row]:
        """Files that are gone without being meant to: their last good version stays in the snapshot."""
        patterns = self.bank.settings["exclude"]
        for name, row in sorted(known.items()):
            path = prefix + name
            if (
                row.expected is None
                or layout.is_excluded(path, patterns)
                or judge(path, layout.place(path), row.expected, None, self.judging).rule != "MB111"
            ):
                continue
            self.damaged.append({"path": path, "rule": "MB111"})
            saved = self._last_good(path, None, row, "", None)
            if saved is not None:
                yield saved
