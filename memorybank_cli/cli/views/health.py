"""What people see of the state a bank is in."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote
from typing import Any

from memorybank_cli.base.words import counted
from memorybank_cli.cli.blocks import Block, Bytes, Fields, Findings, Style, Table, Text
from memorybank_cli.cli.render import cell
from memorybank_cli.cli.views.generic import lines
from memorybank_cli.cli.views.streams import clock_time

PARTS = 20
"""So many parts of accounts are shown."""
CHARTS = 3
"""Of more samples each is one line."""
HEIGHT = 8
"""Lines of a chart."""
WIDTH = 20
"""Columns of a chart that is one line."""
_SCALES: dict[str, tuple[float, float]] = {"score": (0, 100)}
"""The least and most of a chart whose own values do not set them."""
_BARS = "▁▂▃▄▅▆▇█"
_SPANS = (("days", 86_400), ("h", 3_600), ("min", 60))
_WHOLE = {"disk_free_bytes": "disk_size_bytes", "inodes_free": "inodes", "memory_available_bytes": "memory_size_bytes"}
_COLOURS: dict[str, Style] = {"error": "bad", "warning": "warning"}


def health(report: dict[str, Any]) -> list[Block]:
    """Each part of the bank with its word, and the samples; with --explain the findings and probes too."""
    parts = [[one["component"], one["status"], len(one["issues"])] for one in report["components"]]
    blocks: list[Block] = [Findings(report["findings"])] if report["explain"] else []
    blocks.append(Table(("component", "status", "issues"), parts))
    blocks += _memory(report["memory"])
    if report["explain"]:
        blocks += [Text(""), _probes(report["probes"])]
    if report["samples"]:
        blocks += [Text(""), Fields(list(_samples(report["samples"])))]
    if report["recorded"]:
        blocks.append(Text(f"recorded {report['recorded']}"))
    return blocks


def _probes(probes: list[dict[str, Any]]) -> Table:
    rows = [
        [
            one["probe"],
            one["group"],
            one["component"],
            one["status"],
            f"{one['cadence_seconds']:g} s",
            shown("took_seconds", one["seconds"]),
        ]
        for one in probes
    ]
    return Table(("probe", "group", "component", "status", "every", "took"), rows)


def _memory(parts: list[dict[str, Any]]) -> list[Block]:
    """The parts of the accounts: all of few accounts, of many those that are failing."""
    shown = parts if len(parts) <= PARTS else [one for one in parts if one["status"] == "failing"]
    rows = [
        [
            one["account"],
            one["component"],
            one["status"],
            one["message_count"],
            Bytes(one["storage_bytes"]),
            clock_time(one["last_update"]),
        ]
        for one in shown[:PARTS]
    ]
    blocks: list[Block] = [Text("")] if parts else []
    if rows:
        blocks.append(Table(("account", "component", "status", "messages", "size", "last update"), rows))
    if len(parts) > len(rows):
        blocks.append(Text(f"{len(parts) - len(rows):,} more parts of accounts: --json tells of each"))
    return blocks


def _samples(samples: dict[str, float]) -> Iterator[tuple[str, Any]]:
    """Names without their units; what is free is told with what there is in all."""
    for name, value in samples.items():
        whole = samples.get(_WHOLE.get(name, ""))
        if name in _WHOLE.values():
            continue
        yield _words(name), shown(name, value) if whole is None else f"{shown(name, value)} of {shown(name, whole)}"


def shown(name: str, value: float) -> str:
    """A sample's value with the unit that its name says."""
    if name.endswith("_bytes"):
        return cell(Bytes(value))
    if not name.endswith("_seconds"):
        return cell(value)
    if 0 < value < 1:
        return f"{value * 1000:.3g} ms"
    unit, length = next((one for one in _SPANS if value >= 2 * one[1]), ("s", 1))
    return f"{value / length:,.1f} {unit}".replace(".0 ", " ")


def history(report: dict[str, Any]) -> list[Block]:
    """A chart of each of a few samples, a line of each of many."""
    series = report["series"]
    if len(series) <= CHARTS:
        return [block for one in series for block in _chart(one, report)]
    rows = [
        [_words(one["name"]), *(shown(one["name"], one[part]) for part in ("last", "least", "most")), _narrow(one)]
        for one in series
        if one["name"] not in _WHOLE.values()
    ]
    title = f"{clock_time(report['from'])} to {clock_time(report['to'])}"
    return [Table(("sample", "last", "least", "most", "chart"), rows, title)] if rows else []


