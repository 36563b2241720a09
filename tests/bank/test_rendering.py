"""Renderings in their places: written when they differ, told when that is news, and nothing of others lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from memorybank_cli.bank import layout
from memorybank_cli.bank.rendering import Rendering, make_way, put
from memorybank_cli.bank.rows import Expected
from memorybank_cli.base import digests
from memorybank_cli.base.walk import Root

PATH = "account_a/history/000000000001.json"
ONE = Rendering(PATH, "history_segment", b"new\n")
MODES = 0o640, 0o700


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    root = Root(tmp_path)
    yield root
    root.close()


def expected(data: bytes) -> Expected:
    return Expected(digests.of(data), len(data), 0o600, 1, (), "history_segment")


def nobodys(_path: str) -> bool:
    return False


def place(root: Root, data: bytes) -> Path:
    path = Path(root.absolute(PATH))
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    return path


def test_a_new_file(root: Root) -> None:
    done = put(root, ONE, None, MODES, nobodys)
    path = Path(root.absolute(PATH))
    assert path.read_bytes() == ONE.data
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == MODES
    assert done.row is not None
    assert (done.row.path, done.row.after, done.row.before) == (PATH, digests.of(ONE.data), None)
    assert (done.kept, done.foreign) == ("", False)


def test_what_stands_there_already(root: Root) -> None:
    path = place(root, ONE.data)
    inode = path.stat().st_ino
    assert put(root, ONE, expected(ONE.data), MODES, nobodys) == (None, "", False)
    news = put(root, ONE, expected(b"old"), MODES, nobodys)
    assert news.row is not None
    assert news.row.before == digests.of(b"old")
    assert path.stat().st_ino == inode
    assert not root.is_dir(layout.QUARANTINE)


@pytest.mark.parametrize("known", [True, False])
def test_an_earlier_rendering_is_replaced(root: Root, known: bool) -> None:
    path = place(root, b"old")
    done = put(root, ONE, expected(b"old" if known else b"older"), MODES, lambda found: found == PATH)
    assert (path.read_bytes(), done.kept, done.foreign) == (ONE.data, "", False)


def test_what_somebody_else_wrote_is_kept(root: Root) -> None:
    path = place(root, b"theirs")
    done = put(root, ONE, expected(b"old"), MODES, nobodys)
    assert path.read_bytes() == ONE.data
    assert done.foreign
    assert root.read(done.kept) == b"theirs"


def test_what_is_no_file_makes_way(root: Root) -> None:
    Path(root.absolute("account_a")).write_bytes(b"in the way")
    done = put(root, ONE, None, MODES, nobodys)
    assert (root.read(PATH), root.read(done.kept), done.foreign) == (ONE.data, b"in the way", False)
    assert make_way(root, PATH) == ""
    Path(root.absolute(PATH)).unlink()
    Path(root.absolute(PATH)).mkdir()
    assert root.is_dir(put(root, ONE, expected(ONE.data), MODES, nobodys).kept)
    assert root.read(PATH) == ONE.data
