"""The steps of maintenance: what each does, in which order, and which jobs have it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.scan import Scanner
from memorybank_cli.base import clock
from memorybank_cli.base.errors import AccountDamaged, SnapshotNotFound
from memorybank_cli.base.records import Finding, at_least
from memorybank_cli.base.words import counted, size
from memorybank_cli.operations.maintain_record import Notebook, rehash_since
from memorybank_cli.operations.maintain_values import Outcome, Step, Turn
from memorybank_cli.operations.schedule_times import next_after

_AT_ONCE = 500
"""Files that are read again between two looks at the clock."""
_NONE_YET = "there are no snapshots yet"  # in a rehearsal, whose backup makes none
_UNUSED = 5
"""Percent of a pack that may be unneeded once a month."""


def _trouble(message: str, findings: Iterable[Finding] = (), *, bad: bool, hint: str = "") -> Outcome:
    return Outcome(message, tuple(findings), "trouble" if bad else "done", hint if bad else "")


# Every day


def validate(bank: Bank, turn: Turn) -> Outcome:
    """Look at every file, as `memorybank validate`."""
    from memorybank_cli.operations.probes import look

    scan, turn.findings = look(bank, progress=bank.context.progress)
    errors = sum(at_least([one], "error") for one in turn.findings)
    warnings = sum(one.severity == "warning" for one in turn.findings)
    message = f"{counted(scan.checked, 'file')}, {counted(errors, 'error')}, {counted(warnings, 'warning')}"
    return _trouble(message, turn.findings, bad=bool(errors), hint="memorybank validate")


def backup(bank: Bank, turn: Turn) -> Outcome:
    """Make a snapshot, as `memorybank backup`."""
    from memorybank_cli.operations.backup import backup as make

    report = make(bank, repo=turn.repo, dry_run=turn.dry_run)
    turn.findings = None  # it has adopted
    return _trouble(report.summary(), report.findings, bad=report.exit_code() != 0)


def retain(bank: Bank, turn: Turn) -> Outcome:
    """Forget the snapshots that the policy does not keep."""
    from memorybank_cli.operations.forgetting import forget

    try:
        report = forget(bank, repo=turn.repo, dry_run=turn.dry_run, yes=True)
    except SnapshotNotFound:
        if turn.dry_run:
            return Outcome(_NONE_YET)
        raise
    return _trouble(report.summary(), report.findings, bad=report.exit_code() != 0)


def prune(bank: Bank, turn: Turn) -> Outcome:
    """Remove what no snapshot needs, and old trash."""
    return _pruned(bank, turn)


def _pruned(bank: Bank, turn: Turn, **options: Any) -> Outcome:
    from memorybank_cli.operations.pruning import prune as carry_out

    try:
        report = carry_out(bank, repo=turn.repo, dry_run=turn.dry_run, yes=True, **options)
    except SnapshotNotFound:
        if turn.dry_run:
            return Outcome(_NONE_YET)
        raise
    return _trouble(report.summary(), report.done.findings, bad=report.exit_code() != 0)


def contexts(bank: Bank, turn: Turn) -> Outcome:
    """Refresh the summaries of conversations that are due."""
    from memorybank_cli.accounts.context_plan import is_possible
    from memorybank_cli.accounts.sources import read_history
    from memorybank_cli.operations.accounts import account_ids
    from memorybank_cli.operations.context_upkeep import due_in, pending

    due: dict[str, str] = {}
    damaged = 0
    for name in account_ids(bank):
        try:
            if reason := due_in(bank, read_history(bank, name, indexed=True)):
                due[name] = reason
        except AccountDamaged:
            damaged += 1
    rest = f"; {counted(damaged, 'account')} cannot be read" if damaged else ""
    if turn.dry_run or not due:
        return Outcome(f"{counted(len(due), 'account')} due{rest}")
    if not is_possible():
        return Outcome(f"{counted(len(due), 'account')} due{rest}", tuple(pending(list(due))))
    from memorybank_cli.accounts.context_refresh import refresh

    for name, reason in due.items():
        refresh(bank, name, reason, progress=bank.context.progress)
    return Outcome(f"{counted(len(due), 'account')} refreshed{rest}")


def rotate(bank: Bank, turn: Turn) -> Outcome:
    """Remove what has been kept long enough."""
    from memorybank_cli.operations.maintain_cleaning import clean

    counts = clean(bank, dry_run=turn.dry_run)
    told = ", ".join(f"{number:,} {what}" for what, number in counts.items() if number)
    return Outcome(f"{told} {'would be ' if turn.dry_run else ''}removed" if told else "nothing is old enough")


def documents(bank: Bank, turn: Turn) -> Outcome:
    """Bring the generated blocks of README.md and docs/ up to date."""
    from memorybank_cli.operations.documents import sync
    from memorybank_cli.operations.probes import look

    found = look(bank, progress=bank.context.progress)[1] if turn.findings is None else turn.findings
    written = sync(bank, found)
    return Outcome(f"{counted(len(written), 'document')} brought up to date")


# Every week


def verify(bank: Bank, turn: Turn) -> Outcome:
    """Read every byte of every snapshot."""
    from memorybank_cli.operations.verifying import verify as carry_out

    found = carry_out(bank, read_data=True, resume=True, repo=turn.repo)
    before = f", {found.read_before:,} before" if found.read_before else ""
    read = f"{counted(found.packs, 'pack')} ({size(found.bytes_read)}) read{before}"
    return _trouble(
        f"{counted(found.snapshots, 'snapshot')}, {read}",
        found.findings,
        bad=not found.ok,
        hint="memorybank backup stores again what the bank still has",
    )


def rehash(bank: Bank, turn: Turn) -> Outcome:
    """Read every file that was not read since this began; also that is gone on with. The journal judges them."""
    del turn
    from memorybank_cli.bank.recount import recount

    differing = recount(bank)
    notes, progress = Notebook(bank), bank.context.progress
    mark = int(rehash_since(notes).timestamp() * clock.SECOND_NS)
    scan = Scanner(bank, progress).run()  # also what was never looked at, all of it where the catalog is lost
    found, read, after = {one.fingerprint: one for one in (*differing, *scan.findings)}, scan.read, ("", "")
    progress.start("reading every file", scan.checked)
    while rows := bank.catalog.looks_before(mark, after, _AT_ONCE):
        scan = Scanner(bank, progress).run_on("/".join(filter(None, row)) for row in rows)
        found |= {one.fingerprint: one for one in scan.findings}
        read, after = read + scan.read, rows[-1]
    progress.finish()
    notes.keep(rehash=None)
    bad = at_least(found.values(), "error")
    return _trouble(f"{counted(read, 'file')} read", found.values(), bad=bad, hint="memorybank repair --dry-run")


def compact(bank: Bank, turn: Turn) -> Outcome:
    """Make the journal smaller."""
    from memorybank_cli.operations.account_compact import compact as carry_out

    return Outcome(carry_out(bank, dry_run=turn.dry_run).summary())


def chain(bank: Bank, turn: Turn) -> Outcome:
    """Prove the journal from its first line."""
    del turn
    from memorybank_cli.operations.journal import prove

    proof = prove(bank)
    message = f"lines 1 to {proof.chained_to:,} follow each other, proved up to {proof.proved_to:,}"
    return _trouble(
        message if proof.ok else proof.summary(), proof.findings, bad=not proof.ok, hint="memorybank repair"
    )


def drill(bank: Bank, turn: Turn) -> Outcome:
    """Restore the newest snapshot into a scratch place and validate it there."""
    from memorybank_cli.operations.drill import drill as carry_out

    report = carry_out(bank, repo=turn.repo)
    return _trouble(report.summary(), report.findings, bad=not report.ok, hint="memorybank backup")


# Every month


def accounts(bank: Bank, turn: Turn) -> Outcome:
    """Hold every message of every account against the others."""
    del turn
    from memorybank_cli.operations.account_check import check

    report = check(bank)
    return _trouble(report.summary(), report.findings, bad=not report.ok)


def audit(bank: Bank, turn: Turn) -> Outcome:
    """Look at keys, and at who else may read or write what is kept outside the bank."""
    from memorybank_cli.operations.maintain_audit import NEWS, audited

    places, findings = audited(bank, turn.repo)
    found = tuple(findings)
    return _trouble(f"{counted(places, 'place')} looked at", found, bad=any(one.rule in NEWS for one in found))


def archive(bank: Bank, turn: Turn) -> Outcome:
    """Compress the oldest messages of each account."""
    from memorybank_cli.operations.account_archive import archive as carry_out
    from memorybank_cli.operations.accounts import account_ids

    days = int(bank.settings["maintain.archive_days"])
    if not days:
        return Outcome("the setting maintain.archive_days says never")
    messages = damaged = 0
    for name in account_ids(bank):
        try:
            messages += carry_out(bank, name, older_than=f"{days}d", dry_run=turn.dry_run).messages
        except AccountDamaged:
            damaged += 1  # its own findings tell of it, and the others are archived
    rest = f"; {counted(damaged, 'account')} cannot be read" if damaged else ""
    return Outcome(f"{counted(messages, 'message')} {'would be ' if turn.dry_run else ''}archived{rest}")


def storage(bank: Bank, turn: Turn) -> Outcome:
    """Write packs anew of which a part is not needed, and pack the databases."""
    from memorybank_cli.operations.maintain_cleaning import pack_databases

    outcome = _pruned(bank, turn, max_unused=_UNUSED)
    if turn.dry_run:
        return outcome
    return outcome._replace(message=f"{outcome.message} {size(pack_databases(bank))} freed in databases.")


def report(bank: Bank, turn: Turn) -> Outcome:
    """Write what the month came to into a file."""
    from memorybank_cli.operations.maintain_report import write

    return Outcome(f"written to {write(bank, turn)}")


# Always at the end


def heartbeat(bank: Bank, turn: Turn) -> Outcome:
    """Leave the sign that the job ran, and when the next one is due."""
    from memorybank_cli.alerts.heartbeats import beat

    if not turn.is_whole:
        return Outcome("none is left, for not every step was asked for", result="skipped")
    failed = [name for name, result in turn.results.items() if result == "failed"]
    seconds = time.monotonic() - turn.began
    detail = f"failed: {', '.join(failed)}" if failed else ""
    next_due = next_after(turn.job, datetime.now(UTC)) if turn.is_expected else None  # while this one ran one was due
    notes = beat(bank, turn.job, ok=not failed, seconds=seconds, next_due=next_due, detail=detail)
    due = f"the next run is due {next_due:%Y-%m-%d %H:%M}" if next_due else "no run is scheduled"
    told = "; ".join([due, *notes])
    return _trouble(told, bad=bool(notes))


def alerts(bank: Bank, turn: Turn) -> Outcome:
    """Look at everything once more, and tell people of it."""
    del turn
    from memorybank_cli.operations.alerting import raise_alerts
    from memorybank_cli.operations.examining import examine

    findings = examine(bank).findings
    lines = raise_alerts(bank, findings, origin="health")
    lost = [one for one in lines if one["type"] == "undelivered"]
    told = f"{counted(len(findings), 'finding')}, {counted(len(lines) - len(lost), 'message')} delivered"
    return _trouble(f"{told}, {len(lost):,} not" if lost else told, bad=bool(lost), hint="memorybank alert list")


_HEARTBEAT = Step("heartbeat", "leave a heartbeat", heartbeat, rehearses=False, always=True)
_ALERTS = Step("alerts", "tell people of what was found", alerts, rehearses=False, always=True)
_VERIFY = Step("verify", "read every byte of every snapshot", verify, goes_on=True, rehearses=False)
_REHASH = Step("rehash", "read every file", rehash, goes_on=True, rehearses=False)
_CHAIN = Step("chain", "prove the journal from its first line", chain)
STEPS: dict[str, tuple[Step, ...]] = {
    "daily": (
        Step("validate", "look at every file", validate),
        Step("backup", "make a snapshot", backup),
        Step("retain", "forget snapshots by the policy", retain, needs="backup"),
        Step("prune", "remove what no snapshot needs", prune),
        Step("contexts", "refresh summaries", contexts, goes_on=True),
        Step("rotate", "remove what was kept long enough", rotate),
        Step("documents", "bring README.md and docs/ up to date", documents, rehearses=False),
        _HEARTBEAT,
        _ALERTS,
    ),
    "weekly": (
        _VERIFY,
        _REHASH,
        Step("compact", "make the journal smaller", compact, goes_on=True),
        _CHAIN,
        Step("drill", "restore the newest snapshot and validate it", drill, rehearses=False),
        _HEARTBEAT,
        _ALERTS,
    ),
    "monthly": (
        _VERIFY,
        Step("accounts", "hold every message against the others", accounts),
        _REHASH,
        _CHAIN,
        Step("audit", "look at keys and permissions", audit),
        Step("archive", "compress old messages", archive, goes_on=True),
        Step("storage", "write packs anew and pack databases", storage),
        Step("report", "write a report", report, rehearses=False),
        _HEARTBEAT,
        _ALERTS,
    ),
}
"""By job its steps, in order."""
