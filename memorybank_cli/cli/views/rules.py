"""What people see of `explain`."""

from __future__ import annotations

from typing import Any

from memorybank_cli.cli.blocks import Block, Table, Text


def explanations(report: dict[str, Any]) -> list[Block]:
    """One rule in full, several as a table."""
    rules = report["rules"]
    if len(rules) > 1:
        columns = ("rule", "name", "severity", "what")
        return [Table(columns, [[rule[column] for column in columns] for rule in rules])]
    [rule] = rules
    return [
        Text(f"{rule['rule']} {rule['name']} ({rule['severity']})", "strong"),
        Text(f"\n{rule['what']}\n\nWhy it matters: {rule['why']}\n\nWhat to do: {rule['cure']}"),
    ]
