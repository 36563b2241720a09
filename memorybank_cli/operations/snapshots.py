"""Snapshots: listing, showing, proving and restoring them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base.records import Finding
from memorybank_cli.base.words import counted
from memorybank_cli.operations.options import Option
from memorybank_cli.operations.repositories import open_repository
from memorybank_cli.snapshots import documents, restoring, trees, verifying
from memorybank_cli.snapshots.blobs import Blobs

RepoOption = Annotated[str | None, Option("the repository; default: in the owner's data directory", metavar="DIR")]


@dataclass(frozen=True)
class SnapshotList:
    """The snapshots of a repository."""

    snapshots: tuple[documents.Document, ...]
    findings: tuple[Finding, ...]
    repository: str

    def as_dict(self) -> dict[str, Any]:
        """The contract's fields."""
        return {
            "snapshots": [one.as_dict() for one in self.snapshots],
            "findings": [one.as_dict() for one in self.findings],
            "repository": self.repository,
        }

    def exit_code(self) -> int:
        """1 when a snapshot is damaged."""
        return 1 if self.findings else 0

    def summary(self) -> str:
        """How many, where."""
        return f"{counted(len(self.snapshots), 'snapshot')} in {self.repository}"


@dataclass(frozen=True)
class SnapshotFiles:
    """One snapshot and the files in it."""

    snapshot: documents.Document
    files: tuple[trees.FileEntry, ...]

    def as_dict(self) -> dict[str, Any]:
        """The snapshot, and for each file path, size, mode, mtime and, where it was damaged, the rule."""
        listed = []
        for one in self.files:
            row: dict[str, Any] = {"path": one.path, "size": one.size, "mode": one.mode, "mtime_ns": one.mtime_ns}
            listed.append({**row, "rule": one.rule, "good": one.good is not None} if one.rule else row)
        return {"snapshot": self.snapshot.as_dict(), "files": listed}


def list_(
    bank: Bank, *, repo: RepoOption = None, tag: Annotated[tuple[str, ...], "only snapshots with this tag"] = ()
) -> SnapshotList:
    """List the snapshots.

    Exit codes:
        0   done
        1   a snapshot is damaged
        10  there is no repository yet

    Examples:
        memorybank snapshot list --json
    """
    with open_repository(bank, repo) as repository:
        found = documents.listing(repository)
        chosen = tuple(one for one in found.documents if not tag or set(tag) & set(one.tags))
        return SnapshotList(chosen, found.findings, repository.path)


def show(
    bank: Bank, id: Annotated[str, "an id, a unique beginning of one, or latest"] = "latest", *, repo: RepoOption = None
) -> SnapshotFiles:
    """Show one snapshot and what it holds.

    Exit codes:
        0   done
        10  there is no such snapshot

    Examples:
        memorybank snapshot show latest
    """
    with open_repository(bank, repo) as repository:
        document = documents.resolve(repository, id)
        return SnapshotFiles(document, tuple(trees.files(Blobs(repository), document.root)))


def verify(
    bank: Bank,
    id: Annotated[str | None, "an id, a unique beginning of one, or latest; default: all"] = None,
    *,
    read_data: Annotated[bool, "read every byte of every pack"] = False,
    repo: RepoOption = None,
) -> verifying.Verified:
    """Prove that snapshots can be restored.

    Exit codes:
        0   everything is there
        1   something is damaged; the findings name the files that it hits
        10  there is no such snapshot

    Examples:
        memorybank snapshot verify --read-data
    """
    with open_repository(bank, repo) as repository:
        ids = None if id is None else [documents.resolve(repository, id).id]
        return verifying.verify(repository, ids, read_data, bank.context.progress, lock_timeout=bank.lock_timeout)


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
        13  the directory is not empty

    Examples:
        memorybank snapshot restore latest --to ./look
    """
    with open_repository(bank, repo) as repository:
        document = documents.resolve(repository, id)
        return restoring.restore_to(
            repository, document, to, path or None, bank.context.progress, lock_timeout=bank.lock_timeout
        )
