"""Banks of other users, for tests that run as root."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from sysconfig import get_path

import pytest

from tests.conftest import Ran

OWNER = 1000
_NEEDED = "import sqlite3, orjson, jsonschema_rs, zstandard, memorybank_cli.operations.table"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can take another user's ids")


@contextmanager
def public_place() -> Iterator[Path]:
    """A directory that any user reaches, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="memorybank-test-") as name:
        Path(name).chmod(0o777)
        yield Path(name)


def give_away(path: Path, owner: int = OWNER) -> None:
    """Make everything below a directory somebody else's."""
    for one in (path, *path.rglob("*")):
        os.chown(one, owner, owner, follow_symlinks=False)


@contextmanager
def own_ids_again() -> Iterator[None]:
    """Come back to root, whatever ids were taken inside."""
    groups = os.getgroups()
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def owners(path: Path) -> set[int]:
    """Who owns what stands at a path and below it."""
    return {one.lstat().st_uid for one in (path, *path.rglob("*"))}


def _public_environment() -> dict[str, str]:
    root = Path(__file__).resolve().parents[2]
    return {**os.environ, "PYTHONPATH": f"{root}:{get_path('purelib')}"}


@cache
def public_python() -> str | None:
    """An interpreter of this version that other users may run; root's own often lies in root's home."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for one in (sys.executable, f"/usr/bin/{name}", f"/usr/local/bin/{name}"):
        try:
            command = [one, "-B", "-c", _NEEDED]
            done = subprocess.run(
                command, env=_public_environment(), user=OWNER, group=OWNER, capture_output=True, check=False
            )
        except OSError:
            continue  # it is not there, or not for this user
        if done.returncode == 0:
            return one
    return None


needs_public_python = pytest.mark.skipif(
    os.geteuid() != 0 or public_python() is None, reason="needs root, and a Python that every user may read"
)


def run_public(*arguments: str | os.PathLike[str], user: int = 0, env: Mapping[str, str] | None = None) -> Ran:
    """Run the command as a user, with an interpreter that any user may read."""
    found = public_python()
    assert found is not None
    done = subprocess.run(
        [found, "-B", "-m", "memorybank_cli", *arguments],
        env={**_public_environment(), **(env or {})},
        capture_output=True,
        check=False,
        timeout=120,
        user=user,
        group=user,
        extra_groups=[],
        stdin=subprocess.DEVNULL,
    )
    return Ran(done.returncode, done.stdout, done.stderr)
