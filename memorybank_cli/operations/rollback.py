"""Rollback: the bank, or a part of it, as it was in a snapshot or at a line of the journal, put back as one act."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Annotated, Any

from memorybank_cli.bank import baseline, layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.replacing import Replaced, replace_files, replacing
from memorybank_cli.base import clock
from memorybank_cli.base.errors import SnapshotNotFound, UsageError, from_os_error
from memorybank_cli.base.names import escape
from memorybank_cli.base.records import Finding
from memorybank_cli.base.words import counted
from memorybank_cli.operations.backup import make_snapshot
from memorybank_cli.operations.contents import Contents
from memorybank_cli.operations.options import Option, RepoOption
from memorybank_cli.operations.ownership import own_one
from memorybank_cli.operations.paths import bank_path
from memorybank_cli.operations.repositories import Snapshots, open_repository
from memorybank_cli.operations.rollback_changes import Changes
from memorybank_cli.operations.rollback_plan import Plan, Target, Told
from memorybank_cli.operations.rollback_records import Narrowing
from memorybank_cli.operations.rollback_targets import JournalTarget, SnapshotTarget
from memorybank_cli.operations.rollback_undo import UndoTarget, last_act
from memorybank_cli.snapshots import documents
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.repository import Repository

REASON = "rollback"
SAFETY = "before-rollback"


@dataclass(frozen=True)
class RollbackReport:
    """What was put back, and the way back from here."""

    restored: tuple[str, ...]
    removed: tuple[str, ...]
    from_: str
    safety_snapshot: str | None
    findings: tuple[Finding, ...]
    dry_run: bool
    title: str = ""
    """What it was put back to, in words."""
    versions: dict[str, Told] = field(default_factory=dict)
    changes: tuple[dict[str, Any], ...] = ()
    more_changes: int = 0
    """Records, or files whose records were not compared, that are not among `changes`."""
    kept: dict[str, str] = field(default_factory=dict)
    left: tuple[str, ...] = ()
    """Of an undo: what was changed since the rollback, and stays."""
    forgotten: tuple[str, ...] = ()
    """Accounts that forgot messages since, or were forgotten: those do not come back."""

    def as_dict(self) -> dict[str, Any]:
        """The contract's fields."""
        return {
            "restored": list(self.restored),
            "removed": list(self.removed),
            "from": self.from_,
            "safety_snapshot": self.safety_snapshot,
            "findings": [one.as_dict() for one in self.findings],
            "dry_run": self.dry_run,
            "versions": [{"path": path, **told._asdict()} for path, told in sorted(self.versions.items())],
            "changes": list(self.changes),
            "more_changes": self.more_changes,
            "kept": [{"path": path, "place": place} for path, place in sorted(self.kept.items())],
            "left": list(self.left),
            "forgotten": list(self.forgotten),
        }

    def exit_code(self) -> int:
        """1 when something could not be put back, or never was good."""
        return 1 if self.findings or self.left else 0

    def summary(self) -> str:
        """How many, from where, and how to undo it."""
        still = f"; what was forgotten since of {', '.join(self.forgotten)} stays forgotten" if self.forgotten else ""
        if not self.restored and not self.removed:
            return f"Nothing differs from {self.title}{still}."
        verb = "would be " if self.dry_run else ""
        older = sum(not one.exact for one in self.versions.values())
        nearest = f", {older} of them in an earlier version" if older else ""
        restored = [f"{counted(len(self.restored), 'file')} {verb}restored{nearest}"] if self.restored else []
        gone = f"{len(self.removed):,}" if restored else counted(len(self.removed), "file")
        removed = [f"{gone} {verb}removed"] if self.removed else []
        undo = "" if self.dry_run else "; to undo: memorybank rollback --undo"
        return f"{', '.join(restored + removed)}, as in {self.title}{still}{undo}"


