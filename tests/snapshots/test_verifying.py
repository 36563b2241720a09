from __future__ import annotations

import os
from pathlib import Path

import orjson
import pytest

from memorybank_cli.base.errors import SnapshotNotFound
from memorybank_cli.snapshots import documents
from memorybank_cli.snapshots.packs import PackWriter
from memorybank_cli.snapshots.repository import Repository
from memorybank_cli.snapshots.saving import save
from memorybank_cli.snapshots.verifying import verify
from tests.snapshots import making

FIRST = {"d/a": os.urandom(150_000), "d/b": b"b", "e/c": b"c"}
SECOND = {**FIRST, "new": os.urandom(140_000)}


@pytest.fixture
def two(repo: Repository) -> tuple[documents.Document, documents.Document]:
    return making.save_files(repo, FIRST, seq=1).document, making.save_files(repo, SECOND, seq=2).document


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def first_pack(repo: Repository) -> Path:
    """The pack that holds the large file of the first snapshot."""
    return max(making.packs_of(repo), key=lambda path: path.stat().st_size)


@pytest.mark.usefixtures("two")
def test_a_sound_repository(repo: Repository) -> None:
    plain, thorough = verify(repo), verify(repo, read_data=True)
    assert (plain.ok, plain.snapshots, plain.packs, plain.findings) == (True, 2, 0, ())
    assert (thorough.ok, thorough.packs, thorough.findings) == (True, 2, ())
    assert thorough.bytes_read == sum(path.stat().st_size for path in making.packs_of(repo))
    assert thorough.checked == plain.checked == 4 + 4
    assert thorough.as_dict()["ok"] is True


def test_an_empty_repository_is_sound(repo: Repository) -> None:
    assert verify(repo, read_data=True).ok


def test_a_flipped_bit_names_the_file_and_both_snapshots(repo: Repository, two: tuple[documents.Document, ...]) -> None:
    pack = first_pack(repo)
    flip(pack, 1000)
    assert verify(repo).ok
    found = verify(repo, read_data=True)
    assert not found.ok
    assert found.damaged_packs == {pack.name}
    assert [(finding.rule, finding.path) for finding in found.findings] == [("MB130", ""), ("MB130", "d/a")]
    assert all(document.id in found.findings[1].message for document in two)
    one = verify(repo, [two[0].id], read_data=True)
    assert two[1].id not in one.findings[1].message
    again = save(
        repo,
        [making.row(*item) for item in sorted(SECOND.items())],
        lambda _: making.meta(seq=3),
        distrust=found.damaged_packs,
    )
    assert again.new_packs == 1
    assert [finding.path for finding in verify(repo, read_data=True).findings] == [""]


@pytest.mark.usefixtures("two")
def test_a_flip_that_hits_no_blob_is_still_found(repo: Repository) -> None:
    pack = first_pack(repo)
    flip(pack, 20)
    found = verify(repo, read_data=True)
    assert [(finding.rule, finding.path) for finding in found.findings] == [("MB130", "")]
    assert found.damaged_packs == {pack.name}


def test_a_missing_pack_names_what_it_takes_along(repo: Repository) -> None:
    one = making.save_files(repo, {"a": b"1"}, seq=1).document
    (pack,) = making.packs_of(repo)
    two = making.save_files(repo, {"a": b"1", "d/b": b"2"}, seq=2).document
    pack.unlink()
    for thorough in (False, True):
        found = verify(repo, read_data=thorough)
        by_path = {finding.path: finding.message for finding in found.findings}
        assert set(by_path) == {"", "a"}
        assert one.id in by_path[""]
        assert two.id in by_path["a"]


@pytest.mark.usefixtures("two")
def test_truncated_swapped_and_foreign_packs(repo: Repository) -> None:
    small, large = sorted(making.packs_of(repo), key=lambda path: path.stat().st_size)
    whole = {path: path.read_bytes() for path in (small, large)}
    for path, data in whole.items():
        path.write_bytes(data[:-1])
        assert not verify(repo).ok
        path.write_bytes(b"")
        assert not verify(repo).ok
        path.write_bytes(data)
    small.write_bytes(whole[large])
    large.write_bytes(whole[small])
    assert verify(repo, read_data=True).damaged_packs == {small.name, large.name}
    small.write_bytes(whole[small])
    large.write_bytes(whole[large])
    (small.parent / "stray").write_bytes(b"")
    found = verify(repo)
    assert (found.ok, [finding.severity for finding in found.findings]) == (True, ["warning"])


def test_a_damaged_document_is_found_and_the_others_checked(
    repo: Repository, two: tuple[documents.Document, ...]
) -> None:
    flip(Path(repo.path) / "snapshots" / two[0].id, 30)
    found = verify(repo)
    assert (found.ok, found.snapshots) == (False, 1)
    assert two[0].id in found.findings[0].message


def test_unknown_ids(repo: Repository) -> None:
    with pytest.raises(SnapshotNotFound):
        verify(repo, ["latest"])


def commit(repo: Repository, rows: list[list[object]]) -> documents.Document:
    writer = PackWriter(repo, {})
    writer.add(b"four")
    document = documents.make(writer.add_tree(orjson.dumps(rows)), 1, 4, making.meta())
    writer.finish()
    documents.write(repo, document)
    return document


def test_trees_that_lie_are_found_without_reading_data(repo: Repository) -> None:
    four = "04efaf080f5a3e74e1c29d1ca6a48569382cbbcd324e8d59d2b83ef21c039f00"
    commit(repo, [["f", "size", 0o600, 1, four, 5]])
    commit(repo, [["f", "found", 0o600, 1, four, 4, {"found": "0" * 64, "rule": "MB102"}]])
    commit(repo, [["f", "good", 0o600, 1, "1" * 64, 4, {"found": four, "rule": "MB102"}]])
    commit(repo, [["d", "dir", 0o700, 1, "2" * 64], ["f", "x", 0o600, 1, four, 4]])
    commit(repo, [["f", "..", 0o600, 1, four, 4]])
    assert [finding.path for finding in verify(repo).findings] == ["", "dir", "found", "good", "size"]


def test_a_tree_that_names_itself_many_times_is_checked_once(repo: Repository) -> None:
    writer = PackWriter(repo, {})
    tree = writer.add_tree(orjson.dumps([["f", "lost", 0o600, 1, "3" * 64, 4]]))
    for _ in range(60):
        tree = writer.add_tree(orjson.dumps([["d", name, 0o700, 1, tree] for name in "ab"]))
    writer.finish()
    documents.write(repo, documents.make(tree, 1, 4, making.meta()))
    found = verify(repo)
    assert found.checked == 62
    assert len(found.findings) == 1000
