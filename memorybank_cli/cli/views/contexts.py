"""What people see of the summaries of a conversation."""

from __future__ import annotations

from typing import Any

from memorybank_cli.base.names import escape_text
from memorybank_cli.cli.blocks import Block, Findings, Text
from memorybank_cli.cli.views.streams import clock_time


def shown(report: dict[str, Any]) -> list[Block]:
    """A paragraph a summary: the messages it stands for, when they were, what it is about, and the sentences kept."""
    blocks: list[Block] = []
    for one in report["summaries"]:
        blocks += [Text(_heading(one), "strong"), Text("\n".join(map(_sentence, one["sentences"]))), Text("")]
    return [*blocks, Findings(report["findings"])]


def _heading(summary: dict[str, Any]) -> str:
    about = ", ".join(summary["topics"])
    names = f" ({', '.join(summary['entities'])})" if summary["entities"] else ""
    span = (
        f"{summary['first']:,} to {summary['last']:,}"
        if summary["first"] != summary["last"]
        else f"{summary['first']:,}"
    )
    return escape_text(f"{span}  {clock_time(summary['from'])}  {about}{names}")


def _sentence(sentence: dict[str, Any]) -> str:
    return "  " + escape_text(f"{sentence['role']}: {sentence['text']}")
