"""The forms of health for other programs: Prometheus' text format, and the line of a Nagios plugin."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from memorybank_cli.base import clock
from memorybank_cli.base.names import escape_text
from memorybank_cli.base.records import Finding
from memorybank_cli.base.words import counted
from memorybank_cli.health.score import LADDER, Score, Word, rank

PREFIX = "memorybank"
WORDS: tuple[Word, ...] = ("healthy", "degraded", "unknown", "error")
NAGIOS: dict[Word, tuple[int, str]] = {
    "healthy": (0, "OK"),
    "degraded": (1, "WARNING"),
    "error": (2, "CRITICAL"),
    "unknown": (3, "UNKNOWN"),
}
"""Exit code and word of each state, as the guidelines for plugins have them."""
LINES = 20
"""Findings that Nagios is shown below the first line."""
HELP: dict[str, str] = {
    "health_score": "Health of the bank, 0 to 100.",
    "health_status": "1 for the word that holds now, 0 for the others.",
    "last_check_timestamp_seconds": "When the bank was looked at; what is older than its cadence is unknown.",
    "findings": "Findings that stand now.",
    "component_status": "1 for the word of a part of the bank, 0 for the others.",
    "component_up": "0 where a memory component of an account is failing.",
    "files": "Files that the last look checked.",
    "bytes": "Bytes of these files.",
    "records": "Records in these files.",
    "pending_changes": "Changes that agents made and nobody recorded yet.",
    "look_seconds": "How long the last look at every file took.",
    "look_files_per_second": "Files checked a second by that look.",
    "journal_lines": "Lines of the journal.",
    "journal_bytes": "Bytes of the journal.",
    "disk_free_bytes": "Bytes that are free where the bank lies.",
    "disk_size_bytes": "Bytes of the file system where the bank lies.",
    "inodes_free": "Inodes that are free where the bank lies.",
    "inodes": "Inodes of the file system where the bank lies.",
    "memory_available_bytes": "Memory that programs can have, of the machine or the container.",
    "memory_size_bytes": "Memory of the machine or the container.",
    "open_handles": "Files that the process which looked had open.",
    "machine_handles": "Files that all programs on the machine have open.",
    "clock_behind_seconds": "How far the clock is behind the last change of the journal.",
    "clock_in_step": "1 where the system says that something keeps the clock in step, 0 where nothing does.",
    "metrics_age_seconds": "Seconds since the newest file in metrics/ was written.",
    "state_age_seconds": "Seconds since the newest file in state/ was written.",
    "disk_write_seconds": "How long a durable write of 4 KiB took.",
    "disk_read_seconds": "How long reading that back took.",
    "accounts": "Accounts in the bank.",
    "messages": "Messages of all accounts.",
    "messages_per_day": "Messages stored within the last day.",
    "account_storage_bytes": "Bytes of all accounts.",
    "failing_components": "Memory components of accounts that are failing.",
    "write_p50_seconds": "Half of the last writes of messages took so long or less.",
    "write_p95_seconds": "Of the last writes of messages 95 percent took so long or less.",
    "write_error_rate": "Share of the last writes of messages that failed.",
    "read_p50_seconds": "Half of the last reads of messages took so long or less.",
    "read_p95_seconds": "Of the last reads of messages 95 percent took so long or less.",
    "read_error_rate": "Share of the last reads of messages that failed.",
    "snapshot_age_seconds": "Age of the newest good snapshot.",
    "drill_age_seconds": "Seconds since a restore drill passed.",
    "offsite_age_seconds": "Age of the newest good snapshot on another disk.",
    "snapshots": "Snapshots of the bank in its repository.",
    "snapshots_to_forget": "Those of them that the retention policy would not keep.",
    "repository_encrypted": "1 where the repository is encrypted.",
}
"""What each metric and each sample is."""
_UNITS = {"_seconds": "s", "_bytes": "B"}


class Facts(NamedTuple):
    """All that is told."""

    bank: str
    """Its path, escaped."""
    score: Score
    findings: Sequence[Finding]
    samples: Mapping[str, float]
    components: Sequence[Mapping[str, Any]]
    parts: Sequence[tuple[str, str, bool]]
    """Memory components: account, component, whether it is up."""
    checked_at: str


Series = tuple[str, list[tuple[dict[str, str], float]]]
"""A metric's name, and its values by labels."""


def prometheus(facts: Facts) -> str:
    """The text format 0.0.4; each metric has HELP, TYPE and the label `bank`, so that many banks fit one directory."""
    lines: list[str] = []
    for name, rows in _metrics(facts):
        full = f"{PREFIX}_{name}"
        lines += [f"# HELP {full} {HELP.get(name, name)}", f"# TYPE {full} gauge"]
        lines += [f"{full}{_labels({'bank': facts.bank, **labels})} {_number(value)}" for labels, value in rows]
    return "\n".join(lines) + "\n"


def _metrics(facts: Facts) -> Iterator[Series]:
    yield "health_score", [({}, facts.score.value)]
    yield "health_status", [({"status": one}, int(one == facts.score.word)) for one in WORDS]
    yield "last_check_timestamp_seconds", [({}, clock.parse(facts.checked_at).timestamp())]
    for name, value in facts.samples.items():
        yield name, [({}, value)]
    found = Counter((one.rule, one.severity) for one in facts.findings)
    if found:
        yield "findings", [({"rule": rule, "severity": level}, n) for (rule, level), n in sorted(found.items())]
    by_word = (
        ({"component": one["component"], "status": word}, int(one["status"] == word))
        for one in facts.components
        for word in WORDS
    )
    yield "component_status", list(by_word)
    if facts.parts:
        yield "component_up", [({"account": one, "component": two}, int(up)) for one, two, up in facts.parts]


def _labels(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{name}="{_label(value)}"' for name, value in labels.items()) + "}"


def _label(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    """A number without loss; whole ones without a point."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) else repr(float(value))


def nagios(facts: Facts) -> str:
    """The first line with its performance data, then the worst findings, one a line."""
    word = NAGIOS[facts.score.word][1]
    rules = ", ".join(one.rule for one in facts.score.deductions) or "all good"
    head = f"{PREFIX.upper()} {word} - {facts.score.value} of 100: {rules} | {' '.join(_performance(facts))}"
    return "\n".join([head, *_worst(facts.findings)]) + "\n"


def nagios_failure(message: str) -> str:
    """The line where the bank could not be looked at at all."""
    return f"{PREFIX.upper()} {NAGIOS['unknown'][1]} - {_plain(message)}\n"


def _performance(facts: Facts) -> Iterator[str]:
    """`label=value[unit];warn;crit;min;max`, for the score the range in which it is good."""
    degraded, error = LADDER["warning"].ceiling, LADDER["error"].ceiling
    yield f"score={facts.score.value};{degraded + 1}:;{error + 1}:;0;100"
    for name, value in facts.samples.items():
        unit = next((unit for ending, unit in _UNITS.items() if name.endswith(ending)), "")
        yield f"{name}={_number(value)}{unit}"


def _worst(findings: Iterable[Finding]) -> list[str]:
    told = sorted((one for one in findings if rank(one)), key=rank, reverse=True)
    lines = [_plain(f"{one.severity} {one.rule} {one.path or 'the bank'}: {one.message}") for one in told[:LINES]]
    more = len(told) - len(lines)
    return [*lines, f"and {counted(more, 'more finding')}"] if more else lines


def _plain(text: str) -> str:
    """Text of any origin in one line without what Nagios takes for the beginning of performance data."""
    return escape_text(text).replace("|", "/")
