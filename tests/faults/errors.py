"""The system refuses: an error at every change of the disk, once and from there on, and writes that take one byte."""

from __future__ import annotations

import errno
import itertools
import os
import random
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple

from tests.broken_os import one_byte, watched
from tests.faults import conversations
from tests.faults.kills import FEW
from tests.faults.lab import Prepared, Ran, Story, no_crash, prepared
from tests.faults.stories import POINTS

_SYNCS = frozenset({"fsync", "fdatasync", "syncfs"})
_FREEING = frozenset({"unlink", "rmdir", "ftruncate", "fchmod", "utime"})
"""What a full disk still does."""


class Trouble(NamedTuple):
    """An error of the system, and whether it stays."""

    number: int
    lasting: bool = False

    def __str__(self) -> str:
        return f"{errno.errorcode[self.number]} {'from there on' if self.lasting else 'once'}"

    def hits(self, name: str) -> bool:
        """Whether it can be the answer to this call."""
        return self.number not in (errno.ENOSPC, errno.EDQUOT) or name not in _FREEING


USUAL = tuple(Trouble(number, lasting) for number in (errno.EIO, errno.ENOSPC) for lasting in (False, True))
OTHERS = tuple(
    Trouble(number, lasting)
    for number in (errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EMFILE, errno.EINTR)
    for lasting in (False, True)
)


class _Failing:
    """Fails at change number `step`; `calls` are the changes from there on."""

    def __init__(self, step: int, trouble: Trouble) -> None:
        self._left, self._trouble = step, trouble
        self.calls: list[str] = []

    def __call__(self, name: str) -> None:
        self._left -= 1
        if self._left > 0:
            return
        self.calls.append(name)
        if (self._left == 0 or self._trouble.lasting) and self._trouble.hits(name):
            raise OSError(self._trouble.number, os.strerror(self._trouble.number))


def fail_once(scene: Prepared, story: Story, step: int, trouble: Trouble) -> bool:
    """Let the operation fail there and check everything; whether it has that many changes."""
    lab, failing = scene.reset(), _Failing(step, trouble)
    done = lab.call(*story.words(lab), stdin=story.stdin, fault=watched(failing))
    if not failing.calls:
        return False
    try:
        _check(scene, story, done, failing.calls, trouble)
    except AssertionError as error:
        raise AssertionError(f"{story.name}: {trouble} at change {step} ({failing.calls[0]}): {error}") from error
    return True


def _check(scene: Prepared, story: Story, done: Ran, calls: list[str], trouble: Trouble) -> None:
    lab, name = scene.lab, calls[0]
    no_crash(done)
    assert done.code in (0, 1, 3), done
    if done.code == 3:
        assert "\nmemorybank: " in f"\n{done.err}", done
    else:
        again = not trouble.lasting and _SYNCS.intersection(calls[1:])
        assert name not in _SYNCS or not trouble.hits(name) or again, f"acknowledged after a failed sync: {done}"
        assert story.is_done is None or story.is_done(lab), f"acknowledged and not there: {done}"
    if not trouble.lasting and name not in _FREEING:
        assert not lab.temporaries(), lab.temporaries()
    lab.check_whole()
    assert not lab.stages(), lab.stages()
    story.check(lab)
    lab.check_snapshots()


def at_every_change(scene: Prepared, story: Story, troubles: Iterable[Trouble]) -> int:
    """Each trouble at every change of the disk in turn; how many changes there are."""
    for trouble in troubles:
        step = next(step for step in itertools.count(1) if not fail_once(scene, story, step, trouble))
    return step - 1


def in_turn(scene: Prepared, story: Story, troubles: tuple[Trouble, ...], seed: int) -> int:
    """One of the troubles at each change of the disk; how many changes there are."""
    chance = random.Random(seed)
    return next(step for step in itertools.count(1) if not fail_once(scene, story, step, chance.choice(troubles))) - 1


def short_writes(story: Story, scene: Prepared) -> Ran:
    """The operation on a system that takes one byte at a time."""
    lab = scene.reset()
    fault: AbstractContextManager[object] = watched(lambda _name: None, write=one_byte)
    return lab.call(*story.words(lab), stdin=story.stdin, fault=fault)


def campaign(rounds: int, seed: int) -> Iterator[str]:
    """Every trouble at every change of each story, `rounds` times over; one line each."""
    del seed  # nothing is left to chance
    for story in (*POINTS, *conversations.STORIES):
        with prepared(story, FEW) as scene:
            for _ in range(rounds):
                count = at_every_change(scene, story, (*USUAL, *OTHERS))
        yield f"{story.name:15} {len(USUAL + OTHERS)} errors at each of {count} changes; nothing acknowledged was lost"
