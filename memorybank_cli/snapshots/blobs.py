"""Reading blobs by id: through the index, a frame at a time, each blob's digest compared."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import sha256

from memorybank_cli.base.records import Finding
from memorybank_cli.snapshots import index as indexes
from memorybank_cli.snapshots.packs import read_frame
from memorybank_cli.snapshots.repository import Repository
from memorybank_cli.snapshots.sealing import Damaged

CACHE_SIZE = 16 << 20


class _Open:
    """A frame in memory: the joined bytes and where each blob begins and ends."""

    def __init__(self, data: bytes, ids: tuple[str, ...], sizes: tuple[int, ...]) -> None:
        self.data = data
        self.spans: dict[str, tuple[int, int]] = {}
        start = 0
        for name, size in zip(ids, sizes, strict=True):
            self.spans[name] = (start, start + size)
            start += size


class Blobs:
    """The blobs of a repository. `findings` names the packs that could not be used."""

    def __init__(self, repo: Repository, index: indexes.Index | None = None) -> None:
        self._repo = repo
        self.index = indexes.load(repo) if index is None else index
        self.findings: list[Finding] = self.index.findings
        self._cache: OrderedDict[int, _Open] = OrderedDict()
        self._cached = 0
        self._failed: dict[int, str] = {}

    def __contains__(self, name: str) -> bool:
        return name in self.index.where

    def get(self, name: str) -> bytes:
        """The bytes whose SHA-256 is `name`, from any copy that is good. Raises Damaged."""
        why = "no readable pack holds it"
        for place in self.index.places(name):
            try:
                return self._take(place, name)
            except Damaged as error:
                why = f"pack {self.index.frames[place].pack[:12]} is damaged: {error.message}"
        raise Damaged(f"blob {name[:12]} cannot be read: {why}")

    def is_good(self, place: int, name: str) -> bool:
        """Whether the copy of a blob in the located frame `place` is what its name says; it is read for that."""
        try:
            self._take(place, name)
        except Damaged:
            return False
        return True

    def _take(self, place: int, name: str) -> bytes:
        opened = self._cache.get(place)
        if opened is None:
            opened = self._read(place)
        else:
            self._cache.move_to_end(place)
        start, end = opened.spans[name]
        data = opened.data[start:end]
        if sha256(data).hexdigest() != name:
            raise Damaged("a blob has another digest")
        return data

    def _read(self, place: int) -> _Open:
        if place in self._failed:
            raise Damaged(self._failed[place])
        located = self.index.frames[place]
        try:
            data = read_frame(self._repo, located.pack, located.number, located.frame)
        except (Damaged, OSError) as error:
            self._failed[place] = str(error)
            raise Damaged(str(error)) from error
        opened = _Open(data, located.frame.ids, located.frame.sizes)
        self._cache[place] = opened
        self._cached += len(data)
        while self._cached > CACHE_SIZE and len(self._cache) > 1:
            self._cached -= len(self._cache.popitem(last=False)[1].data)
        return opened
