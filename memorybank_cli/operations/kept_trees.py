"""Which tree each settled directory came to when it was last saved: so that one in which no stat moved costs nothing.

A directory's key covers the stats of all files in it (`settled.signature`), and the keys, modes and times of the
directories in it. What is kept is derived, holds for one repository, and only while every pack that was there then
still is; anything doubtful is built again from the catalog.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

import orjson

from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.base import digests, files
from memorybank_cli.operations.looks import Looks
from memorybank_cli.snapshots.index import Index
from memorybank_cli.snapshots.repository import Repository

VERSION = 1
_LIMIT = 256 << 20


class Tree(NamedTuple):
    """A directory as it was saved: its tree, and what is at and below it."""

    id: str
    files: int
    bytes: int
    records: int


def _path(repository: Repository) -> str:
    return f"{layout.PRIVATE}/saved-{repository.repo_id}.json"


class Kept(NamedTuple):
    """What the last backup of this bank to a repository left."""

    trees: dict[str, Tree]
    """By key, those that are whole in the repository."""
    packs: frozenset[str] | None
    """The packs that the repository had then; None where nothing is known."""


def load(bank: Bank, repository: Repository, index: Index) -> Kept:
    """What was kept, without trees where it is not sure that the repository still has all that is in them."""
    data = bank.root.content(_path(repository), _LIMIT) or b""
    digest, _, body = data.partition(b"\n")
    if digests.of(body).encode() != digest:
        return Kept({}, None)
    kept = orjson.loads(body)
    if kept["version"] != VERSION:
        return Kept({}, None)
    packs = frozenset(kept["packs"])
    if kept["generation"] != repository.generation().hex() or not index.packs.keys() >= packs:
        return Kept({}, packs)
    return Kept({key: tree for key, row in kept["trees"].items() if (tree := Tree(*row)).id in index.where}, packs)


def write(bank: Bank, repository: Repository, packs: list[str], trees: dict[str, Tree]) -> None:
    """Keep trees for the next backup to this repository, which holds these packs; unsynced, for it is derived."""
    kept = {"version": VERSION, "generation": repository.generation().hex(), "packs": packs, "trees": trees}
    body = orjson.dumps(kept, default=tuple)
    files.replace(bank.root, _path(repository), digests.of(body).encode() + b"\n" + body, durable=False)


class Unchanged:
    """Which directories are as they were saved, and what is kept of this run for the next one."""

    def __init__(self, bank: Bank, looks: Looks) -> None:
        self._bank, self._looks = bank, looks
        self._kept: dict[str, Tree] = {}
        self.packs: frozenset[str] | None = None
        """The packs that the repository had after the last backup, None where that is not known."""
        self.counts: dict[str, tuple[int, int, int]] = {}
        """Files, bytes and records right in each directory that was gone into."""
        self._keys: dict[str, str] = {}
        self._trees: dict[str, str] = {}

    def compare(self, recorded: Iterable[str], repo: Repository | None, index: Index | None) -> None:
        """Hold what was seen against what was kept for a repository; `recorded` are the directories that are known."""
        for path in recorded:  # a directory that is gone is somebody's loss: those above it are gone into
            if path not in self._looks:
                self._doubt_above(path)
        self._keys = self._looks.keys()
        if index is not None and repo is not None:
            self._kept, self.packs = load(self._bank, repo, index)

    def tree(self, path: str) -> Tree | None:
        """What an unchanged directory came to."""
        return self._kept.get(self._keys.get(path, ""))

    def forget(self, tops: Collection[str]) -> None:
        """Take some top directories for changed."""
        self._keys = {path: key for path, key in self._keys.items() if path.partition("/")[0] not in tops}

    def closed(self, path: str, tree: str) -> None:
        """Remember the tree of a directory."""
        self._trees[path] = tree

    def keep(self, repo: Repository) -> None:
        """Keep the trees of this run for the next one. Raises OSError."""
        kept: dict[str, Tree] = {}
        totals: dict[str, tuple[int, ...]] = {}
        for path, key in self._looks.keys().items():  # the deepest come first
            if path not in self._trees:
                if key in self._kept:
                    kept[key] = self._kept[key]
                    totals[path] = tuple(kept[key][1:])
                continue
            inner = [totals.get(one) for one in self._looks.directories(path)]
            known = [one for one in inner if one is not None]
            if len(known) == len(inner):
                totals[path] = tuple(map(sum, zip(self.counts.get(path, (0, 0, 0)), *known, strict=True)))
                kept[key] = Tree(self._trees[path], *totals[path])
        write(self._bank, repo, sorted(repo.packs()), kept)

    def _doubt_above(self, path: str) -> None:
        while path:
            path = path.rpartition("/")[0]
            self._looks.doubt(path)
