"""What every backend keeps its word about; a new one is a further row of `BACKENDS`."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from memorybank_cli.base.errors import Locked
from memorybank_cli.snapshots.backends import OPEN_FILES, Backend, LocalBackend

BACKENDS: dict[str, Callable[[Path], Backend]] = {"local": lambda place: LocalBackend.create(place / "repo")}


@pytest.fixture(params=BACKENDS)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Backend]:
    """Opens the same place each time."""
    return lambda: BACKENDS[request.param](tmp_path)


@pytest.fixture
def backend(make: Callable[[], Backend]) -> Iterator[Backend]:
    opened = make()
    yield opened
    opened.close()


def names(backend: Backend, folder: str = "") -> list[str]:
    return [entry.name for entry in backend.entries(folder)]


def test_what_is_put_is_read(backend: Backend, make: Callable[[], Backend]) -> None:
    backend.put("config.json", b"1")
    backend.put("packs/ab/abc", iter([b"one", b"", b"two"]))
    for one in (backend, make()):
        assert one.read("config.json", 10) == b"1"
        assert one.read("packs/ab/abc", 10) == b"onetwo"
        assert names(one) == ["config.json", "packs"]
        assert names(one, "packs/ab") == ["abc"]
        assert names(one, "packs") == ["ab"]


def test_putting_again_replaces(backend: Backend) -> None:
    backend.put("a", b"one")
    assert backend.read_part("a", 0, 9) == b"one"
    backend.put("a", b"second")
    assert backend.read("a", 10) == b"second"
    assert backend.read_part("a", 0, 9) == b"second"


def test_put_new_never_replaces(backend: Backend) -> None:
    assert backend.put_new("deep/er/a", b"one")
    assert not backend.put_new("deep/er/a", b"two")
    assert backend.read("deep/er/a", 10) == b"one"
    assert names(backend, "deep/er") == ["a"]


def test_only_one_of_many_puts_it_new(make: Callable[[], Backend]) -> None:
    barrier = threading.Barrier(8)

    def put(number: int) -> bool:
        one = make()
        barrier.wait()
        try:
            return one.put_new("x/config", b"%d" % number)
        finally:
            one.close()

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(put, range(8)))
    assert won.count(True) == 1
    assert make().read("x/config", 10) == b"%d" % won.index(True)


def test_entries_say_what_stands_there(backend: Backend) -> None:
    backend.put("packs/b", b"12345")
    backend.put("packs/a", b"")
    backend.put("packs/c/d", b"1")
    first, second, third = backend.entries("packs")
    assert (first.name, first.size, first.regular, first.folder) == ("a", 0, True, False)
    assert (second.name, second.size) == ("b", 5)
    assert (third.name, third.regular, third.folder) == ("c", False, True)
    assert second.mtime_ns > 1_600_000_000_000_000_000
    assert backend.entries("missing") == []
    assert backend.entries("packs/a") == []


def test_sizes(backend: Backend) -> None:
    backend.put("a/b", b"123")
    assert backend.size("a/b") == 3
    assert backend.size("a/c") is None
    assert backend.size("none/c") is None
    assert backend.size("a") is None


def test_what_is_missing(backend: Backend) -> None:
    with pytest.raises(FileNotFoundError):
        backend.read("a", 10)
    with pytest.raises(FileNotFoundError):
        backend.read_part("folder/a", 0, 1)
    with pytest.raises(FileNotFoundError):
        backend.digest("a")
    with pytest.raises(FileNotFoundError):
        backend.move("a", "b")
    backend.remove("a")
    backend.remove("folder/a")


def test_a_file_over_the_limit_is_not_read(backend: Backend) -> None:
    backend.put("a", bytes(100_000))
    assert len(backend.read("a", 100_000)) == 100_000
    with pytest.raises(OSError, match=r".") as caught:
        backend.read("a", 99_999)
    assert caught.value.errno == errno.EFBIG


def test_many_whole_files_of_a_folder(backend: Backend) -> None:
    for name in "abc":
        backend.put(f"snapshots/{name}", name.encode() * 100)
    backend.put("snapshots/big", bytes(5000))
    found = dict(backend.read_each("snapshots", ["a", "c", "big", "gone"], 4096))
    assert (found["a"], found["c"]) == (b"a" * 100, b"c" * 100)
    assert isinstance(found["gone"], FileNotFoundError)
    assert isinstance(found["big"], OSError)
    assert len(found) == 4
    assert list(backend.read_each("missing", [], 4096)) == []


def test_parts(backend: Backend) -> None:
    backend.put("a", bytes(range(100)))
    assert backend.read_part("a", 10, 5) == bytes(range(10, 15))
    assert backend.read_part("a", 95, 50) == bytes(range(95, 100))
    assert backend.read_part("a", 200, 5) == b""


def test_a_file_system_that_gives_less_than_it_is_asked_for(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pread
    monkeypatch.setattr("os.pread", lambda fd, length, offset: real(fd, min(length, 7), offset))
    test_parts(backend)


def test_parts_of_many_files_by_many_threads(backend: Backend) -> None:
    count = 3 * OPEN_FILES
    for number in range(count):
        backend.put(f"packs/{number}", b"%04d" % number * 1000)

    def read(turn: int) -> bool:
        number = turn * 7 % count
        return backend.read_part(f"packs/{number}", 400, 8) == b"%04d" % number * 2

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(2000)))


def test_digests(backend: Backend) -> None:
    data = os.urandom(300_000)
    backend.put("a", data)
    assert backend.digest("a") == (hashlib.sha256(data).hexdigest(), len(data))


def test_moving(backend: Backend) -> None:
    backend.put("snapshots/a", b"one")
    backend.put("trash/b", b"two")
    assert backend.read_part("snapshots/a", 0, 3) == b"one"
    backend.move("snapshots/a", "trash/2026/snapshots/a")
    assert backend.read("trash/2026/snapshots/a", 9) == b"one"
    assert backend.size("snapshots/a") is None
    with pytest.raises(FileNotFoundError):
        backend.read_part("snapshots/a", 0, 3)
    backend.move("trash/2026/snapshots/a", "trash/b")
    assert backend.read("trash/b", 9) == b"one"


def test_removing(backend: Backend) -> None:
    backend.put("a/b", b"one")
    assert backend.read_part("a/b", 0, 3) == b"one"
    backend.remove("a/b")
    assert names(backend, "a") == []
    with pytest.raises(FileNotFoundError):
        backend.read_part("a/b", 0, 3)


def test_removing_a_folder(backend: Backend) -> None:
    backend.put("trash/2026/packs/aa/b", b"one")
    backend.put("trash/2026/a", b"two")
    backend.put("trash/2027/a", b"three")
    assert backend.read_part("trash/2026/a", 0, 3) == b"two"
    backend.remove_folder("trash/2026")
    backend.remove_folder("trash/2026")
    assert names(backend, "trash") == ["2027"]
    with pytest.raises(FileNotFoundError):
        backend.read_part("trash/2026/a", 0, 3)


def test_settling_changes_nothing_that_is_seen(backend: Backend) -> None:
    backend.put("packs/aa/b", b"one")
    backend.settle(["packs/aa/b", "packs/bb/gone"])
    backend.settle([])
    assert backend.read("packs/aa/b", 10) == b"one"


def test_room_is_taken_or_not(backend: Backend) -> None:
    assert backend.allocate("reserve", 100_000)
    assert backend.size("reserve") == 100_000
    assert backend.allocate("reserve", 50_000)
    assert backend.size("reserve") == 100_000
    assert not backend.allocate("more", 1 << 60)
    assert backend.size("more") is None


def test_locks_are_shared_or_alone(backend: Backend, make: Callable[[], Backend]) -> None:
    other = make()
    with backend.lock(shared=True, timeout=0):
        with other.lock(shared=True, timeout=0):
            pass
        with pytest.raises(Locked), other.lock(shared=False, timeout=0):
            pass
    with other.lock(shared=False, timeout=0), pytest.raises(Locked), backend.lock(shared=True, timeout=0):
        pass
    other.close()


def test_closing_twice(make: Callable[[], Backend]) -> None:
    backend = make()
    backend.put("a", b"1")
    backend.read_part("a", 0, 1)
    backend.close()
    backend.close()


class TestLocal:
    """What only a directory has to care about."""

    @pytest.fixture
    def local(self, tmp_path: Path) -> Iterator[LocalBackend]:
        opened = LocalBackend.create(tmp_path / "repo")
        yield opened
        opened.close()

    def test_all_is_private(self, local: LocalBackend) -> None:
        local.make_folders(["index"])
        local.put("packs/aa/b", b"1")
        local.put_new("config.json", b"1")
        place = Path(local.place)
        assert place.stat().st_mode & 0o777 == 0o700
        assert all(path.stat().st_mode & 0o077 == 0 for path in place.rglob("*"))

    def test_links_are_not_followed(self, local: LocalBackend, tmp_path: Path) -> None:
        (tmp_path / "secret").write_bytes(b"secret")
        (tmp_path / "folder").mkdir()
        (Path(local.place) / "link").symlink_to(tmp_path / "secret")
        (Path(local.place) / "inner").symlink_to(tmp_path / "folder")
        assert [(entry.name, entry.regular, entry.folder) for entry in local.entries("")] == [
            ("inner", False, False),
            ("link", False, False),
        ]
        assert local.size("link") is None
        with pytest.raises(OSError, match=r"."):
            local.read("link", 100)
        with pytest.raises(OSError, match=r"."):
            local.read_part("link", 0, 100)
        with pytest.raises(OSError, match=r"."):
            local.put("inner/a", b"1")
        assert list((tmp_path / "folder").iterdir()) == []
        local.put("link", b"ours")
        assert (tmp_path / "secret").read_bytes() == b"secret"
        assert local.read("link", 10) == b"ours"

    def test_what_killed_runs_left_is_hidden_and_can_be_removed(self, local: LocalBackend) -> None:
        local.put("packs/aa/b", b"1")
        for folder in ("", "packs", "packs/aa"):
            (Path(local.place) / folder / ".mb-0123456789abcdef").write_bytes(b"half")
        (Path(local.place) / ".DS_Store").write_bytes(b"not ours")
        assert [names(local), names(local, "packs"), names(local, "packs/aa")] == [["packs"], ["aa"], ["b"]]
        assert local.clean() == 3
        assert local.clean() == 0
        assert (Path(local.place) / ".DS_Store").exists()

    def test_few_descriptors_stay_open(self, local: LocalBackend) -> None:
        before = len(os.listdir("/proc/self/fd"))
        for number in range(50):
            local.put(f"packs/{number}", b"x")
            local.read_part(f"packs/{number}", 0, 1)
        assert len(os.listdir("/proc/self/fd")) - before <= OPEN_FILES
        local.close()
        assert len(os.listdir("/proc/self/fd")) < before
