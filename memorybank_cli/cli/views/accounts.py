"""What people see of the accounts of a bank."""

from __future__ import annotations

from typing import Any

from memorybank_cli.cli.blocks import Block, Table, Text
from memorybank_cli.cli.views.streams import clock_time

_MANY = ("account", "messages", "short_term", "mid_term", "last_update")


def listing(report: dict[str, Any]) -> list[Block]:
    """A row an account, within 80 columns; damaged ones are named below."""
    rows = [[*(one[name] for name in _MANY[:-1]), clock_time(one[_MANY[-1]])] for one in report["accounts"]]
    damaged = [one["account"] for one in report["accounts"] if one["damaged"]]
    blocks: list[Block] = [Table([name.replace("_", " ") for name in _MANY], rows)] if rows else []
    return [
        *blocks,
        *(Text(f"damaged {name}: its history cannot be had whole; memorybank repair", "bad") for name in damaged),
    ]
