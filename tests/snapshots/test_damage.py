"""Every kind of damage gives exact data or a named error, and everything undamaged stays restorable."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from memorybank_cli.base.errors import MemorybankError
from memorybank_cli.snapshots import documents, trees
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.repository import Repository
from memorybank_cli.snapshots.sealing import Damaged
from memorybank_cli.snapshots.verifying import verify
from tests.snapshots import making

OLD = {"a.json": b'{"n": 1}', "d/b.json": b"[2]"}
NEW = {**OLD, "d/c.json": b'{"text": "a little longer than the others"}'}


@pytest.fixture
def place(repo: Repository) -> Path:
    making.save_files(repo, OLD, seq=1)
    making.save_files(repo, NEW, seq=2)
    return Path(repo.path)


def restorable(place: Path) -> tuple[dict[int, dict[str, bytes]], bool]:
    """What each snapshot (by seq) still gives, and whether any loss was named; raises only MemorybankError."""
    named = False
    with Repository.open(place) as repo:
        listing = documents.listing(repo)
        blobs = Blobs(repo)
        named = bool(listing.findings or blobs.findings)
        given: dict[int, dict[str, bytes]] = {}
        for document in listing.documents:
            heard: list[str] = []
            given[document.seq] = contents = {}
            try:
                for entry in trees.files(blobs, document.root, lambda path, _, heard=heard: heard.append(path)):  # type: ignore[misc]
                    try:
                        contents[entry.path] = trees.read_file(blobs, entry)
                    except Damaged:
                        heard.append(entry.path)
            except Damaged:
                heard.append("")
            named = named or bool(heard)
    return given, named


def check(place: Path, file: str) -> None:
    """Whatever is given is exact; what is missing was named; damage outside packs loses only what it hit."""
    try:
        given, named = restorable(place)
    except MemorybankError:
        if file != "config.json":
            raise
        return
    for seq, contents in given.items():
        whole = OLD if seq == 1 else NEW
        assert contents.items() <= whole.items()
        assert named or contents == whole
    assert named or set(given) == {1, 2}
    if file.startswith("index/"):
        assert given == {1: OLD, 2: NEW}
    if file.startswith("snapshots/"):
        assert len(given) >= 1
        assert all(contents == (OLD if seq == 1 else NEW) for seq, contents in given.items())


def canonical(place: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(path for path in place.rglob("*") if path.is_file() and path.name != "lock"):
        yield str(path.relative_to(place)), path.read_bytes()


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.no_cover
def test_a_flip_at_every_offset(place: Path, cached: bool) -> None:
    with Repository.open(place) as repo:
        if not cached:
            making.drop_index(repo)
    count = 0
    for file, data in canonical(place):
        for offset in range(len(data)):
            flipped = bytearray(data)
            flipped[offset] ^= 1 << offset % 8
            (place / file).write_bytes(flipped)
            check(place, file)
            count += 1
        (place / file).write_bytes(data)
    assert count > 1500
    assert restorable(place) == ({1: OLD, 2: NEW}, False)


@pytest.mark.no_cover
def test_every_truncation_and_zeroed_tail(place: Path) -> None:
    for file, data in canonical(place):
        for length in range(len(data)):
            for tail in (b"", bytes(len(data) - length)) if length % 3 == 0 else (b"",):
                (place / file).write_bytes(data[:length] + tail)
                check(place, file)
        (place / file).write_bytes(data)


@pytest.mark.no_cover
def test_thorough_verification_finds_every_flip_in_packs_and_documents(place: Path) -> None:
    chance = random.Random(3)
    for file, data in canonical(place):
        if file.startswith(("packs/", "snapshots/")):
            for offset in chance.sample(range(len(data)), 60):
                flipped = bytearray(data)
                flipped[offset] ^= 1 << chance.randrange(8)
                (place / file).write_bytes(flipped)
                with Repository.open(place) as repo:
                    assert not verify(repo, read_data=True).ok
            (place / file).write_bytes(data)


def test_files_under_each_others_names(place: Path) -> None:
    found = list(canonical(place))
    for one, data in found:
        for other, _ in found:
            if one != other:
                before = (place / other).read_bytes()
                (place / other).write_bytes(data)
                check(place, other)
                (place / other).write_bytes(before)


def test_a_damaged_frame_takes_only_its_own_files_along(repo: Repository) -> None:
    noise = random.Random(4).randbytes
    contents = {f"{number:02}": noise(150_000) for number in range(8)}
    document = making.save_files(repo, contents).document
    (pack,) = making.packs_of(repo)
    data = bytearray(pack.read_bytes())
    data[50_000] ^= 1
    pack.write_bytes(data)
    given, named = restorable(Path(repo.path))
    assert named
    assert given[document.seq] == {path: data for path, data in contents.items() if path not in ("00", "01")}
    data[-20] ^= 1
    pack.write_bytes(data)
    assert restorable(Path(repo.path))[0] == given
