"""What people see of forgetting, pruning, pinning and bringing back."""

from __future__ import annotations

from typing import Any

from memorybank_cli.cli.blocks import Block, Bytes, Findings, Table, Text
from memorybank_cli.cli.views.generic import lines
from memorybank_cli.cli.views.streams import clock_time


def forgotten(report: dict[str, Any]) -> list[Block]:
    """Beforehand a row a snapshot: what becomes of it, and why; where snapshots were named, those."""
    shown = [Findings(report["findings"]), *(_preview(report) if report["dry_run"] else [])]
    return shown + (pruned(report["pruned"]) if "pruned" in report else [])


def _preview(report: dict[str, Any]) -> list[Block]:
    rows = [
        [one["id"], one["status"], "keep" if one["keep"] else "forget", ", ".join(one["reasons"])]
        for one in report["snapshots"]
        if report["policy"] or not one["keep"]
    ]
    known = {one["id"] for one in report["snapshots"]}
    rows += [[name, "damaged", "forget", ""] for name in report["forgotten"] if name not in known]
    policy = [Text(f"policy: {report['policy']}, and the last 3 good ones", "dim")] if report["policy"] else []
    return [*policy, *([Table(("id", "status", "what", "why"), rows)] if rows else [])]


def pruned(report: dict[str, Any]) -> list[Block]:
    """What is damaged; the summary says the rest."""
    return [Findings(report["findings"])]


def pinned(report: dict[str, Any]) -> list[Block]:
    """Every pin."""
    return lines("pinned", report["pins"])


def undeleted(report: dict[str, Any]) -> list[Block]:
    """A row a snapshot of the trash, and the files that are lost."""
    blocks: list[Block] = [Findings(report["findings"])]
    if not report["undeleted"] and report["trash"]:
        rows = [
            [one["id"], one["status"], one["files"], Bytes(one["bytes"]), one["whole"], clock_time(one["until"])]
            for one in report["trash"]
        ]
        blocks.append(Table(("id", "status", "files", "bytes", "whole", "until"), rows))
    for name, paths in report["lost"].items():
        blocks += lines(f"lost in {name}:", paths, "warning")
    return blocks
