"""Killing memorybank at every moment: at random times, at its own changes of the disk, and at system calls.

Random times and system calls hit a process of its own; changes of the disk are counted in `base.files`, in a
forked child, which is cheap enough to visit every one of them.
"""

from __future__ import annotations

import random
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager

from tests.broken_os import unsynced, watched
from tests.faults import conversations
from tests.faults.lab import Lab, Prepared, Story, prepared
from tests.faults.stories import POINTS, STORIES

SYSTEM_CALLS = (
    "write,pwrite64,writev,pwritev,fsync,fdatasync,sync_file_range,syncfs,rename,renameat,renameat2,link,linkat,symlink,"
    "symlinkat,unlink,unlinkat,mkdir,mkdirat,rmdir,ftruncate,truncate,fallocate,fchmod,fchmodat,chmod,fchown,utimensat"
)
FEW = 5
"""Trades of a bank whose changes are visited one by one."""


def at_random(rounds: int, seed: int, stories: tuple[Story, ...] = (*STORIES, *conversations.STORIES)) -> Iterator[str]:
    """`rounds` kills of each story at random moments; one line each."""
    chance = random.Random(seed)
    for story in stories:
        hits = 0
        with prepared(story) as scene:
            seconds = _timed(story, scene.lab)
            for _ in range(rounds):
                hits += kill_once(story, scene.reset(), chance.uniform(0.05, seconds))
        yield f"{story.name:15} {hits} of {rounds} killed before the end; every bank was whole"


def kill_once(story: Story, lab: Lab, delay: float) -> bool:
    """Start the operation, kill it after `delay` seconds, check everything; whether it was killed before its end."""
    process = lab.start(story)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    _check(story, lab)
    return process.returncode == -signal.SIGKILL


def _timed(story: Story, lab: Lab) -> float:
    started = time.monotonic()
    process = lab.start(story)
    if story.name == "watch":
        time.sleep(0.8)
        process.kill()
    process.communicate()
    return time.monotonic() - started


def _check(story: Story, lab: Lab) -> None:
    lab.check_whole()
    story.check(lab)
    lab.check_snapshots()


def kill_at(step: int) -> AbstractContextManager[object]:
    """Dies before change number `step` of the disk."""
    left = step

    def before(_name: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            signal.raise_signal(signal.SIGKILL)

    return watched(before, fsync=unsynced, fdatasync=unsynced)


def at_changes(scene: Prepared, story: Story, steps: Iterator[int]) -> int:
    """Kill the operation before each of these changes of the disk, up to its end; how many there were."""
    for step in steps:
        lab = scene.reset()
        code = lab.die(*story.words(lab), stdin=story.stdin, fault=kill_at(step))
        if code != -signal.SIGKILL:
            assert code in (0, 1), code
            return step - 1
        _check(story, lab)
    return 0


def strace() -> str | None:
    """The program, None where there is none or it may not trace here."""
    found = shutil.which("strace")
    if found is None or subprocess.run([found, "-o", "/dev/null", "true"], capture_output=True, check=False).returncode:
        return None
    return found


def system_calls(story: Story, scene: Prepared) -> list[tuple[str, int]]:
    """Every mutating system call of the operation: its name, and the how-manieth of that name."""
    lab = scene.reset()
    log = lab.place / "strace"
    _traced(story, lab, "-o", str(log), "-e", f"trace={SYSTEM_CALLS}", "-e", "signal=none")
    counts: dict[str, Counter[str]] = {}
    for thread, name in re.findall(r"^(\d+) +(\w+)\(", log.read_text(errors="replace"), re.MULTILINE):
        counts.setdefault(name, Counter())[thread] += 1
    return [(name, n) for name, by_thread in counts.items() for n in range(1, max(by_thread.values()) + 1)]


def _traced(story: Story, lab: Lab, *options: str) -> int:
    program = strace()
    assert program is not None
    process = lab.start(story, (program, "-f", "-qq", *options))  # with --seccomp-bpf it would inject nothing
    process.communicate()
    return process.returncode


def at_system_calls(
    rounds: int, seed: int, stories: tuple[Story, ...] = (*POINTS, *conversations.STORIES)
) -> Iterator[str]:
    """`rounds` kills of each story, each at a system call that changes something; one line each."""
    chance = random.Random(seed)
    for story in stories:
        hits = 0
        with prepared(story, FEW) as scene:
            points = system_calls(story, scene)
            for name, n in _sample(chance, points, rounds):
                lab = scene.reset()
                code = _traced(
                    story, lab, "-o", "/dev/null", "-e", f"trace={name}", "-e", f"inject={name}:signal=SIGKILL:when={n}"
                )
                hits += code == -signal.SIGKILL
                try:
                    _check(story, lab)
                except AssertionError as error:
                    raise AssertionError(f"{story.name} killed at {name} number {n}: {error}") from error
        assert hits > 0.6 * rounds, f"{story.name}: only {hits} of {rounds} were killed"  # threads take turns
        yield f"{story.name:15} {hits} of {rounds} killed at one of {len(points)} system calls; every bank was whole"


def _sample(chance: random.Random, points: list[tuple[str, int]], count: int) -> list[tuple[str, int]]:
    """`count` of them, all before any twice."""
    found: list[tuple[str, int]] = []
    while len(found) < count:
        found += chance.sample(points, min(len(points), count - len(found)))
    return found
