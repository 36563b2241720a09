"""What people see of forgetting messages and accounts, and of compaction."""

from __future__ import annotations

from typing import Any

from memorybank_cli.base.names import escape_text
from memorybank_cli.base.words import counted
from memorybank_cli.cli.blocks import Block, Bytes, Table, Text
from memorybank_cli.cli.views.generic import lines
from memorybank_cli.cli.views.streams import clock_time


def forgotten(report: dict[str, Any]) -> list[Block]:
    """What went, and the snapshots that still hold it."""
    verb = "would be removed" if report["dry_run"] else "removed"
    blocks = lines("forgotten" if not report["dry_run"] else "would be forgotten:", _ids(report))
    blocks += lines(verb, report["quarantine"], "warning")
    if report["lines"]:
        blocks.append(Text(f"{counted(report['lines'], 'journal line')}: data {verb}"))
    rows = [
        [one["id"], clock_time(one["time"]), "" if one["certain"] else "may hold it"] for one in report["snapshots"]
    ]
    return [*blocks, Table(("snapshot", "time", "notes"), rows, "still held by")] if rows else blocks


def _ids(report: dict[str, Any]) -> list[str]:
    return [escape_text(one) for one in report.get("forgotten", [])]


def compacted(report: dict[str, Any]) -> list[Block]:
    """A row a segment."""
    rows = [[one["file"], one["lines"], Bytes(one["before"]), Bytes(one["after"])] for one in report["segments"]]
    return [Table(("segment", "lines without data", "before", "after"), rows)] if rows else []
