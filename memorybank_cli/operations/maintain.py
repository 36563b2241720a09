"""The maintenance runs: daily, weekly, monthly, and what was missed of them; a list of steps, a report for each."""

from __future__ import annotations

import os
import sqlite3
import time
import traceback
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Annotated, Any, NamedTuple

from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.journal import Entry
from memorybank_cli.base import clock, exits
from memorybank_cli.base.errors import JournalDamaged, Locked, MemorybankError, UsageError, from_os_error
from memorybank_cli.base.records import Finding
from memorybank_cli.base.words import counted
from memorybank_cli.operations.maintain_record import Notebook, Record, alone
from memorybank_cli.operations.maintain_steps import STEPS
from memorybank_cli.operations.maintain_values import Outcome, Result, Step, Turn
from memorybank_cli.operations.opening import open_bank
from memorybank_cli.operations.options import Option, RepoOption
from memorybank_cli.operations.schedule_state import is_due, is_expected
from memorybank_cli.operations.schedule_times import JOBS
from memorybank_cli.operations.timebox import TimeUp, time_box

DONE = "maintain.done"
_MISSED = "missed"
StepOption = Annotated[tuple[str, ...], Option("only this step; may be given several times", metavar="STEP")]
DryRunOption = Annotated[bool, Option("say what would be done, change nothing", short="-n")]
ScheduledOption = Annotated[bool, "it is started by the clock: that the next run does not come will be noticed"]


