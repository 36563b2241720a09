"""Repositories as released versions wrote them restore for ever, with the stand-alone script too."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from memorybank_cli.base.names import unescape
from memorybank_cli.snapshots import documents, index, keys
from memorybank_cli.snapshots.repository import Repository, unlocking
from memorybank_cli.snapshots.restoring import restore_to
from memorybank_cli.snapshots.verifying import verify
from tests.snapshots import making

HERE = Path(__file__).parent
SCRIPT = HERE.parents[1] / "scripts" / "restore.py"
FIRST, PARTS, ENCRYPTED = "repository-1", "repository-1-parts", "repository-1-encrypted"
CONTENTS = {FIRST: making.GOLDEN, PARTS: making.MANY, ENCRYPTED: making.MANY}
USAGE = "REPOSITORY SNAPSHOT TARGET [KEY]"
SECRETS = [making.PASSPHRASE, making.RAW_KEY]
# The stand-alone script may use these and nothing else; cryptography is built on the last one.
BARE = ("zstandard", "cryptography", "_cffi_backend")


def expected(name: str) -> dict[bytes, bytes]:
    return {os.fsencode(unescape(path)): data for path, data in CONTENTS[name].items()}


@pytest.fixture(params=list(CONTENTS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def golden(tmp_path: Path, name: str) -> Path:
    return copied(tmp_path, name)


def copied(tmp_path: Path, name: str) -> Path:
    return Path(shutil.copytree(HERE / "golden" / name, tmp_path / "golden"))


def opened(place: Path, secret: keys.Secret = making.RAW_KEY) -> Repository:
    return Repository.open(place, unlock=unlocking(secret))


def on_disk(directory: Path) -> dict[bytes, bytes]:
    return {os.fsencode(path): data for path, data in making.on_disk(directory).items()}


def run_script(*arguments: object) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-I", str(SCRIPT), *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, check=False, cwd="/", stdin=subprocess.DEVNULL)


def test_the_script_says_how_it_is_used(tmp_path: Path) -> None:
    for words in ((), ("-h",), ("a", "b"), ("a", "b", "c", "d", "e")):
        result = run_script(*words)
        assert (result.returncode, result.stderr) == (2, f"usage: python restore.py {USAGE}\n")
    golden = copied(tmp_path, FIRST)
    result = run_script(golden, "latest", tmp_path / "out")
    assert result.returncode == 1
    assert result.stderr == f"{golden} has no snapshot latest; there are:\n{snapshot_of(golden)}\n"
    assert "no snapshot latest; there are:\nnone\n" in run_script(tmp_path, "latest", tmp_path / "out").stderr
    assert not (tmp_path / "out").exists()


def key_file(place: Path, secret: keys.Secret, end: bytes = b"") -> Path:
    path = place / "key"
    path.write_bytes(secret.value + end)
    return path


def needed_key(golden: Path, secret: keys.Secret, end: bytes = b"") -> list[Path]:
    """The last argument of the script, where there is one."""
    return [key_file(golden.parent, secret, end)] if (golden / "keys").exists() else []


def snapshot_of(place: Path) -> str:
    (name,) = os.listdir(place / "snapshots")
    return name


def test_a_golden_repository_is_small_and_sound(golden: Path) -> None:
    assert sum(map(len, making.on_disk(golden).values())) < 20_000
    with opened(golden) as repo:
        assert verify(repo, read_data=True).findings == ()
        assert index.load(repo).caches


def test_it_restores(golden: Path, name: str, tmp_path: Path) -> None:
    with opened(golden) as repo:
        assert repo.encrypted == (name == ENCRYPTED)
        document = documents.resolve(repo, "latest")
        restored = restore_to(repo, document, tmp_path / "out")
    assert (document.seq, document.tags) == (7, ("golden",))
    assert on_disk(tmp_path / "out") == expected(name)
    assert [(finding.rule, finding.path) for finding in restored.findings] == [("MB103", "trades/damaged.json")]


def test_it_restores_with_the_script_alone(golden: Path, name: str, tmp_path: Path) -> None:
    result = run_script(golden, snapshot_of(golden), tmp_path / "out", *needed_key(golden, making.RAW_KEY))
    assert result.returncode == 0, result.stderr
    assert on_disk(tmp_path / "out") == expected(name)
    assert "MB103" in result.stderr
    info = (tmp_path / "out" / "README.md").stat()
    assert (info.st_mode & 0o777, info.st_mtime_ns) == (0o640, making.MTIME)
    assert (tmp_path / "out" / "state").is_dir()


def test_the_script_needs_nothing_but_its_two_packages(golden: Path, name: str, tmp_path: Path) -> None:
    bare = tmp_path / "packages"
    bare.mkdir()
    for package in BARE if name == ENCRYPTED else BARE[:1]:
        found = importlib.util.find_spec(package)
        assert found is not None
        assert found.origin is not None
        real = Path(found.origin).parent if found.submodule_search_locations else Path(found.origin)
        (bare / real.name).symlink_to(real)
    start = (
        f"import sys, runpy; sys.path.insert(0, {str(bare)!r}); sys.argv.pop(0); "
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    words = [str(SCRIPT), str(golden), snapshot_of(golden), str(tmp_path / "out")]
    words += map(str, needed_key(golden, making.PASSPHRASE, b"\n"))
    command = [sys.executable, "-I", "-S", "-c", start, *words]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert result.returncode == 0, result.stderr
    assert on_disk(tmp_path / "out") == expected(name)


@pytest.mark.parametrize("secret", SECRETS, ids=["passphrase", "raw"])
def test_each_key_opens_the_encrypted_one(tmp_path: Path, secret: keys.Secret) -> None:
    golden = copied(tmp_path, ENCRYPTED)
    with opened(golden, secret) as repo:
        assert documents.resolve(repo, "latest").seq == 7
    assert run_script(golden, snapshot_of(golden), tmp_path / "out", key_file(tmp_path, secret)).returncode == 0


def test_what_editors_put_around_a_passphrase_does_not_count(tmp_path: Path) -> None:
    golden = copied(tmp_path, ENCRYPTED)
    (tmp_path / "key").write_bytes(b"\xef\xbb\xbf" + making.PASSPHRASE.value + b"\r\n")
    assert run_script(golden, snapshot_of(golden), tmp_path / "out", tmp_path / "key").returncode == 0


@pytest.mark.parametrize("wrong", [b"guess", b"0" * 64, b"", b"x" * 32])
def test_the_script_says_when_no_key_fits(tmp_path: Path, wrong: bytes) -> None:
    golden = copied(tmp_path, ENCRYPTED)
    (tmp_path / "key").write_bytes(wrong)
    result = run_script(golden, snapshot_of(golden), tmp_path / "out", tmp_path / "key")
    assert result.returncode == 1
    assert result.stderr == "no key of the repository fits\n"
    assert not (tmp_path / "out").exists()


def test_the_golden_content_can_be_made_anew(tmp_path: Path, golden: Path, name: str) -> None:
    making.make_golden(tmp_path / "anew", CONTENTS[name], encrypted=name == ENCRYPTED)
    with opened(tmp_path / "anew", making.PASSPHRASE) as made, opened(golden) as old:
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


def test_the_script_lists_lost_parts_of_a_directory_and_restores_the_rest(tmp_path: Path) -> None:
    with Repository.create(tmp_path / "repo", reserve=0) as repo:
        making.save_files(repo, making.MANY, seq=1)
        old = making.packs_of(repo)
        new = {"trades/all/0995.json": b"more", "z": b"z"}
        newest = making.save_files(repo, {**making.MANY, **new}, seq=2).document
    for pack in old:
        pack.unlink()
    result = run_script(tmp_path / "repo", newest.id, tmp_path / "out")
    assert result.returncode == 1
    assert f"lost: a part of {tmp_path}/out/trades/all" in result.stderr
    assert making.on_disk(tmp_path / "out") == new


def test_the_script_refuses_a_damaged_document(golden: Path, tmp_path: Path) -> None:
    name = snapshot_of(golden)
    path = golden / "snapshots" / name
    data = bytearray(path.read_bytes())
    data[data.find(b'"seq": 7') + 7] ^= 1
    path.write_bytes(data)
    result = run_script(golden, name, tmp_path / "out", *needed_key(golden, making.RAW_KEY))
    assert result.returncode == 1
    assert "is damaged" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


def test_the_script_takes_no_plain_repository_for_an_encrypted_one(tmp_path: Path) -> None:
    golden = copied(tmp_path, FIRST)
    result = run_script(golden, snapshot_of(golden), tmp_path / "out", key_file(tmp_path, making.RAW_KEY))
    assert (result.returncode, "leave the key out" in result.stderr) == (1, True)
    assert not (tmp_path / "out").exists()


def test_a_plain_repository_restores_without_its_config(tmp_path: Path) -> None:
    golden = copied(tmp_path, PARTS)
    (golden / "config.json").write_bytes(b"")
    result = run_script(golden, snapshot_of(golden), tmp_path / "out")
    assert result.returncode == 0
    assert on_disk(tmp_path / "out") == expected(PARTS)
