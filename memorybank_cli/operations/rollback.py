"""Rollback: the bank, or a part of it, as it was in a snapshot, put back in place as one journaled act."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from memorybank_cli.bank import baseline, layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.examine import Examiner
from memorybank_cli.bank.judge import recorded_rules
from memorybank_cli.bank.replacing import Replacement, digest_there, replace_files
from memorybank_cli.bank.scan import judging_rules
from memorybank_cli.base import clock, digests
from memorybank_cli.base.errors import MemorybankError, SnapshotNotFound
from memorybank_cli.base.exact_json import FlawedJSON, loads
from memorybank_cli.base.records import Finding
from memorybank_cli.base.suggestions import did_you_mean
from memorybank_cli.base.words import counted
from memorybank_cli.operations.backup import make_snapshot
from memorybank_cli.operations.options import Option
from memorybank_cli.operations.paths import bank_path, beside
from memorybank_cli.operations.repositories import open_repository
from memorybank_cli.operations.snapshots import RepoOption
from memorybank_cli.snapshots import documents, trees
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.repository import Repository
from memorybank_cli.snapshots.sealing import Damaged


@dataclass(frozen=True)
class RollbackReport:
    """What was put back, and the way back from here."""

    restored: tuple[str, ...]
    removed: tuple[str, ...]
    from_: str
    safety_snapshot: str | None
    findings: tuple[Finding, ...]
    dry_run: bool

    def as_dict(self) -> dict[str, Any]:
        """The contract's fields."""
        return {
            "restored": list(self.restored),
            "removed": list(self.removed),
            "from": self.from_,
            "safety_snapshot": self.safety_snapshot,
            "findings": [one.as_dict() for one in self.findings],
            "dry_run": self.dry_run,
        }

    def exit_code(self) -> int:
        """1 when something of the snapshot could not be had, or never was good."""
        return 1 if self.findings else 0

    def summary(self) -> str:
        """How many, from where, and how to undo it."""
        verb = "would be " if self.dry_run else ""
        if not self.restored and not self.removed:
            return f"Nothing differs from snapshot {self.from_}."
        undo = f"; to undo: memorybank rollback {self.safety_snapshot}" if self.safety_snapshot else ""
        done = f"{counted(len(self.restored), 'file')} {verb}restored, {len(self.removed)} {verb}removed"
        return f"{done}, from snapshot {self.from_}{undo}"


def rollback(
    bank: Bank,
    snapshot: Annotated[str, "an id, a unique beginning of one, or latest"] = "latest",
    *,
    at: Annotated[str | None, Option("the newest good snapshot at this time or before", metavar="TIME")] = None,
    path: Annotated[tuple[str, ...], Option("only this file or directory", metavar="P")] = (),
    account: Annotated[str | None, Option("only this account", metavar="ID")] = None,
    dry_run: Annotated[bool, Option("show what would be done, change nothing", short="-n")] = False,
    yes: Annotated[bool, "do not ask"] = False,
    repo: RepoOption = None,
) -> RollbackReport:
    """Put the bank, or a part of it, back in place.

    What is replaced is put into a snapshot first, so a rollback can be rolled back. Files that are
    not in the snapshot are removed from the part that is rolled back.

    Exit codes:
        0   done
        1   done, but files in the snapshot are damaged or were never good; the findings name them
        2   it needs a yes, and nobody can be asked
        10  there is no such snapshot, or the path is not in it

    Examples:
        memorybank rollback --path trades/trade_1743394526.json --yes
        memorybank rollback --at 2026-11-19T12:00:00Z --dry-run
    """
    scope = [bank_path(bank, one, must_exist=False) for one in path]
    if account is not None:
        scope.append(layout.account_section(account))
    bank.render()  # what was stored and not rendered is part of what is replaced
    with open_repository(bank, repo) as repository:
        document = _chosen(repository, snapshot, at)
        plan = Plan(bank, repository, document, scope)
        if dry_run or not (plan.restored or plan.removed):
            return _rehearsal(plan, dry_run)
        bank.context.ensure(f"{_question(plan)}?", yes=yes)
        baseline.establish(bank, bank.context.progress)
        safety = make_snapshot(bank, repo, ("before-rollback",), verify=False).document
        accounts = plan.accounts()
        done = replace_files(bank, plan.replacements(), "rollback", keep=False, snapshot=document.id, accounts=accounts)
        return RollbackReport(
            tuple(done.restored),
            tuple(done.removed),
            document.id,
            safety.id if safety else None,
            tuple(plan.findings),
            dry_run,
        )


def _chosen(repository: Repository, wanted: str, at: str | None) -> documents.Document:
    if at is None:
        return documents.resolve(repository, wanted)
    limit = clock.show(clock.parse_since(at))
    older = [one for one in documents.listing(repository).documents if one.time <= limit and one.status == "good"]
    if not older:
        raise SnapshotNotFound(f"there is no good snapshot at {limit} or before")
    return older[-1]


