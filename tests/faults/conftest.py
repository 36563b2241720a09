"""What every fault test has."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def faults(no_cover: None) -> None:
    """No coverage: other tests cover what these run ten thousand times."""
