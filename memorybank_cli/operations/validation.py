"""The document of a final validation: the verdict, how each part of the bank is, what was not checked, what is next.

Spec 000 ends with "Test all components, verify monitoring, document status"; this is that document, as JSON. Every
number in it comes from the look that was just taken, the journal, the catalog or the repository.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from memorybank_cli import __version__
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.scan import Scan
from memorybank_cli.base import clock
from memorybank_cli.base.names import escape
from memorybank_cli.base.records import SEVERITIES, Finding, Severity
from memorybank_cli.base.words import counted
from memorybank_cli.health.status import Counts, status_document
from memorybank_cli.operations.components import Parts, SnapshotState

_WATCH = {"command": "memorybank watch", "why": "keeps looking while agents write"}


class Asked(NamedTuple):
    """What the validation was asked for: PATHs, families of findings, every file read again, and from when it fails."""

    paths: Sequence[str]
    only: Sequence[str]
    full: bool
    fail_on: Severity
    schema: str | None = None


def validation_document(
    report: Mapping[str, Any], findings: Sequence[Finding], asked: Asked, bank: Bank | None, scan: Scan | None
) -> dict[str, Any]:
    """The whole document; `report` is the contract's JSON. Without a scan it is of files anywhere, not of a bank."""
    found = _of_anything(report, findings, asked)
    return found if bank is None or scan is None else _of_a_bank(found, findings, asked, bank, scan)


def _of_anything(report: Mapping[str, Any], findings: Sequence[Finding], asked: Asked) -> dict[str, Any]:
    counts = {severity: sum(one.severity == severity for one in findings) for severity in reversed(SEVERITIES)}
    rest = "passed with warnings" if counts["warning"] else "passed"
    return {
        "verdict": rest if report["ok"] else "failed",
        "fail_on": asked.fail_on,
        "checked_at": clock.now(),
        "program": f"memorybank {__version__}",
        "counts": counts,
        "bank": None,
        "components": [],
        "not_checked": list(_unseen(findings, asked)),
        "next_steps": list(_steps(findings)),
        **report,
    }


def _of_a_bank(
    found: dict[str, Any], findings: Sequence[Finding], asked: Asked, bank: Bank, scan: Scan
) -> dict[str, Any]:
    snapshots = SnapshotState(bank)
    now = found["checked_at"]
    parts = Parts(bank, scan, findings, now, partly=bool(asked.paths))
    newest = snapshots.newest
    last_snapshot = newest.time if newest and newest.status == "good" else None
    status = status_document(findings, Counts(scan.by_section, scan.mtimes, last_snapshot), now)
    end = bank.end
    return {
        **found,
        "bank": {
            "id": bank.bank_id,
            "path": escape(bank.root.path),
            "format": bank.format,
            "head": {"seq": end.seq, "hash": end.hash},
        },
        "records": scan.records,
        "components": [one._asdict() for one in (*parts.all(), snapshots.component())],
        "not_checked": [*_unread(bank, scan, asked), *found["not_checked"], *_snapshot_bytes(snapshots)],
        "next_steps": [*found["next_steps"], *_backup(snapshots, found["pending"])] or [_WATCH],
        **status,
    }


def _unchecked(what: str, why: str) -> dict[str, str]:
    return {"what": what, "why": why}


def _step(command: str, why: str) -> dict[str, str]:
    return {"command": command, "why": why}


def _snapshot_bytes(snapshots: SnapshotState) -> Iterator[dict[str, str]]:
    """Snapshots are only listed here."""
    if snapshots.trouble:
        yield _unchecked("the snapshots", f"the repository cannot be read: {snapshots.trouble}")
    elif snapshots.all:
        what = f"the bytes of {counted(len(snapshots.all), 'snapshot')}"
        yield _unchecked(what, "memorybank snapshot verify --read-data reads them")


