from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memorybank_cli.base import walk
from memorybank_cli.base.errors import OperationFailed
from memorybank_cli.base.names import escape
from memorybank_cli.base.walk import READ_SIZE, Listing, Root, entry_at


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    opened = Root(tmp_path)
    yield opened
    opened.close()


def fill(base: Path, *paths: str) -> None:
    for path in paths:
        (base / path).parent.mkdir(parents=True, exist_ok=True)
        (base / path).write_bytes(path.encode())


def test_a_root_may_be_reached_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    root = Root(tmp_path / "link")
    assert root.path == str(tmp_path / "real")
    assert repr(root) == f"Root('{tmp_path}/real')"
    assert root.is_dir("")
    root.close()
    root.close()
    with pytest.raises(OperationFailed, match="cannot open the directory"):
        Root(tmp_path / "missing")


def test_names_of_any_bytes(root: Root, tmp_path: Path) -> None:
    for raw in (b"a\nb", b"\xff\xfe", b"back\\slash", "é".encode(), b"\\x41"):
        path = os.path.join(os.fsencode(tmp_path), raw)
        with open(path, "wb") as file:
            file.write(raw)
        name = escape(os.fsdecode(raw))
        assert root.read(name) == raw
        assert os.fsencode(root.absolute(name)) == path
    assert {entry.name for entry in root.listing()} >= {"a\\x0ab", "\\xff\\xfe", "back\\\\slash", "é", "\\\\x41"}
    assert root.absolute("") == root.path


def test_links_are_never_followed(root: Root, tmp_path: Path) -> None:
    fill(tmp_path, "real/file", "file")
    (tmp_path / "folder").symlink_to("real")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "loop").symlink_to("loop")
    for path in ("folder/file", "link", "loop", "loop/x"):
        with pytest.raises(OSError, match="Errno"):
            root.read(path)
    assert root.stat("folder/file") is None
    assert root.stat("loop/x") is None
    info = root.stat("link")
    assert info is not None
    assert stat.S_ISLNK(info.st_mode)
    assert not root.is_dir("folder")
    assert root.listing("folder") == []
    assert [entry.name for entry in root.listing("real")] == ["file"]


def test_what_is_not_there(root: Root, tmp_path: Path) -> None:
    fill(tmp_path, "file")
    for path in ("missing", "missing/x", "file/x"):
        assert root.stat(path) is None
        assert root.read_if_there(path) is None
        assert root.listing(path) == []
        assert list(root.walk(path)) == []
        with pytest.raises((FileNotFoundError, NotADirectoryError)):
            root.read(path)
    assert root.read_if_there("file") == b"file"


def test_errors_name_the_whole_path(root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "a/b/file", "a/other/file")
    for path, where in (("a/b/none", "a/b/none"), ("a/none/x", "a/none"), ("a/b/file/x", "a/b/file")):
        with pytest.raises(OSError, match="Errno") as caught:
            root.read(path)
        assert caught.value.filename == str(tmp_path / where)
    with pytest.raises(FileNotFoundError) as caught, root.directory("a/b") as fd:
        os.open("none", os.O_RDONLY, dir_fd=fd)
    assert caught.value.filename == str(tmp_path / "a/b/none")

    def refuse(fd: int) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", fd)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError) as caught:
        root.listing("a/b")
    assert caught.value.filename == str(tmp_path / "a/b")


def test_a_stat_that_fails_otherwise_is_raised(root: Root) -> None:
    with pytest.raises(OSError, match=os.strerror(errno.ENAMETOOLONG)):
        root.stat("x" * 300)


@pytest.mark.parametrize(
    "path", ["..", ".", "a/..", "a//b", "a/", "a\0b", "\\x2e\\x2e", "\\x2e", "a\\x2f..", "a\\x00", "a/./b"]
)
def test_no_path_leads_elsewhere(root: Root, tmp_path: Path, path: str) -> None:
    fill(tmp_path, "a/b")
    with pytest.raises(OperationFailed, match="not a part of a path"):
        root.read(path)


