from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from memorybank_cli.base import digests, files
from memorybank_cli.base.errors import NotFound, OperationFailed, Refused
from memorybank_cli.snapshots import documents, restoring, trees
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.packing import PackWriter
from memorybank_cli.snapshots.packs import FILE_BLOB_SIZE
from memorybank_cli.snapshots.repository import Repository
from memorybank_cli.snapshots.restoring import restore_to
from memorybank_cli.snapshots.saving import Folder, Row
from memorybank_cli.snapshots.sealing import Damaged
from tests.faults.disks import can_mount, small_disk
from tests.snapshots import making

CONTENTS = {"a.json": b"1", "d/b.json": b"22", "d/e/c.json": b"", "long": bytes(FILE_BLOB_SIZE) + b"end"}


def test_everything_comes_back_with_modes_and_times(repo: Repository, tmp_path: Path) -> None:
    folders = [Folder("d", 0o750, 7_000_000_001), Folder("d/empty", 0o2770, 5)]
    rows: list[Row | Folder] = [*folders, *(making.row(*item) for item in CONTENTS.items())]
    rows.sort(key=lambda row: row.path)
    document = making.save_rows(repo, rows).document
    restored = restore_to(repo, document, tmp_path / "new" / "place")
    place = tmp_path / "new" / "place"
    assert (restored.path, restored.files, restored.findings) == (str(place), 4, ())
    assert restored.bytes == sum(map(len, CONTENTS.values()))
    assert making.on_disk(place) == CONTENTS
    assert place.stat().st_mode & 0o7777 == 0o700
    file = (place / "a.json").stat()
    assert (file.st_mode & 0o7777, file.st_mtime_ns) == (0o640, making.MTIME)
    folder, empty = (place / "d").stat(), (place / "d/empty").stat()
    assert (folder.st_mode & 0o7777, folder.st_mtime_ns) == (0o750, 7_000_000_001)
    assert (empty.st_mode & 0o7777, empty.st_mtime_ns) == (0o2770, 5)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["place"]


def test_odd_names_are_those_of_the_system(repo: Repository, tmp_path: Path) -> None:
    document = making.save_files(
        repo, {"new\\x0aline": b"1", "back\\\\slash": b"2", "\\xff": b"3", "größe": b"4"}
    ).document
    restore_to(repo, document, tmp_path / "out")
    names = {
        name: (tmp_path / "out" / os.fsdecode(name)).read_bytes() for name in os.listdir(os.fsencode(tmp_path / "out"))
    }
    assert names == {b"new\nline": b"1", b"back\\slash": b"2", b"\xff": b"3", "größe".encode(): b"4"}


def test_only_an_empty_or_missing_place_is_taken(repo: Repository, tmp_path: Path) -> None:
    document = making.save_files(repo, CONTENTS).document
    (tmp_path / "empty").mkdir()
    restore_to(repo, document, tmp_path / "empty")
    assert making.on_disk(tmp_path / "empty") == CONTENTS
    (tmp_path / "file").write_text("x")
    for place in ("empty", "file"):
        before = making.on_disk(tmp_path)
        with pytest.raises(Refused, match="not an empty directory") as caught:
            restore_to(repo, document, tmp_path / place)
        assert caught.value.exit_code == 13
        assert making.on_disk(tmp_path) == before