def _backup(snapshots: SnapshotState, pending: int) -> Iterator[dict[str, str]]:
    """What a bank without a good snapshot needs, or one that has changed since."""
    if not snapshots.trouble and (snapshots.newest is None or snapshots.newest.status != "good"):
        yield _step("memorybank backup", "there is no good snapshot to go back to")
    elif pending:
        yield _step("memorybank backup", f"records the {counted(pending, 'pending change')} and makes a snapshot")


def _unread(bank: Bank, scan: Scan, asked: Asked) -> Iterator[dict[str, str]]:
    """What a look at a bank leaves out by its nature."""
    if asked.paths:
        what = "everything else, the journal, the bank's permissions, and what documents say of each other"
        yield _unchecked(what, f"only {', '.join(asked.paths)} was asked for")
    if same := scan.checked - scan.read:
        why = "their size, times and inode did not move since they were read; --full reads them again"
        yield _unchecked(f"the bytes of {counted(same, 'file')}", why)
    others = sum(bank.catalog.sections().values()) - sum(bank.catalog.kinds().values())
    if others:
        why = "they are no JSON, so only their digest is compared"
        yield _unchecked(f"the content of {counted(others, 'document')}", why)
    if not asked.paths:
        why = "it is followed from where it was last proved; memorybank log --verify proves all of it"
        yield _unchecked("the beginning of the journal", why)


def _unseen(findings: Iterable[Finding], asked: Asked) -> Iterator[dict[str, str]]:
    """What the findings themselves say could not be checked."""
    if asked.only:
        yield _unchecked("findings of other families", f"only {', '.join(asked.only)} was asked for")
    listed = list(findings)
    rows = (
        ("the shape of {}", "damaged file", "they are not parsed", _is_damaged),
        ("the shape of {}", "file", "no schema that fits them is known", lambda one: one.rule == "MB202"),
        ("{}", "file or directory", "they cannot be read", lambda one: one.rule == "MB307"),
        ("{}", "link or special file", "none is ever followed or opened", lambda one: one.rule == "MB305"),
    )
    for what, noun, why, concerned in rows:
        if count := len({one.path for one in listed if concerned(one)}):
            plural = {"file or directory": "files or directories", "link or special file": "links or special files"}
            yield _unchecked(what.format(counted(count, noun, plural.get(noun, ""))), why)


def _is_damaged(finding: Finding) -> bool:
    return finding.rule.startswith("MB10")


def _steps(findings: Sequence[Finding]) -> Iterator[dict[str, str]]:
    """What to do next, the gravest first; cures of single files are with the findings."""
    damaged = {one.path for one in findings if _is_damaged(one) or one.rule in ("MB111", "MB115")}
    outside = {one.path for one in findings if one.rule in ("MB110", "MB113")}
    shapes = {one.path for one in findings if one.rule == "MB201"}
    unknown = sorted({one.path.partition("/")[0] for one in findings if one.rule == "MB202" and "/" in one.path})
    if damaged:
        what = counted(len(damaged), "damaged or missing file")
        yield _step("memorybank repair --dry-run", f"shows how {what} can be cured; without --dry-run it is done")
    if outside:
        what = counted(len(outside), "file") + " changed outside memorybank"
        yield _step("memorybank accept PATH", f"for {what}, if you wrote that; rollback --path PATH takes it back")
    if shapes:
        what = counted(len(shapes), "file") + (" do" if len(shapes) > 1 else " does")
        yield _step("memorybank schema show KIND", f"says what is expected: {what} not match the schema")
    if any(one.rule == "MB207" and one.hint.startswith("memorybank repair") for one in findings):
        yield _step("memorybank repair --aggregates --dry-run", "shows what the totals would be by the records")
    if unknown:
        yield _step(f"memorybank schema infer {unknown[0]}", "learns a schema for files that have none")
    if damaged or outside or shapes:
        yield _step("memorybank validate --report FILE", "once that is done, for a new verdict")
