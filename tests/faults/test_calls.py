"""Errors of the system at every change of the disk: an error of ours or success, and nothing acknowledged is lost.

EIO once and ENOSPC from there on stand at each; `scripts/faults errors` takes all fourteen everywhere.
"""

from __future__ import annotations

import random

import pytest

from tests.faults.errors import OTHERS, USUAL, at_every_change, in_turn, short_writes
from tests.faults.kills import FEW
from tests.faults.lab import Story, prepared
from tests.faults.stories import POINTS, named


def name(story: Story) -> str:
    return story.name


@pytest.mark.parametrize("story", POINTS, ids=name)
def test_a_failing_disk_or_a_full_one_at_every_change(story: Story) -> None:
    with prepared(story, FEW) as scene:
        assert at_every_change(scene, story, (USUAL[0], USUAL[-1])) > 10


@pytest.mark.parametrize("story", named("backup", "prune", "message"), ids=name)
def test_another_error_at_every_change(story: Story) -> None:
    seed = random.randrange(1 << 30)
    print("seed", seed)
    with prepared(story, FEW) as scene:
        assert in_turn(scene, story, (*USUAL[1:-1], *OTHERS), seed) > 10


@pytest.mark.parametrize("story", POINTS, ids=name)
def test_writes_of_one_byte(story: Story) -> None:
    with prepared(story, 2) as scene:
        assert short_writes(story, scene).code in (0, 1)
        assert story.is_done is not None
        assert story.is_done(scene.lab)
        story.check(scene.lab)
