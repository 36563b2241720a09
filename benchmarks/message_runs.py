"""Processes that write messages at the same time, or in turn, and what came of it: for benchmarks/messages.py."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from statistics import median
from typing import Any

from benchmarks.cases import BIN
from benchmarks.pairs import Command, Failed, once, output
from benchmarks.writers import ACCOUNT, Job


@dataclass(frozen=True)
class Row:
    """One line: what was compared, the ratio, and its goal: at least, or with `most` at most."""

    what: str
    ratio: float
    goal: float | None
    note: str
    most: bool = False
    spread: tuple[float, float] | None = None

    @property
    def verdict(self) -> str:
        """`met`, `missed`, or `-` where there is no goal."""
        if self.goal is None:
            return "-"
        return "met" if (self.ratio <= self.goal if self.most else self.ratio >= self.goal) else "missed"

    def as_dict(self) -> dict[str, object]:
        """The fields, and whether the goal was met."""
        return {**vars(self), "verdict": self.verdict}

    def __str__(self) -> str:
        goal = "" if self.goal is None else f"{'<=' if self.most else '>='} {self.goal:g}"
        spread = "" if self.spread is None else f"[{self.spread[0]:.2f}..{self.spread[1]:.2f}] "
        return f"{self.what:66} {self.ratio:7.2f} {goal:>7} {self.verdict:7} {spread}{self.note}"


@dataclass(frozen=True)
class Result:
    """What processes that ran at the same time came to: messages, seconds of wall until the last closed, waits."""

    count: int
    wall: float
    waits: tuple[float, ...]

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.count / self.wall

    def wait(self, share: float) -> float:
        """Seconds that this share of the groups waited at most."""
        return sorted(self.waits)[ceil(share * len(self.waits)) - 1]

    def __str__(self) -> str:
        return f"{self.rate:,.0f}/s"


class Bench:
    """Sizes, and a directory in which everything stands."""

    def __init__(self, work: str, rounds: int, share: float, peer: str) -> None:
        self.work, self.rounds, self.share, self.peer = os.path.abspath(work), rounds, share, peer
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(("MEMORYBANK_", "PYTHON"))}
        self.env |= {"PYTHONPYCACHEPREFIX": f"{self.work}/pycache", "TERM": "dumb"}
        self.env |= {"PYTHONPATH": os.getcwd(), "MEMORYBANK_STATE_HOME": f"{self.work}/home"}
        # Summaries are made after the answer, by a library that takes a second to import: not what is measured here.
        self.env |= {"MEMORYBANK_CONTEXT_MESSAGES": "0", "MEMORYBANK_CONTEXT_HOURS": "0"}
        os.makedirs(f"{self.work}/home", mode=0o700, exist_ok=True)

    def goal(self, value: float) -> float | None:
        """Goals hold for full sizes."""
        return value if self.share >= 1 else None

    def many(self, count: int, least: int = 1) -> int:
        """A size as it is in this run."""
        return max(least, int(count * self.share))

    def command(self, *words: str, cwd: str = "") -> Command:
        """A command in our environment."""
        return Command(words, cwd or self.work, self.env)

    def ours(self, *words: str, cwd: str = "") -> Command:
        """Our command."""
        return self.command(f"{BIN}/memorybank", *words, cwd=cwd)

    def bank(self, name: str) -> str:
        """A new bank with an account."""
        path = f"{self.work}/{name}"
        shutil.rmtree(path, ignore_errors=True)
        once(self.ours("init", path, "--account", ACCOUNT))
        return path

    def place(self, kind: str, name: str) -> str:
        """Somewhere new to write for a kind of writer."""
        if kind == "ours":
            return self.bank(name)
        path = f"{self.work}/{name}.{kind}"
        for one in (path, f"{path}-wal", f"{path}-shm"):
            if os.path.exists(one):
                os.unlink(one)
        return path

    def start(self, jobs: Sequence[Job]) -> list[subprocess.Popen[str]]:
        """Processes that are ready to begin. Raises Failed where one is not."""
        pipe = subprocess.PIPE
        found = [subprocess.Popen(job.words(), env=self.env, stdin=pipe, stdout=pipe, text=True) for job in jobs]
        for process in found:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                for one in found:
                    one.kill()
                    one.wait()
                raise Failed(f"a process ended with {process.returncode} before it began")
        return found

    def told(self, jobs: Sequence[Job], codes: tuple[int, ...] = (0,)) -> list[dict[str, Any]]:
        """Run jobs at the same time; what each tells, {} of one that was killed. Raises Failed."""
        processes = self.start(jobs)
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        texts = [process.communicate()[0] for process in processes]
        wrong = [process.returncode for process in processes if process.returncode not in codes]
        if wrong:
            raise Failed(f"{len(wrong)} of {len(jobs)} processes ended with {wrong[0]}")
        return [json.loads(text) if text else {} for text in texts]

    def write(self, *jobs: Job) -> Result:
        """Write at the same time. Raises Failed."""
        told = self.told(jobs)
        for job, one in zip(jobs, told, strict=True):
            if one["groups"] * job.batch != job.count:
                raise Failed(f"{one['groups']} of {job.count // job.batch} groups were written")
        wall = max(one["ended"] for one in told) - min(one["begun"] for one in told)
        return Result(sum(job.count for job in jobs), wall, tuple(wait for one in told for wait in one["waits"]))


def ratios(ours: Sequence[float], peer: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """The median of the rounds' ratios, and the smallest and largest."""
    found = [one / other for one, other in zip(ours, peer, strict=True)]
    return median(found), (min(found), max(found))


def typical(results: Sequence[Result]) -> str:
    """The median of rates."""
    return f"{median(one.rate for one in results):,.0f}/s"


def in_turn(bench: Bench, jobs: dict[str, list[Job]], rounds: int = 0) -> dict[str, list[Result]]:
    """Let each set of jobs run in turn, `rounds` times after one that does not count; who is first rotates.

    Each round has ids of its own.
    """
    found: dict[str, list[Result]] = {name: [] for name in jobs}
    names = list(jobs)
    for number in range(-1, rounds or bench.rounds):
        for place in range(len(names)):
            name = names[(place + number) % len(names)]
            here = [replace(job, first=job.first + (number + 1) * job.count) for job in jobs[name]]
            result = bench.write(*here)
            if number >= 0:
                found[name].append(result)
    return found


def check(bench: Bench, path: str, jobs: Sequence[Job], rounds: int) -> int:
    """How many messages a bank holds. Raises Failed unless it has each of these once, in the order of its writer."""
    expected = {
        f"{job.name}/{thread}": [
            id for number in range(rounds) for id in replace(job, first=job.first + number * job.count).ids(thread)
        ]
        for job in jobs
        for thread in range(job.threads)
    }
    text = output(bench.ours("message", "list", "--account", ACCOUNT, "--json", cwd=path))
    ids = [json.loads(line)["id"] for line in text.splitlines()]
    home = {id: name for name, each in expected.items() for id in each}
    found: dict[str, list[str]] = {name: [] for name in expected}
    for id in ids:
        if id in home:
            found[home[id]].append(id)
    for name, each in expected.items():
        if found[name] != each:
            raise Failed(f"writer {name}: {len(found[name])} of {len(each)} messages are there, or not in their order")
    return len(ids)
