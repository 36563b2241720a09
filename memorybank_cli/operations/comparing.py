"""What differs between two snapshots, or between a snapshot and the bank as it stands: files, and records in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.base.errors import MemorybankError, SnapshotNotFound, UsageError
from memorybank_cli.base.records import Finding
from memorybank_cli.base.suggestions import did_you_mean
from memorybank_cli.base.words import counted
from memorybank_cli.meaning.differences import Change, Comparison, compare, compare_records
from memorybank_cli.meaning.records import Reader, Record
from memorybank_cli.operations.options import Option, RepoOption
from memorybank_cli.operations.ownership import to_look_at
from memorybank_cli.operations.paths import bank_path, beside, find_hint
from memorybank_cli.operations.repositories import open_repository
from memorybank_cli.operations.scope import Scope
from memorybank_cli.operations.standing import Standing
from memorybank_cli.snapshots import comparing, documents, trees
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.comparing import FileChange
from memorybank_cli.snapshots.repository import explained
from memorybank_cli.snapshots.sealing import Damaged
from memorybank_cli.snapshots.trees import FileEntry

NOW = "now"
SAME = Comparison()
_HISTORY = ("whole_history", "history_segment")


@dataclass(frozen=True)
class FileDifference:
    """One file that differs, and what of its records does."""

    change: FileChange
    comparison: Comparison = SAME
    compared: bool = False
    """Whether its records could be held against each other."""

    def as_dict(self) -> dict[str, Any]:
        """The file, how many records differ by what happened to them, and what is known beyond that."""
        found = self.comparison
        quiet = self.compared and self.change.what == "changed" and not found.changes and not found.damaged
        return {
            **self.change.as_dict(),
            "records": dict(Counter(one.what for one in found.changes)),
            "reordered": found.reordered,
            "reshaped": found.reshaped,
            "unreadable": found.damaged,
            "same_values": quiet and not (found.reordered or found.reshaped),
        }


@dataclass(frozen=True)
class SnapshotDiff:
    """Everything that differs."""

    before: str
    after: str
    files: tuple[FileDifference, ...]
    messages: tuple[tuple[str, Change], ...]
    """Account and what happened to one of its messages, wherever in its history they stand."""
    findings: tuple[Finding, ...]
    stat: bool

    def as_dict(self) -> dict[str, Any]:
        """`files`, `records` of all files, `sections` with the counts of both; with `stat` the sections only."""
        told = {"before": self.before, "after": self.after, "sections": self._sections(), "stat": self.stat}
        if not self.stat:
            told["files"] = [one.as_dict() for one in self.files]
            told["records"] = [*self._records()]
        return {**told, "findings": [one.as_dict() for one in self.findings]}

    def _records(self) -> Iterator[dict[str, Any]]:
        for account, change in self.messages:
            yield {"path": layout.account_section(account), "account": account, **change.as_dict()}
        for one in self.files:
            for change in one.comparison.changes:
                yield {"path": one.change.path, **change.as_dict()}

    def _sections(self) -> dict[str, dict[str, dict[str, int]]]:
        found: dict[str, dict[str, Counter[str]]] = {}

        def count(section: str, what: str, change: str) -> None:
            counters = found.setdefault(section, {"files": Counter(), "records": Counter()})
            counters[what][change] += 1

        for one in self.files:
            section = one.change.path.partition("/")[0] if "/" in one.change.path else "."
            count(section, "files", one.change.what)
            for change in one.comparison.changes:
                count(section, "records", change.what)
        for account, change in self.messages:
            count(layout.account_section(account), "records", change.what)
        return {name: {what: dict(one) for what, one in found[name].items()} for name in sorted(found)}

    def exit_code(self) -> int:
        """1 when a part of a snapshot or of the bank cannot be read; differences are no reason."""
        return 1 if self.findings else 0

    def summary(self) -> str:
        """How much differs between what."""
        between = f"between snapshot {self.before} and {self.after if self.after == NOW else f'snapshot {self.after}'}"
        if not self.files:
            return f"Nothing differs {between}."
        records = sum(len(one.comparison.changes) for one in self.files) + len(self.messages)
        return f"{counted(len(self.files), 'file')} and {counted(records, 'record')} differ {between}"


def diff(
    bank: Bank,
    a: Annotated[str, "the older one: an id, a unique beginning of one, or latest"] = documents.LATEST,
    b: Annotated[str, "the newer one, or now: the bank as it stands"] = NOW,
    *,
    path: Annotated[tuple[str, ...], Option("only this file or directory", metavar="P")] = (),
    account: Annotated[str | None, Option("only this account", metavar="ID")] = None,
    stat: Annotated[bool, "only how many files and records differ, by section"] = False,
    repo: RepoOption = None,
) -> SnapshotDiff:
    """Show what differs between snapshots, or a snapshot and now.

    Files, and inside them trades, messages and other records: which were added, removed or changed, and
    which of their fields. Messages are compared as one history for each account. Of a damaged file a
    snapshot holds the last good version, and that is what is compared. Differences don't make the
    exit code 1.

    Exit codes:
        0   done, whether anything differs or not
        1   done, but a part of a side cannot be read; the findings name it
        10  there is no such snapshot, or neither side has the path

    Examples:
        memorybank snapshot diff
        memorybank snapshot diff 20261119T1 latest --path trades --stat
    """
    if a == NOW:
        raise UsageError(
            "now stands second", hint=f"memorybank snapshot diff {documents.LATEST if b == NOW else b} now"
        )
    given = [bank_path(bank, one, must_exist=False) for one in path]
    scope = Scope([*given, *([] if account is None else [layout.account_section(account)])])
    if b == NOW and not bank.catalog.in_memory:
        bank.render()  # what was stored and not rendered is part of how the bank stands
    with open_repository(bank, repo) as repository, explained("cannot compare"), repository.reading(bank.lock_timeout):
        older = to_look_at(bank, repository, a)
        newer = None if b == NOW else to_look_at(bank, repository, b)
        run = _Run(bank, Blobs(repository), older, newer, scope)
        run.check_scope()
        files, messages = run.differences()
        return SnapshotDiff(
            older.id, newer.id if newer else NOW, tuple(files), tuple(messages), tuple(run.findings), stat
        )


class _Run:
    """One comparison under way."""

    def __init__(
        self, bank: Bank, blobs: Blobs, older: documents.Document, newer: documents.Document | None, scope: Scope
    ) -> None:
        self.bank, self.blobs, self.older, self.newer, self.scope = bank, blobs, older, newer, scope
        self.reader = Reader(bank.registry)
        self.findings: list[Finding] = []

    def check_scope(self) -> None:
        """Raises SnapshotNotFound for the first path of the scope that neither side has."""
        for one in self.scope.paths:
            there = [trees.find(self.blobs, side.root, one) for side in (self.older, self.newer) if side is not None]
            if not any(there) and (self.newer is not None or self.bank.root.stat(one) is None):
                known = [*names_beside(self.blobs, self.older.root, one), *beside(self.bank, one)]
                raise SnapshotNotFound(
                    f"neither side has '{one}'", path=one, hint=did_you_mean(one, dict.fromkeys(known), find_hint(one))
                )

    def differences(self) -> tuple[list[FileDifference], list[tuple[str, Change]]]:
        """All files that differ, and messages; each differing file is read once a side."""
        progress = self.bank.context.progress
        progress.start("comparing")
        found: list[FileDifference] = []
        accounts: dict[str, list[FileChange]] = {}
        for change in self._changes():
            account = layout.account_of(change.path.partition("/")[0])
            if account:
                accounts.setdefault(account, []).append(change)
            else:
                found.append(self._look_into(change))
            progress.advance()
        messages = []
        for account, changes in sorted(accounts.items()):
            inside = self._messages(changes)
            messages += [(account, one) for one in inside]
            found += [FileDifference(one) if inside else self._look_into(one) for one in changes]
        progress.finish()
        return sorted(found, key=lambda one: one.change.path.split("/")), messages

    def _changes(self) -> Iterator[FileChange]:
        if self.newer is None:
            standing = Standing(self.bank, self.blobs, self.scope)
            yield from standing.changes_since(self.older.root, self._lost)
            self.findings += standing.findings
            return
        for change in comparing.between(self.blobs, self.older.root, self.newer.root, self._lost, self.scope.leads):
            if self.scope.has(change.path):
                yield change

    def _lost(self, path: str, error: MemorybankError) -> None:
        if not path:
            raise error
        self.findings.append(Finding("MB130", f"its directory cannot be read of the snapshot: {error.message}", path))

    def _look_into(self, change: FileChange) -> FileDifference:
        before, after = change.before, change.after
        if change.what == "mode" or not layout.place(change.path).is_json:
            return FileDifference(change)
        try:
            was, now = self._old_bytes(before), self._new_bytes(after)
        except (Damaged, OSError) as error:
            self.findings.append(Finding("MB130", f"it cannot be compared: {error}", change.path))
            return FileDifference(change)
        return FileDifference(change, compare(self.reader, change.path, was, now), compared=True)

    def _old_bytes(self, entry: FileEntry | None) -> bytes | None:
        return None if entry is None else trees.read_file(self.blobs, entry)

    def _new_bytes(self, entry: FileEntry | None) -> bytes | None:
        if entry is None or self.newer is not None:
            return self._old_bytes(entry)
        return self.bank.root.read(entry.path)

    def _messages(self, changes: list[FileChange]) -> list[Change]:
        """What happened to an account's messages: its history is one, however it is cut into files."""
        old: dict[str, Record] = {}
        new: dict[str, Record] = {}
        for change in sorted(changes, key=_age):
            if layout.place(change.path).kind not in _HISTORY or change.what == "mode":
                continue
            try:
                self._take(change.path, self._old_bytes(change.before), old)
                self._take(change.path, self._new_bytes(change.after), new)
            except (Damaged, OSError, ValueError):
                return []  # each file is compared by itself then, which says what is wrong with it
        return list(compare_records(list(old.values()), list(new.values())).changes)

    def _take(self, path: str, data: bytes | None, into: dict[str, Record]) -> None:
        """Put the messages of a file to those of the others; one that stands in two of them counts once."""
        for number, record in enumerate(self.reader.records(path, data) if data is not None else ()):
            into.setdefault(record.id or f"{path} {number}", record)


def _age(change: FileChange) -> tuple[bool, str]:
    """Sealed messages are older than those in whole_history, and their files are named by their positions."""
    return layout.place(change.path).kind == "whole_history", change.path


def names_beside(blobs: Blobs, root: str, path: str) -> list[str]:
    """What stands in the directory that a path names in a snapshot, or in the nearest one above it that is there."""
    directory = path
    while directory:
        directory = directory.rpartition("/")[0]
        found = trees.find(blobs, root, directory)
        if isinstance(found, trees.DirectoryEntry):
            level = trees.read(blobs, found)
            return [one.path for one in level.files] + [one.path for one in level.directories]
    return []
