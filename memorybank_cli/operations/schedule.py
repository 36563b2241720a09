"""Maintenance by the clock: what is scheduled, how it went, and putting it into systemd or the crontab."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from memorybank_cli.alerts.heartbeats import Beat
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.home import OVERRIDE, directories, user_name
from memorybank_cli.base import clock, files, locks
from memorybank_cli.base.errors import CopiedBank, OperationFailed, UsageError
from memorybank_cli.base.names import escape
from memorybank_cli.base.records import Finding
from memorybank_cli.operations import schedule_cron, schedule_systemd
from memorybank_cli.operations.options import Option
from memorybank_cli.operations.programs import is_there, ourselves
from memorybank_cli.operations.schedule_state import SAMPLES, By, Installed, beats, findings, forget, installed, keep
from memorybank_cli.operations.schedule_times import JOBS, SAMPLES_EVERY, next_after

_LOCK = "schedule.lock"
CronOption = Annotated[bool, "in the crontab"]
SystemdOption = Annotated[bool, "as timers of your systemd"]
DryRunOption = Annotated[bool, Option("show what would be written, change nothing", short="-n")]


@dataclass(frozen=True)
class ScheduleReport:
    """What runs by the clock."""

    by: By | None
    """Where it stands; None: nothing is scheduled."""
    service: bool
    """Whether `watch` runs as a service of systemd."""
    jobs: tuple[dict[str, Any], ...]
    """For each `job`, `when` and `next`, and of its last run `last_run`, `ok` and `seconds`."""
    written: dict[str, str]
    """By file what was written, or would be; '' for what was removed."""
    notes: tuple[str, ...]
    """What you have to do yourself so that it works."""
    done: str
    """`shown`, `installed`, `removed`."""
    dry_run: bool = False
    findings: tuple[Finding, ...] = ()
    """MB560 to MB562: jobs that are overdue, failed, or never ran."""

    @property
    def tone(self) -> str:
        """How the closing line is meant."""
        return "warning" if self.findings or self.notes else "good" if self.by else ""

    def summary(self) -> str:
        """What holds now."""
        where = {"cron": "the crontab", "systemd": "timers of your systemd", None: ""}[self.by]
        would = "would be " if self.dry_run else ""
        if self.done == "removed":
            return f"The schedule {would or 'is '}removed." if self.written else "Nothing was scheduled."
        if self.by is None:
            return "Nothing is scheduled. Next: memorybank schedule install"
        service = ", watch as a service" if self.service else ""
        return f"{f'Would be {self.done}' if self.dry_run else 'Scheduled'} by {where}{service}."

    def warnings(self) -> list[str]:
        """What is said though somebody asked for quiet."""
        return list(self.notes)


def show(bank: Bank) -> ScheduleReport:
    """Show what runs by the clock, and how it went.

    Exit codes:
        0  done

    Examples:
        memorybank schedule show
    """
    by, service = _present(bank)
    wrong = tuple(findings(bank))
    return ScheduleReport(by, service, _jobs(bank), {}, (), "shown", findings=wrong)


def install(
    bank: Bank,
    *,
    cron: CronOption = False,
    systemd: SystemdOption = False,
    service: Annotated[bool, "memorybank watch as a service of your systemd too"] = False,
    dry_run: DryRunOption = False,
) -> ScheduleReport:
    """Have maintenance run by the clock.

    memorybank maintain daily at 06:00, weekly on Sundays at 02:00, monthly on the 1st at 01:00, by the local clock, and
    a look of the monitor every 5 minutes. Without an option systemd is taken where you have one, else the crontab. What
    was missed while the machine was off is made up for. A second call brings the schedule up to date.

    Exit codes:
        0  installed
        2  this cannot be had here: no systemd, no crontab, or --service without systemd
        3  systemd or the crontab refused; or root asked for somebody else's bank
        13 the bank is a copy: the schedule is the original's

    Examples:
        memorybank schedule install
        memorybank schedule install --cron --dry-run
        memorybank schedule install --systemd --service
    """
    if cron and (systemd or service):
        what = "--systemd" if systemd else "--service, for cron keeps nothing running"
        raise UsageError(f"--cron does not go with {what}", hint="leave out one of them")
    _check(bank)
    by = _chosen(cron, systemd or service)
    environment = _environment()
    if by == "cron":
        text = schedule_cron.lines(bank.bank_id, _commands(bank, ("samples", *JOBS, "missed")), environment)
        written = {"crontab": "".join(f"{line}\n" for line in text)}
    else:
        commands = _commands(bank, ("samples", *JOBS, "missed", "watch"))
        made = schedule_systemd.units(bank.bank_id, bank.root.path, commands, environment, service=service)
        written = {os.path.join(schedule_systemd.place(), name): unit for name, unit in made.items()}
    if not dry_run:
        with _alone(bank):
            _take_away(bank, but=by)
            if by == "cron":
                before = schedule_cron.read()
                schedule_cron.write(before, schedule_cron.with_block(before, bank.bank_id, text))
            else:
                schedule_systemd.install(made, schedule_systemd.installed(bank.bank_id))
            known = installed(bank)
            keep(bank, Installed(by, known.since if known else clock.now(), service))
    return ScheduleReport(by, service, _jobs(bank), written, tuple(_notes(bank, by)), "installed", dry_run)


def remove(bank: Bank, *, dry_run: DryRunOption = False) -> ScheduleReport:
    """Take the schedule of this bank away.

    Only what memorybank schedule install wrote for this bank goes, out of the crontab and out of systemd.

    Exit codes:
        0  removed, or there was nothing
        3  systemd or the crontab refused; or root asked for somebody else's bank
        13 the bank is a copy: the schedule is the original's

    Examples:
        memorybank schedule remove --dry-run
        memorybank schedule remove
    """
    _check(bank)
    with _alone(bank):
        places = _places(bank)
        if not dry_run:
            _take_away(bank)
            forget(bank)
    return ScheduleReport(None, False, (), dict.fromkeys(places, ""), (), "removed", dry_run)


@contextmanager
def _alone(bank: Bank) -> Iterator[None]:
    """Keep out others who change the schedule of this user: all banks share one crontab. Raises Locked."""
    place = files.make_root(directories(bank.owner)["state"])
    with closing(place), locks.hold(place, _LOCK, timeout=bank.lock_timeout):
        yield


def _check(bank: Bank) -> None:
    """Raise for a copy, which would take the schedule away from the original, and for root with somebody else's bank.

    Programs would write into root's own schedule there.
    """
    if original := bank.home.is_copy(bank.root):
        raise CopiedBank(f"{escape(bank.root.path)} is a copy of the bank at {escape(original)}", path=bank.root.path)
    if os.getuid() != bank.owner:
        raise OperationFailed(
            f"the schedule belongs to the owner of the bank, uid {bank.owner}, and you are uid {os.getuid()}",
            hint=f"run it as that user: sudo -u '#{bank.owner}' memorybank schedule ...",
        )


def _chosen(cron: bool, systemd: bool) -> By:
    if systemd or not (cron or not schedule_systemd.is_running()):
        if not schedule_systemd.is_running():
            raise UsageError("you have no systemd that answers here", hint="memorybank schedule install --cron")
        return "systemd"
    if not is_there("crontab"):
        raise UsageError(
            "there is no program crontab here, and no systemd of yours",
            hint="install cron, or have your own scheduler run memorybank maintain daily, weekly, monthly",
        )
    return "cron"


def _commands(bank: Bank, jobs: tuple[str, ...]) -> dict[str, list[str]]:
    """The words that run each job."""
    at = ["--bank", bank.root.path, "--quiet"]
    words = {"samples": ["health", *at, "--record", "--scheduled"], "watch": ["watch", *at[:2], "--json"]}
    return {job: [*ourselves(), *words.get(job, ["maintain", job, *at, "--scheduled"])] for job in jobs}


def _environment() -> dict[str, str]:
    """What has to hold when it runs as it does now: where state and snapshots are."""
    home = os.environ.get(OVERRIDE)
    return {OVERRIDE: os.path.abspath(home)} if home else {}


def _notes(bank: Bank, by: By) -> list[str]:
    notes = [
        f"{name} is named for this run only; memorybank config set {name} VALUE --scope user keeps it"
        for name in ("repository", "key_file", "password_file", "password_command")
        if bank.settings.look_up(name).origin in ("environment", "option")
    ]
    if by == "systemd" and not schedule_systemd.lingers(user_name()):
        notes.append("your timers stop when you log out; loginctl enable-linger lets them go on")
    return notes


def _present(bank: Bank) -> tuple[By | None, bool]:
    """What is scheduled now, by whoever did it, as far as that can be seen."""
    units = schedule_systemd.installed(bank.bank_id)
    if units:
        return "systemd", any(name.endswith("-watch.service") for name in units)
    known, text = installed(bank), _crontab(bank)
    if text is not None:
        return ("cron" if schedule_cron.block(text, bank.bank_id) else None), False
    return (known.by, known.service) if known else (None, False)


def _crontab(bank: Bank) -> bytes | None:
    """The owner's crontab; None where somebody else asks, or where there can be nothing of ours in it."""
    if not is_there("crontab") or os.getuid() != bank.owner:
        return None
    try:
        return schedule_cron.read()
    except OperationFailed:
        known = installed(bank)
        if known is not None and known.by == "cron":
            raise
        return None  # who may not use cron has nothing in it


