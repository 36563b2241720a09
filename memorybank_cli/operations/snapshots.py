"""Snapshots: listing, showing, proving and restoring them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base.context import when_interrupted
from memorybank_cli.base.errors import UsageError
from memorybank_cli.base.names import escape
from memorybank_cli.base.records import Finding
from memorybank_cli.base.words import counted
from memorybank_cli.operations.options import Option, RepoOption
from memorybank_cli.operations.ownership import shown, to_look_at
from memorybank_cli.operations.paths import bank_path
from memorybank_cli.operations.repositories import check_outside, open_repository
from memorybank_cli.snapshots import documents, pins, restoring, trees
from memorybank_cli.snapshots.blobs import Blobs


@dataclass(frozen=True)
class SnapshotList:
    """The snapshots of a repository."""

    snapshots: tuple[documents.Document, ...]
    findings: tuple[Finding, ...]
    repository: str
    latest: str = ""
    """The id of what `latest` means, '' where there is none."""
    pinned: frozenset[str] = frozenset()
    others: int = 0
    """How many snapshots of other banks are there too and not among `snapshots`."""

    def as_dict(self) -> dict[str, Any]:
        """The contract's fields, and of each snapshot whether it is `latest` and whether it is pinned."""
        return {
            "snapshots": [
                {**one.as_dict(), "latest": one.id == self.latest, "pinned": one.id in self.pinned}
                for one in self.snapshots
            ],
            "findings": [one.as_dict() for one in self.findings],
            "repository": self.repository,
            "others": self.others,
        }

    def exit_code(self) -> int:
        """1 when a snapshot is damaged."""
        return 1 if self.findings else 0

    def summary(self) -> str:
        """How many, where."""
        more = f"; {self.others:,} more of other banks: --all" if self.others else ""
        return f"{counted(len(self.snapshots), 'snapshot')} in {self.repository}{more}"


@dataclass(frozen=True)
class SnapshotFiles:
    """One snapshot and the files in it."""

    snapshot: documents.Document
    files: tuple[trees.FileEntry, ...]
    pinned: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The snapshot, and for each file path, size, mode, mtime and, where it was damaged, the rule."""
        listed = []
        for one in self.files:
            row: dict[str, Any] = {"path": one.path, "size": one.size, "mode": one.mode, "mtime_ns": one.mtime_ns}
            listed.append({**row, "rule": one.rule, "good": one.good is not None} if one.rule else row)
        return {"snapshot": {**self.snapshot.as_dict(), "pinned": self.pinned}, "files": listed}


def list_(
    bank: Bank,
    *,
    tag: Annotated[tuple[str, ...], Option("only snapshots with this tag", metavar="T")] = (),
    last: Annotated[int | None, Option("only the newest N", metavar="N")] = None,
    all_: Annotated[bool, "those of other banks in the repository too"] = False,
    repo: RepoOption = None,
) -> SnapshotList:
    """List the snapshots.

    The newest stands last. A suspect one holds so much less than the one before that it takes nobody's
    place: `latest` passes over it, and over those that a rollback made of what it replaced. Of a repository
    that holds the snapshots of several banks those of this bank are listed; where it has none, all.

    Exit codes:
        0   done
        1   a snapshot is damaged
        10  there is no repository yet

    Examples:
        memorybank snapshot list --last 5
        memorybank snapshot list --tag before-upgrade --json
    """
    if last is not None and last < 1:
        raise UsageError("--last must be at least 1", hint="leave it out to list all")
    with open_repository(bank, repo) as repository:
        found = documents.listing(repository)
        listed = found if all_ else shown(bank, found)
        chosen = tuple(one for one in listed.documents if not tag or set(tag) & set(one.tags))[-(last or 0) :]
        mine = shown(bank, found).latest
        latest = mine.id if mine else ""
        others = len(found.documents) - len(listed.documents)
        return SnapshotList(chosen, found.findings, repository.path, latest, pins.pinned(repository), others)


def show(
    bank: Bank, id: Annotated[str, "an id, a unique beginning of one, or latest"] = "latest", *, repo: RepoOption = None
) -> SnapshotFiles:
    """Show one snapshot and what it holds.

    That is why it is suspect, what was left out on purpose, which files were damaged when it was made,
    and how much is in each section. `memorybank snapshot find '*' --snapshot ID` lists every file.

    Exit codes:
        0   done
        10  there is no such snapshot

    Examples:
        memorybank snapshot show latest
    """
    with open_repository(bank, repo) as repository:
        document = to_look_at(bank, repository, id)
        files = tuple(trees.files(Blobs(repository), document.root))
        return SnapshotFiles(document, files, document.id in pins.pinned(repository))


def restore(
    bank: Bank,
    id: Annotated[str, "an id, a unique beginning of one, or latest"] = "latest",
    *,
    to: Annotated[str, Option("the directory to put the content into; missing or empty", metavar="DIR")],
    path: Annotated[tuple[str, ...], Option("only this file or directory", metavar="P")] = (),
    repo: RepoOption = None,
) -> restoring.Restored:
    """Put a snapshot's content into a directory.

    The bank stays as it is; `memorybank rollback` puts content back in place.

    Exit codes:
        0   restored
        1   restored, but files are damaged or were never good; the findings name them
        10  there is no such snapshot, or the path is not in it
        13  the directory is not empty, a mount point, or lies inside the bank or the repository

    Examples:
        memorybank snapshot restore latest --to ./look
    """
    paths = [bank_path(bank, one, must_exist=False) for one in path]
    with when_interrupted(f"nothing was put into {escape(to)}"), open_repository(bank, repo) as repository:
        check_outside(bank, to, repository)
        document = to_look_at(bank, repository, id)
        return restoring.restore_to(
            repository, document, to, paths or None, bank.context.progress, lock_timeout=bank.lock_timeout
        )
