"""A few kills of each operation at random moments; `scripts/faults` makes thousands."""

from __future__ import annotations

import random

import pytest

from tests.faults.campaign import STORIES, Story, campaign


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_a_killed_operation_leaves_a_whole_bank(story: Story) -> None:
    seed = random.randrange(1 << 30)
    print("seed", seed)
    campaign(4, seed, (story,))