@dataclass(frozen=True)
class StepReport:
    """What one step came to."""

    job: str
    step: str
    result: Result
    """`done`; `trouble`: done, and something is wrong; `unfinished`: it goes on next time; `failed`; `skipped`."""
    seconds: float
    message: str
    hint: str = ""
    findings: tuple[Finding, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The fields; of the findings their number, for the report has them all together."""
        return {**vars(self), "seconds": round(self.seconds, 3), "findings": len(self.findings)}


@dataclass(frozen=True)
class MaintainReport:
    """What a maintenance run came to, step by step."""

    job: str
    """`daily`, `weekly`, `monthly`; `missed` for what was made up."""
    began: str
    seconds: float
    steps: tuple[StepReport, ...]
    dry_run: bool = False
    note: str = ""
    """Why there was nothing to do."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What every step found, each once."""
        return tuple({one.fingerprint: one for step in self.steps for one in step.findings}.values())

    def _with(self, *results: Result) -> list[StepReport]:
        return [one for one in self.steps if one.result in results]

    @property
    def ok(self) -> bool:
        """Whether no step failed or found trouble."""
        return not self._with("failed", "trouble")

    def as_dict(self) -> dict[str, Any]:
        """The run, its steps in order, and all findings."""
        return {
            "job": self.job,
            "ok": self.ok,
            "began": self.began,
            "seconds": round(self.seconds, 3),
            "dry_run": self.dry_run,
            "steps": [one.as_dict() for one in self.steps],
            "findings": [one.as_dict() for one in self.findings],
            "note": self.note,
        }

    def exit_code(self) -> int:
        """3 when a step failed, 1 when one found trouble."""
        return exits.FAILED if self._with("failed") else exits.DONE if self.ok else exits.FINDINGS

    @property
    def tone(self) -> str:
        """How the closing line is meant."""
        return "bad" if not self.ok else "warning" if self._with("unfinished") else "good"

    def summary(self) -> str:
        """How many steps came to what, and what to do next."""
        if self.note:
            return self.note
        head = f"{self.job}: {counted(len(self.steps), 'step')} in {self.seconds:.1f} s"
        counts = {result: len(self._with(result)) for result in ("trouble", "failed", "unfinished", "skipped")}
        words = {"trouble": "with trouble"}
        told = [f"{number} {words.get(result, result)}" for result, number in counts.items() if number]
        hints = [one.hint for one in (*self._with("failed"), *self._with("trouble")) if one.hint]
        rest = f". Next: {hints[0]}" if hints else ""
        return f"{head}: {', '.join(told) or 'all good'}{rest}"

    def warnings(self) -> list[str]:
        """What is said though somebody asked for quiet: every step that needs somebody."""
        return [
            f"{one.job} {one.step} {one.result}: {one.message}" + (f"; {one.hint}" if one.hint else "")
            for one in self._with("failed", "trouble", "unfinished")
        ]


def daily(
    bank: Bank,
    *,
    step: StepOption = (),
    scheduled: ScheduledOption = False,
    dry_run: DryRunOption = False,
    repo: RepoOption = None,
) -> MaintainReport:
    """Do what is to be done every day.

    In this order: validate, backup, retain (forget snapshots by the policy), prune, contexts (summaries that are due),
    rotate (quarantine, crash reports, findings that are over), documents, heartbeat, alerts. A step that fails does
    not stop the others, only retain needs the backup. Each may take maintain.step_minutes; what it did stays done.

    Exit codes:
        0   every step is done
        1   done, and a step found something that is wrong
        3   a step failed
        11  another maintenance run is under way

    Examples:
        memorybank maintain daily
        memorybank maintain daily --dry-run
        memorybank maintain daily --step backup --step prune
    """
    return _run(bank, "daily", step, Asked(repo, dry_run, scheduled))


def weekly(
    bank: Bank,
    *,
    step: StepOption = (),
    scheduled: ScheduledOption = False,
    dry_run: DryRunOption = False,
    repo: RepoOption = None,
) -> MaintainReport:
    """Prove every week that everything could be had back.

    In this order: verify (every byte of every snapshot), rehash (every file, for bit rot), compact (the journal), chain
    (the journal from its first line), drill (restore the newest snapshot and validate it), heartbeat, alerts. Verify
    and rehash go on next time where their time was not enough.

    Exit codes:
        0   every step is done
        1   done, and a step found something that is wrong
        3   a step failed
        11  another maintenance run is under way

    Examples:
        memorybank maintain weekly
        memorybank maintain weekly --step drill
    """
    return _run(bank, "weekly", step, Asked(repo, dry_run, scheduled))


def monthly(
    bank: Bank,
    *,
    step: StepOption = (),
    scheduled: ScheduledOption = False,
    dry_run: DryRunOption = False,
    repo: RepoOption = None,
) -> MaintainReport:
    """Check deeply and tidy up every month.

    In this order: verify, accounts (every message against each other), rehash, chain, audit (keys, and who else may
    read snapshots, state and keys), archive (messages older than maintain.archive_days), storage (packs written
    anew, databases packed), report (a Markdown file in the state directory), heartbeat, alerts.

    Exit codes:
        0   every step is done
        1   done, and a step found something that is wrong
        3   a step failed
        11  another maintenance run is under way

    Examples:
        memorybank maintain monthly
        memorybank maintain monthly --step audit --step report
    """
    return _run(bank, "monthly", step, Asked(repo, dry_run, scheduled))


def missed(
    bank: Bank,
    *,
    scheduled: ScheduledOption = False,
    dry_run: DryRunOption = False,
    repo: RepoOption = None,
) -> MaintainReport:
    """Make up for maintenance runs that were missed.

    A job whose time came while the machine was off, or that was killed, is run now; nothing is done while another
    run is under way. The schedule calls this every hour.

    Exit codes:
        0   nothing was missed, or it is made up for
        1   done, and a step found something that is wrong
        3   a step failed

    Examples:
        memorybank maintain missed --dry-run
    """
    try:
        with nullcontext() if dry_run else alone(bank, _MISSED, 0) as notes:
            due = [job for job in JOBS if is_due(bank, job)]
            began, started, reports = clock.now(), time.perf_counter(), list[StepReport]()
            for job in due:
                reports += _steps(bank, job, STEPS[job], Asked(repo, dry_run, scheduled), notes)
    except Locked as error:
        return MaintainReport(_MISSED, clock.now(), 0.0, (), dry_run, error.message)
    note = "" if due else "Nothing was missed"
    return MaintainReport(_MISSED, began, time.perf_counter() - started, tuple(reports), dry_run, note)


class Asked(NamedTuple):
    """What a run was asked for besides its steps."""

    repo: str | None
    dry_run: bool
    scheduled: bool


def _run(bank: Bank, job: str, names: tuple[str, ...], asked: Asked) -> MaintainReport:
    steps = _chosen(job, names)
    began, started = clock.now(), time.perf_counter()
    with nullcontext() if asked.dry_run else alone(bank, job, bank.lock_timeout) as notes:
        done = _steps(bank, job, steps, asked, notes)
    return MaintainReport(job, began, time.perf_counter() - started, tuple(done), asked.dry_run)


def _chosen(job: str, names: tuple[str, ...]) -> tuple[Step, ...]:
    known = {one.name: one for one in STEPS[job]}
    for name in names:
        if name not in known:
            raise UsageError(f"{job} has no step '{name}'", hint=f"it has {', '.join(known)}")
    return tuple(known.values()) if not names else tuple(one for one in STEPS[job] if one.name in names)


def _steps(bank: Bank, job: str, steps: tuple[Step, ...], asked: Asked, notes: Notebook | None) -> list[StepReport]:
    """Do the steps of a job one after the other; the lock is held, but for a rehearsal, which has no notes."""
    is_whole = steps == STEPS[job] and notes is not None
    record = Record(notes, job) if notes is not None and is_whole else None
    turn = Turn(job, asked.repo, asked.dry_run, is_whole, asked.scheduled or is_expected(bank, job))
    if not asked.dry_run:
        _check(bank)
    reports: list[StepReport] = []
    for step in steps:
        at = record.done.get(step.name) if record and not step.always else None
        if at is not None:
            report = StepReport(job, step.name, "skipped", 0.0, f"done {at[:19]}Z by a run that was interrupted")
        else:
            report = _one(bank, turn, step)
        reports.append(report)
        turn.results[step.name] = report.result if at is None else "done"
        turn.told.append((step.name, report.result, report.seconds, report.message, report.findings))
        if record is not None and report.result == "done":
            record.note(step.name)
    if record is not None:
        _journal(bank, job, reports)
        record.close()
    return reports


def _check(bank: Bank) -> None:
    """Raise for a copied bank or one of another format, where no step may write; other trouble is for the steps."""
    try:
        bank.check_writable()
    except (JournalDamaged, OSError):
        return


def _one(bank: Bank, turn: Turn, step: Step) -> StepReport:
    """One step, on a bank of its own: what a step that failed left in memory is nobody else's trouble."""
    job, started = turn.job, time.perf_counter()

    def report(result: Result, message: str, hint: str = "", findings: tuple[Finding, ...] = ()) -> StepReport:
        return StepReport(job, step.name, result, time.perf_counter() - started, message, hint, findings)

    if step.needs and turn.results.get(step.needs, "done") not in ("done", "trouble"):
        return report("skipped", f"it needs the step {step.needs}")
    if turn.dry_run and not step.rehearses:
        return report("done", f"would {step.what}")
    minutes = float(bank.settings["maintain.step_minutes"])
    try:
        outcome = _carry_out(bank, turn, step, minutes * 60)
        return report(outcome.result, outcome.message, outcome.hint, outcome.findings)
    except TimeUp:
        hint = "raise the setting maintain.step_minutes"
        text = f"it took longer than {minutes:g} minutes"
        if step.goes_on:
            return report("unfinished", f"{text}; the next run goes on")
        return report("failed", text, hint)
    except OSError as error:
        words = from_os_error(error)
        return report("failed", words.message, words.hint)
    except MemorybankError as error:
        return report("failed", error.message, error.hint)
    except (sqlite3.DatabaseError, ImportError) as error:
        return report("failed", str(error))
    except Exception as error:  # noqa: BLE001 - the other steps are done all the same; where it was is told
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{os.path.basename(frame.filename)}:{frame.lineno}"
        return report("failed", f"an internal error: {type(error).__name__} at {where}")


def _carry_out(bank: Bank, turn: Turn, step: Step, seconds: float) -> Outcome:
    with time_box(bank.context.progress, seconds) as progress:
        own = open_bank(replace(bank.context, progress=progress), path=bank.root.path)
        try:
            outcome = step.do(own, turn)
        except BaseException:
            own.abandon()
            raise
        own.close()
        return outcome


def _journal(bank: Bank, job: str, reports: list[StepReport]) -> None:
    """Record what came of a whole run, where the journal can be written."""
    steps = [[one.step, one.result, round(one.seconds * 1000)] for one in reports]
    try:
        bank.refresh()
        bank.commit([Entry(DONE, {"job": job, "steps": steps})])
    except (MemorybankError, OSError) as error:
        bank.context.progress.note(f"the run is not in the journal: {error}")
