"""Bytes that rot: one file of a repository is altered, and everything is read back.

What is given must be exact, what is missing must be named, and missing may only be what the damage hit: of a
pack the files that need a frame in which a byte changed, of a snapshot's document that snapshot, of index, lock,
reserve, generation, pins and trash nothing.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from memorybank_cli.base.errors import MemorybankError
from memorybank_cli.snapshots import documents, keys, trees
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.packs import FRAME_SIZE, HEAD_SIZE, Pack
from memorybank_cli.snapshots.repository import Repository, unlocking
from memorybank_cli.snapshots.saving import Row
from memorybank_cli.snapshots.sealing import Damaged
from tests.faults.lab import Contents, memory
from tests.snapshots import making

KEY = keys.Secret("raw", bytes(range(32)))
OTHER = keys.Secret("raw", bytes(range(32, 64)))
SECTOR = 512

Needs = frozenset[tuple[str, int]]
"""Frames by pack and number."""
Alter = Callable[[random.Random, bytes], bytes | None]


class Repo(NamedTuple):
    """A repository, and what is known of it while it is whole."""

    place: Path
    secret: keys.Secret | None
    contents: dict[str, Contents]
    needs: dict[str, dict[str, Needs]]
    """By snapshot and path the frames without which a file cannot be had."""
    packs: dict[str, Pack]
    files: dict[str, bytes]
    """Every file of the repository."""

    def open(self) -> Repository:
        """The repository as it is now."""
        return Repository.open(self.place, unlock=unlocking(self.secret) if self.secret else None)

    def put(self, name: str, data: bytes | None) -> None:
        """Have these bytes under a name, or none."""
        if data is None:
            (self.place / name).unlink()
        else:
            (self.place / name).write_bytes(data)


@contextmanager
def repository(encrypted: bool, cached: bool = True) -> Iterator[Repo]:
    """A small repository with everything in it: parts of trees, large files, damaged ones, pins, trash."""
    chance = random.Random(5)
    with tempfile.TemporaryDirectory(dir=memory()) as directory:
        place = Path(directory) / "repo"
        secret = KEY if encrypted else None
        with Repository.create(place, reserve=4096, secret=secret) as repo:
            if repo.key is not None:
                keys.add(repo.backend, repo.repo_id, repo.key.master, OTHER, "other")
            for seq in (1, 2, 3):
                making.save_rows(repo, _rows(seq, chance), seq=seq)
            (place / "pins").mkdir()
            (place / "pins" / documents.resolve(repo, "latest").id).touch()
            trash = place / "trash/20260101T000000Z/snapshots"
            trash.mkdir(parents=True)
            making.save_files(repo, {"gone": b"gone"}, seq=4)
            gone = documents.resolve(repo, "latest").id
            shutil.move(place / "snapshots" / gone, trash / gone)
            repo.next_generation()
            if not cached:
                making.drop_index(repo)
        yield _known(place, secret)


def _rows(seq: int, chance: random.Random) -> Iterator[Row]:
    yield making.row("account_a/whole_history.json", b'{"messages": [%s]}' % (b'{"role": "user"},' * 200 * seq))
    yield making.row("docs/noise", random.Random(0).randbytes(FRAME_SIZE + 10_000))
    yield making.row("metrics/m.json", b'{"seq": %d}' % seq)
    damaged, good = b'{"seq": %d' % seq, b'{"seq": 0}'
    found = {"found_content": lambda: damaged, "rule": "MB102"}
    yield making.row("state/damaged.json", good, **found)
    yield Row("state/never_good.json", 0o600, making.MTIME, len(damaged), **found)  # type: ignore[arg-type]
    for number in range(32 + seq):
        yield making.row(f"trades/{number:03}.json", b'{"trade": %d, "noise": %d}' % (number, number * 7919))
    yield making.row("z.json", b"%d" % chance.randrange(1 << 60))


def _known(place: Path, secret: keys.Secret | None) -> Repo:
    blank = Repo(place, secret, {}, {}, {}, {})
    with blank.open() as repo:
        blobs = Blobs(repo)
        index = blobs.index
        frames = {name: (index.frames[at].pack, index.frames[at].number) for name, at in index.where.items()}
        for document in documents.listing(repo).documents:
            blank.contents[document.id] = making.read_back(repo, document)
            blank.needs[document.id] = dict(_needs(blobs, frames, document.root))
        blank.packs.update(index.packs)
    blank.files.update(making.on_disk(place))
    return blank


def _needs(blobs: Blobs, frames: dict[str, tuple[str, int]], root: str) -> Iterator[tuple[str, Needs]]:
    above: dict[str, Needs] = {"": frozenset({frames[root]})}
    for level in trees.walk(blobs, root):
        here = above[level.directory.path] | {frames[part] for part in level.parts}
        for inner in level.directories:
            above[inner.path] = here | {frames[inner.tree]}
        for entry in level.files:
            yield entry.path, here | {frames[name] for name in (*(entry.good or entry.found or ()),)}


class Given(NamedTuple):
    """What a repository still gives."""

    contents: dict[str, Contents]
    named: set[str]
    """Snapshots that were named as damaged, wholly or a file of them."""


def read(repo: Repo) -> Given:
    """Everything that can be had. Raises MemorybankError where the repository as a whole cannot be used."""
    given, named = {}, set()
    with repo.open() as opened:
        listing = documents.listing(opened)
        named |= {finding.pointer.rpartition("/")[2] for finding in listing.findings}
        blobs = Blobs(opened)
        for document in listing.documents:
            found, lost = _one(blobs, document)
            given[document.id] = found
            if lost:
                named.add(document.id)
    return Given(given, named)


def _one(blobs: Blobs, document: documents.Document) -> tuple[Contents, list[str]]:
    contents: Contents = {}
    lost: list[str] = []
    try:
        for entry in trees.files(blobs, document.root, lambda path, _error: lost.append(path)):
            try:
                contents[entry.path] = trees.read_file(blobs, entry)
            except Damaged:
                lost.append(entry.path)
    except Damaged:
        lost.append("")
    return contents, lost


def check(repo: Repo, name: str, data: bytes | None) -> None:
    """Read everything with `data` under `name`; AssertionError for what is wrong, missing unnamed, or lost in vain."""
    before = repo.files[name]
    repo.put(name, data)
    try:
        given = read(repo)
    except MemorybankError as error:
        if name != "config.json" and not (name.startswith("keys/") and "other" not in name):
            raise AssertionError(f"nothing can be had: {error!r}") from error
    else:
        _compare(repo, name, data, given)
    finally:
        (repo.place / name).parent.mkdir(exist_ok=True)
        repo.put(name, before)


def _compare(repo: Repo, name: str, data: bytes | None, given: Given) -> None:
    hit = _frames_hit(repo, name, data)
    for snapshot, whole in repo.contents.items():
        if snapshot not in given.contents:
            assert name in (f"snapshots/{snapshot}", "config.json"), f"{snapshot} is gone"
            assert data is None or snapshot in given.named, f"{snapshot} is gone and nobody said so"
            continue
        contents = given.contents[snapshot]
        assert contents.items() <= whole.items(), "a wrong restore"
        assert contents == whole or snapshot in given.named, "something is missing and nobody said so"
        in_vain = [path for path in whole.keys() - contents.keys() if not repo.needs[snapshot][path] & hit]
        assert not in_vain, f"{snapshot} lost {in_vain[:3]}, of which nothing was hit"
    assert given.contents.keys() <= repo.contents.keys(), "a snapshot that nobody made"


def _frames_hit(repo: Repo, name: str, data: bytes | None) -> Needs:
    """The frames of which a byte is not what it was; all of a pack whose footer is needed and was hit."""
    if not name.startswith("packs/"):
        return frozenset()
    pack = repo.packs[name.rpartition("/")[2]]
    before = repo.files[name]
    everything = frozenset((pack.name, number) for number in range(len(pack.frames)))
    if data is None:
        return everything
    end = max(frame.offset + frame.length for frame in pack.frames)
    frame_only = data[:HEAD_SIZE] == before[:HEAD_SIZE] and data[end:] == before[end:]
    if not frame_only and not any(file.startswith("index/") for file in repo.files):
        return everything
    if repo.secret is not None and data[:HEAD_SIZE] != before[:HEAD_SIZE]:
        return everything  # the salt of its key
    return frozenset(
        (pack.name, number)
        for number, frame in enumerate(pack.frames)
        if data[frame.offset : frame.offset + frame.length] != before[frame.offset : frame.offset + frame.length]
    )


def _flip(chance: random.Random, data: bytes) -> bytes:
    altered = bytearray(data)
    altered[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(altered)


def _burst(chance: random.Random, data: bytes) -> bytes:
    start = chance.randrange(len(data))
    return data[:start] + chance.randbytes(min(len(data) - start, chance.randrange(1, 64))) + data[start + 64 :]


def _cut(chance: random.Random, data: bytes) -> bytes:
    return data[: chance.randrange(len(data))]


def _zeroed_tail(chance: random.Random, data: bytes) -> bytes:
    length = chance.randrange(len(data))
    return data[:length] + bytes(len(data) - length)


def _zeroed_sector(chance: random.Random, data: bytes) -> bytes:
    start = chance.randrange(len(data)) // SECTOR * SECTOR
    return data[:start] + bytes(len(data[start : start + SECTOR])) + data[start + SECTOR :]


def _longer(chance: random.Random, data: bytes) -> bytes:
    return data + chance.randbytes(chance.randrange(1, 600))


def _twice(_chance: random.Random, data: bytes) -> bytes:
    return data + data


def _gone(_chance: random.Random, _data: bytes) -> None:
    return None


ALTERATIONS: tuple[tuple[int, Alter], ...] = (
    (12, _flip), (2, _burst), (2, _cut), (1, _zeroed_tail), (2, _zeroed_sector), (1, _longer), (1, _twice), (1, _gone),
)  # fmt: skip
"""How often, and how."""


def mutate(repo: Repo, rounds: int, seed: int) -> int:
    """`rounds` alterations, each kind of file as often as the next; how many of them changed a byte."""
    chance = random.Random(seed)
    kinds: dict[str, list[str]] = {}
    for name in sorted(repo.files):
        kinds.setdefault(name.partition("/")[0], []).append(name)
    kinds["packs "] = kinds["packs  "] = kinds["packs"]  # most of the bytes
    weights, ways = zip(*ALTERATIONS, strict=True)
    changed = 0
    for number in range(rounds):
        name = chance.choice(chance.choice(list(kinds.values())))
        before = repo.files[name]
        if chance.random() < 0.05:
            other = chance.choice(sorted(repo.files))
            how, data = f"the bytes of {other}", repo.files[other]
        elif before:
            (way,) = chance.choices(ways, weights)
            how, data = way.__name__, way(chance, before)
        else:
            how, data = "bytes", chance.randbytes(9)
        changed += data != before
        try:
            check(repo, name, data)
        except Exception as error:
            raise AssertionError(f"seed {seed}, round {number}: {name} with {how}: {error!r}") from error
    return changed


def campaign(rounds: int, seed: int) -> Iterator[str]:
    """`rounds` alterations, a quarter each of a plain and an encrypted repository with and without index."""
    for encrypted in (False, True):
        for cached in (True, False):
            with repository(encrypted, cached) as repo:
                count = mutate(repo, rounds // 4, seed)
            kind = f"{'encrypted' if encrypted else 'plain'}, {'with' if cached else 'without'} index"
            yield f"{kind}: {count} alterations, no wrong restore, nothing lost that was not hit"
