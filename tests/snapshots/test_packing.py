from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator

import pytest

from memorybank_cli.base.errors import OperationFailed
from memorybank_cli.snapshots import packing
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.packing import PackWriter
from memorybank_cli.snapshots.repository import Repository


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def blobs(count: int, size: int = 40_000) -> list[bytes]:
    return [os.urandom(size) for _ in range(count)]


def test_a_second_thread_writes_the_same_packs(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "FRAME_SIZE", 100_000)
    monkeypatch.setattr(packing, "PACK_SIZE", 400_000)
    writer = PackWriter(repo, {})
    contents = blobs(60)
    names = [writer.add(data)[0] for data in contents]
    tree = writer.add_tree(b"[]")
    assert threading.active_count() > 1
    written = writer.finish()
    writer.give_up()
    assert len(written) > 3
    assert writer.new_bytes == sum(pack.size for pack in written)
    found = Blobs(repo)
    assert [found.get(name) for name in names] == contents
    assert found.get(tree) == b"[]"


def test_trees_and_files_share_no_frame(repo: Repository) -> None:
    writer = PackWriter(repo, {})
    name, tree = writer.add(b"file")[0], writer.add_tree(b"[1]")
    (pack,) = writer.finish()
    assert [frame.ids for frame in pack.frames] == [(name,), (tree,)]


def test_an_error_in_the_second_thread_is_raised_by_the_first(
    repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "FRAME_SIZE", 10_000)
    monkeypatch.setattr(packing, "PACK_SIZE", 300_000)

    def put(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(repo.backend, "put", put)
    writer = PackWriter(repo, {})
    with pytest.raises(OSError, match="No space"):
        all(map(writer.add, blobs(100)))
    assert threading.active_count() > 1
    writer.give_up()
    with pytest.raises(OSError, match="No space"):
        writer.finish()


def test_an_error_at_the_very_end_is_raised_by_finish(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "FRAME_SIZE", 10_000)
    writer = PackWriter(repo, {})
    for data in blobs(packing.WORTH_IT):
        writer.add(data)
    monkeypatch.setattr(packing, "decompress", lambda *_: b"something else")
    writer.add(os.urandom(20_000))
    with pytest.raises(OperationFailed, match="does not unpack"):
        writer.finish()


def test_giving_up_in_the_middle_leaves_whole_packs_only(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "FRAME_SIZE", 10_000)
    monkeypatch.setattr(packing, "PACK_SIZE", 100_000)
    writer = PackWriter(repo, {})
    for data in blobs(20):
        writer.add(data)
    writer.give_up()
    found = Blobs(repo)
    assert found.findings == []
    assert all(found.get(name) for name in found.index.where)
    assert 0 < len(found.index.packs) < 10


def test_what_the_disk_gives_back_is_compared(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repo.backend, "digest", lambda _: ("0" * 64, 1))
    writer = PackWriter(repo, {})
    writer.add(b"x")
    with pytest.raises(OperationFailed, match="the disk gave back other bytes"):
        writer.finish()
    assert repo.packs() == {}
    trusting = PackWriter(repo, {}, verify=False)
    trusting.add(b"x")
    assert len(trusting.finish()) == 1


def test_without_verifying_nothing_is_decoded(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "decompress", lambda *_: pytest.fail("it was decoded"))
    writer = PackWriter(repo, {}, verify=False)
    writer.add(b"x")
    assert len(writer.finish()) == 1
