"""The contract of `Source`, run by every source in the table."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from memorybank_cli.base.walk import Root
from memorybank_cli.integrity.hints import LOST, Hint, Source, doorbell, ring
from memorybank_cli.integrity.inotify import Inotify
from memorybank_cli.integrity.polling import Polling, file_system
from memorybank_cli.integrity.watcher import SOURCES

DEADLINE = 30.0
# A tenth of the usual interval, since most tests wait for several looks.
CONTRACT: dict[str, Callable[[Root, frozenset[str]], Source]] = {**SOURCES, "polling": partial(Polling, interval=0.1)}


class Watched:
    """An armed source, with all hints that it has given."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.bell, self.ringer = doorbell()
        self.hints: list[Hint] = []
        self.marks = 0
        source.arm()

    def read(self, timeout: float) -> list[Hint]:
        hints = self.source.read(timeout, self.bell)
        self.hints += hints
        return hints

    def until(self, *wanted: Hint | str) -> None:
        """Read until each wanted hint was given; a path alone stands for any hint of it."""
        end = time.monotonic() + DEADLINE
        while not all(w in self.hints or any(w == hint.path for hint in self.hints) for w in wanted):
            assert time.monotonic() < end, f"{wanted} not in {self.hints}"
            self.read(0.2)

    def settle(self, tree: Path) -> None:
        """Read everything that happened up to now: until a file made now was seen."""
        self.marks += 1
        mark = tree / f"mark{self.marks}"
        mark.write_text("x")
        self.until(mark.name)

    def paths(self) -> set[str]:
        return {hint.path for hint in self.hints}

    def close(self) -> None:
        self.source.close()
        os.close(self.bell)
        os.close(self.ringer)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tree" / "inner" / "deep").mkdir(parents=True)
    (tmp_path / "tree" / "inner" / "old.json").write_text("old")
    (tmp_path / "tree" / "inner" / "deep" / "old.json").write_text("old")
    return tmp_path / "tree"


