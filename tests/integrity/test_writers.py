"""Whether a file is still being written: open, mapped, or closed by everybody."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from memorybank_cli.base.walk import Root
from memorybank_cli.integrity.writers import is_written

linux = pytest.mark.skipif(not hasattr(fcntl, "F_SETLEASE"), reason="leases are Linux's")


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    (tmp_path / "a.json").write_bytes(b"{}" + bytes(5_000))
    with closing(Root(tmp_path)) as found:
        yield found


@linux
def test_a_file_that_nobody_writes(root: Root, tmp_path: Path) -> None:
    assert not is_written(root, "a.json")
    with (tmp_path / "a.json").open("rb"):
        assert not is_written(root, "a.json")
    (tmp_path / "a.json").write_bytes(b"it can be written afterwards")


@linux
def test_a_file_that_somebody_has_open(root: Root, tmp_path: Path) -> None:
    with (tmp_path / "a.json").open("r+b"):
        assert is_written(root, "a.json")
    assert not is_written(root, "a.json")


@linux
def test_a_file_that_another_process_has_open(root: Root, tmp_path: Path) -> None:
    code = f"f = open({str(tmp_path / 'a.json')!r}, 'ab'); print('open', flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"open\n"
    assert is_written(root, "a.json")
    child.communicate(b"\n")
    assert not is_written(root, "a.json")


@linux
def test_a_file_that_is_only_mapped(root: Root, tmp_path: Path) -> None:
    fd = os.open(tmp_path / "a.json", os.O_RDWR)
    mapped = mmap.mmap(fd, 4_096)
    os.close(fd)
    assert is_written(root, "a.json")
    mapped.close()
    assert not is_written(root, "a.json")


def test_what_is_gone_or_no_file_is_not_written(root: Root, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("a.json")
    assert not is_written(root, "none.json")
    assert not is_written(root, "link")


def test_without_leases_a_file_that_changed_lately_counts_as_written(
    root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(fcntl, "F_SETLEASE", raising=False)
    assert is_written(root, "a.json")
    os.utime(tmp_path / "a.json", (1_700_000_000, 1_700_000_000))
    assert not is_written(root, "a.json")


def test_where_a_lease_is_refused_a_file_that_changed_lately_counts_as_written(
    root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another owner's, or a file system without leases."""

    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    assert is_written(root, "a.json")
    os.utime(tmp_path / "a.json", (1_700_000_000, 1_700_000_000))
    assert not is_written(root, "a.json")
