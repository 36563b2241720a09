"""The words of maintenance runs: a step, the run that it is part of, and what it came to."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base.records import Finding

Result = Literal["done", "trouble", "unfinished", "failed", "skipped"]


class Outcome(NamedTuple):
    """What a step came to."""

    message: str
    findings: tuple[Finding, ...] = ()
    result: Result = "done"
    hint: str = ""


Told = tuple[str, Result, float, str, tuple[Finding, ...]]
"""Of a step its name, result, seconds, message and findings."""


@dataclass
class Turn:
    """One run of a job, as its steps know it."""

    job: str
    repo: str | None
    dry_run: bool
    is_whole: bool
    """No step was left out on purpose."""
    is_expected: bool
    """Somebody has the job run by the clock, so that the absence of the next run is to be noticed."""
    results: dict[str, Result] = field(default_factory=dict)
    """By step what came of those before."""
    told: list[Told] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    findings: list[Finding] | None = None
    """What the last look over the whole bank found."""


class Step(NamedTuple):
    """One step."""

    name: str
    what: str
    """What it does, after `would`."""
    do: Callable[[Bank, Turn], Outcome]
    needs: str = ""
    """The step without which it is not done."""
    goes_on: bool = False
    """Where its time is over the next run goes on from there."""
    rehearses: bool = True
    """It can be asked what it would do."""
    always: bool = False
    """Also when an interrupted run did it."""
