"""An account under fire: killed at its changes of the disk, many writers at once, and files that rot.

Kills here are a part of those that there are, others in each run; `scripts/faults` makes thousands of everything.
"""

from __future__ import annotations

import random
from itertools import count

import pytest

from tests.faults import crowds, rot
from tests.faults.conversations import STORIES
from tests.faults.errors import USUAL, in_turn
from tests.faults.kills import FEW, at_changes, at_random
from tests.faults.lab import Story, prepared

STRIDE = 37
ROTTEN = 20_261_121


def name(story: Story) -> str:
    return story.name


@pytest.mark.parametrize("story", STORIES, ids=name)
def test_kills_at_changes_of_the_disk(story: Story) -> None:
    seed = random.randrange(1 << 30)
    print("seed", seed)
    with prepared(story, FEW) as scene:
        assert at_changes(scene, story, count(1 + seed % STRIDE, STRIDE)) > 10


@pytest.mark.parametrize("story", [story for story in STORIES if story.name in ("add", "compact")], ids=name)
def test_kills_at_random_moments(story: Story) -> None:
    seed = random.randrange(1 << 30)
    print("seed", seed)
    list(at_random(2, seed, (story,)))


@pytest.mark.parametrize("story", [story for story in STORIES if story.name in ("add", "context")], ids=name)
def test_errors_at_changes_of_the_disk(story: Story) -> None:
    seed = random.randrange(1 << 30)
    print("seed", seed)
    with prepared(story, FEW) as scene:
        assert in_turn(scene, story, USUAL, seed) > 10


def test_writers_that_are_killed_lose_nothing_and_double_nothing() -> None:
    seed = random.randrange(1 << 30)
    print("seed", seed)
    with prepared(crowds.CROWD, 2) as scene:
        found = crowds.at_once(scene.lab, crowds.Crowd(crowds.WRITERS, each=20, kills=40), seed)
    assert found.killed > 0


def test_writers_share_syncs() -> None:
    with prepared(crowds.CROWD, 2) as scene:
        assert crowds.syncs_of(scene.lab, writers=16, each=4) <= 16 * 4 / 2


def test_one_file_that_rots_loses_no_message() -> None:
    list(rot.campaign(1_000, ROTTEN, thorough=50))
