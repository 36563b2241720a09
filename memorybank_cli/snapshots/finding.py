"""Which versions of files a repository's snapshots hold, and from which snapshot to which each is there.

Each distinct directory is looked at twice, however many snapshots have it: oldest first, which tells the first
snapshot of what is below it, and newest first, which tells the last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from memorybank_cli.base.errors import MemorybankError
from memorybank_cli.snapshots import comparing, trees
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.documents import Document
from memorybank_cli.snapshots.trees import DirectoryEntry, FileEntry, Ids


class Key(NamedTuple):
    """One version of one file."""

    path: str
    ids: Ids
    rule: str
    """What is wrong with it, where it is what was found instead of a good version; else ''."""


@dataclass
class Version:
    """A version, and the first and the last snapshot in which it stands."""

    path: str
    ids: Ids
    rule: str
    entry: FileEntry
    first: Document
    last: Document


class _Node(NamedTuple):
    versions: list[tuple[Key, FileEntry]]
    children: list[tuple[str, str]]


def versions(
    blobs: Blobs,
    documents: Sequence[Document],
    wanted: Callable[[str], bool],
    lost: Callable[[str, MemorybankError], None],
) -> list[Version]:
    """Every distinct version of the files that are `wanted`, in the order of their paths, oldest first.

    `documents` are in order, oldest first. `lost(path, error)` hears once of each directory that cannot be read.
    """
    forest = _Forest(blobs, wanted, lost)
    found: dict[Key, Version] = {}
    for document in documents:
        for key, entry in forest.new_in(document):
            found.setdefault(key, Version(key.path, key.ids, key.rule, entry, document, document))
    settled: set[Key] = set()
    forest.start_again()
    for document in reversed(documents):
        for key, _ in forest.new_in(document):
            if key not in settled:
                settled.add(key)
                found[key].last = document
    number = {document.id: index for index, document in enumerate(documents)}
    return sorted(found.values(), key=lambda one: (one.path.split("/"), number[one.first.id], bool(one.rule)))


def in_order(blobs: Blobs, ids: Iterable[Ids]) -> list[Ids]:
    """Contents in the order in which they lie in the packs, so that each frame is unpacked once."""
    where = blobs.index.where
    return sorted(dict.fromkeys(ids), key=lambda one: where.get(one[0], -1))


class _Forest:
    """The directories of many snapshots, each distinct one read once."""

    def __init__(
        self, blobs: Blobs, wanted: Callable[[str], bool], lost: Callable[[str, MemorybankError], None]
    ) -> None:
        self._blobs, self._wanted, self._lost = blobs, wanted, lost
        self._nodes: dict[tuple[str, str], _Node] = {}
        self._seen: set[tuple[str, str]] = set()

    def start_again(self) -> None:
        """Take every directory for new again."""
        self._seen.clear()

    def new_in(self, document: Document) -> Iterator[tuple[Key, FileEntry]]:
        """The versions in directories of a snapshot that were in none asked for before."""
        waiting, seen = [("", document.root)], 0
        while waiting:
            place = waiting.pop()
            seen += 1
            trees.check_bounds(seen, "")
            if place in self._seen:
                continue
            self._seen.add(place)
            node = self._nodes.get(place)
            if node is None:
                node = self._nodes[place] = self._read(*place)
            yield from node.versions
            waiting += node.children

    def _read(self, path: str, tree: str) -> _Node:
        level = comparing.read(self._blobs, DirectoryEntry(path, trees.DEFAULT_MODE, 0, tree), self._lost)
        if level is None:
            return _Node([], [])
        found = [pair for entry in level.files if self._wanted(entry.path) for pair in _versions_of(entry)]
        return _Node(found, [(one.path, one.tree) for one in level.directories])


def _versions_of(entry: FileEntry) -> Iterator[tuple[Key, FileEntry]]:
    if entry.good is not None:
        yield Key(entry.path, entry.good, ""), entry
    if entry.found is not None:
        yield Key(entry.path, entry.found, entry.rule), entry
