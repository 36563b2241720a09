"""Two commands measured side by side: whole processes in turn, and the median of what one costs in units of the other.

Times of one run mean little on a machine that does other things as well; the ratio of two runs next to each other does.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

KIB = 1024


class Failed(Exception):
    """A command ended in another way than it should; its last words are the message."""


class Run(NamedTuple):
    """One whole process and what it waited for: seconds of wall and CPU, and bytes of its largest process."""

    wall: float
    cpu: float
    peak: int


@dataclass(frozen=True)
class Command:
    """What is run, where, and with which exit codes; `before` is done each time, outside the measurement."""

    words: Sequence[str]
    cwd: str
    env: Mapping[str, str]
    codes: tuple[int, ...] = (0,)
    before: Callable[[], object] | None = None


class Ratio(NamedTuple):
    """Ours divided by the peer's: medians over the pairs, the smallest and largest of wall, and our largest peak."""

    wall: float
    cpu: float
    least: float
    most: float
    peak: int


def once(command: Command) -> Run:
    """Run a command to its end with its output in a file. Raises Failed for a wrong exit code."""
    if command.before is not None:
        command.before()
    with tempfile.TemporaryFile() as out:
        started = time.perf_counter()
        process = subprocess.Popen(
            command.words, cwd=command.cwd, env=command.env, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in command.codes:
            out.seek(0)
            words = out.read()[-500:].decode(errors="backslashreplace")
            raise Failed(f"{' '.join(command.words[:4])} … ended with {process.returncode}: {words}")
    return Run(wall, used.ru_utime + used.ru_stime, used.ru_maxrss * KIB)


def output(command: Command) -> str:
    """What a command prints, on both streams. Raises Failed for a wrong exit code."""
    done = subprocess.run(
        command.words,
        cwd=command.cwd,
        env=command.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    text = done.stdout.decode(errors="backslashreplace")
    if done.returncode not in command.codes:
        raise Failed(f"{' '.join(command.words[:4])} … ended with {done.returncode}: {text[-500:]}")
    return text


def race(
    commands: Sequence[Command], rounds: int, each: Callable[[], object] | None = None, warm: bool = True
) -> list[list[Run]]:
    """Run commands in turn, `rounds` times, after `each`; who goes first rotates. The runs of each command.

    With `warm` each runs once before that, and it does not count.
    """
    found: list[list[Run]] = [[] for _ in commands]
    for number in range(-1 if warm else 0, rounds):
        if each is not None:
            each()
        for place in range(len(commands)):
            which = (place + number) % len(commands)
            run = once(commands[which])
            if number >= 0:
                found[which].append(run)
    return found


def ratio(ours: Sequence[Run], peer: Sequence[Run]) -> Ratio:
    """What ours cost in units of the peer, round by round."""
    walls = [one.wall / other.wall for one, other in zip(ours, peer, strict=True)]
    cpus = [one.cpu / max(other.cpu, 0.001) for one, other in zip(ours, peer, strict=True)]
    return Ratio(median(walls), median(cpus), min(walls), max(walls), max(one.peak for one in ours))


def compare(ours: Command, peer: Command, pairs: int) -> Ratio:
    """Run both `pairs` times in turn, after one run of each to warm up; who goes first alternates."""
    return ratio(*race([ours, peer], pairs))
