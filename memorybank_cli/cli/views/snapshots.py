"""What people see of snapshots."""

from __future__ import annotations

from typing import Any

from memorybank_cli.base.words import counted, size
from memorybank_cli.cli.blocks import Block, Bytes, Fields, Findings, Table, Text
from memorybank_cli.cli.views.generic import PER_LIST, lines, table
from memorybank_cli.cli.views.streams import clock_time

_ONE = ("id", "time", "host", "seq", "status", "reasons", "tags", "files", "bytes", "records", "parent", "excluded")
_MANY = ("id", "time", "status", "files", "bytes", "tags")
_PROVED = {"snapshots": "snapshots", "checked": "trees and blobs", "packs": "packs read", "bytes_read": "bytes read"}


def listing(report: dict[str, Any]) -> list[Block]:
    """A row a snapshot, oldest first."""
    rows = [[_cell(name, one.get(name)) for name in _MANY] for one in report["snapshots"]]
    return [Findings(report["findings"]), *([Table(_MANY, rows)] if rows else [])]


def _cell(name: str, value: Any) -> Any:
    """A value as it fits into 80 columns: times to the second, bytes with a unit."""
    if value is None:
        return value
    return clock_time(value) if name == "time" else Bytes(value) if name == "bytes" else value


def one(report: dict[str, Any]) -> list[Block]:
    """The snapshot's document, and what it holds."""
    document, files = report["snapshot"], report["files"]
    blocks: list[Block] = [Fields([(name, document[name]) for name in _ONE if name in document])]
    if files:
        shown = [{name: row.get(name) for name in ("path", "size", "rule")} for row in files[:PER_LIST]]
        blocks.append(table(shown, "files"))
    if len(files) > PER_LIST:
        blocks.append(Text(f"... and {len(files) - PER_LIST:,} more files (--json shows all)", "dim"))
    return blocks


def made(report: dict[str, Any]) -> list[Block]:
    """What was found on the way, and which files are damaged."""
    damaged = [f"{found['rule']} {found['path']}" for found in report["snapshot"]["damaged"]]
    return [Findings(report["findings"]), *lines("damaged", damaged, "warning")]


def verified(report: dict[str, Any]) -> list[Block]:
    """Findings, and how much was proved."""
    verdict = "everything is there" if report["ok"] else "something is damaged; see above"
    counts = ", ".join(f"{report[name]:,} {word}" for name, word in _PROVED.items() if report[name])
    return [Findings(report["findings"]), Text(f"{counts}: {verdict}", "good" if report["ok"] else "bad")]


def restored(report: dict[str, Any]) -> list[Block]:
    """Findings, and where the content stands now."""
    text = f"{counted(report['files'], 'file')}, {size(report['bytes'])} restored to {report['path']}"
    return [Findings(report["findings"]), Text(text, "strong")]


def rolled_back(report: dict[str, Any]) -> list[Block]:
    """Each file that is put back or removed."""
    would = "would be " if report["dry_run"] else ""
    blocks = [*lines(f"{would}restored", report["restored"]), *lines(f"{would}removed", report["removed"], "warning")]
    return [Findings(report["findings"]), *blocks]
