"""Health and status: every probe's findings as one number, one word, and the documents of the specs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.scan import Scan
from memorybank_cli.base import clock, files
from memorybank_cli.base.exact_json import dumps
from memorybank_cli.base.records import Finding, at_least
from memorybank_cli.base.words import counted
from memorybank_cli.health.score import Score, score
from memorybank_cli.health.status import Counts, components, counts, status_document
from memorybank_cli.operations.last_saved import Saved, age_hours, last_saved
from memorybank_cli.operations.memory_health import FAILING, MemoryHealth, Part, as_dicts, memory_health
from memorybank_cli.operations.probes import look
from memorybank_cli.operations.proofs import last_drill

LOW_DISK_SHARE = 0.05
LOW_DISK_BYTES = 64 << 20
_TONES = {"healthy": "good", "degraded": "warning", "error": "bad"}
_NAGIOS = {"healthy": (0, "OK"), "degraded": (1, "WARNING"), "error": (2, "CRITICAL")}


@dataclass(frozen=True)
class HealthReport:
    """The health of a bank."""

    score: Score
    components: tuple[dict[str, Any], ...]
    samples: dict[str, float]
    findings: tuple[Finding, ...]
    style: str
    explain: bool
    memory: tuple[Part, ...] = ()
    """Each memory component of each account (spec 002, 7)."""

    def as_dict(self) -> dict[str, Any]:
        """The contract's fields; `deductions` say what made the score, `memory` how each part of each account is."""
        return {
            "score": self.score.value,
            "status": self.score.word,
            "components": list(self.components),
            "samples": self.samples,
            "findings": [one.as_dict() for one in self.findings],
            "deductions": [one._asdict() for one in self.score.deductions],
            "explain": self.explain,
            "memory": as_dicts(self.memory),
        }

    @property
    def tone(self) -> str:
        """How the closing line is meant."""
        return _TONES[self.score.word]

    def exit_code(self) -> int:
        """1 for errors; Nagios' own codes with `--format nagios`."""
        if self.style == "nagios":
            return _NAGIOS[self.score.word][0]
        return 1 if self.score.word == "error" else 0

    def text(self) -> str | None:
        """The forms for other programs."""
        if self.style == "prometheus":
            return _prometheus(self)
        if self.style == "nagios":
            return _nagios(self)
        return None

    def summary(self) -> str:
        """The number, the word, and why."""
        head = f"{self.score.value} of 100, {self.score.word}"
        if not self.score.deductions:
            return head
        if self.explain:
            reasons = [
                f"  -{one.points:g} {one.rule} ({one.severity}, {counted(one.findings, 'finding')})"
                for one in self.score.deductions
            ]
            return "\n".join([head, *reasons])
        rules = [one.rule for one in self.score.deductions]
        return f"{head}: {', '.join(rules)}. Next: memorybank explain {rules[0]}"


@dataclass(frozen=True)
class StatusReport:
    """The status document of spec 000 and what stands behind it."""

    document: dict[str, Any]
    changes: tuple[dict[str, str], ...]
    head: dict[str, Any]
    score: int
    errors: int
    sections: dict[str, int]
    path: str
    bank_id: str
    last_drill: dict[str, Any]
    """Of the last restore drill `time`, `ok`, `snapshot`, `seconds` and `last_good`; {} where none was made."""
    snapshots_unknown: str = ""
    """Why the snapshots could not be looked at, '' where they were."""
    snapshots_elsewhere: str = ""
    """The repository of the last snapshot where the one that commands use by default has none."""
    counts: tuple[dict[str, Any], ...] = ()
    """How many findings there are of each `level` and `rule`; the document's alerts are the first of them only."""

    def as_dict(self) -> dict[str, Any]:
        """The contract's fields, and the bank's id, place, files by section, and last drill."""
        return {
            **self.document,
            "changes": list(self.changes),
            "head": self.head,
            "score": self.score,
            "errors": self.errors,
            "sections": self.sections,
            "path": self.path,
            "bank_id": self.bank_id,
            "last_drill": self.last_drill,
            "snapshots_unknown": self.snapshots_unknown,
            "snapshots_elsewhere": self.snapshots_elsewhere,
            "counts": list(self.counts),
        }

    @property
    def tone(self) -> str:
        """How the closing line is meant."""
        return _TONES[self.document["memory_bank_status"]["health_status"]]

    def summary(self) -> str:
        """One line, and the next step."""
        document = self.document["memory_bank_status"]
        waiting = f", {counted(len(self.changes), 'change')} not recorded yet" if self.changes else ""
        saved = self.snapshots_unknown or document["integrity_checks"]["state"]["last_snapshot"]
        unsaved = self.changes or not saved
        quiet = all(one["level"] == "info" for one in document["alerts"])
        next_step = "backup" if unsaved and not self.errors else "log" if quiet else "validate"
        errors = counted(self.errors, "error")
        return f"{document['health_status']} ({self.score} of 100), {errors}{waiting}. Next: memorybank {next_step}"


