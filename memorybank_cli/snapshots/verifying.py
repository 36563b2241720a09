"""Verifying a repository: every tree and every blob there, every byte as it was written, and who is hit if not."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple

from memorybank_cli.base import digests, locks
from memorybank_cli.base.records import QUIET, Finding, Progress, at_least
from memorybank_cli.snapshots import documents, trees
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.documents import Document
from memorybank_cli.snapshots.index import damaged_pack
from memorybank_cli.snapshots.packs import read_frame
from memorybank_cli.snapshots.repository import Repository, explained, pack_path
from memorybank_cli.snapshots.sealing import Damaged
from memorybank_cli.snapshots.trees import DirectoryEntry, FileEntry

# Beyond this many hit files a person needs the number, not the names.
MAX_NAMED = 1000


@dataclass(frozen=True)
class Verified:
    """What was checked and what is wrong."""

    snapshots: int
    checked: int
    """Distinct trees and blobs that the snapshots need."""
    packs: int
    """Packs that were read, 0 without reading data."""
    bytes_read: int
    findings: tuple[Finding, ...]
    damaged_packs: frozenset[str]
    """Names for `saving.save(distrust=…)`, which stores again what the bank still has."""

    @property
    def ok(self) -> bool:
        """Whether nothing was found that is an error."""
        return not at_least(self.findings, "error")

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON."""
        return {
            "ok": self.ok,
            "snapshots": self.snapshots,
            "checked": self.checked,
            "packs": self.packs,
            "bytes_read": self.bytes_read,
            "findings": [finding.as_dict() for finding in self.findings],
            "damaged_packs": sorted(self.damaged_packs),
        }


def verify(
    repo: Repository,
    ids: Iterable[str] | None = None,
    read_data: bool = False,
    progress: Progress = QUIET,
    *,
    lock_timeout: float = locks.DEFAULT_TIMEOUT,
) -> Verified:
    """Check all snapshots, or those that `documents.resolve` knows by `ids`: every tree, and that every blob is there.

    With `read_data` every byte of every pack is read, hashed and unpacked, and each blob's digest compared.
    Raises SnapshotNotFound or UsageError for an id, OperationFailed, Locked.
    """
    with explained("cannot verify the repository"), repo.reading(lock_timeout):
        listing = documents.listing(repo)
        chosen = listing.documents if ids is None else tuple(documents.resolve(repo, name) for name in ids)
        blobs = Blobs(repo)
        packs = _Packs(repo, blobs)
        packs.look_around()
        if read_data:
            packs.read(progress)
        forest = _Forest(blobs, packs.lost)
        forest.check(chosen, progress)
        unread = listing.findings if ids is None else ()
        findings = [*unread, *blobs.findings, *packs.findings, *forest.findings(chosen)]
    return Verified(len(chosen), forest.checked, packs.count, packs.bytes, tuple(findings), frozenset(packs.damaged))


class _Packs:
    """The packs as they stand on the disk."""

    def __init__(self, repo: Repository, blobs: Blobs) -> None:
        self._repo, self._index = repo, blobs.index
        self.findings: list[Finding] = []
        self.damaged = {finding.pointer.rpartition("/")[2] for finding in blobs.findings}
        self.lost: dict[str, str] = {}
        """Blobs of which no copy can be read, and why."""
        self.count = self.bytes = 0

    def look_around(self) -> None:
        """Name what stands among the packs and is none."""
        for path in self._repo.strays():
            message = f"{path} is not a pack of this repository"
            self.findings.append(Finding("MB130", message, pointer=f"/{path}", level="warning"))

    def read(self, progress: Progress) -> None:
        """Read every byte; fills `lost` and `damaged`."""
        present = self._repo.packs()
        progress.start("reading packs", len(present))
        good: set[str] = set()
        for name in sorted(present):
            self._read_pack(name, good)
            progress.advance()
        for name in good:
            self.lost.pop(name, None)
        progress.finish()

    def _read_pack(self, name: str, good: set[str]) -> None:
        why = self._altered(name)
        pack = self._index.packs.get(name)
        for number, frame in enumerate(pack.frames if pack else ()):
            try:
                data = read_frame(self._repo, name, number, frame)
            except (Damaged, OSError) as error:
                why = why or str(error)
                self.lost.update(dict.fromkeys(frame.ids, f"pack {name[:12]} is damaged"))
                continue
            start = 0
            for blob, size in zip(frame.ids, frame.sizes, strict=True):
                if sha256(data[start : start + size]).hexdigest() == blob:
                    good.add(blob)
                else:
                    why = why or "a blob has another digest"
                    self.lost[blob] = f"pack {name[:12]} is damaged"
                start += size
        if why and name not in self.damaged:
            self.findings.append(damaged_pack(name, why))
            self.damaged.add(name)

    def _altered(self, name: str) -> str:
        try:
            fd = self._repo.root.open(pack_path(name))
        except OSError as error:
            return str(error)
        try:
            digest, size = digests.of_fd(fd)
        except OSError as error:
            return str(error)
        finally:
            os.close(fd)
        self.count += 1
        self.bytes += size
        return "" if digest == name else "its bytes are not those of its name"


