"""The drill: a snapshot is restored into a scratch place and has to be a whole, valid bank there."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from typing import Annotated, Any

from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.journal import Entry as JournalEntry
from memorybank_cli.bank.scan import Scan
from memorybank_cli.base import files, locks
from memorybank_cli.base.context import when_interrupted
from memorybank_cli.base.errors import MemorybankError, Refused, from_os_error
from memorybank_cli.base.names import escape
from memorybank_cli.base.records import Finding, at_least
from memorybank_cli.base.walk import Root
from memorybank_cli.base.words import counted
from memorybank_cli.operations.accounts import Account, list_
from memorybank_cli.operations.opening import GATES, appliers
from memorybank_cli.operations.options import Option, RepoOption
from memorybank_cli.operations.ownership import own_one
from memorybank_cli.operations.probes import look
from memorybank_cli.operations.proofs import keep_drill
from memorybank_cli.operations.repositories import check_outside, open_repository
from memorybank_cli.snapshots import documents, trees
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.packs import FILE_BLOB_SIZE
from memorybank_cli.snapshots.repository import Repository
from memorybank_cli.snapshots.restoring import restore_to
from memorybank_cli.snapshots.sealing import Damaged

DONE = "drill.done"
_SCRATCH = "drill"
_LOCK = "drill.lock"
# Rules about what a bank says. Permissions, trust, health and the journal belong to the place, not to the content.
_CONTENT = ("MB10", "MB11", "MB2")
_MANY = 20


@dataclass(frozen=True)
class DrillReport:
    """What came of a drill."""

    snapshot: documents.Document
    repository: str
    files: int
    bytes: int
    records: int
    accounts: tuple[Account, ...]
    restore_seconds: float
    validate_seconds: float
    findings: tuple[Finding, ...]
    """Why it failed; none when it passed."""
    known: tuple[Finding, ...]
    """Trouble that came along with the snapshot: it was known when it was made, or the bank has it now too."""
    kept: str | None = None
    """Where the restored bank was left, with `--keep`."""
    journaled: bool = True

    @property
    def ok(self) -> bool:
        """Whether the snapshot is a whole, valid bank again."""
        return not self.findings

    @property
    def messages(self) -> int:
        """Messages in all accounts."""
        return sum(one.messages for one in self.accounts)

    @property
    def seconds(self) -> float:
        """The time to recovery: until the bank is back, and known to be good."""
        return self.restore_seconds + self.validate_seconds

    @property
    def speed(self) -> float:
        """Bytes restored in a second."""
        return self.bytes / self.restore_seconds if self.restore_seconds else 0.0

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON; times in seconds."""
        made = self.snapshot
        return {
            "ok": self.ok,
            "snapshot": {"id": made.id, "time": made.time, "status": made.status, "reasons": list(made.reasons)},
            "repository": self.repository,
            "files": self.files,
            "bytes": self.bytes,
            "records": self.records,
            "accounts": len(self.accounts),
            "messages": self.messages,
            "seconds": {
                "restore": round(self.restore_seconds, 3),
                "validate": round(self.validate_seconds, 3),
                "recovery": round(self.seconds, 3),
            },
            "bytes_per_second": round(self.speed),
            "findings": [one.as_dict() for one in self.findings],
            "known": [one.as_dict() for one in self.known],
            "kept": self.kept,
            "journaled": self.journaled,
        }

    def exit_code(self) -> int:
        """1 when it failed."""
        return 0 if self.ok else 1

    @property
    def tone(self) -> str:
        """How the closing line is meant."""
        return "good" if self.ok else "bad"

    def summary(self) -> str:
        """The verdict."""
        made = f"snapshot {self.snapshot.id} of {self.snapshot.time[:19]}Z"
        if not self.ok:
            return f"FAILED: {made} does not come back as it should; next: memorybank backup, then drill again"
        return f"Passed: {made} is a whole, valid bank again after {self.seconds:.1f} s"


