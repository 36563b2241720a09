"""Hostile repositories: refused with an error of ours, nothing written elsewhere, bounded memory and time.

The suite takes every third case of a plain repository and some of an encrypted one; `scripts/faults hostile` takes
all of both.
"""

from __future__ import annotations

import pytest

from tests.faults.attacks import attacks
from tests.faults.hostile import CASES

SAMPLES = [(False, list(CASES)[::3]), (True, list(CASES)[5::30])]


@pytest.mark.parametrize(("encrypted", "names"), SAMPLES, ids=["plain", "encrypted"])
def test_a_hostile_repository_does_no_harm(encrypted: bool, names: list[str]) -> None:
    assert list(attacks(encrypted, names)) == []
