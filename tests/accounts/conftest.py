"""Accounts with small segments."""

from __future__ import annotations

from pathlib import Path

import pytest

from memorybank_cli.operations.accounts import create
from tests.accounts.sealed import say, small_segments
from tests.conftest import MakeBank
from tests.operations.banks import opened


@pytest.fixture
def path(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bank with an account that has no message; ten messages are a segment."""
    small_segments(monkeypatch)
    made = make_bank(0, padded=False)
    with opened(made) as bank:
        create(bank, "a")
    return made


@pytest.fixture
def long(path: Path) -> Path:
    """An account of 25 messages in two segments and a head."""
    say(path, 15)
    say(path, 15, 25)
    return path
