"""Banks of other users, for tests that run as root."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


OWNER = 1000
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
    groups, mask = os.getgroups(), os.umask(0o077)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)
        os.umask(mask)


def owners(path: Path) -> set[int]:
    """Who owns what stands at a path and below it."""
    return {one.lstat().st_uid for one in (path, *path.rglob("*"))}