@pytest.mark.skipif(not can_mount(), reason="may not mount")
@pytest.mark.parametrize("is_seen", [True, False])
def test_a_mount_point_is_no_place(
    repo: Repository, tmp_path: Path, is_seen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = making.save_files(repo, CONTENTS).document
    (tmp_path / "disk").mkdir()
    if not is_seen:  # as where a directory of the same file system is mounted
        monkeypatch.setattr("os.path.ismount", lambda _place: False)
    with small_disk(tmp_path / "disk", 1 << 20) as disk:
        with pytest.raises(Refused, match="mount point") as caught:
            restore_to(repo, document, disk)
        assert str(disk / "bank") in caught.value.hint
        assert list(disk.iterdir()) == []
    assert not list(tmp_path.glob(".mb-*"))


def test_some_paths_only(repo: Repository, tmp_path: Path) -> None:
    document = making.save_files(repo, {**CONTENTS, "d2/x": b"x"}).document
    cases = {
        ("d",): {"d/b.json", "d/e/c.json"},
        ("d/e/c.json", "a.json"): {"d/e/c.json", "a.json"},
        ("d/e/",): {"d/e/c.json"},
        (): set(),
        ("",): {*CONTENTS, "d2/x"},
    }
    for number, (paths, expected) in enumerate(cases.items()):
        restore_to(repo, document, tmp_path / str(number), paths)
        assert set(making.on_disk(tmp_path / str(number))) == expected
    with pytest.raises(NotFound, match=r"no 'd/none\.json'"):
        restore_to(repo, document, tmp_path / "none", ["a.json", "d/none.json"])
    assert not (tmp_path / "none").exists()
    assert not list(tmp_path.glob(".mb-*"))


def test_a_file_without_a_good_version_comes_back_as_found(repo: Repository, tmp_path: Path) -> None:
    row = Row("bad.json", 0o600, 1, 3, found_content=lambda: b"{{{", rule="MB101")
    restored = restore_to(repo, making.save_rows(repo, [row]).document, tmp_path / "out")
    assert making.on_disk(tmp_path / "out") == {"bad.json": b"{{{"}
    assert [(finding.rule, finding.path) for finding in restored.findings] == [("MB101", "bad.json")]
    assert restored.as_dict()["findings"][0]["path"] == "bad.json"


def test_what_cannot_be_read_is_named_and_the_rest_restored(repo: Repository, tmp_path: Path) -> None:
    writer = PackWriter(repo, {})
    (good,) = writer.add(b"good")
    inner = writer.add_tree(orjson.dumps([["f", "x", 0o600, 1, good, 4]]))
    rows = [
        ["f", "a", 0o600, 1, good, 4],
        ["f", "b", 0o600, 1, "0" * 64, 4],
        ["d", "c", 0o700, 1, "1" * 64],
        ["d", "e", 0o700, 1, inner],
    ]
    root = writer.add_tree(orjson.dumps(rows))
    writer.finish()
    document = documents.make(root, 9, 9, making.meta())
    restored = restore_to(repo, document, tmp_path / "out")
    assert [(finding.rule, finding.path) for finding in restored.findings] == [("MB130", "b"), ("MB130", "c")]
    assert making.on_disk(tmp_path / "out") == {"a": b"good", "e/x": b"good"}
    with pytest.raises(Damaged):
        restore_to(repo, documents.make("2" * 64, 9, 9, making.meta()), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_hostile_snapshot_can_only_make_files_in_its_place(repo: Repository, tmp_path: Path) -> None:
    writer = PackWriter(repo, {})
    (data,) = writer.add(b"#!/bin/sh\n")
    long = "n" * 300
    tree = writer.add_tree(orjson.dumps([
        ["d", "a\\x01" + long, 0o700, 1, writer.add_tree(b"[]")],
        ["f", "f\\x02" + long, 0o600, 1, data, 10],
        ["f", "suid", 0o6777, 1, data, 10],
    ]))  # fmt: skip
    writer.finish()
    restored = restore_to(repo, documents.make(tree, 9, 9, making.meta()), tmp_path / "out")
    assert [finding.rule for finding in restored.findings] == ["MB130", "MB130"]
    assert os.listdir(tmp_path / "out") == ["suid"]
    assert (tmp_path / "out" / "suid").stat().st_mode & 0o7777 == 0o777


def test_a_snapshot_with_more_files_than_it_says_is_stopped(repo: Repository, tmp_path: Path) -> None:
    root = making.save_files(repo, CONTENTS).document.root
    with pytest.raises(Damaged, match="more files"):
        restore_to(repo, documents.make(root, 2, 9, making.meta()), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".mb-*"))


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_an_error_at_every_call_leaves_the_place_as_it_was(
    repo: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    document = making.save_files(repo, {"a.json": b"1", "d/b.json": b"22"}).document
    at, reached = 1, True
    while reached:
        faults = making.Faults(at, number)
        place = tmp_path / "places" / str(at)
        finished = False
        with monkeypatch.context() as patch:
            patch.setattr("memorybank_cli.base.files.os", faults)
            try:
                restore_to(repo, document, place)
                finished = True
            except OperationFailed:
                finished = False
        assert not list(place.parent.glob(".mb-*"))
        if finished or place.exists():
            assert making.on_disk(place) == {"a.json": b"1", "d/b.json": b"22"}
        reached = faults.calls >= at
        at += 1
    assert at > 10


def test_a_repository_that_cannot_be_written_is_read(
    repo: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = making.save_files(repo, CONTENTS).document

    class ReadOnly(making.Faults):
        def __getattr__(self, name: str) -> object:
            if name != "open":
                return getattr(os, name)

            def call(path: str, flags: int, *args: int, **kwargs: int) -> int:
                if path == "lock":
                    raise OSError(errno.EROFS, "read-only", path)
                return os.open(path, flags, *args, **kwargs)

            return call

    monkeypatch.setattr("memorybank_cli.base.files.os", ReadOnly(0, None))
    restore_to(repo, document, tmp_path / "out")
    assert making.on_disk(tmp_path / "out") == CONTENTS


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if every restore were large enough for a second process."""
    monkeypatch.setattr("memorybank_cli.base.workers.pays", lambda _: True)
    monkeypatch.setattr(restoring, "SHARE", 3)


def many() -> dict[str, bytes]:
    return {f"d{number % 3}/e/{number:03d}": b"%d" % number * 50 for number in range(100)} | {"top": b""}


@pytest.mark.usefixtures("two")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
class TestTwoProcesses:
    """Large restores; each process writes its share."""

    def test_they_restore_every_byte_and_time(self, repo: Repository, tmp_path: Path) -> None:
        document = making.save_files(repo, many()).document
        done = restore_to(repo, document, tmp_path / "out")
        assert making.on_disk(tmp_path / "out") == many()
        assert (done.files, done.bytes, done.findings) == (len(many()), document.bytes, ())
        assert {path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == {making.MTIME}

    def test_they_restore_a_part(self, repo: Repository, tmp_path: Path) -> None:
        document = making.save_files(repo, many()).document
        done = restore_to(repo, document, tmp_path / "out", ["d1", "top"])
        expected = {path: data for path, data in many().items() if path.startswith(("d1/", "top"))}
        assert making.on_disk(tmp_path / "out") == expected
        assert done.files == len(expected)

    def test_damage_met_by_either_is_told_once(
        self, repo: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        document = making.save_files(repo, many()).document
        lost = {digests.of(b"%d" % number * 50) for number in (0, 1, 50, 99)}
        blobs = Blobs(repo)
        directory = trees.find(blobs, document.root, "d2")
        assert isinstance(directory, trees.DirectoryEntry)
        lost.add(directory.tree)
        real = Blobs.get

        def get(self: Blobs, name: str) -> bytes:
            if name in lost:
                raise Damaged("it is lost")
            return real(self, name)

        monkeypatch.setattr(Blobs, "get", get)
        done = restore_to(repo, document, tmp_path / "out")
        paths = ["d0/e/000", "d0/e/099", "d1/e/001", "d2"]
        assert sorted(finding.path for finding in done.findings) == paths
        kept = {path: data for path, data in many().items() if not path.startswith(tuple(paths))}
        assert making.on_disk(tmp_path / "out") == kept
        assert done.files == len(kept)

    @pytest.mark.parametrize("where", ["here", "there"])
    def test_an_error_in_either_leaves_nothing(
        self, repo: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
    ) -> None:
        document = making.save_files(repo, many()).document
        ours, real = os.getpid(), files.write_new

        def write_new(*args: Any) -> os.stat_result:
            if (os.getpid() == ours) == (where == "here"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(*args)

        monkeypatch.setattr(files, "write_new", write_new)
        with pytest.raises(OperationFailed, match="cannot restore"):
            restore_to(repo, document, tmp_path / "out")
        assert list(tmp_path.glob("out")) == list(tmp_path.glob(".mb-*")) == []

    def test_a_second_process_that_dies_is_told(
        self, repo: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        document = making.save_files(repo, many()).document
        ours, real = os.getpid(), files.write_new

        def write_new(*args: Any) -> os.stat_result:
            if os.getpid() != ours:
                os._exit(137)
            return real(*args)

        monkeypatch.setattr(files, "write_new", write_new)
        with pytest.raises(OperationFailed, match="second process"):
            restore_to(repo, document, tmp_path / "out")
        assert list(tmp_path.glob("out")) == list(tmp_path.glob(".mb-*")) == []

    def test_more_files_than_the_document_says_are_refused(self, repo: Repository, tmp_path: Path) -> None:
        document = replace(making.save_files(repo, many()).document, files=40)
        with pytest.raises(Damaged, match="more files"):
            restore_to(repo, document, tmp_path / "out")
        assert list(tmp_path.glob("out")) == []