@pytest.fixture(params=list(SOURCES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def watched(tree: Path, name: str) -> Iterator[Watched]:
    root = Root(tree)
    watched = Watched(CONTRACT[name](root, frozenset(("skipped",))))
    yield watched
    watched.close()
    root.close()


def test_a_new_file(tree: Path, watched: Watched) -> None:
    (tree / "inner" / "new.json").write_text("new")
    watched.until("inner/new.json")


def test_a_file_changed_in_place(tree: Path, watched: Watched) -> None:
    with open(tree / "inner" / "old.json", "a") as out:
        out.write("more")
        out.flush()
        watched.until(Hint("changed", "inner/old.json"))


def test_a_file_renamed_into_place_is_complete(tree: Path, watched: Watched) -> None:
    (tree / "inner" / ".temporary").write_text("whole")
    (tree / "inner" / ".temporary").rename(tree / "inner" / "old.json")
    watched.until(Hint("complete", "inner/old.json"))
    assert not any(".temporary" in path for path in watched.paths())


def test_a_linked_file(tree: Path, watched: Watched) -> None:
    (tree / "inner" / "linked.json").hardlink_to(tree / "inner" / "old.json")
    watched.until("inner/linked.json")


def test_a_removed_file(tree: Path, watched: Watched) -> None:
    (tree / "inner" / "old.json").unlink()
    watched.until(Hint("changed", "inner/old.json"))


def test_a_changed_mode(tree: Path, watched: Watched) -> None:
    (tree / "inner" / "old.json").chmod(0o666)
    watched.until(Hint("changed", "inner/old.json"))


def test_a_file_moved_within_and_out(tree: Path, watched: Watched) -> None:
    (tree / "inner" / "old.json").rename(tree / "moved.json")
    watched.until("inner/old.json", "moved.json")
    (tree / "moved.json").rename(tree.parent / "outside.json")
    watched.hints.clear()
    watched.until("moved.json")


def test_a_new_directory_is_watched(tree: Path, watched: Watched) -> None:
    (tree / "one" / "two" / "three").mkdir(parents=True)
    watched.until(Hint("directory", "one"))
    watched.settle(tree)
    (tree / "one" / "two" / "three" / "file").write_text("x")
    watched.until("one/two/three/file")


def test_a_directory_moved_in(tree: Path, watched: Watched) -> None:
    (tree.parent / "outside" / "below").mkdir(parents=True)
    (tree.parent / "outside").rename(tree / "came")
    watched.until(Hint("directory", "came"))
    watched.settle(tree)
    (tree / "came" / "below" / "file").write_text("x")
    watched.until("came/below/file")


def test_a_directory_moved_within(tree: Path, watched: Watched) -> None:
    (tree / "inner").rename(tree / "renamed")
    watched.until(Hint("directory", "inner"), Hint("directory", "renamed"))
    watched.settle(tree)
    watched.hints.clear()
    (tree / "renamed" / "deep" / "file").write_text("x")
    watched.until("renamed/deep/file")
    assert not any(path.startswith("inner") for path in watched.paths())


def test_a_directory_moved_into_a_new_one(tree: Path, watched: Watched) -> None:
    (tree / "new").mkdir()
    (tree / "inner").rename(tree / "new" / "moved")
    watched.until(Hint("directory", "new"), Hint("directory", "inner"))
    watched.settle(tree)
    (tree / "new" / "moved" / "deep" / "file").write_text("x")
    watched.until("new/moved/deep/file")


def test_a_directory_moved_out(tree: Path, watched: Watched) -> None:
    (tree / "inner").rename(tree.parent / "gone")
    watched.until(Hint("directory", "inner"))


def test_a_directory_removed_and_made_again(tree: Path, watched: Watched) -> None:
    shutil.rmtree(tree / "inner")
    watched.until(Hint("directory", "inner"))
    watched.hints.clear()
    (tree / "inner" / "deep").mkdir(parents=True)
    watched.until(Hint("directory", "inner"))
    watched.settle(tree)
    (tree / "inner" / "deep" / "file").write_text("x")
    watched.until("inner/deep/file")


def test_dot_names_and_skipped_directories_give_no_hints(tree: Path, watched: Watched) -> None:
    for place in (".hidden", "skipped", "inner/.hidden"):
        (tree / place / "below").mkdir(parents=True)
        watched.read(0)
        (tree / place / "below" / "file").write_text("x")
    (tree / ".file").write_text("x")
    (tree / "inner" / "skipped").mkdir()
    watched.settle(tree)
    watched.until(Hint("directory", "inner/skipped"))
    assert not any(part.startswith(".") for path in watched.paths() for part in path.split("/"))
    assert not any(path.startswith("skipped") for path in watched.paths())


def test_links_to_directories_are_not_followed(tree: Path, watched: Watched) -> None:
    outside = tree.parent / "outside"
    outside.mkdir()
    (tree / "link").symlink_to(outside)
    (tree / "inner" / "loop").symlink_to(tree)
    watched.until("link", "inner/loop")
    watched.hints.clear()
    (outside / "file").write_text("x")
    watched.settle(tree)
    assert watched.paths() <= {"mark1", ""}


@pytest.mark.parametrize(
    ("raw", "escaped"),
    [
        (b"caf\xe9.json", "caf\\xe9.json"),
        (b"line\nbreak", "line\\x0abreak"),
        (b"back\\slash", "back\\\\slash"),
        ("größe €.json".encode(), "größe €.json"),
        (b"x" * 255, "x" * 255),
        (b" ", " "),
    ],
)
def test_odd_names(tree: Path, watched: Watched, raw: bytes, escaped: str) -> None:
    os.mkdir(os.path.join(os.fsencode(tree), raw))
    watched.until(Hint("directory", escaped))
    watched.settle(tree)
    with open(os.path.join(os.fsencode(tree), raw, raw), "wb") as out:
        out.write(b"x")
    watched.until(f"{escaped}/{escaped}")


def test_the_doorbell_wakes_a_reader(watched: Watched) -> None:
    ring(watched.ringer)
    started = time.monotonic()
    while time.monotonic() < started + DEADLINE:
        if not watched.read(DEADLINE):
            break
    assert time.monotonic() < started + DEADLINE


def test_close_gives_everything_back(tree: Path, name: str) -> None:
    root = Root(tree)
    first = Watched(CONTRACT[name](root, frozenset()))
    first.close()
    descriptors, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(3):
        again = Watched(CONTRACT[name](root, frozenset()))
        assert again.source.watched() >= 1
        again.close()
        again.source.close()
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert threading.active_count() == threads
    root.close()


def test_inotify_loses_sight_when_the_root_moves(tree: Path) -> None:
    root = Root(tree)
    watched = Watched(Inotify(root))
    tree.rename(tree.with_name("moved"))
    watched.until(LOST)
    watched.close()
    root.close()


def test_the_file_system_of_a_mount_table() -> None:
    table = (
        "22 27 0:21 / /proc rw,nosuid shared:12 - proc proc rw\n"
        "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n"
        "40 27 0:55 / /home rw - nfs4 server:/home rw\n"
        "41 27 0:56 / /odd\\040name rw shared:3 - fuse.sshfs me@there: rw\n"
    )
    assert file_system(table, os.makedev(98, 0)) == "ext3"
    assert file_system(table, os.makedev(0, 55)) == "nfs4"
    assert file_system(table, os.makedev(0, 56)) == "fuse.sshfs"
    assert file_system(table, os.makedev(1, 1)) == ""


def test_a_tree_that_cannot_be_looked_at_is_lost_until_it_can(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network file system that does not answer for a while."""
    root = Root(tree)
    watched = Watched(Polling(root, interval=0.0))
    real = Root.walk

    def refuse(*_: object, **__: object) -> object:
        raise OSError(116, "Stale file handle")

    with monkeypatch.context() as broken:
        broken.setattr(Root, "walk", refuse)
        watched.until(LOST)
    assert Root.walk is real
    (tree / "inner" / "new.json").write_text("x")
    watched.until("inner/new.json")
    assert (watched.source.unwatched(), watched.source.queued()) == (frozenset(), 0)
    watched.close()
    root.close()


def test_watchdog_tells_neither_limits_nor_queues_and_may_be_missing(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Root(tree)
    source = SOURCES["watchdog"](root, frozenset())
    source.arm()
    assert (source.watched(), source.unwatched(), source.queued()) == (1, frozenset(), 0)
    source.close()
    monkeypatch.setitem(sys.modules, "watchdog.observers", None)
    missing = SOURCES["watchdog"](root, frozenset())
    with pytest.raises(OSError, match="watchdog package"):
        missing.arm()
    missing.close()
    root.close()
