"""What people see of imports and migrations: the plan as a table, what was assumed, what could not be taken."""

from __future__ import annotations

from typing import Any

from memorybank_cli.cli.blocks import Block, Findings, Table, Text
from memorybank_cli.cli.views.generic import PER_LIST, lines, table

_PLAN = ("importer", "score", "kind", "count", "from", "to")
_LIFTED = ("path", "kind", "from", "to")
KEPT = Text("The bytes that were replaced are in .memorybank/quarantine (--json says which).", "dim")
_STEPS = ("from", "to", "description", "snapshot")


def migrate(report: dict[str, Any]) -> list[Block]:
    """What came in, and what was brought up to date."""
    blocks: list[Block] = [Findings(report["findings"]), *imported(report)]
    if report["steps"]:
        blocks.append(table([{name: one[name] for name in _STEPS} for one in report["steps"]], "format steps"))
    if report["lifted"]:
        rows = [{name: one[name] for name in _LIFTED} for one in report["lifted"][:PER_LIST]]
        blocks.append(table(rows, "lifted documents"))
        blocks += _more(len(report["lifted"]), "lifted documents")
    if any(one["kept"] for one in report["lifted"]):
        blocks.append(KEPT)
    unliftable = [f"{one['path']}: {one['reason']}" for one in report["unliftable"]]
    return [*blocks, *lines("unliftable", unliftable, "warning")]


def imported(report: dict[str, Any]) -> list[Block]:
    """The plan, or what became of it; then what is worth a look."""
    blocks: list[Block] = []
    if report["plan"] and report["imported"]:
        rows = [[one[name] for name in _PLAN] for one in report["plan"][:PER_LIST]]
        blocks.append(Table(_PLAN, rows, "plan" if report["dry_run"] else "imported"))
        blocks += _more(len(report["plan"]), "parts")
    for one in report["assumptions"]:
        blocks.append(Text(f"assumed {one['text']} ({one['count']:,})", "dim"))
    for one in report["rejected"][:PER_LIST]:
        blocks.append(Text(f"rejected {one['path']}: {one['reason']}", "warning"))
        if one["kept"]:
            blocks.append(Text(f"    kept in {one['kept']}", "dim"))
    blocks += _more(len(report["rejected"]), "rejected")
    skipped = [f"{one['path']}: {one['reason']}" for one in report["skipped"]]
    return [*blocks, *lines("left behind", skipped, "dim")]


def _more(count: int, what: str) -> list[Block]:
    more = count - PER_LIST
    return [Text(f"... and {more:,} more {what} (--json shows all)", "dim")] if more > 0 else []
