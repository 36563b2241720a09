"""Schedulers of a test's own, so that no schedule of the machine is read or changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.operations.schedulers import Crontab, Systemd


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of programs that comes first; of the machine's own only the plain tools are found."""
    path = tmp_path / "programs"
    path.mkdir()
    for name in ("sh", "cat", "rm", "echo"):
        (path / name).symlink_to(next(found for one in os.defpath.split(":") if (found := Path(one, name)).exists()))
    monkeypatch.setenv("PATH", str(path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return path


@pytest.fixture
def crontab(programs: Path) -> Crontab:
    return Crontab(programs)


@pytest.fixture
def systemd(programs: Path, tmp_path: Path) -> Systemd:
    return Systemd(programs, tmp_path / "config/systemd/user")