def health(
    bank: Bank,
    *,
    format_: Annotated[Literal["text", "json", "prometheus", "nagios"], "how to print"] = "text",
    explain: Annotated[bool, "say what took how much from the score"] = False,
) -> HealthReport:
    """Show the health of the bank as one number and one word.

    With each part of the bank and of every account, how much it holds, how fast messages are read and written
    of late, and which thresholds (the settings health.*) are passed.

    Exit codes:
        0  healthy or degraded
        1  error; with --format nagios its own 0 to 3

    Examples:
        memorybank health --explain
        memorybank health --format nagios
    """
    scan, findings, saved, memory = examine(bank)
    _write_status(bank, scan, findings, saved)
    parts = tuple(components(findings, clock.now()))
    measured = {**samples(bank, scan, saved), **memory.samples}
    return HealthReport(score(findings), parts, measured, tuple(findings), format_, explain, memory.parts)


def status(bank: Bank) -> StatusReport:
    """Show how the bank is, and what changed.

    Exit codes:
        0  done, whatever is found

    Examples:
        memorybank status --json
    """
    scan, findings, saved, _ = examine(bank)
    document = _write_status(bank, scan, findings, saved)
    changes = tuple({"path": one.path, "change": one.pending} for one in scan.changes)
    end = bank.end
    return StatusReport(
        document,
        changes,
        {"seq": end.seq, "hash": end.hash},
        score(findings).value,
        sum(at_least([one], "error") for one in findings),
        dict(sorted(scan.by_section.items())),
        bank.root.path,
        bank.bank_id,
        last_drill(bank),
        "" if saved.elsewhere else saved.trouble,
        saved.elsewhere,
        tuple(counts(findings)),
    )


def examine(bank: Bank) -> tuple[Scan, list[Finding], Saved, MemoryHealth]:
    """The look over the bank, all findings with those of its surroundings, when it was last saved, and the accounts."""
    scan, findings = look(bank, progress=bank.context.progress)
    saved, memory = last_saved(bank), memory_health(bank, findings)
    return scan, [*findings, *_surroundings(bank, saved), *memory.findings], saved, memory


def _surroundings(bank: Bank, saved: Saved) -> Iterable[Finding]:
    found = saved.finding(float(bank.settings["snapshot_max_age_hours"]))
    if found is not None:
        yield found
    disk = os.statvfs(bank.root.path)
    free = disk.f_bavail * disk.f_frsize
    if free < max(disk.f_blocks * disk.f_frsize * LOW_DISK_SHARE, LOW_DISK_BYTES):
        yield Finding("MB502", f"{free >> 20:,} MiB are free", "", "free some space before the next write fails")


def samples(bank: Bank, scan: Scan, saved: Saved) -> dict[str, float]:
    """Measured numbers by name, units in the name."""
    disk = os.statvfs(bank.root.path)
    found: dict[str, float] = {
        "files": scan.checked,
        "bytes": scan.bytes,
        "records": scan.records,
        "pending_changes": scan.pending,
        "journal_lines": bank.end.seq,
        "journal_bytes": sum(entry.size for entry in bank.root.listing(layout.JOURNAL)),
        "disk_free_bytes": disk.f_bavail * disk.f_frsize,
    }
    ages = {
        "snapshot_age_seconds": saved.age_hours,
        "drill_age_seconds": age_hours(last_drill(bank).get("last_good")),
    }
    return {**found, **{name: round(hours * 3600) for name, hours in ages.items() if hours is not None}}


def _write_status(bank: Bank, scan: Scan, findings: list[Finding], saved: Saved) -> dict[str, Any]:
    """The status document; it is kept in status.json too, where the bank can be written."""
    counts = Counts(scan.by_section, scan.mtimes, saved.time)
    document = status_document(findings, counts, clock.now())
    try:
        files.make_dirs(bank.root, layout.PRIVATE)
        files.replace(bank.root, layout.STATUS, dumps(document, indent=True) + b"\n", durable=False)
    except OSError as error:
        bank.context.progress.note(f"status.json could not be written: {(error.strerror or '').lower()}")
    return document


def _prometheus(report: HealthReport) -> str:
    lines = ["# TYPE memorybank_health_score gauge", f"memorybank_health_score {report.score.value}"]
    for name, value in report.samples.items():
        lines += [f"# TYPE memorybank_{name} gauge", f"memorybank_{name} {value:g}"]
    counts: dict[tuple[str, str], int] = {}
    for one in report.findings:
        counts[one.rule, one.severity] = counts.get((one.rule, one.severity), 0) + 1
    lines.append("# TYPE memorybank_findings gauge")
    lines += [
        f'memorybank_findings{{rule="{rule}",severity="{level}"}} {n}' for (rule, level), n in sorted(counts.items())
    ]
    lines.append("# TYPE memorybank_component_up gauge")
    lines += [
        f'memorybank_component_up{{account="{one.account}",component="{one.component}"}} {int(one.status != FAILING)}'
        for one in report.memory
    ]
    return "\n".join(lines) + "\n"


def _nagios(report: HealthReport) -> str:
    word = _NAGIOS[report.score.word][1]
    data = " ".join(f"{name}={value:g}" for name, value in report.samples.items())
    rules = ", ".join(one.rule for one in report.score.deductions) or "all good"
    return f"MEMORYBANK {word} - {report.score.value} of 100: {rules} | score={report.score.value} {data}\n"
