"""Stages of restores: held while they are built, removed when their process is gone."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from memorybank_cli.base import files
from memorybank_cli.base.records import Progress
from memorybank_cli.base.walk import Root
from memorybank_cli.snapshots import stages

LEFT = ".mb-0123456789abcdef"


class Notes(Progress):
    def __init__(self) -> None:
        self.told: list[str] = []

    def note(self, text: str) -> None:
        self.told.append(text)


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[Root]:
    root = Root(tmp_path)
    yield root
    root.close()


def leave(place: Path, name: str = LEFT) -> Path:
    (place / name / "trades").mkdir(parents=True)
    (place / name / "trades/a.json").write_text("{}")
    return place / name


def test_what_a_killed_restore_left_is_removed(parent: Root, tmp_path: Path) -> None:
    gone, notes = leave(tmp_path), Notes()
    stages.remove_left(parent, notes)
    assert not gone.exists()
    assert notes.told == [f"removed {LEFT}, which an interrupted restore had left"]


def test_a_stage_in_use_stays_also_of_a_process_that_forked(parent: Root, tmp_path: Path) -> None:
    name, stage = stages.begin(parent)
    notes = Notes()
    stages.remove_left(parent, notes)
    assert (tmp_path / name).is_dir()
    second = os.dup(stage.fd)
    stage.close()
    stages.remove_left(parent, notes)
    assert (tmp_path / name).is_dir()
    os.close(second)
    assert notes.told == []
    stages.remove_left(parent, notes)
    assert not (tmp_path / name).exists()


def test_nothing_else_is_touched(parent: Root, tmp_path: Path) -> None:
    for name in (".mb-0123", ".mb-0123456789abcdefg", ".mb-0123456789ABCDEF", "mb-0123456789abcdef", ".other"):
        leave(tmp_path, name)
    (tmp_path / ".mb-1111111111111111").write_text("a file")
    (tmp_path / ".mb-2222222222222222").symlink_to(leave(tmp_path, "outside"))
    before = sorted(tmp_path.rglob("*"))
    stages.remove_left(parent, Notes())
    assert sorted(tmp_path.rglob("*")) == before


def test_the_stage_of_somebody_else_stays(parent: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, notes = leave(tmp_path), Notes()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    stages.remove_left(parent, notes)
    assert kept.exists()
    assert notes.told == []


def test_one_that_cannot_be_removed_is_named(parent: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, notes = leave(tmp_path), Notes()

    def refuse(_root: Root, path: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(files, "remove_tree", refuse)
    stages.remove_left(parent, notes)
    assert notes.told == [f"{kept} was left by an interrupted restore; it can be removed"]


def test_one_that_was_taken_for_left_is_made_anew(
    parent: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, first = fcntl.flock, list[str]()

    def late(fd: int, kind: int) -> None:
        if not first:
            (only,) = (one.name for one in tmp_path.iterdir())
            first.append(only)
            (tmp_path / only).rmdir()
        lock(fd, kind)

    monkeypatch.setattr(fcntl, "flock", late)
    name, stage = stages.begin(parent)
    assert [one.name for one in tmp_path.iterdir()] == [name]
    assert first != [name]
    stage.close()


def test_where_directories_cannot_be_locked(parent: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, notes, number = leave(tmp_path), Notes(), errno.EBADF

    def refuse(_fd: int, _kind: int) -> None:
        raise OSError(number, "no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    stages.remove_left(parent, notes)
    assert kept.exists()
    name, stage = stages.begin(parent)
    stage.close()
    number = errno.EIO
    with pytest.raises(OSError, match="no locks here"):
        stages.begin(parent)
    assert {one.name for one in tmp_path.iterdir()} == {LEFT, name}
