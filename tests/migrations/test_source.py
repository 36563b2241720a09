"""A source is only read, and what changes, vanishes or leads elsewhere is noticed."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from memorybank_cli.base import walk
from memorybank_cli.base.errors import UsageError
from memorybank_cli.base.exact_json import FlawedJSON
from memorybank_cli.migrations import source as module
from memorybank_cli.migrations.source import Source, SourceChanged
from tests.migrations.conftest import Make


def test_paths_are_escaped_sorted_and_of_plain_files_only(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b/two\n.json").write_text("2")
    (tmp_path / "a.json").write_text("1")
    (tmp_path / "link.json").symlink_to("a.json")
    (tmp_path / ".env").write_text("KEY=1")
    (tmp_path / "server.pem").write_text("secret")
    os.mkfifo(tmp_path / "pipe")
    deep = tmp_path / "/".join(["d"] * 63)
    deep.mkdir(parents=True)
    source = Source(tmp_path)
    assert source.paths == ["a.json", r"b/two\x0a.json"]
    reasons = dict(source.skipped)
    assert "link" in reasons["link.json"]
    assert "dot" in reasons[".env"]
    assert "key" in reasons["server.pem"]
    assert reasons["pipe"] == "not a plain file"
    assert any("nested too deeply" in reason for path, reason in source.skipped if path.startswith("d/"))
    source.close()


def test_a_file_that_cannot_be_read_is_skipped(make_source: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    found = make_source({"a.json": "1", "b.json": "2"})
    monkeypatch.setattr(walk, "may", lambda name, *_: name != "b.json")
    source = Source(found.root.path)
    assert source.paths == ["a.json"]
    assert source.skipped == [("b.json", "it cannot be read")]
    source.close()


def test_a_single_file_is_a_source_of_one(tmp_path: Path) -> None:
    (tmp_path / "memory.jsonl").write_text("{}\n")
    (tmp_path / "other.json").write_text("{}")
    (tmp_path / "link").symlink_to("memory.jsonl")
    source = Source(tmp_path / "link")
    assert source.is_file
    assert source.paths == ["memory.jsonl"]
    assert source.read("memory.jsonl") == b"{}\n"
    source.close()


def test_what_is_neither_directory_nor_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("missing", "pipe"):
        with pytest.raises(UsageError, match=f"{name} is no directory and no file"):
            Source(tmp_path / name)


def test_membership_and_what_lies_below(make_source: Make) -> None:
    source = make_source({"a/x.json": "1", "a-b/y.json": "1", "a/z/w.json": "1", "a.json": "1"})
    assert "a/x.json" in source
    assert "a" not in source
    assert "zzz" not in source
    assert source.below("a") == ["a/x.json", "a/z/w.json"]
    assert source.below("") == source.paths
    assert source.below("none") == []


def test_stat_of_a_file(make_source: Make) -> None:
    source = make_source({"d/a.json": "12345"})
    path = Path(source.root.path) / "d/a.json"
    path.chmod(0o640)
    os.utime(path, ns=(5, 1_500_000_000_000_000_007))
    assert source.size("d/a.json") == 5
    assert source.mode("d/a.json") == 0o640
    assert source.mtime_ns("d/a.json") == 1_500_000_000_000_000_007
    path.unlink()
    assert source.size("d/a.json") == 0
    with pytest.raises(SourceChanged):
        source.mode("d/a.json")


def test_reading(make_source: Make) -> None:
    source = make_source({"a.json": '{"a": 1}', "d/b.json": '{"a": 1, "a": 2}', "big.bin": b"x" * 10_000})
    assert source.json("a.json") == {"a": 1}
    with pytest.raises(FlawedJSON):
        source.json("d/b.json")
    assert source.head("big.bin") == b"x" * 4096
    assert b"".join(source.chunks("big.bin")) == b"x" * 10_000
    with pytest.raises(OSError, match="larger than") as caught:
        source.read("big.bin", 9_999)
    assert caught.value.errno == errno.EFBIG


def test_heads_are_remembered_but_not_all_of_them(make_source: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_HEADS", 2)
    source = make_source({"a": "1", "b": "2", "c": "3"})
    assert source.head("a") == b"1"
    Path(source.root.path, "a").write_text("9")
    assert source.head("a") == b"1"
    source.head("b"), source.head("c")
    assert source.head("a") == b"9"


def test_a_head_that_cannot_be_had_is_empty(make_source: Make) -> None:
    source = make_source({"a": "1", "b": "2"})
    Path(source.root.path, "a").unlink()
    assert source.head("a") == b""
    Path(source.root.path, "b").unlink()
    Path(source.root.path, "b").mkdir()
    assert source.head("b") == b""


def test_a_file_that_vanished_or_became_a_link_has_changed(make_source: Make, tmp_path: Path) -> None:
    source = make_source({"a.json": "1", "b.json": "2", "d/c.json": "3", "e/f.json": "4"})
    top = Path(source.root.path)
    (top / "a.json").unlink()
    (top / "b.json").unlink()
    (top / "b.json").symlink_to(tmp_path / "elsewhere")
    (top / "d/c.json").unlink()
    (top / "d").rmdir()
    (top / "e").rename(top / "moved")
    (top / "e").symlink_to("moved")
    for path in ("a.json", "b.json", "d/c.json", "e/f.json"):
        with pytest.raises(SourceChanged, match="changed or vanished"):
            source.read(path)


def test_a_file_that_grows_while_it_is_read_has_changed(make_source: Make) -> None:
    source = make_source({"a.json": b"x" * 100_000})
    path = Path(source.root.path, "a.json")
    chunks = source.chunks("a.json")
    next(chunks)
    path.write_bytes(b"y" * 200_000)
    with pytest.raises(SourceChanged):
        list(chunks)


def test_reading_is_tried_three_times(make_source: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_source({"a.json": "1"})
    path, read_all, tries = Path(source.root.path, "a.json"), walk.read_all, [0]

    def slow(fd: int, limit: int | None = None) -> bytes:
        data = read_all(fd, limit)
        tries[0] += 1
        if tries[0] < changes:
            path.write_text("1" * (tries[0] + 1))
        return data

    monkeypatch.setattr(walk, "read_all", slow)
    changes = 3
    assert source.read("a.json") == b"111"
    tries[0], changes = 0, 99
    with pytest.raises(SourceChanged):
        source.read("a.json")
    assert tries[0] == 3


def test_lines_are_numbered_and_bounded(make_source: Make) -> None:
    source = make_source({"a.jsonl": b"one\n\n" + b"x" * 200_000 + b"\nlast", "b.jsonl": b"one\n", "c.jsonl": b""})
    assert list(source.lines("a.jsonl", longest=10)) == [(1, b"one"), (2, b""), (3, b"x" * 11), (4, b"last")]
    assert list(source.lines("b.jsonl")) == [(1, b"one")]
    assert list(source.lines("c.jsonl")) == []
