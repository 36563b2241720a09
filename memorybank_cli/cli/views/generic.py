"""The view of any report: findings, then single values, then lists as tables."""

from __future__ import annotations

from typing import Any

from memorybank_cli.cli.blocks import Block, Fields, Findings, Style, Table, Text

PER_LIST = 20


def report(values: dict[str, Any]) -> list[Block]:
    """Findings first, then fields, then a table for each list of objects."""
    blocks: list[Block] = []
    fields: list[tuple[str, Any]] = []
    tables: list[Block] = []
    for name, value in values.items():
        if name == "findings":
            blocks.append(Findings(value))
        elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            tables.append(table(value, _words(name)))
        elif isinstance(value, dict) and any(isinstance(item, dict | list) for item in value.values()):
            tables += [Text(_words(name), "strong"), *report(value)]
        else:
            fields.append((_words(name), value))
    if fields:
        blocks.append(Fields(fields))
    return blocks + tables


def summary_only(values: dict[str, Any]) -> list[Block]:
    """Nothing: the report's summary says it all to people."""
    del values
    return []


def table(rows: list[dict[str, Any]], title: str = "") -> Table:
    """Objects as rows; the columns are the keys in the order they come up, without those that are empty in all."""
    keys = dict.fromkeys(key for row in rows for key in row)
    columns = [key for key in keys if any(row.get(key) not in (None, "", [], {}) for row in rows)]
    return Table([_words(key) for key in columns], [[row.get(key) for key in columns] for row in rows], title)


def lines(word: str, paths: list[str], style: Style = "") -> list[Block]:
    """Paths one a line behind a word, the first twenty of them."""
    shown: list[Block] = [Text(f"{word} {path}", style) for path in paths[:PER_LIST]]
    if len(paths) > PER_LIST:
        shown.append(Text(f"... and {len(paths) - PER_LIST:,} more {word} (--json shows all)", "dim"))
    return shown


def _words(name: str) -> str:
    return name.replace("_", " ")
