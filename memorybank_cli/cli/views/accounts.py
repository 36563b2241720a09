"""What people see of the accounts of a bank."""

from __future__ import annotations

from typing import Any

from memorybank_cli.base.names import escape_text
from memorybank_cli.cli.blocks import Block, Fields, Findings, Table, Text
from memorybank_cli.cli.views.streams import clock_time

_MANY = ("account", "messages", "short_term", "mid_term", "last_update")

_WHY = {
    True: "its history cannot be had whole; memorybank repair",
    False: "messages were given up when it was begun anew; memorybank account show tells",
}


def listing(report: dict[str, Any]) -> list[Block]:
    """A row an account, within 80 columns; failing ones are named below."""
    rows = [[*(one[name] for name in _MANY[:-1]), clock_time(one[_MANY[-1]])] for one in report["accounts"]]
    failing = [one for one in report["accounts"] if one["status"] == "failing"]
    blocks: list[Block] = [Table([name.replace("_", " ") for name in _MANY], rows)] if rows else []
    return [
        *blocks,
        *(Text(f"failing {one['account']}: {_WHY[one['damaged']]}", "bad") for one in failing),
    ]


def one(report: dict[str, Any]) -> list[Block]:
    """What an account holds, and each part of it."""
    sizes = report["capacity"]
    fields = [
        ("account", report["account"]),
        ("created", clock_time(report["created_at"])),
        ("messages", report["messages"]),
        ("last update", clock_time(report["last_update"])),
        ("windows", f"{sizes['short_term']:,} and {sizes['mid_term']:,} messages"),
    ]
    return [Fields(fields), *_components(report["components"])]


def added(report: dict[str, Any]) -> list[Block]:
    """What came of messages, in numbers; which ones they were is for programs."""
    return [Fields([(name.replace("_", " "), value) for name, value in report.items() if not isinstance(value, list)])]


def checked(report: dict[str, Any]) -> list[Block]:
    """Each account that was read, and what was found."""
    rows = [[one["account"], one["messages"], one["archived"], one["late"], _worst(one)] for one in report["accounts"]]
    table: list[Block] = [Table(["account", "messages", "archived", "late", "status"], rows)] if rows else []
    return [*table, *([Findings(report["findings"])] if report["findings"] else [])]


def _components(parts: list[dict[str, Any]]) -> list[Block]:
    rows = [
        [part["component"].replace("_", " "), part["status"], part["message_count"], clock_time(part["last_update"])]
        for part in parts
    ]
    issues = [
        Text(escape_text(issue), "bad") for issue in dict.fromkeys(one for part in parts for one in part["issues"])
    ]
    return [Table(["part", "status", "messages", "last update"], rows), *issues]


def _worst(account: dict[str, Any]) -> str:
    states = [part["status"] for part in account["components"]]
    return "failing" if "failing" in states else "active" if "active" in states else "initializing"