def _places(bank: Bank) -> list[str]:
    """The files in which something of this bank's schedule stands."""
    units = [os.path.join(schedule_systemd.place(), name) for name in schedule_systemd.installed(bank.bank_id)]
    text = _crontab(bank)
    return [*units, *(["crontab"] if text is not None and schedule_cron.block(text, bank.bank_id) else [])]


def _take_away(bank: Bank, but: By | None = None) -> None:
    """Remove the schedule of this bank from each place but one."""
    if but != "systemd" and (units := schedule_systemd.installed(bank.bank_id)):
        schedule_systemd.remove(units)
    if but != "cron" and (before := _crontab(bank)) is not None:
        schedule_cron.write(before, schedule_cron.with_block(before, bank.bank_id, ()))


def _jobs(bank: Bank) -> tuple[dict[str, Any], ...]:
    """Every job: when it runs, and how it went last."""
    now, last = datetime.now(UTC), beats(bank)
    rows = []
    for name, job in JOBS.items():
        due = clock.show(next_after(name, now))
        rows.append({"job": f"maintain {name}", "when": job.when, "next": due, **_ran(last.get(name))})
    rows.append({"job": "health", "when": f"every {SAMPLES_EVERY} minutes", **_ran(last.get(SAMPLES))})
    return tuple(rows)


def _ran(beat: Beat | None) -> dict[str, Any]:
    return {} if beat is None else {"last_run": beat.at, "ok": beat.ok, "seconds": beat.seconds}
