from __future__ import annotations

import hashlib
import os
import random
from pathlib import Path

import orjson
import pytest
import zstandard

from memorybank_cli.base.errors import OperationFailed
from memorybank_cli.snapshots import index, packing, packs
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.packing import PackWriter
from memorybank_cli.snapshots.packs import FILE_BLOB_SIZE, HEAD_SIZE, decompress, parse_footer, read_pack
from memorybank_cli.snapshots.repository import Repository, pack_path
from memorybank_cli.snapshots.sealing import Damaged
from tests.snapshots import making


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_blobs_come_back_whatever_their_size(repo: Repository) -> None:
    noise = random.Random(1).randbytes
    datas = [b"", b"x", noise(1000), noise(200_000), bytes(FILE_BLOB_SIZE), noise(FILE_BLOB_SIZE + 1), b"y" * 100_000]
    writer = PackWriter(repo, {})
    ids = [writer.add(data) for data in datas]
    written = writer.finish()
    assert [len(names) for names in ids] == [1, 1, 1, 1, 1, 2, 1]
    assert ids[0] == (sha(b""),)
    blobs = Blobs(repo)
    assert [b"".join(map(blobs.get, names)) for names in ids] == datas
    for pack in written:
        path = Path(repo.path) / pack_path(pack.name)
        assert sha(path.read_bytes()) == pack.name
        assert path.stat().st_mode & 0o777 == 0o600
        assert read_pack(repo, pack.name, pack.size) == pack


def test_the_bytes_of_a_pack_are_those_of_the_format(repo: Repository) -> None:
    writer = PackWriter(repo, {})
    writer.add(b"one")
    writer.add(b"two")
    tree = writer.add_tree(b"[]")
    (pack,) = writer.finish()
    data = (Path(repo.path) / pack_path(pack.name)).read_bytes()
    assert data[:8] == b"MBPACK1\n"
    assert data[-8:] == b"MBEND1\n\n"
    length = int.from_bytes(data[-12:-8], "little")
    footer = orjson.loads(zstandard.decompress(data[-12 - length : -12]))
    (offset, size, blobs), trees = footer
    assert offset == 40
    assert zstandard.decompress(data[40 : 40 + size]) == b"onetwo"
    assert blobs == [[sha(b"one"), 3], [sha(b"two"), 3]]
    assert trees[2] == [[tree, 2]]


def test_what_is_known_or_was_added_before_is_not_written_again(repo: Repository) -> None:
    writer = PackWriter(repo, {sha(b"known"): 7, sha(b"unused"): 8})
    writer.add(b"known")
    writer.add(b"new")
    writer.add(b"new")
    (pack,) = writer.finish()
    assert [frame.ids for frame in pack.frames] == [(sha(b"new"),)]
    assert writer.relied == {7}
    assert not writer.has(sha(b"other"))


