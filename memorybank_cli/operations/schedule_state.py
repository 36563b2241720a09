"""What is scheduled for a bank, kept in the state directory, and which of its jobs are due or never ran."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from memorybank_cli.alerts.heartbeats import Beat, beat, is_late, overdue, read
from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.base import clock, files
from memorybank_cli.base.records import Finding
from memorybank_cli.operations.schedule_times import JOBS, SAMPLES_EVERY, last_before, next_after

_NAME = "schedule"
SAMPLES = "samples"
"""The job of the monitor, by its heartbeat."""
_AHEAD = timedelta(hours=1)
By = Literal["cron", "systemd"]


@dataclass(frozen=True)
class Installed:
    """What `schedule install` did last."""

    by: By
    since: str
    service: bool
    """Whether `watch` runs as a service."""


def installed(bank: Bank) -> Installed | None:
    """What is scheduled, as far as it was done by `schedule install`."""
    found = bank.home.derived(_NAME)
    if found.get("by") not in ("cron", "systemd") or _parsed(found.get("since")) is None:
        return None
    return Installed(found["by"], found["since"], bool(found.get("service")))


def keep(bank: Bank, what: Installed | None) -> None:
    """Remember what is scheduled from now on; None: nothing."""
    bank.home.keep_derived(_NAME, {} if what is None else dict(vars(what)))


def is_expected(bank: Bank, job: str) -> bool:
    """Whether somebody has the job run by the clock, so that its absence is to be noticed."""
    last = beats(bank).get(job)
    return installed(bank) is not None or (last is not None and last.next_due is not None)


def sampled(bank: Bank) -> None:
    """Leave the heartbeat of a look of the monitor that the clock started: the next one is expected soon."""
    due = datetime.now(UTC) + timedelta(minutes=SAMPLES_EVERY)
    for note in beat(bank, SAMPLES, ok=True, seconds=0.0, next_due=due):
        bank.context.progress.note(note)


def forget(bank: Bank) -> None:
    """Nothing is scheduled any more, and no job is expected."""
    keep(bank, None)
    for job in (*JOBS, SAMPLES):
        if bank.root.stat(f"{layout.HEARTBEATS}/{job}.json") is not None:
            files.remove(bank.root, f"{layout.HEARTBEATS}/{job}.json")


def beats(bank: Bank) -> dict[str, Beat]:
    """The last run of each job that ever came to its end."""
    return {one.job: one for one in read(bank.root)}


def is_due(bank: Bank, job: str) -> bool:
    """Whether the time of a job came since it last ran, or since it was scheduled where it never did."""
    now, last, plan = datetime.now(UTC), beats(bank).get(job), installed(bank)
    if last is None:
        return plan is None or clock.parse(plan.since) < last_before(job, now)
    at = clock.parse(last.at)
    return at < last_before(job, now) or at > now + _AHEAD  # of a clock that was ahead


def findings(bank: Bank) -> list[Finding]:
    """MB560 to MB562: jobs that are overdue, failed, or never ran."""
    plan = installed(bank)
    return [*overdue(bank.root, since=None if plan is None else clock.parse(plan.since)), *never_ran(bank)]


def never_ran(bank: Bank) -> Iterable[Finding]:
    """MB562: jobs that are scheduled and whose first time passed without a run. Heartbeats tell of the later ones."""
    plan = installed(bank)
    if plan is None:
        return
    known, now, since = beats(bank), datetime.now(UTC), clock.parse(plan.since)
    for job in (*JOBS, SAMPLES):
        last = known.get(job)
        if last is not None and last.next_due is not None:
            continue
        begun = since if last is None else max(since, clock.parse(last.at))  # run by hand before it was scheduled
        first = begun + timedelta(minutes=SAMPLES_EVERY) if job == SAMPLES else next_after(job, begun)
        if is_late(first, now):
            command = "health --record --scheduled" if job == SAMPLES else f"maintain {job}"
            message = f"{command} was to run first at {clock.show(first)[:16]}Z by the clock, and never did"
            yield Finding("MB562", message, "", f"memorybank schedule show; memorybank {command}", f"/{job}")


def _parsed(text: Any) -> datetime | None:
    try:
        return clock.parse(text)
    except (TypeError, ValueError):
        return None