class _Trouble(NamedTuple):
    """What is wrong with one tree itself: it cannot be read, or files in it cannot."""

    unreadable: str
    files: list[tuple[str, str]]


class _Forest:
    """Every distinct tree of the chosen snapshots, each looked at once."""

    def __init__(self, blobs: Blobs, lost: dict[str, str]) -> None:
        self._blobs, self._lost = blobs, lost
        self._sizes: dict[str, int] = {}
        for _, _, frame in blobs.index.frames:
            self._sizes.update(zip(frame.ids, frame.sizes, strict=True))
        self._children: dict[str, list[DirectoryEntry]] = {}
        self._parents: dict[str, set[str]] = {}
        self._trouble: dict[str, _Trouble] = {}
        self._needed: set[str] = set()

    @property
    def checked(self) -> int:
        """How many trees and blobs were looked at."""
        return len(self._children) + len(self._needed)

    def check(self, chosen: Collection[Document], progress: Progress) -> None:
        """Look at all trees."""
        waiting = [document.root for document in chosen]
        progress.start("checking directories")
        while waiting:
            tree = waiting.pop()
            if tree not in self._children:
                self._children[tree] = self._look_at(tree)
                for child in self._children[tree]:
                    self._parents.setdefault(child.tree, set()).add(tree)
                    waiting.append(child.tree)
                progress.advance()
        progress.finish()

    def _look_at(self, tree: str) -> list[DirectoryEntry]:
        try:
            files, directories = trees.parse(self._blobs.get(tree))
        except Damaged as error:
            self._trouble[tree] = _Trouble(error.message, [])
            return []
        bad = [(entry.path, why) for entry in files if (why := self._wrong_with(entry))]
        if bad:
            self._trouble[tree] = _Trouble("", bad)
        return directories

    def _wrong_with(self, entry: FileEntry) -> str:
        needed = [*(entry.good or ()), *(entry.found or ())]
        self._needed.update(needed)
        for name in needed:
            if name not in self._sizes:
                return f"blob {name[:12]} is in no readable pack"
            if name in self._lost:
                return self._lost[name]
        if entry.good is not None and sum(self._sizes[name] for name in entry.good) != entry.size:
            return f"its blobs do not make the {entry.size:,} bytes that the snapshot says"
        return ""

    def findings(self, chosen: Collection[Document]) -> list[Finding]:
        """One finding for each path that is hit, naming the snapshots."""
        hits: dict[str, tuple[str, list[str]]] = {}
        broken = self._with_trouble_below()
        for document in chosen:
            for path, why in self._hit(document.root, broken):
                if len(hits) < MAX_NAMED or path in hits:
                    hits.setdefault(path, (why, []))[1].append(document.id)
        return [_hit_finding(path, why, names) for path, (why, names) in sorted(hits.items())]

    def _with_trouble_below(self) -> set[str]:
        broken: set[str] = set()
        waiting = list(self._trouble)
        while waiting:
            tree = waiting.pop()
            if tree not in broken:
                broken.add(tree)
                waiting += self._parents.get(tree, ())
        return broken

    def _hit(self, root: str, broken: set[str]) -> Iterable[tuple[str, str]]:
        waiting = [("", root)]
        named = 0
        while waiting and named < MAX_NAMED:
            path, tree = waiting.pop()
            if tree not in broken:
                continue
            trouble = self._trouble.get(tree)
            if trouble is not None and trouble.unreadable:
                named += 1
                yield path, f"the directory cannot be read: {trouble.unreadable}"
            prefix = path + "/" if path else ""
            for name, why in trouble.files if trouble else ():
                named += 1
                yield prefix + name, why
            waiting += [(prefix + child.path, child.tree) for child in self._children.get(tree, ())]


def _hit_finding(path: str, why: str, names: list[str]) -> Finding:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    plural = "snapshots" if len(names) > 1 else "snapshot"
    return Finding(
        "MB130",
        f"not restorable from {plural} {', '.join(names[:3])}{more}: {why}",
        path,
        hint="memorybank backup stores it again if the bank still has it; another snapshot may have an earlier version",
    )
