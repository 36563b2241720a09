"""Hostile repositories: refused with an error of ours, nothing written elsewhere, bounded memory and time.

The suite takes every third case of a plain repository and some of an encrypted one, others in each run;
`scripts/faults hostile` takes all of both.
"""

from __future__ import annotations

import random

import pytest

from tests.faults.attacks import attacks
from tests.faults.hostile import CASES


@pytest.mark.parametrize(("encrypted", "one_of"), [(False, 3), (True, 30)], ids=["plain", "encrypted"])
def test_a_hostile_repository_does_no_harm(encrypted: bool, one_of: int) -> None:
    first = random.randrange(one_of)
    print("first", first)
    assert list(attacks(encrypted, list(CASES)[first::one_of])) == []