def test_only_regular_files_are_opened(root: Root, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for path in ("pipe", "folder"):
        with pytest.raises(OSError, match="not a regular file"):
            root.open(path)


@pytest.mark.parametrize("size", [0, 1, READ_SIZE - 1, READ_SIZE, READ_SIZE + 1, 2 * READ_SIZE, 3 * READ_SIZE + 5])
def test_reading_is_whole_or_too_large(root: Root, tmp_path: Path, size: int) -> None:
    data = bytes(index % 253 for index in range(size))
    (tmp_path / "file").write_bytes(data)
    assert root.read("file") == data
    for limit in (size, size + 1, size + READ_SIZE):
        assert root.read("file", limit) == data
    for limit in {size - 1, size // 2} - {size}:
        if limit >= 0:
            with pytest.raises(OSError, match="larger than it may be") as caught:
                root.read("file", limit)
            assert caught.value.errno == errno.EFBIG


def test_reading_gets_over_short_reads(root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = os.urandom(READ_SIZE * 2)
    (tmp_path / "file").write_bytes(data)
    real = os.read
    monkeypatch.setattr("memorybank_cli.base.walk.os.read", lambda fd, size: real(fd, min(size, 9_973)))
    assert root.read("file") == data


def test_what_stands_at_a_name(root: Root, tmp_path: Path) -> None:
    (tmp_path / "a\x1b").write_bytes(b"12")
    with root.directory("") as fd:
        found = entry_at(fd, "a\\x1b")
        assert found is not None
        assert (found.name, found.size) == ("a\\x1b", 2)
        assert entry_at(fd, "never") is None
        assert entry_at(fd, "") is None


def test_an_entry_says_what_tells_a_change(root: Root, tmp_path: Path) -> None:
    fill(tmp_path, "file")
    os.link(tmp_path / "file", tmp_path / "second")
    info = (tmp_path / "file").stat()
    assert root.listing()[0] == (
        "file",
        4,
        info.st_mtime_ns,
        info.st_ctime_ns,
        info.st_ino,
        info.st_mode,
        2,
        os.getuid(),
    )


PATHS = st.lists(
    st.lists(st.sampled_from(["a", "b", ".hidden", "é", "c.json"]), min_size=1, max_size=4).map("/".join), max_size=10
)


@given(PATHS)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_walk_finds_every_file_that_is_not_hidden(tmp_path_factory: pytest.TempPathFactory, paths: list[str]) -> None:
    base = tmp_path_factory.mktemp("walk")
    made = set()
    for path in paths:
        try:
            fill(base, path)
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            continue
        made.add(path)
    root = Root(base)
    found, directories = [], []
    for listing in root.walk():
        directories.append(listing.path)
        assert os.listdir(listing.fd) is not None
        found += [f"{listing.path}/{entry.name}" if listing.path else entry.name for entry in listing.files]
        assert [entry.name for entry in listing.files] == sorted(entry.name for entry in listing.files)
        assert all(name.startswith(".") for name in listing.hidden)
    root.close()
    assert set(found) == {path for path in made if not any(part.startswith(".") for part in path.split("/"))}
    assert len(found) == len(set(found))
    assert directories == sorted(directories, key=lambda path: path.split("/")) or "" in directories
    shutil.rmtree(base)


def test_other_things_are_told_apart(root: Root, tmp_path: Path) -> None:
    fill(tmp_path, "file", "d/x", ".hidden")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("d")
    (listing, inner) = root.walk()
    assert [entry.name for entry in listing.files] == ["file"]
    assert [entry.name for entry in listing.directories] == ["d"]
    assert sorted(entry.name for entry in listing.others) == ["link", "pipe"]
    assert listing.hidden == [".hidden"]
    assert inner.path == "d"


def test_a_walk_is_shaped(root: Root, tmp_path: Path) -> None:
    fill(tmp_path, "a/x", "b/x", "b/c/x")

    def shape(listing: Listing) -> Listing | None:
        if listing.path == "b/c":
            return None
        return listing._replace(directories=[one for one in listing.directories if one.name != "a"])

    assert [listing.path for listing in root.walk(shape=shape)] == ["", "b"]
    assert [listing.path for listing in root.walk("b")] == ["b", "b/c"]


def test_what_vanishes_meanwhile_is_left_out(root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "a/x", "b/x", "c/x")
    seen = []
    for listing in root.walk():
        seen.append(listing.path)
        if not listing.path:
            shutil.rmtree(tmp_path / "a")
            shutil.rmtree(tmp_path / "b")
            fill(tmp_path, "b")
    assert seen == ["", "c"]
    real = os.scandir

    class Vanishing:
        def __init__(self, fd: int) -> None:
            self.found = real(fd)

        def __enter__(self) -> Iterator[os.DirEntry[str]]:
            items = list(self.found)
            (tmp_path / "c" / "x").unlink()
            return iter(items)

        def __exit__(self, *_: object) -> None:
            self.found.close()

    monkeypatch.setattr("memorybank_cli.base.walk.os.scandir", Vanishing)
    assert root.listing("c") == []


def test_directories_that_cannot_be_read_are_named(root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "good/x", "secret/x")
    real = os.access
    monkeypatch.setattr(
        "memorybank_cli.base.walk.os.access", lambda name, *rest, **more: name != "secret" and real(name, *rest, **more)
    )
    (listing, good) = root.walk()
    assert [entry.name for entry in listing.directories] == ["good"]
    assert [entry.name for entry in listing.others] == ["secret"]
    assert good.path == "good"


def test_directories_nested_too_deep_are_named(root: Root, tmp_path: Path) -> None:
    deep = tmp_path / "/".join(["d"] * (walk.DEEPEST + 5))
    deep.mkdir(parents=True)
    listings = list(root.walk())
    assert len(listings) == walk.DEEPEST + 2
    assert [entry.name for entry in listings[-1].others] == ["d"]
    assert listings[-1].directories == []


def test_a_loop_of_links_is_nothing(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    def loop(*_: object, **__: object) -> int:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))

    monkeypatch.setattr("memorybank_cli.base.walk.os.open", loop)
    assert root.stat("a/b") is None


def test_a_file_comes_in_pieces(root: Root, tmp_path: Path) -> None:
    data = bytes(index % 241 for index in range(2 * READ_SIZE + 9))
    (tmp_path / "file").write_bytes(data)
    fd = root.open("file")
    pieces = list(walk.chunks(fd))
    os.close(fd)
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) == READ_SIZE


def test_whether_there_are_files_is_told_at_the_first_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Root(tmp_path)
    assert not root.has_files("")
    assert not root.has_files("not/there")
    (tmp_path / "a/b\n/.hidden").mkdir(parents=True)
    (tmp_path / "a/.dot.json").touch()
    (tmp_path / "a/link.json").symlink_to("nowhere")
    (tmp_path / "a/b\n/.hidden/x.json").touch()
    assert not root.has_files("")
    (tmp_path / "a/b\n/x.json").touch()
    assert root.has_files("")
    assert root.has_files("a")
    assert not root.has_files("a/link.json")
    (tmp_path / "a/b\n/x.json").unlink()
    assert not root.has_files("a")
    monkeypatch.setattr(walk, "DEEPEST", 0)
    assert root.has_files("a")
    root.close()