def rollback(
    bank: Bank,
    snapshot: Annotated[str | None, "an id, a unique beginning of one, or latest; default: latest"] = None,
    *,
    at: Annotated[str | None, Option("as it was at this time (RFC 3339, or a span such as 2h)", metavar="TIME")] = None,
    seq: Annotated[int | None, Option("as it was at this line of the journal", metavar="N")] = None,
    undo: Annotated[bool, "put back what the last rollback replaced, where nothing was changed since"] = False,
    path: Annotated[tuple[str, ...], Option("only this file or directory", metavar="P")] = (),
    account: Annotated[str | None, Option("only this account", metavar="ID")] = None,
    record: Annotated[tuple[str, ...], Option("only this record; all else in its file stays", metavar="ID")] = (),
    dry_run: Annotated[bool, Option("show what would be done, change nothing", short="-n")] = False,
    yes: Annotated[bool, "do not ask"] = False,
    repo: RepoOption = None,
) -> RollbackReport:
    """Put the bank, or a part of it, back in place.

    What is replaced is put into a snapshot first, and --undo puts it back. Files that were not there
    are removed from the part that is rolled back. What was forgotten since stays forgotten.

    Exit codes:
        0   done
        1   done, but something could not be put back, or never was good; the findings name it
        2   it needs a yes, and nobody can be asked
        10  there is no such snapshot, repository, line, account or record, or the path is not in it
        13  the snapshot is of another bank

    Examples:
        memorybank rollback --path trades/trade_1743394526.json --yes
        memorybank rollback --at 2026-11-19T12:00:00Z --dry-run
    """
    if sum(one is not None for one in (snapshot, at, seq)) + undo > 1:
        raise UsageError("give one of SNAPSHOT, --at, --seq and --undo: each says what to go back to")
    if undo and record:
        raise UsageError(
            "--undo puts back whole files", hint="memorybank rollback --seq N --record ID, see memorybank log"
        )
    scope = [bank_path(bank, one, must_exist=False) for one in path]
    if account is not None:
        scope.append(layout.account_section(account))
    bank.render()  # what was stored and not rendered is part of what is replaced
    with _contents(bank, repo) as contents:
        if undo:
            target: Target = UndoTarget(bank, contents, last_act(bank, REASON))
        else:
            target = _target(bank, contents, repo, snapshot, at, seq)
        plan = Plan(bank, target, scope).compare()
        if record:
            Narrowing(plan, record).narrow()
        return _carry_out(bank, plan, repo, contents, dry_run=dry_run, yes=yes)


@contextmanager
def _contents(bank: Bank, repo: str | None) -> Iterator[Contents]:
    contents = Contents(bank, Snapshots(bank, repo))
    repository = contents.snapshots.repo
    if repository is None and repo is not None:
        open_repository(bank, repo).close()  # says that there is none: the safety snapshot must not make one at a typo
    try:
        # What is found in it must not be taken away by a prune before it is put in place.
        with nullcontext() if repository is None else repository.reading(bank.lock_timeout):
            yield contents
    finally:
        contents.snapshots.close()


def _target(
    bank: Bank, contents: Contents, repo: str | None, snapshot: str | None, at: str | None, seq: int | None
) -> Target:
    if at is None and seq is None:
        repository = contents.snapshots.repo
        if repository is None:
            open_repository(bank, repo).close()  # says why there is none
            raise SnapshotNotFound("there is no repository")
        document = own_one(bank, repository, snapshot or documents.LATEST)
        return SnapshotTarget(bank, contents.snapshots.blobs, document, contents)
    limit = clock.show(clock.parse_since(at)) if at is not None else ""
    found = line_at(bank, limit) if seq is None else seq
    first = next(iter(bank.journal.segments()), 0)
    if found > bank.end.seq or (found < 1 and at is None):
        raise SnapshotNotFound(
            f"the journal has no line {found}", hint=f"it goes from line {first or 1} to {bank.end.seq}: memorybank log"
        )
    if found < max(first, 1):
        return _snapshot_before(bank, contents, found, limit)
    there, time = max((one for one in bank.journal.times() if one[0] <= found), default=(0, ""))
    if there < found:
        bank.context.progress.note(f"line {found} of the journal is lost; line {there} before the gap is taken")
    return JournalTarget(bank, contents, there, time)


