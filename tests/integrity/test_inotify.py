"""inotify where the kernel refuses: what cannot be watched is said to be lost, is looked at, and is tried again."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.base.walk import Root
from memorybank_cli.integrity import inotify
from memorybank_cli.integrity.hints import LOST, Hint, doorbell
from memorybank_cli.integrity.inotify import Inotify

pytestmark = pytest.mark.skipif(not Path("/proc/sys/fs/inotify").is_dir(), reason="inotify is Linux's")


class Kernel:
    """The system's inotify with room for so many watches."""

    def __init__(self, room: int, refusal: int = errno.ENOSPC) -> None:
        self.room, self.refusal = room, refusal
        self._libc = inotify._libc()
        self._known: set[int] = set()
        self.inotify_init1 = self._libc.inotify_init1

    def inotify_add_watch(self, fd: int, place: bytes, mask: int) -> int:
        number: int = self._libc.inotify_add_watch(fd, place, mask)
        if number not in self._known and len(self._known) >= self.room:
            self._libc.inotify_rm_watch(fd, number)
            ctypes.set_errno(self.refusal)
            return -1
        self._known.add(number)
        return number

    def inotify_rm_watch(self, fd: int, number: int) -> int:
        self._known.discard(number)
        gone: int = self._libc.inotify_rm_watch(fd, number)
        return gone


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    (tmp_path / "inner/deep").mkdir(parents=True)
    (tmp_path / "requests").mkdir()
    opened = Root(tmp_path)
    yield opened
    opened.close()


@contextmanager
def armed(root: Root, **options: Any) -> Iterator[tuple[Inotify, Any]]:
    source = Inotify(root, retry=0.0, **options)
    bell, ringer = doorbell()
    try:
        source.arm()
        yield source, lambda: source.read(0.2, bell)
    finally:
        source.close()
        os.close(bell)
        os.close(ringer)


def test_a_system_without_it(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inotify, "_libc", object)
    with pytest.raises(OSError, match="no inotify") as caught:
        Inotify(root).arm()
    assert caught.value.errno == errno.ENOSYS


def test_a_root_that_cannot_be_watched_is_an_error(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(0)
    monkeypatch.setattr(inotify, "_libc", lambda: kernel)
    with pytest.raises(OSError, match="inotify cannot watch: No space left"), armed(root):
        pass


def test_what_is_refused_is_lost_once_and_looked_at_until_there_is_room(
    root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = Kernel(3)
    monkeypatch.setattr(inotify, "_libc", lambda: kernel)
    with armed(root) as (source, read):
        [refused] = source.unwatched()  # the last one that was listed
        assert LOST in read()
        (tmp_path / refused / "unseen.json").write_text("x")
        hints = read()  # no event tells of it
        assert Hint("directory", refused) in hints
        assert LOST not in hints
        kernel.room = 10
        read()
        assert source.unwatched() == frozenset()
        (tmp_path / refused / "seen.json").write_text("x")
        assert f"{refused}/seen.json" in {hint.path for hint in read()}


def test_a_directory_without_permission_is_a_scans_business(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(2, errno.EACCES)
    monkeypatch.setattr(inotify, "_libc", lambda: kernel)
    with armed(root) as (source, _):
        assert source.unwatched() == frozenset()
        assert source.watched() == 2


def test_requests_that_cannot_be_heard_of_do_not_keep_it_from_watching(root: Root, tmp_path: Path) -> None:
    with armed(root, requests="nothing") as (source, read):
        (tmp_path / "inner/a.json").write_text("x")
        assert "inner/a.json" in {hint.path for hint in read()}
        assert source.unwatched() == frozenset()
    with armed(root, skip=frozenset({"requests"}), requests="requests") as (_, read):
        (tmp_path / "requests/ask-1").write_text("")
        assert read() == [Hint("asked", "")]


def test_a_reader_that_is_behind_goes_on_with_the_next_reading(
    root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inotify, "ROUNDS", 1)
    with armed(root) as (source, read):
        for number in range(3_000):
            (tmp_path / f"inner/{number}.json").write_text("x")
        first = read()
        assert 0 < len(first) < source.queued() + 1
        paths = {hint.path for hint in first}
        while hints := read():
            paths |= {hint.path for hint in hints}
        assert len(paths) == 3_000


def test_a_directory_that_is_swapped_for_another_is_watched_under_its_own_name(root: Root, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with armed(root) as (source, read):
        (tmp_path / "inner").rename(tmp_path / "away")
        (tmp_path / "other").rename(tmp_path / "inner")
        (tmp_path / "away").rename(tmp_path / "other")
        while read():
            pass
        (tmp_path / "inner/a.json").write_text("x")
        (tmp_path / "other/deep/b.json").write_text("x")
        paths = {hint.path for hint in read()}
        assert {"inner/a.json", "other/deep/b.json"} <= paths
        assert source.watched() == 5
