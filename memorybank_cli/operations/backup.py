"""Backup: the bank as it stands becomes a snapshot; a damaged file never displaces its last good version."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Annotated

from memorybank_cli.bank import baseline
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.journal import Entry as JournalEntry
from memorybank_cli.base.context import when_interrupted
from memorybank_cli.base.names import escape
from memorybank_cli.base.records import Finding
from memorybank_cli.base.words import counted
from memorybank_cli.operations.backup_report import BackupReport, held_back
from memorybank_cli.operations.compacting import compact_overdue
from memorybank_cli.operations.last_saved import made
from memorybank_cli.operations.looks import Looks
from memorybank_cli.operations.loss import sudden_loss
from memorybank_cli.operations.options import Option, RepoOption
from memorybank_cli.operations.proofs import damaged_packs
from memorybank_cli.operations.rehearsal import rehearse
from memorybank_cli.operations.repositories import Snapshots, repository_for_backup, repository_path
from memorybank_cli.operations.snapshot_rows import Source
from memorybank_cli.snapshots.documents import Meta, next_number
from memorybank_cli.snapshots.repository import Repository, stands_at
from memorybank_cli.snapshots.saving import Hooks, Saved, Totals, save

AFTER_BACKUP = 50  # segments of the journal that are compacted at most: some 20 seconds


def backup(
    bank: Bank,
    *,
    repo: RepoOption = None,
    tag: Annotated[tuple[str, ...], Option("a word to find the snapshot by", metavar="T")] = (),
    dry_run: Annotated[bool, Option("say what would be saved, write nothing", short="-n")] = False,
    encrypt: Annotated[bool, "make the repository an encrypted one; it asks for a passphrase or takes a key"] = False,
    verify: Annotated[bool, "decode what is compressed before it is written, and read back what was written"] = True,
) -> BackupReport:
    """Make a snapshot.

    Unchanged files are not read again. What is compressed is decoded and compared before it is written, and what
    was written is read back. A damaged file stands in the snapshot with its last good version, the found bytes
    beside it. After an interruption the next run writes only the rest. A journal beyond the setting
    undo_budget_mib is compacted then, as by memorybank account compact.

    Exit codes:
        0  made, all good
        1  made, but damage was held back, a file could not be read, it is suspect, or the repository was gone
        3  none was made

    Examples:
        memorybank backup
        memorybank backup --dry-run
        memorybank backup --repo /mnt/backup/bank --encrypt --tag before-upgrade
    """
    report = make_snapshot(bank, repo, tag, dry_run=dry_run, encrypt=encrypt or None, verify=verify)
    if not dry_run:
        compact_overdue(bank, AFTER_BACKUP)
    return report


def make_snapshot(
    bank: Bank,
    repo: str | None,
    tags: tuple[str, ...],
    *,
    dry_run: bool = False,
    encrypt: bool | None = None,
    verify: bool = True,
) -> BackupReport:
    """`backup`, for other operations too."""
    started = time.perf_counter()
    if dry_run:
        return rehearse(bank, repo, started)
    bank.check_writable()
    bank.render()
    looks, gone = Looks(), tuple(_gone(bank, repo))
    baseline.establish(bank, bank.context.progress, looks)
    goes_on = when_interrupted("the next backup goes on from here")
    with goes_on, repository_for_backup(bank, repo, encrypt) as repository:
        report = _save(bank, repository, looks, tags, verify, started)
        return replace(report, findings=(*gone, *report.findings))


def _gone(bank: Bank, given: str | None) -> Iterator[Finding]:
    """MB130 where the bank was saved before and no repository stands: perhaps its disk is not mounted."""
    path = repository_path(bank, given)
    place = os.path.realpath(path)
    if not stands_at(path) and (
        last := next((one for one in made(bank) if os.path.realpath(one.place) == place), None)
    ):
        message = (
            f"the repository {escape(path)}, last saved to at {last.time[:19]}Z, is gone; a new one was begun there"
        )
        yield Finding("MB130", message, "", "if its disk is not mounted, mount it; else bring it back from a copy")


def _save(
    bank: Bank, repository: Repository, looks: Looks, tags: tuple[str, ...], verify: bool, started: float
) -> BackupReport:
    source = Source(bank, Snapshots.of(bank, repository), looks)

    losses: list[str] = []

    def describe(totals: Totals) -> Meta:
        losses.extend(sudden_loss(bank, source.snapshots, source.amounts(totals.files)))
        return _meta(bank, source.snapshots, source, totals, losses, tags)

    with closing(source):
        hooks = Hooks(source.opened, source.unchanged.closed, looks.files, source.unread)
        saved = save(
            repository,
            source.rows(),
            describe,
            bank.context.progress,
            distrust=damaged_packs(bank, repository),
            hooks=hooks,
            verify=verify,
            lock_timeout=bank.lock_timeout,
        )
        _record(bank, repository, saved)
        try:
            source.unchanged.keep(repository)
        except OSError as error:  # it only makes the next backup faster
            bank.context.progress.note(f"what is unchanged could not be noted: {(error.strerror or '').lower()}")
    made = saved.document
    return BackupReport(
        document=made,
        files=made.files,
        bytes=made.bytes,
        new_files=saved.new_files,
        new_bytes=saved.new_bytes,
        damaged=tuple(source.damaged),
        lacking=frozenset(source.lacking),
        losses=tuple(losses),
        excluded=made.excluded,
        findings=(*source.findings, *saved.findings),
        repository=repository.path,
        encrypted=repository.encrypted,
        adopted_packs=_adopted(saved, source),
        seconds=time.perf_counter() - started,
    )


def _adopted(saved: Saved, source: Source) -> int:
    """How many packs that no backup of this bank ended with came in useful: those of an interrupted run."""
    if source.unchanged.packs is None and saved.document.parent is not None:
        return 0
    return len(saved.older_packs - (source.unchanged.packs or frozenset()))


def _record(bank: Bank, repository: Repository, saved: Saved) -> None:
    document = saved.document
    fields = {
        "snapshot": document.id,
        "digest": document.digest,
        "repository": repository.path,
        "repo_id": repository.repo_id,
        "at": [document.seq, document.checkpoint["hash"] if document.checkpoint else ""],
        "status": document.status,
    }
    bank.commit([JournalEntry("snapshot.created", fields)])


def _meta(
    bank: Bank, snapshots: Snapshots, source: Source, totals: Totals, losses: list[str], tags: tuple[str, ...]
) -> Meta:
    end = source.holding.end
    newest = snapshots.newest_first()
    reasons = [*losses, *held_back(source.damaged, source.lacking)]
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
        sections={name: pair for name, pair in sorted(source.sections.items()) if name},
        host=os.uname().nodename,
        number=next_number(newest),
    )