def drill(
    bank: Bank,
    id: Annotated[str, "an id, a unique beginning of one, or latest"] = "latest",
    *,
    to: Annotated[
        str | None, Option("restore there; missing or empty (default: the state directory)", metavar="DIR")
    ] = None,
    keep: Annotated[bool, "leave the restored bank there; without --to, until the next drill"] = False,
    repo: RepoOption = None,
) -> DrillReport:
    """Prove by restoring that a snapshot is a whole, valid bank.

    It is restored into a scratch place. Every digest is compared with what the disk gives back, the
    restored bank is opened and validated by schemas and the rules between files, and the histories of its
    accounts are read. The bank itself is not touched; what came of it, and the time to recovery, is journaled.
    Trouble that the snapshot is known to have, or that the bank has now too, is shown and does not fail it.

    Exit codes:
        0   passed: restored and valid
        1   failed: the findings say why
        10  there is no such snapshot
        13  DIR is not empty, a mount point, or inside the bank or the repository; or the snapshot is of another bank

    Examples:
        memorybank snapshot drill
        memorybank snapshot drill latest --to /mnt/spare/drill --keep
    """
    unproved = when_interrupted("nothing was proved, and no scratch copy is left")
    with unproved, open_repository(bank, repo) as repository:
        document = own_one(bank, repository, id)
        with _scratch(bank, repository, to, keep) as place:
            run = _Drill(bank, repository, document, place)
            run.restore()
            run.validate()
            report = run.report(place if keep else None)
    return replace(report, journaled=_record(bank, report))


@contextmanager
def _scratch(bank: Bank, repository: Repository, to: str | None, keep: bool) -> Iterator[str]:
    """A place outside the bank to restore into; what stands there afterwards is removed, unless it is to be kept."""
    if to is None:
        home = bank.home.root
        with locks.hold(home, _LOCK, timeout=bank.lock_timeout):
            _remove(bank, home, _SCRATCH)  # of a drill that was killed, or kept
            files.make_dirs(home, _SCRATCH)
            try:
                yield home.absolute(f"{_SCRATCH}/bank")
            finally:
                if not keep:
                    _remove(bank, home, _SCRATCH)
        return
    check_outside(bank, to, repository)
    place = os.path.realpath(to)
    existed = os.path.isdir(place)
    try:
        yield place
    except Refused:
        raise  # it holds something, and nothing of that is ours
    except BaseException:
        _clear(bank, place, existed)
        raise
    if not keep:
        _clear(bank, place, existed)


def _clear(bank: Bank, place: str, existed: bool) -> None:
    with closing(files.make_root(os.path.dirname(place))) as parent:
        name = escape(os.path.basename(place))
        _remove(bank, parent, name)
        if existed:
            files.make_dirs(parent, name)


def _remove(bank: Bank, parent: Root, name: str) -> None:
    progress = bank.context.progress
    progress.start("removing the scratch copy")
    files.remove_tree(parent, name, progress.advance)
    progress.finish()


