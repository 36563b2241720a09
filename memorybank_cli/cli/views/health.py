"""What people see of the state a bank is in."""

from __future__ import annotations

from typing import Any

from memorybank_cli.cli.blocks import Block, Bytes, Fields, Findings, Style, Table, Text
from memorybank_cli.cli.views.generic import lines
from memorybank_cli.cli.views.streams import clock_time

_COLOURS: dict[str, Style] = {"error": "bad", "warning": "warning"}


def health(report: dict[str, Any]) -> list[Block]:
    """Each part of the bank with its word, and the samples; with --explain the findings too."""
    parts = [[one["component"], one["status"], len(one["issues"])] for one in report["components"]]
    blocks: list[Block] = [Findings(report["findings"])] if report["explain"] else []
    blocks.append(Table(("component", "status", "issues"), parts))
    if report["samples"]:
        blocks += [Text(""), Fields([_sample(name, value) for name, value in report["samples"].items()])]
    return blocks


def _sample(name: str, value: float) -> tuple[str, Any]:
    words = name.removesuffix("_bytes").replace("_", " ")
    return (words, Bytes(value)) if name.endswith("bytes") else (words, value)


def status(report: dict[str, Any]) -> list[Block]:
    """The bank, what it holds, what changed, and what is wrong."""
    document = report["memory_bank_status"]
    sections = ", ".join(f"{name} {count:,}" for name, count in report["sections"].items() if count)
    unknown = report["snapshots_unknown"]
    last = clock_time(document["integrity_checks"]["state"]["last_snapshot"])
    pairs = [
        ("bank", report["path"]),
        ("id", report["bank_id"]),
        ("files", sections),
        ("journal", f"{report['head']['seq']:,} lines, {str(report['head']['hash'])[:12]}"),
        ("last snapshot", last or (f"not known: {unknown}" if unknown else "none")),
    ]
    if drill := report["last_drill"]:
        pairs.append(("last drill", f"{clock_time(drill['time'])} {'passed' if drill['ok'] else 'FAILED'}"))
    changes = [f"{one['change']} {one['path']}" for one in report["changes"]]
    alerts = [one for one in document["alerts"] if one["level"] != "info"]
    return [Fields(pairs), *lines("pending", changes), *_by_rule(alerts)]


def _by_rule(alerts: list[dict[str, Any]]) -> list[Block]:
    """One line a rule, told by its first alert: the status is a glance, `validate` tells everything."""
    found: dict[tuple[str, str], list[str]] = {}
    for one in alerts:
        found.setdefault((one["level"], one["message"].partition(" ")[0]), []).append(one["message"])
    shown: list[Block] = []
    for (level, _), messages in found.items():
        more = f" (and {len(messages) - 1} more)" if len(messages) > 1 else ""
        shown.append(Text(f"{level} {messages[0]}{more}", _COLOURS.get(level, "")))
    return shown
