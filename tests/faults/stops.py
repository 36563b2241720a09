"""Processes that stand still (SIGSTOP) in the middle, while another one wants the same repository or bank."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple

from tests.broken_os import unsynced, watched
from tests.faults import conversations
from tests.faults.kills import FEW
from tests.faults.lab import BROKEN, Lab, Prepared, Story, prepared
from tests.faults.stories import changed, forgotten, named, repaired

FINISHED = (0, 1)
LOCKED = 11


class Meeting(NamedTuple):
    """Who is stopped, and who comes meanwhile."""

    story: Story
    other: tuple[str, ...]
    stride: int = 13
    """How many changes lie between two stops of the test suite."""

    @property
    def name(self) -> str:
        """Both of them."""
        return f"{self.story.name}_and_{self.other[-1 if self.other[0] == 'snapshot' else 0].lstrip('-')}"


def _conversing(lab: Lab) -> None:
    repaired(lab)
    lab.run("account", "create", "a")
    lab.run("message", "add", "first", "--account", "a", "--role", "user", "--id", "first")
    lab.run("backup")
    changed(lab)


def _prunable(lab: Lab) -> None:
    forgotten(lab)
    changed(lab)


def _both_are_there(lab: Lab) -> None:
    """The message of the one who waited, and the trades that were rolled back."""
    said = lab.run("message", "list", "--account", "a", "--json")
    assert '"id":"second"' in said
    rolled_back.check(lab)


def _both_were_said(lab: Lab) -> None:
    assert sorted(conversations.listed(lab)) == ["first", "m1", "second"]
    assert conversations.in_files(lab) == conversations.listed(lab)


(backup,), (prune,), (rolled_back,) = named("backup"), named("prune"), named("rollback")
SECOND = ("message", "add", "second", "--account", "a", "--role", "user", "--id", "second")
MEETINGS = (
    Meeting(backup._replace(prepare=_prunable), ("snapshot", "prune", "--yes")),
    Meeting(backup._replace(prepare=_prunable), ("snapshot", "prune", "--yes", "--now")),
    Meeting(prune._replace(prepare=_prunable, check=lambda _lab: None), ("backup",)),
    Meeting(
        rolled_back._replace(prepare=_conversing, check=_both_are_there),
        SECOND,
    ),
    Meeting(Story("add", _conversing, (*SECOND[:2], "m1", *SECOND[3:-1], "m1"), b"", _both_were_said), SECOND, 3),
)


def _stop_at(step: int) -> AbstractContextManager[object]:
    left = step

    def before(_name: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGSTOP)

    return watched(before, fsync=unsynced, fdatasync=unsynced)


def _begin(lab: Lab, words: Iterable[str], fault: AbstractContextManager[object] | None = None) -> int:
    child = os.fork()
    if not child:
        code = BROKEN
        try:
            code = lab.call(*words, fault=fault).code
        finally:
            os._exit(code)
    return child


def _end(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def meet(scene: Prepared, meeting: Meeting, step: int) -> int | None:
    """Stop the one before change `step`, let the other come, and both go on; what the other got that would not wait.

    None when there are not so many changes.
    """
    lab = scene.reset()
    other = [*meeting.other, "--bank", str(lab.bank)]
    stopped = _begin(lab, meeting.story.words(lab), _stop_at(step))
    if not os.WIFSTOPPED(os.waitpid(stopped, os.WUNTRACED)[1]):
        return None
    impatient = lab.call(*other, "--lock-timeout", "0")
    assert impatient.code in (*FINISHED, LOCKED), impatient
    patient = _begin(lab, other)
    os.kill(stopped, signal.SIGCONT)
    codes = _end(stopped), _end(patient)
    assert all(code in FINISHED for code in codes), codes
    lab.check_whole()
    assert json.loads(lab.run("snapshot", "verify", "--read-data", "--json"))["ok"]
    meeting.story.check(lab)
    return impatient.code


def killed_while_stopped(scene: Prepared, meeting: Meeting, step: int) -> int:
    """Kill the one that stands still: what the other gets that does not wait."""
    lab = scene.reset()
    stopped = _begin(lab, meeting.story.words(lab), _stop_at(step))
    assert os.WIFSTOPPED(os.waitpid(stopped, os.WUNTRACED)[1])
    os.kill(stopped, signal.SIGKILL)
    _end(stopped)
    code = lab.call(*meeting.other, "--bank", str(lab.bank), "--lock-timeout", "0").code
    lab.check_whole()
    return code


def every(meeting: Meeting, stride: int) -> dict[int, int]:
    """Meet before every so-manieth change: by its number what the other got that would not wait."""
    found: dict[int, int] = {}
    with prepared(meeting.story, FEW) as scene:
        step = 1
        while (code := meet(scene, meeting, step)) is not None:
            found[step] = code
            step += stride
        locked = next(step for step, code in found.items() if code == LOCKED)
        assert killed_while_stopped(scene, meeting, locked) in FINISHED, "a lock outlived its holder"
    return found


def campaign(rounds: int, seed: int) -> Iterator[str]:
    """Every meeting before every change, `rounds` times over; one line each."""
    del seed  # nothing is left to chance
    for meeting in MEETINGS:
        for _ in range(rounds):
            found = every(meeting, 1)
        waited = sum(code == LOCKED for code in found.values())
        yield f"{meeting.name}: stopped before each of {len(found)} changes, {waited} with the lock; both finished"