def _words(name: str) -> str:
    return name.removesuffix("_bytes").removesuffix("_seconds").replace("_", " ")


def _narrow(one: dict[str, Any]) -> str:
    """The values in a line so short that it fits a terminal with the rest."""
    values, size = one["values"], -(-len(one["values"]) // WIDTH)
    parts = [[value for value in values[at : at + size] if value is not None] for at in range(0, len(values), size)]
    return sparkline([sum(part) / len(part) if part else None for part in parts])


def sparkline(values: list[float | None]) -> str:
    """One character a value by its height between the least and the most; a blank where there is none."""
    known = [one for one in values if one is not None]
    low, high = min(known, default=0), max(known, default=0)
    return "".join(" " if one is None else _BARS[round(_height(one, low, high) * (len(_BARS) - 1))] for one in values)


def _height(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low) if high > low else 0.5


def _chart(one: dict[str, Any], report: dict[str, Any]) -> Iterator[Block]:
    """A chart of some lines with its axis."""
    name = one["name"]
    known = [value for value in one["values"] if value is not None]
    low, high = _SCALES.get(name, (min(known), max(known)))
    labels = [shown(name, high), *[""] * (HEIGHT - 2), shown(name, low)]
    width = max(map(len, labels))
    yield Text(f"{_words(name)}: last {shown(name, one['last'])}, mean {shown(name, one['mean'])}", "strong")
    for number, label in enumerate(labels):
        line = "".join(_part(value, low, high, HEIGHT - 1 - number) for value in one["values"])
        yield Text(f"{label:>{width}} |{line}".rstrip())
    start, end = clock_time(report["from"]), clock_time(report["to"])
    yield Text(f"{'':>{width}} +{start}{end:>{max(1, len(one['values']) - len(start))}}")


def _part(value: float | None, low: float, high: float, floor: int) -> str:
    """What of a value's bar lies in one line of a chart, counted from below."""
    if value is None:
        return " "
    eighths = round(_height(value, low, high) * (HEIGHT * 8 - 1)) + 1 - floor * 8
    return _BARS[min(eighths, 8) - 1] if eighths > 0 else " "


def status(report: dict[str, Any]) -> list[Block]:
    """The bank, what it holds, what changed, and what is wrong."""
    document = report["memory_bank_status"]
    sections = ", ".join(f"{name} {count:,}" for name, count in report["sections"].items() if count)
    pairs = [
        ("bank", report["path"]),
        ("id", report["bank_id"]),
        ("files", sections),
        ("journal", f"{report['head']['seq']:,} lines, {str(report['head']['hash'])[:12]}"),
        ("last snapshot", _last_snapshot(report)),
    ]
    if drill := report["last_drill"]:
        pairs.append(("last drill", f"{clock_time(drill['time'])} {'passed' if drill['ok'] else 'FAILED'}"))
    changes = [f"{one['change']} {one['path']}" for one in report["changes"]]
    return [Fields(pairs), *lines("pending", changes), *_by_rule(report["counts"], document["alerts"])]


def _last_snapshot(report: dict[str, Any]) -> str:
    """When it was made, and where, if that is not where commands look for it."""
    last = clock_time(report["memory_bank_status"]["integrity_checks"]["state"]["last_snapshot"])
    unknown, elsewhere = report["snapshots_unknown"], report["snapshots_elsewhere"]
    if elsewhere:
        command = f"memorybank config set repository {quote(elsewhere)}"
        return f"none in the default repository; the last one, of {last}, is in {elsewhere} ({command})"
    return last or (f"not known: {unknown}" if unknown else "none")


def _by_rule(counts: list[dict[str, Any]], alerts: list[dict[str, Any]]) -> list[Block]:
    """One line a rule, told by its first alert: the status is a glance, `validate` tells everything."""
    first: dict[tuple[str, str], str] = {}
    for one in alerts:
        first.setdefault((one["level"], one["message"].partition(" ")[0]), one["message"])
    shown: list[Block] = []
    for level, rule, count in ((one["level"], one["rule"], one["count"]) for one in counts if one["level"] != "info"):
        told = first.get((level, rule))
        more = f" (and {count - 1:,} more)" if count > 1 else ""
        line = f"{level} {told}{more}" if told else f"{level} {rule}: {counted(count, 'finding')}"
        shown.append(Text(line, _COLOURS.get(level, "")))
    return shown
