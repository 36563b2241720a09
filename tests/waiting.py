"""Waiting for what a thread or another process does."""

from __future__ import annotations

import time
from collections.abc import Callable

LONG = 30
"""Seconds in which it is done a thousand times."""


def until(holds: Callable[[], object]) -> None:
    """Return once it holds. Raises AssertionError where it never does."""
    end = time.monotonic() + LONG
    while not holds():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)
