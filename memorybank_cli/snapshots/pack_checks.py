"""Reading packs whole: each one once, its own digest, its footer and the digest of every blob from the same bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from hashlib import sha256
from itertools import accumulate, pairwise
from typing import NamedTuple

import orjson

from memorybank_cli.base import workers
from memorybank_cli.base.errors import from_os_error
from memorybank_cli.snapshots.index import Index
from memorybank_cli.snapshots.packs import PACK_LIMIT, Frame, Pack, Part, footer_list, open_frame, read_footer
from memorybank_cli.snapshots.repository import Repository, pack_path
from memorybank_cli.snapshots.sealing import Damaged

# What two processes read between two notes of how far they are: some seconds of work.
BATCH_SIZE = 512 << 20
BATCH_PACKS = workers.MOST_SHARED


class Read(NamedTuple):
    """What reading one pack came to."""

    name: str
    size: int
    """Bytes that were read."""
    why: str
    """What is wrong with it, '' for nothing."""
    lost: Sequence[str]
    """Blobs of it that cannot be read."""


def batches(sizes: dict[str, int]) -> Iterator[list[str]]:
    """Names of packs in lots of about `BATCH_SIZE` bytes, in a lot the largest first."""
    batch: list[str] = []
    total = 0
    for name, size in sorted(sizes.items()):
        batch.append(name)
        total += size
        if total >= BATCH_SIZE or len(batch) == BATCH_PACKS:
            yield sorted(batch, key=lambda name: -sizes[name])
            batch, total = [], 0
    if batch:
        yield sorted(batch, key=lambda name: -sizes[name])


class Reading:
    """Packs that are being read by a second process from now on, and by this one once it wants the `results`."""

    def __init__(self, repo: Repository, index: Index, names: list[str]) -> None:
        self._shared = workers.Shared(names, lambda name: _read(repo, index, name))

    def results(self) -> list[Read]:
        """What reading each came to."""
        return [Read(*row) for row in self._shared.results()]

    def end(self) -> None:
        """Read no further."""
        self._shared.end()


def _read(repo: Repository, index: Index, name: str) -> Read:
    path, pack = pack_path(name), index.packs.get(name)
    part: Part = partial(repo.backend.read_part, path)
    size = 0
    try:
        data = repo.backend.read(path, PACK_LIMIT)
    except OSError as error:
        why = from_os_error(error).message
    else:
        size, part = len(data), _part(data)
        why = "" if sha256(data).hexdigest() == name else "its bytes are not those of its name"
    lost: list[str] = []
    if pack is not None:
        if name in index.from_cache:  # else these are the frames of the footer that is there
            why = why or _wrong_footer(repo, pack, part)
        for number, frame in enumerate(pack.frames):
            wrong, hit = _check_frame(repo, number, frame, part)
            why = why or wrong
            lost += hit
    return Read(name, size, why, lost)


def _part(data: bytes) -> Part:
    return lambda offset, length: data[offset : offset + length]


def _wrong_footer(repo: Repository, pack: Pack, part: Part) -> str:
    try:
        footer, _ = read_footer(repo.seal, pack.size, part)
    except (Damaged, OSError) as error:
        return str(error)
    return "" if footer == orjson.dumps(footer_list(pack.frames)) else "its footer is not what the index says of it"


def _check_frame(repo: Repository, number: int, frame: Frame, part: Part) -> tuple[str, Sequence[str]]:
    """What is wrong with a frame, and which of its blobs cannot be read."""
    try:
        data = memoryview(open_frame(repo.seal, number, frame, part))
    except (Damaged, OSError) as error:
        return str(error), frame.ids
    found = [sha256(data[start:end]).digest() for start, end in pairwise(accumulate(frame.sizes, initial=0))]
    if b"".join(found).hex() == "".join(frame.ids):
        return "", ()
    lost = [name for name, digest in zip(frame.ids, found, strict=True) if digest.hex() != name]
    return "a blob has another digest", lost
