"""What people see of maintenance runs and of the schedule."""

from __future__ import annotations

from typing import Any

from memorybank_cli.cli.blocks import Block, Findings, Table, Text


def maintained(report: dict[str, Any]) -> list[Block]:
    """Findings, then a line a step: what it came to, how long it took."""
    several = len({one["job"] for one in report["steps"]}) > 1
    rows = [
        [
            f"{one['job']} {one['step']}" if several else one["step"],
            one["result"],
            f"{one['seconds']:.2f} s",
            one["message"],
        ]
        for one in report["steps"]
    ]
    return [
        Findings(report["findings"]),
        *([Table(("step", "result", "time", "what"), rows)] if rows else []),
    ]


def scheduled(report: dict[str, Any]) -> list[Block]:
    """What is wrong, what was written, the jobs with their last runs, and what is left to do."""
    blocks: list[Block] = [Findings(report["findings"])]
    for path, text in report["written"].items():
        verb = "would be written" if report["dry_run"] else "written"
        blocks.append(Text(f"{path} {verb}:" if text else f"out of {path}", "strong"))
        blocks += [Text(line, "dim") for line in text.splitlines()]
    if report["jobs"] and report["by"]:
        rows = [
            [one["job"], one["when"], _time(one.get("next")), _time(one.get("last_run")), _how(one)]
            for one in report["jobs"]
        ]
        blocks.append(Table(("job", "when", "next", "last run", "how"), rows))
    return [*blocks, *(Text(note, "warning") for note in report["notes"])]


def _time(text: str | None) -> str | None:
    return f"{text[:16]}Z" if text else None


def _how(one: dict[str, Any]) -> str | None:
    if one.get("ok") is None:
        return None
    return f"{'good' if one['ok'] else 'failed'}, {one['seconds']:.1f} s"
