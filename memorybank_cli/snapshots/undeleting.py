"""Bringing forgotten snapshots back: what of each is still in the packs or the trash, and the way back.

Packs come back first and the document last, so a run that is killed leaves a snapshot whole in the trash, or whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from memorybank_cli.snapshots import documents, trash, trees
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.documents import Document, Listing
from memorybank_cli.snapshots.pruning import with_room
from memorybank_cli.snapshots.repository import Repository
from memorybank_cli.snapshots.sealing import Damaged
from memorybank_cli.snapshots.trash import Bin


@dataclass(frozen=True)
class Forgotten:
    """A snapshot in the trash."""

    snapshot: Document
    bin: Bin
    packs: frozenset[str]
    """Those in the trash that it needs."""
    is_whole: bool
    """Whether everything that it needs is still there."""

    def as_dict(self) -> dict[str, Any]:
        """What is shown of it."""
        one, until = self.snapshot, self.bin.until
        shown = {"id": one.id, "time": one.time, "status": one.status, "files": one.files, "bytes": one.bytes}
        return {**shown, "whole": self.is_whole, "forgotten": self.bin.when, "until": until}


class _Directory(NamedTuple):
    """What one tree needs by itself, and its trees below."""

    packs: frozenset[str]
    is_whole: bool
    below: tuple[str, ...]


class Trash:
    """The forgotten snapshots of a repository."""

    def __init__(self, repo: Repository) -> None:
        self.repo = repo
        self.bins = trash.bins(repo)
        self.blobs = Blobs(trash.with_trash(repo, self.bins))
        self._there = repo.packs()
        self._seen: dict[str, _Directory] = {}
        self._bins: dict[str, Bin] = {}
        self.listing = self._list()

    def _list(self) -> Listing:
        listed = {entry.name for entry in self.repo.backend.entries("snapshots")}
        found, findings = {}, []
        for one in self.bins:
            for name in one.snapshots.keys() - listed:
                try:
                    found[name] = documents.read(self.repo, name, f"{trash.FOLDER}/{one.name}/snapshots")
                    self._bins[name] = one
                except (Damaged, OSError) as error:
                    findings.append(documents.damaged(name, str(error)))
        return Listing(tuple(sorted(found.values(), key=lambda one: one.order)), tuple(findings))

    def look(self, snapshot: Document) -> Forgotten:
        """What of a snapshot is still there."""
        packs: set[str] = set()
        seen, waiting, whole = set(), [snapshot.root], True
        while waiting:
            tree = waiting.pop()
            if tree not in seen:
                seen.add(tree)
                directory = self._directory(tree)
                packs |= directory.packs
                whole = whole and directory.is_whole
                waiting += directory.below
        return Forgotten(snapshot, self._bins[snapshot.id], frozenset(packs), whole)

    def lost_files(self, snapshot: Document) -> list[str]:
        """The paths that cannot be had any more: files, and directories with all below them.

        Raises Damaged where not even the names can be read.
        """
        lost: list[str] = []

        def damaged(path: str, error: Exception) -> None:
            if not path:
                raise error
            lost.append(f"{path}/")

        for entry in trees.files(self.blobs, snapshot.root, damaged):
            if any(name not in self.blobs for name in entry.good or entry.found or ()):
                lost.append(entry.path)
            elif any(name not in self.blobs for name in entry.found or ()):
                lost.append(f"{entry.path} (the damaged bytes beside it)")
        return sorted(lost)

    def bring_back(self, chosen: Iterable[Forgotten]) -> list[str]:
        """Put snapshots and their packs where they were; the packs that moved. The caller is alone. Raises OSError."""
        places = {name: one for one in self.bins for name in one.packs}
        moved: list[str] = []
        for forgotten in chosen:
            for name in sorted(forgotten.packs.difference(moved)):
                self._take_back(places[name], "packs", name)
                moved.append(name)
            self._take_back(forgotten.bin, "snapshots", forgotten.snapshot.id)
        return moved

    def _take_back(self, one: Bin, kind: str, name: str) -> None:
        with_room(self.repo, partial(trash.take_back, self.repo, one, kind, name))

    def _directory(self, tree: str) -> _Directory:
        found = self._seen.get(tree)
        if found is None:
            found = self._seen[tree] = self._read(tree)
        return found

    def _read(self, tree: str) -> _Directory:
        try:
            level = trees.parse(self.blobs.get(tree))
        except Damaged:
            return _Directory(self._packs_of(tree), is_whole=False, below=())
        needed = [tree]
        for entry in level.files:
            needed += [*(entry.good or ()), *(entry.found or ())]
        packs = frozenset[str]().union(*map(self._packs_of, needed))
        whole = all(name in self.blobs for name in needed)
        return _Directory(packs, whole, (*level.parts, *(inner.tree for inner in level.directories)))

    def _packs_of(self, blob: str) -> frozenset[str]:
        """The packs in the trash that hold a blob which no pack in its place holds."""
        frames = self.blobs.index.frames
        packs = {frames[place].pack for place in self.blobs.index.places(blob)}
        return frozenset() if packs & self._there.keys() else frozenset(sorted(packs)[:1])