class _Drill:
    """One drill under way: what it found out so far."""

    def __init__(self, bank: Bank, repository: Repository, document: documents.Document, place: str) -> None:
        self.bank, self.repository, self.document, self.place = bank, repository, document, place
        self.problems: list[Finding] = []
        self.known: list[Finding] = []
        self.files = self.bytes = self.records = 0
        self.accounts: tuple[Account, ...] = ()
        self.restore_seconds = self.validate_seconds = 0.0
        self._there = False

    def restore(self) -> None:
        """Put the snapshot into the place."""
        started = time.perf_counter()
        try:
            restored = restore_to(
                self.repository,
                self.document,
                self.place,
                progress=self.bank.context.progress,
                lock_timeout=self.bank.lock_timeout,
            )
        except Damaged as error:
            self._fail(f"the snapshot cannot be restored: {error.message}")
            return
        self._there = True
        self.restore_seconds = time.perf_counter() - started
        self.files, self.bytes = restored.files, restored.bytes
        for one in restored.findings:
            (self.problems if one.rule == "MB130" else self.known).append(one)
        if self.files < self.document.files and not restored.findings:
            self._fail(
                f"the snapshot says that it has {counted(self.document.files, 'file')}; {self.files:,} came back"
            )

    def validate(self) -> None:
        """Open what stands there as a bank and hold it against the snapshot, the schemas and the real bank."""
        if not self.files or not self.document.records:
            self._check_not_empty(self._now[0])
        if not self._there:
            return
        started = time.perf_counter()
        try:
            context = replace(self.bank.context, bank=self.place)
            with closing(Bank(self.place, context, appliers(), GATES, aside=True)) as scratch:
                scratch.refresh()
                found, trouble = look(scratch, progress=self.bank.context.progress)
                self._compare(scratch)
                self._check_records(found)
                self._judge(trouble)
                self.accounts = list_(scratch).accounts
        except MemorybankError as error:
            self._fail(f"what was restored cannot be opened as a bank: {error.message}")
        for one in self.accounts:
            if one.damaged:
                self._fail(f"the history of account {one.account} cannot be read", f"account_{one.account}")
        self.validate_seconds = time.perf_counter() - started

    @cached_property
    def _now(self) -> tuple[Scan, list[Finding]]:
        """A look over the bank as it is; a snapshot in which nothing is wrong needs none."""
        return look(self.bank, progress=self.bank.context.progress)

    def report(self, kept: str | None) -> DrillReport:
        """What came of it."""
        return DrillReport(
            self.document,
            self.repository.path,
            self.files,
            self.bytes,
            self.records,
            self.accounts,
            self.restore_seconds,
            self.validate_seconds,
            tuple(self.problems),
            tuple(self.known),
            kept if self._there else None,
        )

    def _fail(self, message: str, path: str = "") -> None:
        hint = "memorybank snapshot verify --read-data says what is damaged; memorybank backup makes a new snapshot"
        self.problems.append(Finding("MB130", message, path, hint))

    def _check_not_empty(self, now: Scan) -> None:
        """A snapshot of nothing restores perfectly, and saves nobody."""
        if not self.files and now.checked:
            self._fail(f"it holds no file at all; the bank has {counted(now.checked, 'file')}")
        elif not self.document.records and now.records:
            self._fail(f"it holds no record at all; the bank has {counted(now.records, 'record')}")

    def _check_records(self, found: Scan) -> None:
        self.records = found.records
        if found.records < self.document.records and not self.known:
            said = counted(self.document.records, "record")
            self._fail(f"the snapshot says that it has {said}; {found.records:,} came back")

    def _compare(self, scratch: Bank) -> None:
        """Every file of the snapshot with what the disk gives back."""
        blobs, told = Blobs(self.repository), {one.path for one in self.problems}
        for level in trees.walk(blobs, self.document.root, lambda _path, _error: None):
            rows = scratch.catalog.rows(level.directory.path)
            for entry in level.files:
                row = rows.get(entry.path.rpartition("/")[2])
                seen = row.seen if row else None
                ids = entry.good or entry.found
                if seen is not None and ids is not None and len(ids) == 1 and seen.sha == ids[0]:
                    continue
                if entry.path not in told and _pieces(scratch.root, entry.path) != ids:
                    self._fail("what the disk gives back is not what the snapshot holds", entry.path)

    def _judge(self, trouble: list[Finding]) -> None:
        """Findings that neither the snapshot is known to have, nor the bank has now."""
        never_good = {(one.rule, one.path) for one in self.known}
        errors = [one for one in trouble if one.rule.startswith(_CONTENT) and at_least([one], "error")]
        unknown = [one for one in errors if (one.rule, one.path) not in never_good]
        now = {one.fingerprint for one in self._now[1]} if unknown else set()
        for one in unknown:
            (self.known if one.fingerprint in now else self.problems).append(one)


def _pieces(root: Root, path: str) -> tuple[str, ...] | None:
    """The digests of a file's pieces as a snapshot has them; None where it cannot be read."""
    try:
        fd = root.open(path)
    except OSError:
        return None
    with open(fd, "rb") as file:
        found = tuple(sha256(piece).hexdigest() for piece in iter(lambda: file.read(FILE_BLOB_SIZE), b""))
    return found or (sha256(b"").hexdigest(),)


def _record(bank: Bank, report: DrillReport) -> bool:
    """Journal what came of it; says whether that could be done."""
    result = {
        "snapshot": report.snapshot.id,
        "repository": report.repository,
        "result": "passed" if report.ok else "failed",
        "restored": {"files": report.files, "bytes": report.bytes, "records": report.records},
        "restore_ms": round(report.restore_seconds * 1000),
        "validate_ms": round(report.validate_seconds * 1000),
        "problems": [f"{one.path}: {one.message}" if one.path else one.message for one in report.findings[:_MANY]],
    }
    try:
        keep_drill(bank, report.snapshot.id, report.ok, report.seconds)
        bank.commit([JournalEntry(DONE, result)])
    except (MemorybankError, OSError) as error:
        why = error if isinstance(error, MemorybankError) else from_os_error(error)
        bank.context.progress.note(f"the drill could not be journaled: {why.message}")
        return False
    return True
