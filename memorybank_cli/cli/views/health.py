"""What people see of the state a bank is in."""

from __future__ import annotations

from typing import Any

from memorybank_cli.cli.blocks import Block, Fields, Findings, Style, Table, Text
from memorybank_cli.cli.views.generic import lines

_COLOURS: dict[str, Style] = {"error": "bad", "warning": "warning"}


def health(report: dict[str, Any]) -> list[Block]:
    """Findings, each part of the bank with its word, and the samples; the closing line has the score."""
    parts = [[one["component"], one["status"], len(one["issues"])] for one in report["components"]]
    blocks: list[Block] = [Findings(report["findings"]), Table(("component", "status", "issues"), parts)]
    if report["samples"]:
        blocks += [Text(""), Fields(list(report["samples"].items()))]
    return blocks


def status(report: dict[str, Any]) -> list[Block]:
    """The bank, what it holds, what changed, and what is wrong."""
    document = report["memory_bank_status"]
    sections = ", ".join(f"{name} {count:,}" for name, count in report["sections"].items() if count)
    pairs = [
        ("bank", report["path"]),
        ("id", report["bank_id"]),
        ("files", sections),
        ("journal", f"{report['head']['seq']:,} lines, {str(report['head']['hash'])[:12]}"),
        ("last snapshot", document["integrity_checks"]["state"]["last_snapshot"]),
    ]
    changes = [f"{one['change']} {one['path']}" for one in report["changes"]]
    alerts = [one for one in document["alerts"] if one["level"] != "info"]
    told = [Text(f"{one['level']} {one['message']}", _COLOURS.get(one["level"], "")) for one in alerts[:20]]
    rest = [Text(f"... and {len(alerts) - 20} more (memorybank validate)", "dim")] if len(alerts) > 20 else []
    return [Fields(pairs), *lines("pending", changes), *told, *rest]
