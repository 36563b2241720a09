"""Which repository is meant, and versions of files that can be had from its snapshots."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base import digests
from memorybank_cli.base.errors import (
    MemorybankError,
    NotFound,
    Refused,
    SnapshotNotFound,
    UsageError,
    WrongKey,
    from_os_error,
)
from memorybank_cli.base.names import escape
from memorybank_cli.operations import key_sources
from memorybank_cli.snapshots import documents, trees
from memorybank_cli.snapshots.backends import Backend
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.index import Index
from memorybank_cli.snapshots.keys import Unlocked
from memorybank_cli.snapshots.repository import Repository, is_inside, not_encrypted, stands_at

_SEALED = "encrypted-repositories"
"""Kept in the bank's state: the ids of encrypted repositories to which the bank was saved, by place."""

DIRECTORIES = 8  # of snapshots: many files of one are asked for one after the other


def repository_path(bank: Bank, given: str | None) -> str:
    """`--repo`, the setting, or the default in the owner's data directory. Raises Refused for one inside the bank."""
    path = os.path.expanduser(given or bank.settings["repository"] or bank.home.repository)
    if "://" in path:
        raise UsageError(
            f"'{escape(path)}' is an address; only directories hold repositories so far", hint="give a directory"
        )
    if is_inside(path, bank.root.path):
        raise Refused(
            f"the repository {escape(path)} lies inside the bank", hint="choose a place outside with --repo", path=path
        )
    return str(path)


def check_outside(bank: Bank, target: str, repository: Repository | None = None) -> None:
    """Raise Refused for a place inside the bank, where what is put would become its content, or the repository."""
    place = os.path.realpath(target)
    inside = [(bank.root.path, "bank")] + ([(repository.path, "repository")] if repository is not None else [])
    for directory, what in inside:
        if is_inside(place, directory):
            raise Refused(f"{escape(place)} lies inside the {what}", hint="choose a place outside it", path=place)


def open_repository(bank: Bank, given: str | None, *, ask: bool = True) -> Repository:
    """The repository that is meant; for an encrypted one whose key is not named a person is asked, unless not `ask`.

    Raises SnapshotNotFound where there is none yet, WrongKey; Refused for a plain one that should be encrypted:
    whoever can write there could else have what he put there taken for what was saved.
    """
    repository = _opened(bank, given, ask)
    _check_not_downgraded(bank, repository)
    return repository


def _opened(bank: Bank, given: str | None, ask: bool = True) -> Repository:
    def unlock(backend: Backend, repo_id: str) -> Unlocked:
        return key_sources.unlocked(bank, backend, repo_id, ask=ask)

    path = repository_path(bank, given)
    try:
        return Repository.open(path, unlock=unlock)
    except NotFound as error:
        raise SnapshotNotFound(error.message, path=path, hint=error.hint) from None


def repository_for_backup(bank: Bank, given: str | None, encrypt: bool | None = None) -> Repository:
    """The repository that is meant, made where there is none: encrypted if `encrypt`, by default where a key is named.

    Raises WrongKey; Refused where it is not encrypted though `encrypt` or as `open_repository`: whoever can write
    there could else have the next snapshot in plain text.
    """
    path = repository_path(bank, given)
    place, sealed = os.path.realpath(path), bank.home.derived(_SEALED)
    source = key_sources.named(bank)
    if stands_at(path):
        repository = _opened(bank, given)
    elif source is not None if encrypt is None else encrypt:
        repository = Repository.create(path, secret=key_sources.new_secret(bank, source, path))
        bank.context.unlocked[repository.repo_id] = repository.key
    elif encrypt is None and place in sealed:
        raise _no_more_encrypted(path)
    else:
        repository = Repository.create(path)
    if repository.encrypted:
        if sealed.get(place) != repository.repo_id:
            bank.home.keep_derived(_SEALED, {**sealed, place: repository.repo_id})
    elif encrypt:
        repository.close()
        raise not_encrypted(path)
    elif encrypt is None:
        _check_not_downgraded(bank, repository)
    return repository


