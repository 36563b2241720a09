"""5,000 alterations of a small repository; `scripts/faults flips` makes ten times as many."""

from __future__ import annotations

import random

import pytest

from tests.faults import journals
from tests.faults.flips import mutate, repository

ROUNDS = 1_300  # about 25 in 1,000 change nothing


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
@pytest.mark.parametrize("cached", [True, False], ids=["with_index", "without_index"])
def test_altered_files_give_exact_data_or_a_named_error(encrypted: bool, cached: bool) -> None:
    seed = random.randrange(1 << 30)
    print("seed", seed)
    with repository(encrypted, cached) as repo:
        assert mutate(repo, ROUNDS, seed) > 1_250


def test_altered_records_of_a_bank_are_told_or_do_no_harm() -> None:
    seed = random.randrange(1 << 30)
    print("seed", seed)
    list(journals.campaign(120, seed))
