"""Where each blob is: the packs' footers in memory, with a cache of them in the repository.

A cache file holds the footers of some packs, so that a run adds what is new and rewrites nothing; small
ones are joined now and then. All of them may be deleted at any time: then the footers are read.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any, NamedTuple

import orjson

from memorybank_cli.base import digests
from memorybank_cli.base.records import Finding
from memorybank_cli.snapshots.packs import Frame, Pack, compressor, decompress, parse_footer, read_pack
from memorybank_cli.snapshots.repository import Repository, is_digest, pack_path
from memorybank_cli.snapshots.sealing import INDEX, Damaged

CACHE_LIMIT = 128 << 20
CACHE_PACKS = 16
CACHE_FILES = 32
# A pack of so many blobs is not cached: its own footer is read as fast, and a copy of it costs 40 bytes a blob.
CACHED_BLOBS = 4096


class Located(NamedTuple):
    """One frame of the repository: its pack, its number in it, and what the footer says of it."""

    pack: str
    number: int
    frame: Frame


class Index:
    """Every blob of every readable pack, by id."""

    def __init__(self) -> None:
        self.frames: list[Located] = []
        self.where: dict[str, int] = {}
        """Blob id to the number of a located frame that holds it."""
        self.copies: dict[str, list[int]] = {}
        """Further frames of blobs that were stored more than once, or that may be left in a damaged pack."""
        self.packs: dict[str, Pack] = {}
        self.rest: dict[str, Pack] = {}
        """What a cache says of packs that are there and damaged or distrusted: nobody else may be able to say it."""
        self.from_cache: set[str] = set()
        """The packs of which a cache file says what is in them; the others' own footers were read."""
        self.caches: dict[str, list[Pack]] = {}
        """What each good cache file holds."""
        self.findings: list[Finding] = []
        """A MB130 for each pack that could not be read."""

    def add(self, pack: Pack) -> None:
        """Take in what a pack holds."""
        self.packs[pack.name] = pack
        for number, frame in enumerate(pack.frames):
            place = len(self.frames)
            self.frames.append(Located(pack.name, number, frame))
            if self.where.keys().isdisjoint(frame.ids):
                self.where.update(dict.fromkeys(frame.ids, place))
                continue
            for name in frame.ids:
                if self.where.setdefault(name, place) != place:
                    self.copies.setdefault(name, []).append(place)

    def places(self, name: str) -> list[int]:
        """The located frames that should hold a blob; empty when none does."""
        first = self.where.get(name)
        return [*(() if first is None else (first,)), *self.copies.get(name, ())]

    def add_rest(self, pack: Pack, size: int) -> None:
        """Take in what a damaged pack of now `size` bytes may still hold: it can be read, and counts as missing."""
        for number, frame in enumerate(pack.frames):
            if frame.offset + frame.length <= size:
                for name in frame.ids:
                    self.copies.setdefault(name, []).append(len(self.frames))
                self.frames.append(Located(pack.name, number, frame))


def load(repo: Repository, distrust: Container[str] = ()) -> Index:
    """The index of the packs that are there now, without those to distrust. Raises OSError."""
    index = Index()
    _read_caches(repo, index)
    cached = {pack.name: pack for packs in index.caches.values() for pack in packs}
    for name, size in sorted(repo.packs().items()):
        pack = cached.get(name)
        if name in distrust:
            index.rest.update({name: pack} if pack is not None else {})
            continue
        if pack is None or pack.size != size:
            try:
                pack = read_pack(repo, name, size)
            except (Damaged, OSError) as error:
                index.findings.append(damaged_pack(name, str(error)))
                if pack is not None:
                    index.rest[name] = pack
                    index.add_rest(pack, size)
                continue
        else:
            index.from_cache.add(name)
        index.add(pack)
    return index


def damaged_pack(name: str, why: str) -> Finding:
    """The finding of a pack that is not what was written."""
    return Finding(
        "MB130",
        f"pack {name[:12]} is damaged: {why}",
        pointer=f"/{pack_path(name)}",
        hint="memorybank snapshot verify --read-data names the files that are hit",
    )


def _read_caches(repo: Repository, index: Index) -> None:
    for entry in repo.backend.entries("index"):
        if is_digest(entry.name):
            packs = _read_cache(repo, entry.name)
            if packs is not None:
                index.caches[entry.name] = packs


def _read_cache(repo: Repository, name: str) -> list[Pack] | None:
    """The packs of a cache file; None for a damaged one, which counts as deleted."""
    try:
        data = repo.backend.read(f"index/{name}", CACHE_LIMIT)
        if digests.of(data) != name:
            return None
        rows = orjson.loads(decompress(repo.seal.open_file(INDEX, data), CACHE_LIMIT))
        return [_parse_row(*row) for row in rows]
    except (OSError, Damaged, TypeError, ValueError):
        return None


def _parse_row(name: Any, size: Any, footer: Any) -> Pack:
    if type(name) is not str or not is_digest(name) or type(size) is not int:
        raise ValueError("not the name and size of a pack")
    return Pack(name, size, parse_footer(footer, size))


def write(repo: Repository, index: Index, new: Iterable[Pack]) -> None:
    """Add new packs, and those that no cache held, to the cache; joins small cache files when there are many."""
    cached = {pack.name: pack.size for packs in index.caches.values() for pack in packs}
    there = index.packs | index.rest
    packs = [pack for pack in there.values() if cached.get(pack.name) != pack.size]
    packs += new
    packs = [pack for pack in packs if sum(len(frame.ids) for frame in pack.frames) < CACHED_BLOBS]
    if not packs:
        return
    small = [name for name, held in index.caches.items() if len(held) < CACHE_PACKS]
    joined = small if len(small) >= CACHE_FILES else []
    for name in joined:
        packs += [pack for pack in index.caches[name] if pack.name in there]
    unique = list({pack.name: pack for pack in packs}.values())
    for start in range(0, len(unique), CACHE_PACKS):
        _write_cache(repo, unique[start : start + CACHE_PACKS])
    for name in joined:
        repo.backend.remove(f"index/{name}")


def drop(repo: Repository) -> None:
    """Remove the cache. Raises OSError."""
    for entry in repo.backend.entries("index"):
        repo.backend.remove(f"index/{entry.name}")


def _write_cache(repo: Repository, packs: list[Pack]) -> None:
    data = repo.seal.seal_file(INDEX, compressor().compress(orjson.dumps([pack.as_list() for pack in packs])))
    repo.backend.put(f"index/{digests.of(data)}", data)
