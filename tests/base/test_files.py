from __future__ import annotations

import errno
import fcntl
import grp
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.base import files, libc
from memorybank_cli.base.errors import OperationFailed, UsageError, from_os_error
from memorybank_cli.base.walk import Root
from tests.broken_os import Fault, Stopped, broken, failing, full_after, interrupted, one_byte, stop
from tests.decoys import outside

OLD, NEW = b"old content", b"new content, which is longer"
FAULTS: dict[str, Callable[[], dict[str, Fault]]] = {
    "write: EIO": lambda: {"write": failing(errno.EIO)},
    "write: full": lambda: {"write": full_after(0)},
    "write: short, then full": lambda: {"write": full_after(5)},
    "fsync of the file": lambda: {"fsync": failing(errno.EIO)},
    "fchmod": lambda: {"fchmod": failing(errno.EPERM)},
    "open": lambda: {"open": failing(errno.EMFILE)},
    "utime": lambda: {"utime": failing(errno.EPERM)},
    "rename": lambda: {"rename": failing(errno.ENOSPC)},
}
CREATING: dict[str, Callable[[], dict[str, Fault]]] = {
    **{name: FAULTS[name] for name in list(FAULTS)[:6]},
    "link": lambda: {"link": failing(errno.EMLINK)},
}


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    opened = files.make_root(tmp_path / "root")
    yield opened
    opened.close()


def tree(root: Root) -> dict[str, bytes]:
    base = Path(root.path)
    return {str(path.relative_to(base)): path.read_bytes() for path in base.rglob("*") if path.is_file()}


def mode(root: Root, path: str) -> int:
    info = root.stat(path)
    assert info is not None
    return stat.S_IMODE(info.st_mode)


def test_replace_puts_content_mode_and_time(root: Root) -> None:
    files.replace(root, "a", OLD)
    assert tree(root) == {"a": OLD}
    assert mode(root, "a") == 0o600
    files.replace(root, "a", NEW, 0o100644, 1_700_000_000_123_456_789)
    assert tree(root) == {"a": NEW}
    assert mode(root, "a") == 0o644
    info = root.stat("a")
    assert info is not None
    assert info.st_mtime_ns == 1_700_000_000_123_456_789


def test_replace_is_durable_in_the_right_order(root: Root) -> None:
    with broken() as calls:
        files.replace(root, "a", NEW)
    assert calls.calls == ["open", "write", "fchmod", "fsync", "rename", "fsync"]
    with broken() as calls:
        files.replace(root, "a", NEW, durable=False)
    assert "fsync" not in calls.calls


@pytest.mark.parametrize("fault", FAULTS)
def test_a_failed_replace_leaves_the_old_content_and_nothing_else(root: Root, fault: str) -> None:
    files.replace(root, "a", OLD)
    with broken(**FAULTS[fault]()), pytest.raises(OSError, match="Errno"):
        files.replace(root, "a", NEW, 0o644, 5)
    assert tree(root) == {"a": OLD}
    assert mode(root, "a") == 0o600
    files.replace(root, "a", NEW)
    assert tree(root) == {"a": NEW}


def test_a_replace_that_is_interrupted_anywhere_leaves_old_or_new(root: Root) -> None:
    step = 0
    while True:
        files.replace(root, "a", OLD)
        step += 1
        if not interrupted(lambda: files.replace(root, "a", NEW), step, stop):
            break
        assert tree(root).pop("a") in {OLD, NEW}
    assert step == 7


def test_writes_of_single_bytes_come_to_the_whole(root: Root) -> None:
    with broken(write=one_byte) as calls:
        files.replace(root, "a", NEW)
    assert tree(root) == {"a": NEW}
    assert calls.calls.count("write") == len(NEW)


def test_create_never_overwrites(root: Root) -> None:
    assert files.create(root, "a", OLD)
    assert not files.create(root, "a", NEW)
    assert tree(root) == {"a": OLD}
    (Path(root.path) / "link").symlink_to("nowhere")
    assert not files.create(root, "link", NEW)
    assert mode(root, "a") == 0o600


@pytest.mark.parametrize("fault", CREATING)
def test_a_failed_create_leaves_nothing(root: Root, fault: str) -> None:
    with broken(**CREATING[fault]()), pytest.raises(OSError, match="Errno"):
        files.create(root, "a", NEW)
    assert tree(root) == {}


