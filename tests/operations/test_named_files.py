"""Files that the user names: put in one step, whatever leads to them, and never in the place of what is no file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from memorybank_cli.base.errors import OperationFailed
from memorybank_cli.operations.named_files import put
from tests.conftest import MakeBank, Run


def test_its_directory_is_made(tmp_path: Path) -> None:
    path = tmp_path / "new/er/report.md"
    put(str(path), b"one", 0o644, 0o755)
    put(str(path), b"two", 0o644, 0o755)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"two", 0o644)
    assert os.listdir(path.parent) == ["report.md"]


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"old")
    (tmp_path / "link").symlink_to("there")
    put(str(tmp_path / "link"), b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there").read_bytes() == b"new"


def test_what_is_no_file_stays(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "directory").mkdir()
    (tmp_path / "link").symlink_to("pipe")
    for name in ("pipe", "directory", "link"):
        with pytest.raises(OperationFailed, match="is no file that could be replaced"):
            put(str(tmp_path / name), b"x")
    assert stat.S_ISFIFO((tmp_path / "pipe").lstat().st_mode)


def test_no_command_replaces_a_device(make_bank: MakeBank, run: Run, tmp_path: Path) -> None:
    bank, pipe = make_bank(2, padded=False), tmp_path / "pipe"
    os.mkfifo(pipe)
    for words in (("health", "--textfile"), ("validate", "--report"), ("schema", "infer", "trade", "--output")):
        done = run(*words, pipe, "--bank", bank)
        assert (done.returncode, "is no file" in done.stderr) == (3, True), words
    assert stat.S_ISFIFO(pipe.lstat().st_mode)
