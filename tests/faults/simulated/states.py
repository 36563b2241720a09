"""Which crash states are looked at: for each moment of a trace what a file system may have kept of what was pending."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from tests.faults.simulated.disk import Disk, Tear, Tree
from tests.faults.simulated.events import Data, Event, Names

SECTOR, PAGE = 512, 4_096
OMITTED = 8  # at most so many of the pending changes are omitted or kept singly at one moment, drawn from all of them


class State(NamedTuple):
    """One crash: after how many events, what was kept, what is found, and what had been acknowledged."""

    moment: int
    how: str
    tree: Tree
    said: tuple[str, ...]

    @property
    def key(self) -> bytes:
        """Equal for states that are alike."""
        digest = blake2b(repr(self.said).encode(), digest_size=16)
        for path, node in self.tree.items():
            digest.update(repr((path, node.mode, node.mtime_ns, node.content is None)).encode())
            digest.update(b"" if node.content is None else _digest(node.content))
        return digest.digest()


@lru_cache(maxsize=4_096)
def _digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=16).digest()


def nothing(_change: Data) -> tuple[bytes, bool]:
    """What was not written: the file is as long as it was."""
    return b"", False


def zeros(_change: Data) -> tuple[bytes, bool]:
    """The new size is there and the bytes are not."""
    return b"", True


def garbage(change: Data) -> tuple[bytes, bool]:
    """The new size is there and what stood in those blocks before."""
    return (b"\xa5\x00{]\n" * (len(change.data) // 5 + 1))[: len(change.data)], True


def torn(end: int, full: bool) -> Tear:
    """Only the bytes of a write before `end` are there; the others are zeros where the file has its new size."""

    def tear(change: Data) -> tuple[bytes, bool]:
        return change.data[:end], full

    return tear


def late(start: int) -> Tear:
    """Only the bytes of a write from `start` on are there."""

    def tear(change: Data) -> tuple[bytes, bool]:
        return bytes(min(start, len(change.data))) + change.data[start:], True

    return tear


Choice = tuple[str, set[int], Tear | None]


def plain(disk: Disk, _chance: random.Random) -> Iterator[Choice]:
    """Everything pending is lost, or kept, or all names and no data, or all data and no names."""
    every = set(range(len(disk.pending)))
    names = {index for index in every if isinstance(disk.pending[index], Names)}
    yield "all lost", set(), None
    yield "all kept", every, None
    yield "names without data", names, None
    yield "data without names", every - names, None


def single(disk: Disk, chance: random.Random) -> Iterator[Choice]:
    """Each pending change omitted, each kept alone, each prefix."""
    count = len(disk.pending)
    some = range(count) if count <= OMITTED else sorted(chance.sample(range(count), OMITTED))
    for index in some:
        yield f"without {index}", disk.without(index), None
        yield f"only {index}", disk.closed([index]), None
        yield f"the first {index}", disk.closed(range(index)), None


def tears(disk: Disk, chance: random.Random) -> Iterator[Choice]:
    """Unsynced data torn at sectors and pages, zero or garbage; names are kept."""
    every = range(len(disk.pending))
    written = [index for index in every if isinstance(disk.pending[index], Data)]
    names = disk.closed(index for index in every if isinstance(disk.pending[index], Names))
    if written:
        yield "zeros", names, zeros
        yield "garbage", names, garbage
    for index in written[-OMITTED:]:
        change = disk.pending[index]
        assert isinstance(change, Data)
        others = set(every) - {index}
        yield f"garbage in {index}", others, garbage
        for size in (SECTOR, PAGE):
            for end in _boundaries(change, size, chance):
                yield f"{index} torn at {end}", others, torn(end, full=chance.random() < 0.5)
                yield f"{index} from {end} on", others, late(end)


def _boundaries(change: Data, size: int, chance: random.Random) -> Sequence[int]:
    """Where a write may be torn: at blocks of the file, a few of them where there are many."""
    ends = [end - change.offset for end in range(change.offset // size * size, change.offset + len(change.data), size)]
    ends = [end for end in ends if end > 0]
    return ends if len(ends) <= 4 else [ends[0], ends[-1], *chance.sample(ends[1:-1], 2)]


def drawn(disk: Disk, chance: random.Random) -> Iterator[Choice]:
    """A random subset, each write that is not in it lost, zero, garbage or torn."""
    share = chance.random()
    kept = disk.closed([index for index in range(len(disk.pending)) if chance.random() < share])
    end = chance.randrange(1, 16) * SECTOR
    tear = chance.choice((nothing, zeros, garbage, torn(end, full=False), torn(end, full=True), late(end)))
    yield f"drawn, {len(kept)} of {len(disk.pending)} kept", kept, tear


def states(before: Disk, events: Sequence[Event], chance: random.Random, draws: int) -> Iterator[State]:
    """Crash states of a trace: the plain ones, latest first, then the others of moments in a random order.

    `draws` times one is drawn at each moment.
    """
    disks = [before.copy()]
    for event in events:
        disks.append(disks[-1].copy())
        disks[-1].take(event)
    rest = [(choose, moment) for choose in (single, tears, *[drawn, single] * draws) for moment in range(len(disks))]
    chance.shuffle(rest)
    for choose, moment in (*((plain, moment) for moment in reversed(range(len(disks)))), *rest):
        disk = disks[moment]
        for how, kept, tear in choose(disk, chance):
            yield State(moment, how, disk.tree(kept, tear), disk.said)