@pytest.mark.parametrize("room", [0, 1, 10])
def test_a_failed_append_is_cut_off_again(root: Root, room: int) -> None:
    files.replace(root, "a", OLD)
    fd = files.open_to_write(root, "a")
    with broken(write=full_after(room)), pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        files.append(fd, NEW)
    assert tree(root) == {"a": OLD}
    with broken() as calls:
        files.append(fd, NEW)
    assert calls.calls == ["write"]
    with broken(write=full_after(room)), pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        files.put(fd, NEW, 1)
    os.close(fd)
    assert tree(root) == {"a": OLD[:1]}


def test_truncate(root: Root) -> None:
    files.replace(root, "a", OLD)
    fd = files.open_to_write(root, "a")
    with broken() as calls:
        files.truncate(fd, 3)
    os.close(fd)
    assert calls.calls == ["ftruncate"]
    assert tree(root) == {"a": OLD[:3]}


@given(data=st.binary(max_size=3_000), more=st.binary(max_size=3_000))
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, data: bytes, more: bytes) -> None:
    root = files.make_root(tmp_path_factory.getbasetemp() / "any")
    files.replace(root, "x", data, durable=False)
    fd = files.open_to_write(root, "x")
    files.append(fd, more)
    os.close(fd)
    assert root.read("x") == data + more
    root.close()


def test_open_to_write_makes_the_file_once(root: Root) -> None:
    with pytest.raises(FileNotFoundError):
        files.open_to_write(root, "a", create=False)
    with broken() as calls:
        os.close(files.open_to_write(root, "a"))
    assert calls.calls[-1] == "fsync"
    assert mode(root, "a") == 0o600
    with broken() as calls:
        os.close(files.open_to_write(root, "a", create=False))
    assert calls.calls == ["open"]
    (Path(root.path) / "link").symlink_to("a")
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        files.open_to_write(root, "link")


def test_a_database_is_made_and_never_opened_again(root: Root) -> None:
    files.make_database(root, "a")
    assert mode(root, "a") == 0o600
    with broken() as calls:
        files.make_database(root, "a")
    assert calls.calls == ["open"]  # which fails: it is there
    (Path(root.path) / "link").symlink_to("a")
    (Path(root.path) / "directory").mkdir()
    for name in ("link", "directory"):
        with pytest.raises(PermissionError):
            files.make_database(root, name)
    with pytest.raises(FileNotFoundError):
        files.make_database(root, "nowhere/a")


