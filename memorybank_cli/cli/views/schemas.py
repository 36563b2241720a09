"""What people see of the commands about schemas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from memorybank_cli.cli.blocks import Block, Table, Text
from memorybank_cli.cli.views.generic import PER_LIST

_ACTIONS = {
    "written": "new",
    "replaced": "replaced",
    "unchanged": "as it was",
    "differs": "differs",
    "covered": "built-in fits",
}


def listing(report: dict[str, Any]) -> list[Block]:
    """The schemas that matter here as a table: of the bank's own, and those that files have; others by name."""
    rows = report["schemas"]
    here = [one for one in rows if one["files"] or one["bound"] or one["origin"] == "bank"]
    others = [one["name"] for one in rows if one not in here and one["replaceable"]]
    rest = len(rows) - len(here) - len(others)
    columns = ("name", "title", "version", "origin", "files", "bound")
    blocks: list[Block] = []
    if here:
        cells = [[*(one[column] for column in columns[:-1]), "yes" if one["bound"] else ""] for one in here]
        blocks.append(Table(columns, cells))
    what = "without files here" if here else "for what agents write"
    blocks.append(Text(f"{what}: {', '.join(others)}; and {rest} for memorybank's own files (--json)", "dim"))
    return blocks


def checked(report: dict[str, Any]) -> list[Block]:
    """A row for each schema, then what is wrong with those that are no good."""
    rows = report["schemas"]
    cells = [[one["name"], one["origin"], "good" if one["ok"] else "no good", _matching(one)] for one in rows]
    blocks: list[Block] = [Table(("name", "origin", "schema", "files that match"), cells)]
    for one in rows:
        for problem in one["problems"][:PER_LIST]:
            place = f" at {problem['pointer']}" if problem["pointer"] else ""
            blocks.append(Text(f"{one['name']}{place}: {problem['message']}", "bad"))
        if one["misfits"]:
            more = one["files"] - one["matching"] - len(one["misfits"])
            paths = ", ".join(one["misfits"]) + (f" and {more:,} more" if more else "")
            blocks.append(Text(f"{one['name']} does not fit {paths}", "warning"))
    return blocks


def _matching(row: dict[str, Any]) -> str:
    return f"{row['matching']:,} of {row['files']:,}" if row["files"] else ""


def inferred(report: dict[str, Any]) -> list[Block]:
    """What was learnt of each kind: a row, its alternatives, what differs, then what was left out."""
    rows = report["schemas"]
    cells = [
        [one["kind"], _ACTIONS[one["action"]], one["version"], one["files"], len(one["alternatives"])] for one in rows
    ]
    blocks: list[Block] = [Table(("kind", "schema", "version", "files", "shapes"), cells)]
    for one in rows:
        if len(one["alternatives"]) > 1:
            blocks += [
                Text(_alternative(one["kind"], number, shape)) for number, shape in enumerate(one["alternatives"], 1)
            ]
        if one["action"] != "covered" and (choices := dict.fromkeys(_choices(one["schema"]))):
            whose = f"{one['kind']} " if len(rows) > 1 else ""
            blocks.append(Text(f"{whose}choices: {', '.join(choices)}"))
        if one["action"] in ("differs", "replaced"):
            blocks += _changes(one)
    return blocks + _left_out(report["left_out"])


def _choices(schema: dict[str, Any], name: str = "") -> Iterator[str]:
    """Names of the members of which a learnt schema lists the values."""
    if "enum" in schema:
        yield name
    for member, inner in schema.get("properties", {}).items():
        yield from _choices(inner, member)
    for keyword in ("items", "additionalProperties"):
        if isinstance(schema.get(keyword), dict):
            yield from _choices(schema[keyword], name)
    for inner in schema.get("$defs", {}).values():
        yield from _choices(inner)


def _alternative(kind: str, number: int, shape: dict[str, Any]) -> str:
    files = "1 file" if shape["files"] == 1 else f"{shape['files']:,} files"
    return f"{kind} {number}: {files}, {', '.join(shape['examples'])}"


def _changes(row: dict[str, Any]) -> list[Block]:
    shown: list[Block] = [
        Text(f"{row['kind']} {one['pointer']} {one['keyword']}: {_value(one['was'])} -> {_value(one['now'])}")
        for one in row["changes"][:PER_LIST]
    ]
    more = len(row["changes"]) - PER_LIST
    return [*shown, Text(f"... and {more:,} more changes (--json shows them)", "dim")] if more > 0 else shown


def _value(value: Any) -> str:
    import json

    if value is None:
        return "nothing"
    text = ", ".join(map(str, value)) if isinstance(value, list) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _left_out(rows: list[dict[str, Any]]) -> list[Block]:
    shown: list[Block] = [
        Text(f"left out {one['rule']} {one['path']}: {one['reason']}", "warning") for one in rows[:PER_LIST]
    ]
    more = len(rows) - PER_LIST
    return [*shown, Text(f"... and {more:,} more left out (--json shows them)", "dim")] if more > 0 else shown
