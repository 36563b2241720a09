from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from memorybank_cli.snapshots.repository import Repository


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[Repository]:
    with Repository.create(tmp_path / "repo", reserve=0) as opened:
        yield opened