def _question(plan: Plan) -> str:
    return f"Replace {len(plan.restored)} and remove {len(plan.removed)} files, as in snapshot {plan.document.id}"


def _rehearsal(plan: Plan, dry_run: bool) -> RollbackReport:
    restored = tuple(one.path for one in plan.restored)
    return RollbackReport(restored, tuple(plan.removed), plan.document.id, None, tuple(plan.findings), dry_run)


def put_back(bank: Bank, repository: Repository, document: documents.Document, reason: str) -> None:
    """Have everything in the bank as it is in a snapshot, as one act."""
    plan = Plan(bank, repository, document, [])
    accounts = plan.accounts()
    replace_files(bank, plan.replacements(), reason, keep=False, snapshot=document.id, accounts=accounts)


class Plan:
    """What differs between the bank and a snapshot, within a scope (everything when that is empty)."""

    def __init__(self, bank: Bank, repository: Repository, document: documents.Document, scope: list[str]) -> None:
        self.bank, self.document = bank, document
        self.scope = [one for one in scope if one] if "" not in scope else []
        self.blobs = Blobs(repository)
        self.restored: list[trees.FileEntry] = []
        self.removed: list[str] = []
        self.findings: list[Finding] = []
        self.unknown: list[str] = []
        self._compare()

    def _compare(self) -> None:
        there = {
            one.path: one for one in trees.files(self.blobs, self.document.root, self._lost) if self._wanted(one.path)
        }
        here = set(self._here())
        for one in self.scope:
            known = any(path == one or path.startswith(f"{one}/") for path in (*there, *here))
            if not known and not self._is_unknown(f"{one}/"):
                hint = did_you_mean(one, beside(self.bank, one))
                raise SnapshotNotFound(f"{one} is not in snapshot {self.document.id}", path=one, hint=hint)
        for path, entry in sorted(there.items()):
            if not self._same(path, entry) and self._can_be_had(entry):
                self.restored.append(entry)
            if entry.good is None and entry.found is not None:
                self.findings.append(Finding(entry.rule, "no good version of this file was ever recorded", path))
        self.removed = sorted(path for path in here - there.keys() if not self._is_unknown(path))

    def _lost(self, path: str, error: MemorybankError) -> None:
        """A directory that cannot be read of the snapshot: what stands there now stays."""
        if not path:
            raise error
        if self._wanted(path) or any(one.startswith(f"{path}/") for one in self.scope):
            self.findings.append(
                Finding("MB130", f"its directory cannot be read of the snapshot: {error.message}", path)
            )
        self.unknown.append(f"{path}/")

    def _is_unknown(self, path: str) -> bool:
        return path.startswith(tuple(self.unknown))

    def _can_be_had(self, entry: trees.FileEntry) -> bool:
        try:
            for _ in trees.chunks(self.blobs, entry):
                pass
        except Damaged as error:
            self.findings.append(Finding("MB130", f"it cannot be read of the snapshot: {error.message}", entry.path))
            return False
        return True

    def _wanted(self, path: str) -> bool:
        return not self.scope or any(path == one or path.startswith(f"{one}/") for one in self.scope)

    def _here(self) -> Iterator[str]:
        for listing in self.bank.walk():
            prefix = f"{listing.path}/" if listing.path else ""
            for entry in listing.files:
                if self._wanted(prefix + entry.name) and not layout.is_secret(entry.name):
                    yield prefix + entry.name

    def _same(self, path: str, entry: trees.FileEntry) -> bool:
        ids = entry.good or entry.found or ()
        digest = digest_there(self.bank, path)
        if len(ids) == 1:
            return digest == ids[0]
        if digest is None:
            return False
        try:
            return digest == digests.of_pieces(trees.chunks(self.blobs, entry))
        except Damaged:
            return False

    def replacements(self) -> Iterator[Replacement]:
        """The content of each file that differs, and what is to go."""
        examiner, bound = Examiner(self.bank.registry), judging_rules(self.bank).bound
        for entry in self.restored:
            data = trees.read_file(self.blobs, entry)
            where = layout.place(entry.path)
            seen = examiner.memory(data, where)
            rules = tuple(recorded_rules(where, seen, bound))
            yield Replacement(entry.path, data, entry.mode, entry.mtime_ns, seen.kind, rules)
        for path in self.removed:
            yield Replacement(path, None)

    def accounts(self) -> dict[str, int]:
        """For each account whose history is put back: the journal line that the restored files name."""
        found = {}
        for entry in self.restored:
            account = layout.account_of(entry.path.partition("/")[0])
            if account and entry.path == layout.account_file(account, "whole_history"):
                try:
                    found[account] = int(loads(trees.read_file(self.blobs, entry))["seq"])
                except (FlawedJSON, KeyError, TypeError, ValueError):
                    continue  # a damaged history is put back as it was found, and stays a finding
        return found
