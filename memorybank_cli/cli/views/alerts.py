"""What people see of alerts, silences and routes."""

from __future__ import annotations

from typing import Any

from memorybank_cli.base.names import escape_text
from memorybank_cli.cli.blocks import Block, Fields, Findings, Style, Table, Text
from memorybank_cli.cli.views.streams import clock_time

MOST = 20
_STYLES: dict[str, Style] = {"critical": "bad", "error": "bad", "warning": "warning"}


def listing(report: dict[str, Any]) -> list[Block]:
    """An alert with its times and its cure, the most severe first; of many the first ones."""
    blocks: list[Block] = []
    alerts = sorted(report["alerts"], key=lambda one: (one["state"] != "firing", -_rank(one)))
    for one in alerts[:MOST]:
        state = "" if one["state"] == "firing" else f" {one['state']}"
        where = one["path"] or "the bank"
        head = f"{one['fingerprint'][:8]} {one['severity']}{state} {one['rule']} {where}: {one['message']}"
        blocks.append(Text(escape_text(head), "dim" if state or one["muted"] else _STYLES.get(one["severity"], "")))
        blocks.append(Text(f"    {escape_text(_times(one))}", "dim"))
        if one["hint"] and not state and not one["muted"]:
            blocks.append(Text(f"    {escape_text(one['hint'])}", "dim"))
    if len(alerts) > MOST:
        blocks.append(
            Text(f"... and {len(alerts) - MOST:,} more (--json shows all; --severity, --section, --rule choose)", "dim")
        )
    return blocks


def _times(one: dict[str, Any]) -> str:
    if one["state"] == "resolved":
        words = [f"from {clock_time(one['first_seen'])}", f"resolved {clock_time(one['resolved_at'])}"]
    else:
        words = [f"since {clock_time(one['since'])}", f"seen {clock_time(one['last_seen'])}"]
    if one["times"] > 1:
        words.append(f"{one['times']:,} times")
    if one["gone_at"] and one["state"] == "firing":
        words.append(f"gone {clock_time(one['gone_at'])}, to be acknowledged")
    if one["acked_at"]:
        words.append(f"acknowledged by {one['acked_by']}: {one['ack_reason']}")
    return "; ".join([*words, *([one["muted"]] if one["muted"] else [])])


def _rank(one: dict[str, Any]) -> int:
    return ("info", "warning", "error", "critical").index(one["severity"])


def shown(report: dict[str, Any]) -> list[Block]:
    """What it is, how it stands, and how it is told."""
    names = ("fingerprint", "rule", "severity", "family", "path", "message", "hint", "state", "times")
    pairs = [(name, report[name]) for name in names if report[name] != ""]
    times = ("since", "first_seen", "last_seen", "resolved_at", "gone_at")
    pairs += [(name.replace("_", " "), clock_time(report[name])) for name in times if report[name]]
    if report["acked_at"]:
        pairs.append(
            ("acknowledged", f"{clock_time(report['acked_at'])} by {report['acked_by']}: {report['ack_reason']}")
        )
    if report["muted"]:
        pairs.append(("not told", report["muted"]))
    pairs.append(("goes to", ", ".join(report["channels"]) or "nowhere"))
    return [Fields(pairs), *(Text(_message(one), "" if one["delivered_at"] else "warning") for one in report["told"])]


def _message(one: dict[str, Any]) -> str:
    if one["delivered_at"]:
        return f"last message to {escape_text(one['channel'])}: delivered {clock_time(one['delivered_at'])}"
    why = f": {one['reason']}" if one["reason"] else ""
    return escape_text(
        f"last message to {one['channel']}: waits since {clock_time(one['created_at'])}, {one['tries']} tries{why}"
    )


def acknowledged(report: dict[str, Any]) -> list[Block]:
    """A line each."""
    return [
        Text(escape_text(f"{one['fingerprint'][:8]} {one['state']} {one['rule']} {one['path'] or 'the bank'}"))
        for one in report["acknowledged"]
    ]


def silences(report: dict[str, Any]) -> list[Block]:
    """A row each; of one that was changed none, the summary says it."""
    if report["changed"] or not report["silences"]:
        return []
    rows = [
        [
            one["id"],
            clock_time(one["ends_at"]),
            "yes" if one["active"] else "ended",
            _match(one["match"]),
            one["created_by"],
            one["reason"],
        ]
        for one in report["silences"]
    ]
    return [Table(("id", "ends", "in force", "alerts", "by", "reason"), rows)]


def routed(report: dict[str, Any]) -> list[Block]:
    """The routes in order, or what they said of one alert."""
    blocks: list[Block] = [Findings(report["findings"])]
    if report["alert"] is None:
        rows = [
            [
                one["name"],
                _match(one["match"]),
                ", ".join(one["channels"]) or "nowhere",
                "yes" if one["continue"] else "",
            ]
            for one in report["routes"]
        ]
        rows.append(["default", "every alert", ", ".join(report["default"]), ""])
        channels = [[name, kind] for name, kind in report["channels"].items()]
        return [*blocks, Table(("route", "alerts", "to", "continue"), rows), Table(("channel", "kind"), channels)]
    if report["explain"]:
        for step in report["steps"]:
            where = f" → {', '.join(step['channels']) or 'nowhere'}" if step["fits"] else ""
            blocks.append(Text(escape_text(f"{step['route']}: {step['why']}{where}"), "" if step["fits"] else "dim"))
        rows = [[name, *(_seconds(one[key]) for key in one)] for name, one in report["targets"].items()]
        if rows:
            blocks.append(Table(("channel", "group wait", "group interval", "repeat interval"), rows))
    return blocks


def _match(match: dict[str, Any]) -> str:
    words = [f"{name} {value if isinstance(value, str) else ' or '.join(value)}" for name, value in match.items()]
    return ", ".join(words) or "every alert"


def _seconds(number: float) -> str:
    for unit, size in (("h", 3600), ("m", 60)):
        if number >= size and number % size == 0:
            return f"{number / size:g}{unit}"
    return f"{number:g}s"
