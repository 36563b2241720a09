"""What people see of the commands that check, make and mend: their closing line says the rest."""

from __future__ import annotations

from typing import Any

from memorybank_cli.cli.blocks import Block, Findings, Text
from memorybank_cli.cli.views.generic import PER_LIST, lines, table
from memorybank_cli.cli.views.migrations import KEPT, imported
from memorybank_cli.cli.views.schemas import inferred

AGGREGATE = "aggregate"
"""The method by which a total is made anew."""
CURE = ("path", "rule", "method", "lost", "why")
TOTAL = ("path", "pointer", "old", "new")


def findings(report: dict[str, Any]) -> list[Block]:
    """The findings alone."""
    return [Findings(report["findings"])]


def init(report: dict[str, Any]) -> list[Block]:
    """Findings, and what was imported, repaired or learnt on the way."""
    cured = report.get("repaired")
    told = {(one["rule"], one["path"]) for one in cured["unrepaired"]} if cured else set()
    blocks: list[Block] = [Findings([one for one in report["findings"] if (one["rule"], one["path"]) not in told])]
    if report.get("imported"):
        blocks += imported(report["imported"])
    if cured:
        blocks += repair(cured)
    for one in report.get("inferred", ()):
        blocks += inferred(one)
    return blocks


def repair(report: dict[str, Any]) -> list[Block]:
    """Each cure with its reason, then what has none."""
    blocks: list[Block] = []
    repaired, unrepaired = report["repaired"], report["unrepaired"]
    cures = [one for one in repaired if one["method"] != AGGREGATE]
    totals = [one for one in repaired if one["method"] == AGGREGATE]
    for rows, columns in ((cures, CURE), (totals, TOTAL)):
        if rows:
            blocks.append(table([{name: one.get(name) for name in columns} for one in rows[:PER_LIST]]))
        blocks += _rest("cures", len(rows))
    if any(one["kept"] for one in repaired):
        blocks.append(KEPT)
    for one in unrepaired[:PER_LIST]:
        blocks.append(Text(f"unrepaired {one['rule']} {one['path']}: {one['reason']}", "bad"))
        if one.get("hint"):
            blocks.append(Text(f"    {one['hint']}", "dim"))
    blocks += _rest("unrepaired", len(unrepaired))
    return blocks


def _rest(what: str, count: int) -> list[Block]:
    more = count - PER_LIST
    return [Text(f"... and {more:,} more {what} (--json shows all)", "dim")] if more > 0 else []


def accept(report: dict[str, Any]) -> list[Block]:
    """The accepted paths, then those that cannot be, and what does not fit among the accepted."""
    paths = [*lines("accepted", report["accepted"]), *lines("damaged", report["skipped"], "warning")]
    return [*paths, Findings(report["findings"])] if report.get("findings") else paths
