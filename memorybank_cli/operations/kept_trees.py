"""Which tree each settled directory came to when it was last saved: so that one in which no stat moved costs nothing.

A directory's key covers the stats of all files in it (`settled.signature`), and the keys, modes and times of the
directories in it. What is kept is derived, holds for one repository, and only while every pack that was there then
still is; anything doubtful is built again from the catalog.
"""

from __future__ import annotations

from hashlib import sha256
from typing import NamedTuple

import orjson

from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.base import digests, files
from memorybank_cli.base.walk import Listing
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


class _Look(NamedTuple):
    signature: str
    """'' where something in it is not settled."""
    directories: list[tuple[str, int, int]]
    excluded: list[str]


class Looks:
    """What a scan saw of every directory; called with each listing and its signature, '' for an unsettled one."""

    def __init__(self) -> None:
        self._looks: dict[str, _Look] = {}
        self.files = 0
        """How many files were seen."""

    def __call__(self, listing: Listing, signature: str) -> None:
        """Take a directory in, or take it in anew."""
        self.files += len(listing.files) if listing.path not in self._looks else 0
        directories = [(entry.name, entry.mode & 0o7777, entry.mtime_ns) for entry in listing.directories]
        unsure = any(entry.mode & 0o170000 == 0o040000 for entry in listing.others)  # a directory that cannot be read
        self._looks[listing.path] = _Look("" if unsure else signature, directories, excluded(listing))

    def directories(self, path: str) -> list[str]:
        """The paths of the directories right in a directory."""
        prefix = f"{path}/" if path else ""
        return [prefix + one[0] for one in self._looks[path].directories]

    def __contains__(self, path: str) -> bool:
        return path in self._looks

    def signature(self, path: str) -> str:
        """The signature of a settled directory, '' for any other."""
        look = self._looks.get(path)
        return look.signature if look else ""

    def doubt(self, path: str) -> None:
        """Something in a directory was not as it had looked."""
        look = self._looks.get(path)
        if look is not None:
            self._looks[path] = look._replace(signature="")

    def keys(self) -> dict[str, str]:
        """The key of each directory in which, and below which, everything is settled."""
        keys: dict[str, str] = {}
        for path in sorted(self._looks, key=lambda one: one.count("/") if one else -1, reverse=True):
            look = self._looks[path]
            prefix = f"{path}/" if path else ""
            inner = [(*one, keys.get(prefix + one[0], "")) for one in look.directories]
            if look.signature and all(one[3] for one in inner):
                keys[path] = sha256(look.signature.encode() + orjson.dumps(inner)).hexdigest()
        return keys

    def excluded_below(self, path: str) -> list[str]:
        """What a snapshot leaves out of a directory and everything below it."""
        found: list[str] = []
        waiting = [path]
        while waiting:
            here = waiting.pop()
            look = self._looks[here]
            found += look.excluded
            waiting += self.directories(here)
        return found


def excluded(listing: Listing) -> list[str]:
    """What a snapshot leaves out of a directory: links, special files, secrets, names with a dot."""
    prefix = f"{listing.path}/" if listing.path else ""
    names = [one.name for one in listing.others] + [one.name for one in listing.files if layout.is_secret(one.name)]
    names += [name for name in listing.hidden if not name.startswith(files.TEMPORARY)]
    return [prefix + name for name in names if prefix + name != layout.PRIVATE]


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
