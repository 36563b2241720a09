"""Which repository is meant, and versions of files that can be had from its snapshots."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base import digests
from memorybank_cli.base.errors import MemorybankError, NotFound, Refused, SnapshotNotFound, UsageError
from memorybank_cli.base.names import escape
from memorybank_cli.operations import key_sources
from memorybank_cli.snapshots import documents, trees
from memorybank_cli.snapshots.backends import Backend
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.index import Index
from memorybank_cli.snapshots.keys import Unlocked
from memorybank_cli.snapshots.repository import Repository, is_inside, not_encrypted, stands_at

_SEALED = "encrypted-repositories"
"""Kept in the bank's state: the ids of repositories that were encrypted when the bank was saved there, by place."""

DIRECTORIES = 8  # of snapshots: many files of one are asked for one after the other


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


def open_repository(bank: Bank, given: str | None, *, ask: bool = True) -> Repository:
    """The repository that is meant; for an encrypted one whose key is not named a person is asked, unless not `ask`.

    Raises SnapshotNotFound where there is none yet, WrongKey.
    """

    def unlock(backend: Backend, repo_id: str) -> Unlocked:
        return key_sources.unlocked(bank, backend, repo_id, ask=ask)

    path = repository_path(bank, given)
    try:
        return Repository.open(path, unlock=unlock)
    except NotFound as error:
        raise SnapshotNotFound(error.message, path=path, hint=error.hint) from None


def repository_for_backup(bank: Bank, given: str | None, encrypt: bool | None = None) -> Repository:
    """The repository that is meant, made where there is none: encrypted if `encrypt`, by default where a key is named.

    Raises WrongKey; Refused where it is not encrypted though `encrypt` or an option names a key, or though it was
    when this bank was last saved there: whoever can write there could else have the next snapshot in plain text.
    """
    path = repository_path(bank, given)
    place, sealed = os.path.realpath(path), bank.home.derived(_SEALED)
    source = key_sources.named(bank)
    if encrypt is None and source is not None and source.name in bank.context.options:
        encrypt = True
    lost = encrypt is None and place in sealed
    if stands_at(path):
        repository = open_repository(bank, given)
    elif source is not None if encrypt is None else encrypt:
        repository = Repository.create(path, secret=key_sources.new_secret(bank, source, path))
        bank.context.unlocked[repository.repo_id] = repository.key
    elif lost:
        raise _no_more_encrypted(path)
    else:
        repository = Repository.create(path)
    if repository.encrypted:
        if sealed.get(place) != repository.repo_id:
            bank.home.keep_derived(_SEALED, {**sealed, place: repository.repo_id})
    elif encrypt or lost:
        repository.close()
        raise not_encrypted(path) if encrypt else _no_more_encrypted(path)
    return repository


def _no_more_encrypted(path: str) -> Refused:
    return Refused(
        f"the repository {escape(path)} was encrypted when this bank was last saved there, and is not any more",
        hint="nothing was written. If you did that, name another directory with --repo; else somebody else did",
        path=path,
    )


class Snapshots:
    """The snapshots of a bank as a source of versions; none where there is no repository.

    With `look` a repository that cannot be opened counts as none, and `trouble` says why; nobody is asked for a
    passphrase but by `ask`.
    """

    def __init__(self, bank: Bank, given: str | None = None, *, look: bool = False, ask: bool = False) -> None:
        self.repo: Repository | None = None
        self.trouble = ""
        try:
            self.repo = open_repository(bank, given, ask=ask or not look)
        except SnapshotNotFound:
            pass
        except MemorybankError as error:
            if not look:
                raise
            self.trouble = error.message

    @classmethod
    def of(cls, repository: Repository) -> Snapshots:
        """Those of a repository that is open already."""
        made = cls.__new__(cls)
        made.repo, made.trouble = repository, ""
        return made

    def close(self) -> None:
        """Give the repository back."""
        if self.repo is not None:
            self.repo.close()

    @cached_property
    def blobs(self) -> Blobs:
        """Its blobs; there must be a repository."""
        assert self.repo is not None
        return Blobs(self.repo)

    def use(self, index: Index) -> None:
        """Read blobs by an index that was loaded already."""
        assert self.repo is not None
        self.blobs = Blobs(self.repo, index)

    def newest_first(self) -> list[documents.Document]:
        """Good snapshots before suspect ones, the newest first."""
        return self._newest

    @cached_property
    def _newest(self) -> list[documents.Document]:
        found = documents.listing(self.repo).documents if self.repo is not None else ()
        return sorted(found, key=lambda one: (one.status == "good", one.order), reverse=True)

    def versions(self, path: str) -> Iterator[tuple[documents.Document, trees.FileEntry]]:
        """Good versions of a file in snapshots, newest first; damaged snapshots are passed over."""
        from memorybank_cli.snapshots.sealing import Damaged

        for document in self.newest_first():
            try:
                entry = self._entry(document.root, path)
            except Damaged:
                continue
            if entry is not None and entry.good is not None:
                yield document, entry

    def _entry(self, root: str, path: str) -> trees.FileEntry | None:
        """A file of a snapshot; of the last few directories the entries are remembered. Raises Damaged."""
        key = root, path.rpartition("/")[0]
        if key not in self._directories:
            here = trees.find(self.blobs, *key)
            files = trees.read(self.blobs, here).files if isinstance(here, trees.DirectoryEntry) else []
            while len(self._directories) >= DIRECTORIES:
                self._directories.pop(next(iter(self._directories)))
            self._directories[key] = {one.path: one for one in files}
        return self._directories[key].get(path)

    @cached_property
    def _directories(self) -> dict[tuple[str, str], dict[str, trees.FileEntry]]:
        return {}

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