def line_at(bank: Bank, time: str) -> int:
    """The last line of the journal at a time or before it, 0 for none; `time` as memorybank writes it.

    Clocks jump. Of all places between two lines it is the one that the fewest times contradict; of several such the
    one whose line is the nearest to the time.
    """
    best, score, place = (0, ""), 0, 0
    for seq, moment in bank.journal.times():
        score += 1 if moment <= time else -1
        if moment <= time and (score, moment) >= best:
            best, place = (score, moment), seq
    return min(place, bank.end.seq)


def _snapshot_before(bank: Bank, contents: Contents, seq: int, time: str) -> Target:
    """What a snapshot knows of a time that the journal does not reach (any more)."""
    repository = contents.snapshots.repo
    found = documents.listing(repository).of(bank.bank_id).documents if repository is not None else ()
    older = [one for one in found if one.status == "good" and (one.time <= time if time else one.seq <= seq)]
    when = time or f"line {seq}"
    if not older:
        raise SnapshotNotFound(f"the journal does not reach back so far, and no good snapshot is from {when} or before")
    bank.context.progress.note(f"the journal does not reach back so far; a snapshot of {when} or before is taken")
    return SnapshotTarget(bank, contents.snapshots.blobs, older[-1], contents)


def _carry_out(
    bank: Bank, plan: Plan, repo: str | None, contents: Contents, *, dry_run: bool, yes: bool
) -> RollbackReport:
    restored, removed = plan.restored_paths, plan.removed
    changes = Changes(plan)
    if dry_run or not plan:
        return _report(plan, changes, Replaced(restored, removed, {}), None, dry_run=dry_run)
    foreseen = _report(plan, changes, Replaced(restored, removed, {}), None, dry_run=True)
    _check_writable(bank)
    parts = [(verb, paths) for verb, paths in (("replace", restored), ("remove", removed)) if paths]
    what = " and ".join(f"{verb} {counted(len(paths), 'file')}" for verb, paths in parts).capitalize()
    question = f"{what}, as in {plan.target.title}?"
    bank.context.ensure(question, yes=yes, preview=foreseen)
    baseline.establish(bank, bank.context.progress)
    safety = make_snapshot(bank, repo, (SAFETY,)).document
    contents.look_again(repo)
    fields = {**plan.target.fields(), **({"safety": safety.id} if safety else {})}
    done = replace(bank, plan, contents, REASON, **fields)
    return _report(plan, changes, done, safety.id if safety else None)


def _check_writable(bank: Bank) -> None:
    """Raise before anybody is asked where it could not be done."""
    try:
        with bank.locked():
            bank.check_writable()
    except OSError as error:
        raise from_os_error(error, f"cannot change the bank at {escape(bank.root.path)}") from error


def replace(bank: Bank, plan: Plan, contents: Contents, reason: str, **fields: Any) -> Replaced:
    """Put in place what a plan says. What the repository does not hold of what stood there goes to quarantine."""
    kept: set[str] = set()
    with bank.locked():
        bank.render()
        fields |= {"accounts": plan.lines(), **({"edits": edits} if (edits := plan.edits()) else {})}
        with replacing(bank, reason, kept, **fields) as act:
            for one, before in plan.replacements():
                if before is not None and not contents.holds(before):
                    kept.add(one.path)
                act.put(one, before)
            return act.carry_out()


def _report(
    plan: Plan, changes: Changes, done: Replaced, safety: str | None, *, dry_run: bool = False
) -> RollbackReport:
    target = plan.target
    fields = target.fields()
    return RollbackReport(
        tuple(sorted(done.restored)),
        tuple(sorted(done.removed)),
        fields.get("snapshot") or f"line {fields['line']}",
        safety,
        tuple(plan.findings),
        dry_run,
        target.title,
        dict(target.told),
        tuple(changes.found),
        changes.more,
        done.kept,
        tuple(sorted(target.left)) if isinstance(target, UndoTarget) else (),
        tuple(sorted(target.forgotten)),
    )


def put_back(bank: Bank, repository: Repository, document: documents.Document, reason: str) -> None:
    """Have everything in the bank as it is in a snapshot, as one act."""
    plan = Plan(bank, SnapshotTarget(bank, Blobs(repository), document), []).compare()
    replacements = (one for one, _ in plan.replacements())
    fields = {**plan.target.fields(), "accounts": plan.lines()}
    replace_files(bank, replacements, reason, keep=False, **fields)
