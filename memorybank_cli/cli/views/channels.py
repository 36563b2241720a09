"""What people see of channels of alerts."""

from __future__ import annotations

from typing import Any

from memorybank_cli.cli.blocks import Block, Findings, Table, Text

_RESULTS = {True: "took it", False: "failed", None: "not tried"}


def tested(report: dict[str, Any]) -> list[Block]:
    """A row a channel, then why some failed and what to do, then what alerts.json has wrong."""
    rows = [
        [one["channel"], one["kind"], _RESULTS[one["ok"]], f"{one['seconds']:.2f} s", one["waiting"] or ""]
        for one in report["channels"]
    ]
    blocks: list[Block] = [Table(("channel", "kind", "result", "in", "waiting"), rows)] if rows else []
    for one in report["channels"]:
        if one["reason"]:
            blocks.append(Text(f"{one['channel']}: {one['reason']}", "bad"))
        if one["hint"]:
            blocks.append(Text(f"    {one['hint']}"))
    return [*blocks, Findings(report["findings"])] if report["findings"] else blocks
