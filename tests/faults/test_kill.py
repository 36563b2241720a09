"""Kills at every change of the disk, and a few at system calls and at random moments, others in each run.

`scripts/faults` makes thousands.
"""

from __future__ import annotations

import itertools
import random

import pytest

from tests.faults.kills import FEW, at_changes, at_random, at_system_calls, strace
from tests.faults.lab import Story, prepared
from tests.faults.stories import POINTS, STORIES


def name(story: Story) -> str:
    return story.name


@pytest.mark.parametrize("story", STORIES, ids=name)
def test_a_killed_operation_leaves_a_whole_bank(story: Story) -> None:
    seed = random.randrange(1 << 30)
    print("seed", seed)
    list(at_random(2, seed, (story,)))


@pytest.mark.parametrize("story", POINTS, ids=name)
def test_a_kill_at_every_change_of_the_disk(story: Story) -> None:
    with prepared(story, FEW) as scene:
        assert at_changes(scene, story, itertools.count(1)) > 10


@pytest.mark.skipif(strace() is None, reason="strace is not here, or may not trace")
@pytest.mark.parametrize("story", POINTS, ids=name)
def test_kills_at_system_calls(story: Story) -> None:
    seed = random.randrange(1 << 30)
    print("seed", seed)
    list(at_system_calls(3, seed, (story,)))