def test_small_blobs_share_frames_and_packs_are_sealed_in_time(
    repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "PACK_SIZE", 1 << 20)
    noise = random.Random(2).randbytes
    writer = PackWriter(repo, {})
    ids = [writer.add(noise(4096))[0] for _ in range(1000)]
    written = writer.finish()
    assert len(written) == 4
    assert all(pack.size <= (1 << 20) + (256 << 10) for pack in written)
    assert {len(frame.ids) for pack in written for frame in pack.frames[:-1]} == {packs.FRAME_SIZE // 4096}
    assert [name for pack in written for frame in pack.frames for name in frame.ids] == ids


def test_a_pack_that_the_disk_gives_back_altered_is_an_error(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    class Flipping(making.Faults):
        def __getattr__(self, name: str) -> object:
            if name != "write":
                return getattr(os, name)
            return lambda fd, view: os.write(fd, bytes([view[0] ^ 1]) + bytes(view[1:]))

    monkeypatch.setattr("memorybank_cli.base.files.os", Flipping(0, None))
    writer = PackWriter(repo, {})
    writer.add(b"data")
    with pytest.raises(OperationFailed, match="gave back other bytes"):
        writer.finish()
    assert making.packs_of(repo) == []


@pytest.mark.parametrize(
    "footer",
    [
        None, 1, "ab", {}, {"a": 1}, [1], [[]], [[40, 10]], [[40, 10, []]], [[40, 10, [["a", 1, 2]]]],
        [[40, 10, [["a", -1]]]], [[40, 10, [["a", 1.5]]]], [[40, 10, [["a", True]]]], [[40, 10, [[1, 1]]]],
        [[39, 10, [["a", 1]]]], [[-1, 10, [["a", 1]]]], [[40, 0, [["a", 1]]]], [[40, -5, [["a", 1]]]],
        [[40, 1000, [["a", 1]]]], [[40, 1 << 63, [["a", 1]]]], [[1 << 62, 1, [["a", 1]]]], [["40", 10, [["a", 1]]]],
        [[40, 10, [["a", 1 << 40]]]], [[40, 10, [["a", 60 << 20], ["b", 60 << 20]]]], [[40, True, [["a", 1]]]],
    ],
)  # fmt: skip
def test_a_footer_that_cannot_be_true_is_refused(footer: object) -> None:
    with pytest.raises(Damaged):
        parse_footer(footer, 500)


def test_a_frame_that_claims_too_much_is_not_unpacked() -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(200 << 20))
    with pytest.raises(Damaged, match="claims"):
        decompress(bomb, 1 << 20)
    streamed = zstandard.ZstdCompressor().compressobj()
    unsized = streamed.compress(bytes(100)) + streamed.flush()
    with pytest.raises(Damaged):
        decompress(unsized, 1 << 20)
    with pytest.raises(Damaged):
        decompress(packs.compressor().compress(b"good") + b"more", 100)
    with pytest.raises(Damaged):
        decompress(b"no zstd", 100)


def rewritten(repo: Repository, footer: bytes, tail: bytes | None = None) -> str:
    """A pack with this footer, under its true name."""
    length = len(footer).to_bytes(4, "little") if tail is None else tail
    data = b"MBPACK1\n" + bytes(32) + b"frames" + footer + length + b"MBEND1\n\n"
    path = Path(repo.path) / pack_path(sha(data))
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return sha(data)


@pytest.mark.parametrize(
    ("footer", "tail"),
    [
        (b"", None),
        (b"garbage", None),
        (b"x", b"\xff\xff\xff\xff"),
        (b"x", b"\x2f\0\0\0"),
        (zstandard.compress(b"[[[[[" * 100_000), None),
        (zstandard.compress(b"{"), None),
        (zstandard.compress(b'[[40,6,[["a",1]],9]]'), None),
        (zstandard.compress(b" " * (packs.FOOTER_LIMIT + 1)), None),
    ],
)
def test_hostile_packs_are_findings_and_hide_no_other(repo: Repository, footer: bytes, tail: bytes | None) -> None:
    saved = making.save_files(repo, {"a.json": b"{}"})
    name = rewritten(repo, footer, tail)
    blobs = Blobs(repo)
    assert [finding.pointer for finding in blobs.findings] == [f"/{pack_path(name)}"]
    assert [finding.rule for finding in blobs.findings] == ["MB130"]
    assert making.read_back(repo, saved.document) == {"a.json": b"{}"}


def test_a_frame_with_other_bytes_than_its_footer_says_is_damage(repo: Repository) -> None:
    frame = zstandard.compress(b"evil")
    footer = zstandard.compress(orjson.dumps([[HEAD_SIZE, len(frame), [[sha(b"good"), 4]]]]))
    data = b"MBPACK1\n" + bytes(32) + frame + footer + len(footer).to_bytes(4, "little") + b"MBEND1\n\n"
    path = Path(repo.path) / pack_path(sha(data))
    path.parent.mkdir()
    path.write_bytes(data)
    blobs = Blobs(repo)
    assert sha(b"good") in blobs
    with pytest.raises(Damaged, match="another digest"):
        blobs.get(sha(b"good"))


def test_a_second_copy_cures_the_first(repo: Repository) -> None:
    for _ in range(2):
        writer = PackWriter(repo, {})
        (name,) = writer.add(b"twice" * 100)
        writer.finish()
    for pack in making.packs_of(repo):
        data = bytearray(pack.read_bytes())
        data[45] ^= 4
        pack.write_bytes(data)
        assert Blobs(repo).get(name) == b"twice" * 100
        data[45] ^= 4
        pack.write_bytes(data)


def test_links_and_directories_in_place_of_packs_are_not_followed(repo: Repository, tmp_path: Path) -> None:
    saved = making.save_files(repo, {"a.json": b"{}"})
    (pack,) = making.packs_of(repo)
    pack.rename(tmp_path / "elsewhere")
    pack.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Damaged):
        making.read_back(repo, saved.document)
    pack.unlink()
    pack.mkdir()
    with pytest.raises(Damaged):
        making.read_back(repo, saved.document)


def test_the_index_is_a_cache(repo: Repository) -> None:
    contents = {f"trades/{number}.json": b"%d" % number for number in range(20)}
    saved = making.save_files(repo, contents)
    cached = index.load(repo)
    making.drop_index(repo)
    rebuilt = index.load(repo)
    assert rebuilt.where == cached.where
    assert rebuilt.caches == {}
    assert making.read_back(repo, saved.document) == contents
    making.save_files(repo, contents)
    assert [len(held) for held in index.load(repo).caches.values()] == [1]


def test_a_damaged_or_hostile_cache_counts_as_deleted(repo: Repository) -> None:
    saved = making.save_files(repo, {"a.json": b"{}"})
    place = Path(repo.path) / "index"
    (cache,) = place.iterdir()
    cache.write_bytes(cache.read_bytes()[:-1])
    hostile = [
        b"",
        b"x",
        zstandard.compress(b"[[1,2]]"),
        zstandard.compress(b'[["a","b",[]]]'),
        zstandard.compress(b"{"),
    ]
    for data in hostile:
        (place / sha(data)).write_bytes(data)
    (place / "README").write_bytes(b"")
    assert index.load(repo).caches == {}
    assert making.read_back(repo, saved.document) == {"a.json": b"{}"}


def test_a_cache_under_another_name_is_not_used(repo: Repository) -> None:
    making.save_files(repo, {"a.json": b"{}"})
    (cache,) = (Path(repo.path) / "index").iterdir()
    cache.rename(cache.with_name("0" * 64))
    loaded = index.load(repo)
    assert loaded.caches == {}
    assert len(loaded.packs) == 1


def test_a_cached_pack_of_another_size_is_read_anew(repo: Repository) -> None:
    making.save_files(repo, {"a.json": b"{}"})
    (pack,) = making.packs_of(repo)
    pack.write_bytes(pack.read_bytes()[:-1])
    loaded = index.load(repo)
    assert loaded.where == {}
    assert [finding.rule for finding in loaded.findings] == ["MB130"]


def test_many_small_cache_files_are_joined_and_stay_complete(repo: Repository) -> None:
    for number in range(index.CACHE_FILES + 2):
        making.save_files(repo, {"a.json": b"%d" % number})
    loaded = index.load(repo)
    assert len(loaded.caches) < 6
    assert {pack.name for held in loaded.caches.values() for pack in held} == repo.packs().keys()
