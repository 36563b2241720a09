"""Which repository is meant, and versions of files that can be had from its snapshots."""

from __future__ import annotations

from collections.abc import Iterator

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base import digests
from memorybank_cli.base.errors import NotFound, Refused, SnapshotNotFound, UsageError
from memorybank_cli.base.names import escape
from memorybank_cli.snapshots import documents, trees
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.repository import Repository, is_inside


def repository_path(bank: Bank, given: str | None) -> str:
    """`--repo`, the setting, or the default in the owner's data directory. Raises Refused for one inside the bank."""
    path = given or bank.settings["repository"] or bank.home.repository
    if "://" in path:
        raise UsageError(
            f"'{escape(path)}' is an address; only directories hold repositories so far", hint="give a directory"
        )
    if is_inside(path, bank.root.path):
        raise Refused(
            f"the repository {escape(path)} lies inside the bank", hint="choose a place outside with --repo", path=path
        )
    return str(path)


def open_repository(bank: Bank, given: str | None) -> Repository:
    """The repository that is meant. Raises SnapshotNotFound where there is none yet."""
    path = repository_path(bank, given)
    try:
        return Repository.open(path)
    except NotFound as error:
        raise SnapshotNotFound(error.message, path=path, hint=error.hint) from None


class Snapshots:
    """The snapshots of a bank as a source of versions; none where there is no repository."""

    def __init__(self, bank: Bank, given: str | None = None) -> None:
        try:
            self.repo: Repository | None = open_repository(bank, given)
        except SnapshotNotFound:
            self.repo = None
        self._blobs: Blobs | None = None
        self._newest: list[documents.Document] | None = None

    def close(self) -> None:
        """Give the repository back."""
        if self.repo is not None:
            self.repo.close()

    @property
    def blobs(self) -> Blobs:
        """Its blobs; there must be a repository."""
        assert self.repo is not None
        if self._blobs is None:
            self._blobs = Blobs(self.repo)
        return self._blobs

    def newest_first(self) -> list[documents.Document]:
        """Good snapshots before suspect ones, the newest first."""
        if self._newest is None:
            found = documents.listing(self.repo).documents if self.repo is not None else ()
            self._newest = sorted(found, key=lambda one: (one.status == "good", one.order), reverse=True)
        return self._newest

    def versions(self, path: str) -> Iterator[tuple[documents.Document, trees.FileEntry]]:
        """Good versions of a file in snapshots, newest first; damaged snapshots are passed over."""
        from memorybank_cli.snapshots.sealing import Damaged

        for document in self.newest_first():
            try:
                entry = trees.find(self.blobs, document.root, path)
            except Damaged:
                continue
            if isinstance(entry, trees.FileEntry) and entry.good is not None:
                yield document, entry

    def content(self, path: str, sha: str | None = None) -> tuple[bytes, str] | None:
        """The newest good content of a file, of one digest if given, and the id of the snapshot that has it."""
        from memorybank_cli.snapshots.sealing import Damaged

        for document, entry in self.versions(path):
            try:
                data = trees.read_file(self.blobs, entry)
            except Damaged:
                continue
            if sha is None or digests.of(data) == sha:
                return data, document.id
        return None