def _check_not_downgraded(bank: Bank, repository: Repository) -> None:
    """Close it and raise Refused where it is plain and this run names a key, or it was encrypted, here or elsewhere."""
    if repository.encrypted:
        return
    sealed = bank.home.derived(_SEALED)
    if os.path.realpath(repository.path) in sealed or repository.repo_id in sealed.values():
        repository.close()
        raise _no_more_encrypted(repository.path)
    if key_sources.is_named_now(bank):
        repository.close()
        raise _key_for_nothing(repository.path)


def _key_for_nothing(path: str) -> Refused:
    return Refused(
        f"a key is named, and the repository {escape(path)} is not encrypted",
        hint="if that is right, leave the key out (MEMORYBANK_KEY_FILE= and the like for a run) or name another "
        "directory with --repo; if it was encrypted, somebody changed it",
        path=path,
    )


def _no_more_encrypted(path: str) -> Refused:
    return Refused(
        f"the repository {escape(path)} was encrypted when this bank was last saved to it, and is not any more",
        hint="nothing in it was read or written. If you did that, name another directory with --repo; else somebody "
        "else did",
        path=path,
    )


class Snapshots:
    """The snapshots of a bank, and of no other in the repository, as a source of versions; none where there is none.

    With `look` a repository that cannot be opened or read counts as none, and `trouble` says why; nobody is asked for
    a passphrase but by `ask`.
    """

    _look = False
    lacks_key = False
    """Whether all the trouble is that it is encrypted, and no key is named for commands that nobody sits at."""

    def __init__(self, bank: Bank, given: str | None = None, *, look: bool = False, ask: bool = False) -> None:
        self.bank_id = bank.bank_id
        self.repo: Repository | None = None
        self.trouble = ""
        self._look = look
        try:
            self.repo = open_repository(bank, given, ask=ask or not look)
            if look:
                self.newest_first()
        except SnapshotNotFound:
            pass
        except (MemorybankError, OSError) as error:
            self.lacks_key = isinstance(error, WrongKey) and key_sources.named(bank) is None
            self._do_without(error)

    def _do_without(self, error: MemorybankError | OSError) -> None:
        """Count as no snapshots what cannot be read; unless with `look` the error is raised."""
        if not self._look:
            raise error
        if isinstance(error, OSError):
            error = from_os_error(error, "cannot read the snapshots")
        self.close()
        self.repo, self.trouble, self._newest = None, error.message, []

    @classmethod
    def of(cls, bank: Bank, repository: Repository) -> Snapshots:
        """Those of a repository that is open already."""
        made = cls.__new__(cls)
        made.bank_id, made.repo, made.trouble = bank.bank_id, repository, ""
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
        found = documents.listing(self.repo).of(self.bank_id).documents if self.repo is not None else ()
        return sorted(found, key=lambda one: (one.status == "good", one.order), reverse=True)

    def versions(self, path: str) -> Iterator[tuple[documents.Document, trees.FileEntry]]:
        """Good versions of a file in snapshots, newest first; damaged snapshots are passed over."""
        from memorybank_cli.snapshots.sealing import Damaged

        for document in self.newest_first():
            try:
                entry = self._entry(document.root, path)
            except Damaged:
                continue
            except OSError as error:
                self._do_without(error)
                return
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

    def version(self, path: str, sha: str, size: int) -> tuple[documents.Document, trees.FileEntry] | None:
        """The newest good version that has this digest and size. A file of one blob need not be read for that."""
        from memorybank_cli.snapshots.sealing import Damaged

        others: set[trees.Ids] = set()
        for document, entry in self.versions(path):
            if entry.good is None or entry.size != size or entry.good in others:
                continue
            with suppress(Damaged):
                one = entry.good[0] if len(entry.good) == 1 else digests.of_pieces(trees.chunks(self.blobs, entry))
                if one == sha:
                    return document, entry
            others.add(entry.good)
        return None

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