def test_the_locks_of_sqlite_outlive_the_next_opening(root: Root) -> None:
    place = root.absolute("a")
    files.make_database(root, "a")
    with closing(sqlite3.connect(place, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        files.make_database(root, "a")
        other = (
            "import sqlite3, sys\n"
            "db = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None)\n"
            "db.execute('BEGIN IMMEDIATE')"
        )
        ran = subprocess.run([sys.executable, "-c", other, place], capture_output=True, check=False)
    assert b"database is locked" in ran.stderr


def test_directories_are_made_with_their_parents(root: Root) -> None:
    files.make_dirs(root, "a/b/c")
    files.make_dirs(root, "a/b/d", durable=False)
    files.make_dirs(root, "")
    assert root.is_dir("a/b/c")
    assert root.is_dir("a/b/d")
    assert mode(root, "a/b") == 0o700
    files.replace(root, "file", b"")
    with pytest.raises(NotADirectoryError):
        files.make_dirs(root, "file/x")
    (Path(root.path) / "away").symlink_to(outside(Path(root.path) / "away"))
    with pytest.raises(OSError, match=r"Errno"):
        files.make_dirs(root, "away/x")


def test_a_directory_may_get_the_mode_of_the_one_above_it(root: Root) -> None:
    files.make_dirs(root, "shared")
    (Path(root.path) / "shared").chmod(0o2770)
    old = os.umask(0o077)
    try:
        files.make_dirs(root, "shared/a/b", None)
        files.make_dirs(root, "shared", None)
    finally:
        os.umask(old)
    assert [mode(root, path) for path in ("shared", "shared/a", "shared/a/b")] == [0o2770] * 3


def test_a_root_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OperationFailed, match="cannot make the directory"):
        files.make_root(tmp_path / "file" / "x")
    with pytest.raises(OperationFailed, match="cannot open the directory"):
        Root(tmp_path / "missing")


def test_remove_is_fine_with_what_is_not_there(root: Root) -> None:
    files.replace(root, "a", OLD)
    files.remove(root, "a")
    files.remove(root, "a")
    assert tree(root) == {}


def test_only_an_empty_directory_is_removed(root: Root) -> None:
    files.make_dirs(root, "a/b")
    files.replace(root, "a/file", OLD)
    for path in ("a", "a/file", "a/none", "a/b", "a/b", "none/c"):
        files.remove_empty(root, path)
    assert tree(root) == {"a/file": OLD}
    assert os.listdir(Path(root.path) / "a") == ["file"]
    with broken(rmdir=failing(errno.EIO)), pytest.raises(OSError, match="Input/output error"):
        files.remove_empty(root, "a")


def test_a_scratch_tree_goes_with_all_that_is_in_it_but_not_what_it_links_to(root: Root) -> None:
    files.make_dirs(root, "tmp/x/y")
    for path in ("tmp/x/a", "tmp/x/y/b", "kept"):
        files.replace(root, path, OLD)
    (Path(root.path) / "tmp/x/link").symlink_to("../../kept")
    (Path(root.path) / "tmp/x/folder").symlink_to("..")
    files.remove_tree(root, "tmp/x")
    assert tree(root) == {"kept": OLD}
    assert root.is_dir("tmp")
    files.remove_tree(root, "tmp/x")


def test_a_scratch_tree_that_is_a_file_or_a_link_goes_too(root: Root) -> None:
    files.replace(root, "file", OLD)
    files.replace(root, "kept", OLD)
    (Path(root.path) / "link").symlink_to("kept")
    files.remove_tree(root, "file")
    files.remove_tree(root, "link")
    assert tree(root) == {"kept": OLD}


def test_errors_name_the_whole_path(root: Root, tmp_path: Path) -> None:
    for path in ("here/a", "there"):
        files.make_dirs(root, path)
    files.replace(root, "file", b"x")
    with pytest.raises(OSError, match="Errno") as caught:
        files.make_dirs(root, "file/x/y")
    assert caught.value.filename == os.path.join(root.path, "file/x/y")
    with pytest.raises(OSError, match="Errno") as caught:
        files.rename(root, "file", "here/a")
    found = caught.value
    assert (found.filename, found.filename2) == (str(tmp_path / "root" / "file"), str(tmp_path / "root" / "here/a"))
    with pytest.raises(OSError, match="Errno") as caught:
        files.rename(root, "here/none", "there/none")
    found = caught.value
    assert (found.filename, found.filename2) == (
        str(tmp_path / "root" / "here/none"),
        str(tmp_path / "root" / "there/none"),
    )
    with pytest.raises(OSError, match="Errno") as caught:
        files.replace(root, "here/a", b"x")
    assert from_os_error(caught.value).path == str(tmp_path / "root" / "here/a")
    with pytest.raises(OperationFailed, match="cannot make the directory: /proc/nothing-of-ours"):
        files.make_root("/proc/nothing-of-ours/x")


def test_rename_moves_over_what_stands_there(root: Root) -> None:
    files.make_dirs(root, "d")
    files.replace(root, "a", NEW)
    files.replace(root, "d/b", OLD)
    with broken() as calls:
        files.rename(root, "a", "d/b")
    assert calls.calls == ["rename", "fsync", "fsync"]
    assert tree(root) == {"d/b": NEW}


def test_exchange_swaps_and_says_when_it_cannot(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    files.make_dirs(root, "d")
    files.replace(root, "a", NEW)
    files.replace(root, "d/b", OLD)
    assert files.exchange(root, "a", "d/b")
    assert tree(root) == {"a": OLD, "d/b": NEW}
    with pytest.raises(FileNotFoundError):
        files.exchange(root, "a", "missing")
    monkeypatch.setattr(files, "_RENAME_EXCHANGE", 1 << 20)  # the system says EINVAL to flags it does not know
    assert not files.exchange(root, "a", "d/b")
    monkeypatch.setattr(libc, "renameat2_call", lambda: None)
    assert not files.exchange(root, "a", "d/b")
    assert tree(root) == {"a": OLD, "d/b": NEW}


def test_a_system_without_the_call_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda *_, **__: object())
    assert libc.renameat2_call.__wrapped__() is None


def test_syncing_of_trees(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    files.make_dirs(root, "a/b")
    with broken() as calls:
        files.sync_paths(root, ["", "a", "a/b", "a/gone"])
    assert calls.calls == ["fsync"] * 3
    files.sync_all(root)
    closed = Root(root.path)
    closed.close()
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        files.sync_all(closed)
    monkeypatch.setattr("ctypes.CDLL", lambda *_, **__: object())
    files.sync_all(root)


def test_a_new_file_of_a_tree_is_whole_or_not_there(root: Root) -> None:
    files.write_new(root.fd, "a", [b"one ", b"two"], 0o640, 5_000)
    assert tree(root) == {"a": b"one two"}
    assert mode(root, "a") == 0o640
    with pytest.raises(FileExistsError):
        files.write_new(root.fd, "a", [b"x"], 0o640, 5_000)

    def chunks() -> Iterator[bytes]:
        yield b"one"
        raise Stopped

    with pytest.raises(Stopped):
        files.write_new(root.fd, "b", chunks(), 0o640, 5_000)
    assert tree(root) == {"a": b"one two"}


def test_attributes_of_a_directory(root: Root) -> None:
    files.make_dirs(root, "d")
    files.set_attributes(root, "d", 0o750, 7_000)
    assert mode(root, "d") == 0o750
    info = root.stat("d")
    assert info is not None
    assert info.st_mtime_ns == 7_000


def test_space_is_set_aside_or_not(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    assert files.allocate(root, "reserve", 10_000)
    assert len(root.read("reserve")) == 10_000
    assert not files.allocate(root, "huge", 1 << 62)
    assert root.stat("huge") is None
    monkeypatch.delattr(os, "posix_fallocate")
    assert not files.allocate(root, "other", 10)
    assert root.stat("other") is None


def test_a_group_may_be_let_in(root: Root) -> None:
    group = grp.getgrgid(os.getegid()).gr_name
    files.make_dirs(root, "d")
    files.replace(root, "d/a", OLD)
    files.share(root, group, ["", "d/", "d/a"])
    assert [mode(root, path) for path in ("", "d", "d/a")] == [0o2770, 0o2770, 0o660]
    with pytest.raises(UsageError, match="no group 'no such group'"):
        files.share(root, "no such group", [""])


def test_no_path_leads_out(root: Root) -> None:
    for path in ("../x", "a/../../x", "a//b", ".", "", "\\x2e\\x2e/x", "a\\x2fb", "x\\x00"):
        with pytest.raises(OperationFailed, match="not a part of a path"):
            files.replace(root, path, NEW)


def test_the_system_with_its_own_way_to_sync(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", lambda _fd, what: asked.append(what))
    files.sync(root.fd)
    files.sync_data(root.fd)
    assert asked == [51, 51]


def test_a_file_is_moved_to_a_free_name_only(root: Root) -> None:
    files.make_dirs(root, "one")
    files.make_dirs(root, "other")
    files.replace(root, "one/a", NEW)
    with root.directory("one") as one, root.directory("other") as other:
        assert files.move_in(one, "a", other, "b")
        files.replace(root, "one/a", OLD)
        assert not files.move_in(one, "a", other, "b")
    assert not files.move_new(root, "one/a", "other/b")
    assert tree(root) == {"one/a": OLD, "other/b": NEW}


def test_many_paths_are_synced_in_one_call(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        files.replace(root, name, NEW)
    monkeypatch.setattr(files, "SYNCED_SINGLY", 2)
    with broken() as calls:
        files.sync_paths(root, ["a", "b"])
        assert calls.calls == ["fsync"] * 2
        files.sync_paths(root, ["a", "b", "c"])
    assert calls.calls == ["fsync"] * 2


def test_a_scratch_directory_is_emptied(root: Root) -> None:
    files.make_dirs(root, "x/y")
    files.replace(root, "x/y/a", NEW)
    files.replace(root, "b", NEW)
    files.empty(root)
    assert os.listdir(root.path) == []


def test_whoever_removes_a_tree_hears_of_each_file(tmp_path: Path) -> None:
    for name in ("tree/a", "tree/b/c", "tree/b/d"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    heard: list[int] = []
    with closing(Root(str(tmp_path))) as root:
        files.remove_tree(root, "tree", lambda: heard.append(1))
    assert len(heard) == 3
    assert not (tmp_path / "tree").exists()
