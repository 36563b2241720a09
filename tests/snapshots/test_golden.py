"""Repositories as released versions wrote them restore for ever, with the stand-alone script too."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from memorybank_cli.base.names import unescape
from memorybank_cli.snapshots import documents, index
from memorybank_cli.snapshots.repository import Repository
from memorybank_cli.snapshots.restoring import restore_to
from memorybank_cli.snapshots.verifying import verify
from tests.snapshots import making

HERE = Path(__file__).parent
SCRIPT = HERE.parents[1] / "scripts" / "restore.py"
EXPECTED = {os.fsencode(unescape(path)): data for path, data in making.GOLDEN.items()}


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    return Path(shutil.copytree(HERE / "golden" / "repository-1", tmp_path / "golden"))


def on_disk(directory: Path) -> dict[bytes, bytes]:
    return {os.fsencode(path): data for path, data in making.on_disk(directory).items()}


def run_script(*arguments: object) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-I", str(SCRIPT), *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False, cwd="/")


def snapshot_of(place: Path) -> str:
    (name,) = os.listdir(place / "snapshots")
    return name


def test_the_golden_repository_is_small_and_sound(golden: Path) -> None:
    assert sum(map(len, making.on_disk(golden).values())) < 8192
    with Repository.open(golden) as repo:
        assert verify(repo, read_data=True).findings == ()
        assert index.load(repo).caches


def test_it_restores(golden: Path, tmp_path: Path) -> None:
    with Repository.open(golden) as repo:
        document = documents.resolve(repo, "latest")
        restored = restore_to(repo, document, tmp_path / "out")
    assert (document.seq, document.tags) == (7, ("golden",))
    assert on_disk(tmp_path / "out") == EXPECTED
    assert [(finding.rule, finding.path) for finding in restored.findings] == [("MB103", "trades/damaged.json")]


def test_it_restores_with_the_script_alone(golden: Path, tmp_path: Path) -> None:
    result = run_script(golden, snapshot_of(golden), tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert on_disk(tmp_path / "out") == EXPECTED
    assert "MB103" in result.stderr
    info = (tmp_path / "out" / "README.md").stat()
    assert (info.st_mode & 0o777, info.st_mtime_ns) == (0o640, making.MTIME)
    assert (tmp_path / "out" / "state").is_dir()


def test_the_golden_content_can_be_made_anew(tmp_path: Path, golden: Path) -> None:
    making.make_golden(tmp_path / "anew")
    with Repository.open(tmp_path / "anew") as made, Repository.open(golden) as old:
        assert documents.resolve(made, "latest") == documents.resolve(old, "latest")


def test_the_script_lists_what_a_damaged_pack_took_along(tmp_path: Path) -> None:
    with Repository.create(tmp_path / "repo", reserve=0) as repo:
        making.save_files(repo, {"a": b"1"}, seq=1)
        making.save_files(repo, {"a": b"1", "b": b"2" * 200_000}, seq=2)
        (tmp_path / "repo" / "packs" / "README").write_text("stray")
        broken = max(making.packs_of(repo), key=lambda path: path.stat().st_size)
        newest = documents.resolve(repo, "latest")
    data = bytearray(broken.read_bytes())
    data[60] ^= 1
    broken.write_bytes(data)
    result = run_script(tmp_path / "repo", newest.id, tmp_path / "out")
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "damaged pack" in result.stderr
    assert f"lost: {tmp_path}/out/b" in result.stderr
    assert making.on_disk(tmp_path / "out") == {"a": b"1"}


def test_the_script_refuses_a_damaged_document(golden: Path, tmp_path: Path) -> None:
    name = snapshot_of(golden)
    path = golden / "snapshots" / name
    path.write_bytes(path.read_bytes().replace(b'"seq": 7', b'"seq": 8'))
    result = run_script(golden, name, tmp_path / "out")
    assert result.returncode == 1
    assert "is damaged" in result.stderr
    assert not (tmp_path / "out").exists()
