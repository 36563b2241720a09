from __future__ import annotations

from pathlib import Path

import pytest

from tests.bad_input.surveying import Commands
from tests.conftest import MakeBank


@pytest.fixture(autouse=True)
def everything(no_cover: None) -> None:
    """No coverage: other tests cover what whole commands run here time and again."""


@pytest.fixture
def bank(make_bank: MakeBank) -> Path:
    """A small bank in which nothing is wrong."""
    return make_bank(padded=False)


@pytest.fixture
def commands(bank: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Commands:
    """The command line over that bank."""
    return Commands(bank, capfdbinary)
