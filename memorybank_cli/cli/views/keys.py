"""What people see of the keys of a repository."""

from __future__ import annotations

from typing import Any

from memorybank_cli.cli.blocks import Block, Table
from memorybank_cli.cli.views.streams import clock_time

_KINDS = {"passphrase": "passphrase", "raw": "key file", None: "damaged"}


def listing(report: dict[str, Any]) -> list[Block]:
    """A row a key."""
    rows = [
        [one["name"], _KINDS[one["kind"]], one["damage"] or clock_time(one["created_at"])] for one in report["keys"]
    ]
    return [Table(("name", "kind", "made"), rows)] if rows else []
