from __future__ import annotations

import logging
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from memorybank_cli.base import clock
from memorybank_cli.base.errors import UsageError
from memorybank_cli.base.walk import Root
from memorybank_cli.integrity.watcher import SOURCES, Batch, Watcher

DEADLINE = 60.0
NEVER = 3600.0


class Mirror:
    """The files of a tree as somebody knows them who was told of changes by batches only."""

    def __init__(self, watcher: Watcher, root: Root) -> None:
        self.watcher, self.root = watcher, root
        self.batches: list[Batch] = []
        watcher.arm()
        self.files = self.scan("")

    def scan(self, path: str) -> dict[str, tuple[int, int]]:
        files: dict[str, tuple[int, int]] = {}
        try:
            for listing in self.root.walk(path):
                start = f"{listing.path}/" if listing.path else ""
                files.update({start + entry.name: (entry.inode, entry.size) for entry in listing.files})
        except (FileNotFoundError, NotADirectoryError):
            return files
        return files

    def next(self, timeout: float = 0.2) -> Batch | None:
        batch = self.watcher.next(timeout)
        if batch is not None:
            self.batches.append(batch)
            if batch.full:
                self.files = self.scan("")
            for directory in batch.directories:
                inside = f"{directory}/" if directory else ""
                self.files = {path: seen for path, seen in self.files.items() if not path.startswith(inside)}
                self.files.update(self.scan(directory))
            for path in batch.paths:
                self.files.pop(path, None)
                info = self.root.stat(path)
                if info is not None and stat.S_ISREG(info.st_mode):
                    self.files[path] = info.st_ino, info.st_size
        return batch

    def until(self, true: Callable[[], bool]) -> None:
        end = time.monotonic() + DEADLINE
        while not true():
            assert time.monotonic() < end, self.batches
            self.next()

    def until_path(self, path: str) -> None:
        self.until(lambda: any(path in batch.paths for batch in self.batches))

    def until_directory(self, path: str) -> None:
        self.until(lambda: any(path in batch.directories for batch in self.batches))

    def until_gap(self) -> tuple[str, str]:
        self.until(lambda: any(batch.gap for batch in self.batches))
        return next(batch.gap for batch in self.batches if batch.gap)

    def until_true(self) -> None:
        """Until what is known is what is there."""
        self.until(lambda: self.files == self.scan(""))


Watch = Callable[..., Mirror]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tree" / "inner").mkdir(parents=True)
    (tmp_path / "tree" / "inner" / "old.json").write_text("old")
    return tmp_path / "tree"


@pytest.fixture
def watch(tree: Path) -> Iterator[Watch]:
    opened: list[tuple[Watcher, Root]] = []

    def start(
        *, settle: float = 0.05, settle_most: float = NEVER, reconcile: float = NEVER, backend: str = "inotify"
    ) -> Mirror:
        root = Root(tree)
        watcher = Watcher(root, settle=settle, settle_most=settle_most, reconcile=reconcile, backend=backend)
        opened.append((watcher, root))
        return Mirror(watcher, root)

    yield start
    for watcher, root in opened:
        watcher.close()
        root.close()


def replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text)
    temporary.rename(path)


