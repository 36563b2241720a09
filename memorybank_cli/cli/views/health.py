"""What people see of the state a bank is in."""

from __future__ import annotations

from shlex import quote
from typing import Any

from memorybank_cli.base.words import counted
from memorybank_cli.cli.blocks import Block, Bytes, Fields, Findings, Style, Table, Text
from memorybank_cli.cli.views.generic import lines
from memorybank_cli.cli.views.streams import clock_time

PARTS = 20
"""So many parts of accounts are shown."""
_COLOURS: dict[str, Style] = {"error": "bad", "warning": "warning"}


def health(report: dict[str, Any]) -> list[Block]:
    """Each part of the bank with its word, and the samples; with --explain the findings too."""
    parts = [[one["component"], one["status"], len(one["issues"])] for one in report["components"]]
    blocks: list[Block] = [Findings(report["findings"])] if report["explain"] else []
    blocks.append(Table(("component", "status", "issues"), parts))
    blocks += _memory(report["memory"])
    if report["samples"]:
        blocks += [Text(""), Fields([_sample(name, value) for name, value in report["samples"].items()])]
    return blocks


def _memory(parts: list[dict[str, Any]]) -> list[Block]:
    """The parts of the accounts: all of few accounts, of many those that are failing."""
    shown = parts if len(parts) <= PARTS else [one for one in parts if one["status"] == "failing"]
    rows = [
        [
            one["account"],
            one["component"],
            one["status"],
            one["message_count"],
            Bytes(one["storage_bytes"]),
            clock_time(one["last_update"]),
        ]
        for one in shown[:PARTS]
    ]
    blocks: list[Block] = [Text("")] if parts else []
    if rows:
        blocks.append(Table(("account", "component", "status", "messages", "size", "last update"), rows))
    if len(parts) > len(rows):
        blocks.append(Text(f"{len(parts) - len(rows):,} more parts of accounts: --json tells of each"))
    return blocks


def _sample(name: str, value: float) -> tuple[str, Any]:
    words = name.removesuffix("_bytes").replace("_", " ")
    return (words, Bytes(value)) if name.endswith("bytes") else (words, value)


def status(report: dict[str, Any]) -> list[Block]:
    """The bank, what it holds, what changed, and what is wrong."""
    document = report["memory_bank_status"]
    sections = ", ".join(f"{name} {count:,}" for name, count in report["sections"].items() if count)
    pairs = [
        ("bank", report["path"]),
        ("id", report["bank_id"]),
        ("files", sections),
        ("journal", f"{report['head']['seq']:,} lines, {str(report['head']['hash'])[:12]}"),
        ("last snapshot", _last_snapshot(report)),
    ]
    if drill := report["last_drill"]:
        pairs.append(("last drill", f"{clock_time(drill['time'])} {'passed' if drill['ok'] else 'FAILED'}"))
    changes = [f"{one['change']} {one['path']}" for one in report["changes"]]
    return [Fields(pairs), *lines("pending", changes), *_by_rule(report["counts"], document["alerts"])]


def _last_snapshot(report: dict[str, Any]) -> str:
    """When it was made, and where, if that is not where commands look for it."""
    last = clock_time(report["memory_bank_status"]["integrity_checks"]["state"]["last_snapshot"])
    unknown, elsewhere = report["snapshots_unknown"], report["snapshots_elsewhere"]
    if elsewhere:
        command = f"memorybank config set repository {quote(elsewhere)}"
        return f"none in the default repository; the last one, of {last}, is in {elsewhere} ({command})"
    return last or (f"not known: {unknown}" if unknown else "none")


def _by_rule(counts: list[dict[str, Any]], alerts: list[dict[str, Any]]) -> list[Block]:
    """One line a rule, told by its first alert: the status is a glance, `validate` tells everything."""
    first: dict[tuple[str, str], str] = {}
    for one in alerts:
        first.setdefault((one["level"], one["message"].partition(" ")[0]), one["message"])
    shown: list[Block] = []
    for level, rule, count in ((one["level"], one["rule"], one["count"]) for one in counts if one["level"] != "info"):
        told = first.get((level, rule))
        more = f" (and {count - 1:,} more)" if count > 1 else ""
        line = f"{level} {told}{more}" if told else f"{level} {rule}: {counted(count, 'finding')}"
        shown.append(Text(line, _COLOURS.get(level, "")))
    return shown