def overflow(tree: Path) -> None:
    """More events than the kernel's queue holds, none of which can be merged with the one before."""
    with open("/proc/sys/fs/inotify/max_queued_events") as limit:
        count = int(limit.read())
    if count > 200_000:
        pytest.skip("the queue is too long to overflow it in a test")
    one, other = tree / "one", tree / "other"
    one.write_text("x")
    for _ in range(count // 2 + 1):
        os.rename(one, other)
        os.rename(other, one)


def test_a_file_made_and_closed(tree: Path, watch: Watch) -> None:
    mirror = watch()
    (tree / "inner" / "new.json").write_text("new")
    mirror.until_path("inner/new.json")
    assert mirror.batches == [Batch(frozenset({"inner/new.json"}), frozenset(), False, None)]


def test_a_rename_into_place_does_not_wait(tree: Path, watch: Watch) -> None:
    mirror = watch(settle=NEVER)
    replace(tree / "inner" / "old.json", "new")
    mirror.until_path("inner/old.json")
    assert mirror.watcher.unsettled() == frozenset()


def test_a_file_changed_in_place_waits_until_it_is_quiet(tree: Path, watch: Watch) -> None:
    mirror = watch(settle=NEVER)
    (tree / "inner" / "old.json").write_text("new")
    mirror.until(lambda: mirror.watcher.unsettled() == {"inner/old.json"})
    assert mirror.batches == []


def test_a_file_that_is_written_without_end_is_reported_at_the_limit(tree: Path, watch: Watch) -> None:
    mirror = watch(settle=NEVER, settle_most=0.2)
    with open(tree / "inner" / "old.json", "a") as out:

        def write_on() -> bool:
            out.write("more")
            out.flush()
            return any("inner/old.json" in batch.paths for batch in mirror.batches)

        mirror.until(write_on)


def test_a_removed_file(tree: Path, watch: Watch) -> None:
    mirror = watch()
    (tree / "inner" / "old.json").unlink()
    mirror.until_path("inner/old.json")
    assert mirror.files == {}


def test_removing_and_making_again_is_one_change(tree: Path, watch: Watch) -> None:
    mirror = watch(settle=5.0)
    (tree / "inner" / "old.json").unlink()
    mirror.watcher.pump()
    (tree / "inner" / "old.json").write_text("again")
    mirror.until_path("inner/old.json")
    assert mirror.files["inner/old.json"][1] == 5
    assert len(mirror.batches) == 1


def test_directories_that_come_and_go(tree: Path, watch: Watch) -> None:
    mirror = watch()
    (tree.parent / "outside" / "below").mkdir(parents=True)
    (tree.parent / "outside" / "below" / "file").write_text("x")
    (tree.parent / "outside").rename(tree / "came")
    mirror.until_directory("came")
    assert "came/below/file" in mirror.files
    assert mirror.watcher.watched() == 4
    (tree / "came").rename(tree / "inner" / "moved")
    mirror.until_directory("came")
    mirror.until_directory("inner/moved")
    assert mirror.files.keys() == {"inner/old.json", "inner/moved/below/file"}
    (tree / "inner" / "moved").rename(tree.parent / "away")
    mirror.until(lambda: mirror.files.keys() == {"inner/old.json"})
    assert mirror.watcher.watched() == 2
    (tree.parent / "away" / "below" / "file").write_text("changed")
    mirror.batches.clear()
    (tree / "last").write_text("x")
    mirror.until_path("last")
    assert [batch.paths for batch in mirror.batches] == [{"last"}]
    shutil.rmtree(tree / "inner")
    mirror.until(lambda: mirror.files.keys() == {"last"})
    assert mirror.watcher.watched() == 1


def test_nested_directories_are_reported_by_the_topmost(tree: Path, watch: Watch) -> None:
    mirror = watch()
    (tree / "a" / "b" / "c").mkdir(parents=True)
    (tree / "a" / "b" / "c" / "file").write_text("x")
    mirror.until(lambda: "a/b/c/file" in mirror.files)
    assert mirror.batches[0].directories == {"a"}
    assert mirror.watcher.watched() == 5


def test_reconciling_comes_round_without_any_change(watch: Watch) -> None:
    mirror = watch(reconcile=0.05)
    mirror.until(lambda: len(mirror.batches) >= 3)
    assert set(mirror.batches) == {Batch(frozenset(), frozenset(), True, None)}


def test_an_overflow_is_a_gap_and_everything_is_watched_again(tree: Path, watch: Watch) -> None:
    mirror = watch()
    before = clock.now()
    assert mirror.next(0.01) is None
    overflow(tree)
    (tree / "unseen" / "deep").mkdir(parents=True)
    (tree / "inner").rename(tree / "elsewhere")
    start, end = mirror.until_gap()
    assert before <= start <= end <= clock.now()
    assert all(batch.full == (batch.gap is not None) for batch in mirror.batches)
    assert mirror.watcher.watched() == 4
    mirror.batches.clear()
    for directory in ("unseen/deep", "elsewhere"):
        (tree / directory / "file").write_text("x")
        mirror.until_path(f"{directory}/file")
    assert not any(batch.full for batch in mirror.batches)


def test_pumping_keeps_the_queue_from_overflowing(tree: Path, watch: Watch) -> None:
    mirror = watch()
    for _ in range(2):
        mirror.watcher.pump()
        for number in range(6_000):
            if number % 1_000 == 0:
                mirror.watcher.pump()
            replace(tree / str(number), "x")
    mirror.until_true()
    assert not any(batch.gap for batch in mirror.batches)


NESTED = """
import os, sys
for directory in range(100):
    place = os.path.join(sys.argv[1], *(f"{part}{directory % 10}" for part in "ab"), str(directory))
    os.makedirs(place)
    for name in range(20):
        with open(os.path.join(place, f"{name}.json"), "w") as out:
            out.write("{}")
"""


def test_a_burst_of_files_in_new_nested_directories(tree: Path, watch: Watch) -> None:
    mirror = watch()
    writer = subprocess.Popen([sys.executable, "-c", NESTED, str(tree)])
    mirror.until(lambda: writer.poll() is not None)
    mirror.until_true()
    assert writer.returncode == 0
    assert len(mirror.files) == 2_001
    assert not any(batch.gap for batch in mirror.batches)
    assert mirror.watcher.watched() == 2 + 10 + 10 + 100


def test_a_burst_of_renames_while_the_reader_sleeps(tree: Path, watch: Watch) -> None:
    mirror = watch()
    for number in range(5_000):
        replace(tree / "inner" / f"{number}.json", "{}")
    mirror.until_true()
    assert len(mirror.files) == 5_001


def shuffle(tree: Path, seed: int, steps: int) -> None:
    """Change a tree at random, and without a pause."""
    dice = random.Random(seed)
    names = "abcd"
    for _ in range(steps):
        one, other = (tree.joinpath(*(dice.choice(names) for _ in range(dice.randint(1, 4)))) for _ in range(2))
        try:
            match dice.randrange(6):
                case 0 | 1:
                    one.mkdir(parents=True)
                case 2:
                    one.write_text("x" * dice.randrange(100))
                case 3:
                    replace(one, "y" * dice.randrange(100))
                case 4:
                    one.rename(other)
                case 5:
                    shutil.rmtree(one) if dice.random() < 0.2 else one.unlink()
        except (OSError, shutil.Error):
            continue


@pytest.mark.parametrize("seed", range(6))
def test_random_changes_are_all_seen(tree: Path, watch: Watch, seed: int) -> None:
    mirror = watch()
    writer = threading.Thread(target=shuffle, args=(tree, seed, 3_000))
    writer.start()
    mirror.until(lambda: not writer.is_alive())
    mirror.until_true()
    directories = sum(1 for _ in mirror.root.walk())
    mirror.until(lambda: mirror.watcher.watched() == directories)
    assert not any(batch.full for batch in mirror.batches)


def test_waking_from_another_thread_and_from_before(watch: Watch) -> None:
    mirror = watch()
    mirror.watcher.wake()
    assert mirror.watcher.next(NEVER) is None
    threading.Timer(0.1, mirror.watcher.wake).start()
    assert mirror.watcher.next(NEVER) is None
    mirror.watcher.wake()
    mirror.watcher.pump()
    assert mirror.watcher.next(NEVER) is None


def test_waking_from_a_signal_handler(watch: Watch) -> None:
    mirror = watch()
    before = signal.signal(signal.SIGUSR1, lambda _number, _frame: mirror.watcher.wake())
    try:
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        assert mirror.watcher.next(NEVER) is None
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("backend", list(SOURCES))
def test_closing_frees_all_descriptors(tree: Path, backend: str) -> None:
    root = Root(tree)
    Watcher(root, backend=backend).close()
    before = len(os.listdir("/proc/self/fd"))
    watcher = Watcher(root, backend=backend)
    watcher.arm()
    assert watcher.backend == backend
    assert watcher.watched() >= 1
    watcher.next(0)
    watcher.close()
    watcher.close()
    watcher.wake()
    assert watcher.backend == ""
    assert watcher.watched() == 0
    assert len(os.listdir("/proc/self/fd")) == before
    root.close()


@pytest.mark.parametrize("backend", list(SOURCES))
def test_a_root_that_is_removed_is_a_gap(tree: Path, watch: Watch, backend: str) -> None:
    mirror = watch(backend=backend)
    shutil.rmtree(tree)
    mirror.until_gap()
    mirror.until(mirror.watcher.displaced)
    tree.mkdir()
    assert mirror.watcher.displaced()
    assert mirror.files == {}


@pytest.mark.parametrize("backend", list(SOURCES))
def test_a_root_that_is_moved_is_a_gap(tree: Path, watch: Watch, backend: str) -> None:
    mirror = watch(backend=backend)
    assert not mirror.watcher.displaced()
    tree.rename(tree.with_name("elsewhere"))
    mirror.until_gap()
    assert mirror.watcher.displaced()


def test_a_moved_parent_of_the_root_is_a_gap(tree: Path, watch: Watch) -> None:
    mirror = watch()
    tree.parent.rename(tree.parent.with_name("elsewhere"))
    try:
        mirror.until_gap()
    finally:
        tree.parent.with_name("elsewhere").rename(tree.parent)


def test_watchdog_losing_events_is_a_gap(tree: Path, watch: Watch) -> None:
    mirror = watch(backend="watchdog")
    logging.getLogger("watchdog.observers.inotify_c").warning("Inotify queue overflowed; filesystem events were lost")
    mirror.until_gap()
    assert mirror.watcher.backend == "watchdog"
    replace(tree / "new.json", "x")
    mirror.until_path("new.json")


def test_watchdog_overflowing_for_real_misses_nothing(tree: Path, watch: Watch) -> None:
    mirror = watch(backend="watchdog")
    for number in range(5_000):
        replace(tree / "inner" / f"{number}.json", "{}")
    mirror.until_true()


def test_a_dead_thread_of_watchdog_is_a_gap_and_polling_takes_over(tree: Path, watch: Watch) -> None:
    mirror = watch(backend="watchdog")
    emitter = next(thread for thread in threading.enumerate() if type(thread).__name__ == "InotifyEmitter")
    emitter.stop()  # type: ignore[attr-defined]
    emitter.join()
    mirror.until_gap()
    assert mirror.watcher.backend == "polling"
    assert mirror.watcher.refused() == {"watchdog": "a thread of watchdog has ended"}
    replace(tree / "new.json", "x")
    mirror.until_path("new.json")


def test_an_unknown_backend(tree: Path) -> None:
    root = Root(tree)
    with pytest.raises(UsageError, match="crystal ball"):
        Watcher(root, backend="crystal ball")
    root.close()


LIMITED = """
import os, sys, time
from functools import partial
from memorybank_cli.base.walk import Root
from memorybank_cli.integrity.inotify import Inotify
from memorybank_cli.integrity.watcher import SOURCES, Watcher
name, value, tree = sys.argv[1:]
with open("/proc/sys/user/" + name, "w") as limit:
    limit.write(value)
"""
NO_INSTANCE = """
watcher = Watcher(Root(tree), settle=0.01, backend="inotify")
watcher.arm()
assert watcher.backend == "polling", watcher.backend
assert set(watcher.refused()) == {"inotify", "watchdog"}, watcher.refused()
with open(os.path.join(tree, "file"), "w") as out:
    out.write("x")
while not (batch := watcher.next(1)):
    pass
assert "file" in batch.paths, batch
"""
FEW_WATCHES = """
SOURCES["inotify"] = partial(Inotify, retry=0.2)
watcher = Watcher(Root(tree), settle=0.01, backend="inotify")
watcher.arm()
assert (watcher.backend, watcher.watched(), watcher.unwatched()) == ("inotify", 2, frozenset())
os.makedirs(os.path.join(tree, "more", "below"))
batch = watcher.next(60)
assert batch and batch.full and batch.gap and "more" in batch.directories, batch
assert watcher.unwatched() == {"more"}
with open(os.path.join(tree, "inner", "file"), "w") as out:
    out.write("x")
paths, directories = set(), set()
while paths != {"inner/file"} or directories != {"more"}:
    batch = watcher.next(60)
    assert batch and not batch.full, batch
    paths |= batch.paths
    directories |= batch.directories
for more, unwatched in (("3", {"more/below"}), ("100", set())):
    with open("/proc/sys/user/" + name, "w") as limit:
        limit.write(more)
    while watcher.unwatched() != unwatched:
        batch = watcher.next(60)
        assert batch is None or not batch.full, batch
    batch = watcher.next(1)
    assert batch is None or not batch.full, batch
assert watcher.watched() == 4
with open(os.path.join(tree, "more", "below", "file"), "w") as out:
    out.write("x")
while not (batch := watcher.next(60)) or "more/below/file" not in batch.paths:
    pass
"""


def in_user_namespace(tree: Path, script: str, *limit: str) -> None:
    """Run a script as root of a new user namespace, whose limits can be set without touching the machine's."""
    enter = ["unshare", "--user", "--map-root-user"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*enter, "true"], capture_output=True, check=False).returncode != 0
    ):
        pytest.skip("user namespaces are not available")
    command = [*enter, sys.executable, "-c", LIMITED + script, *limit, str(tree)]
    home = Path(__file__).parents[2]
    run = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, cwd=home, check=False)
    assert run.returncode == 0, run.stderr


def test_without_any_inotify_polling_takes_over(tree: Path) -> None:
    in_user_namespace(tree, NO_INSTANCE, "max_inotify_instances", "0")


def test_a_refused_watch_is_a_gap_and_is_tried_again(tree: Path) -> None:
    in_user_namespace(tree, FEW_WATCHES, "max_inotify_watches", "2")


def test_importing_it_is_cheap() -> None:
    heavy = "{'ctypes', 'watchdog', 'logging', 'threading'}"
    program = f"import sys, memorybank_cli.integrity.watcher; print(*sorted({heavy} & set(sys.modules)))"
    home = Path(__file__).parents[2]
    env = {name: value for name, value in os.environ.items() if not name.startswith("COV")}  # it starts threads itself
    command = [sys.executable, "-c", program]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=home, env=env)
    assert run.stdout.strip() == ""
