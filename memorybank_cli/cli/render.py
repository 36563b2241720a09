"""Blocks as people see them: aligned plain text in pipes, tables and colour on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

from memorybank_cli.base.groups import EXAMPLES, Group, group
from memorybank_cli.base.names import escape_text, printable
from memorybank_cli.base.words import counted, size
from memorybank_cli.cli import terminal
from memorybank_cli.cli.blocks import Block, Bytes, Fields, Style, Table, Text

PER_RULE = 20
_COLOURS: dict[str, str] = {
    "strong": "bold",
    "good": "green",
    "warning": "yellow",
    "bad": "red",
    "dim": "dim",
    "strong good": "bold green",
    "strong warning": "bold yellow",
    "strong bad": "bold red",
}
_STYLES: dict[str, Style] = {"critical": "bad", "error": "bad", "warning": "warning", "info": "dim"}


def show(blocks: Iterable[Block], *, live: bool, verbose: bool = False) -> None:
    """Write blocks to stdout."""
    for block in blocks:
        if isinstance(block, Table) and live:
            _draw(block)
            continue
        for text, style in _lines(block, verbose):
            if live:
                terminal.console("stdout").print(printable(text), style=_COLOURS.get(style, ""), soft_wrap=True)
            else:
                terminal.stream("stdout").write(printable(text) + "\n")
    terminal.stream("stdout").flush()


def _lines(block: Block, verbose: bool) -> Iterator[tuple[str, Style]]:
    if isinstance(block, Text):
        yield block.text, block.style
    elif isinstance(block, Fields):
        width = max((len(name) for name, _ in block.pairs), default=0)
        for name, value in block.pairs:
            yield f"{name + ':':<{width + 1}}  {cell(value)}", ""
    elif isinstance(block, Table):
        yield from ((line, "") for line in _aligned(block))
    else:
        yield from _findings(block.findings, verbose)


def cell(value: Any) -> str:
    """A value in one line for people: whole numbers with separators, lists joined, nothing as `-`."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Bytes):
        return size(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.3f}".rstrip("0").rstrip(".")
    if isinstance(value, list | tuple):
        return ", ".join(cell(item) for item in value) or "-"
    if isinstance(value, Mapping):
        return ", ".join(f"{escape_text(str(name))}={cell(item)}" for name, item in value.items()) or "-"
    return escape_text(str(value))


def _aligned(table: Table) -> Iterator[str]:
    if table.title:
        yield escape_text(table.title)
    rows = [[cell(value) for value in row] for row in table.rows]
    widths = [max(map(len, column)) for column in zip(table.columns, *rows, strict=True)]
    numeric = _numeric(table)
    for row in ([name.upper() for name in table.columns], *rows):
        cells = (
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(row, widths, numeric, strict=True)
        )
        yield "  ".join(cells).rstrip()


def _numeric(table: Table) -> list[bool]:
    return [
        bool(table.rows) and all(isinstance(row[index], int | float) and row[index] is not True for row in table.rows)
        for index in range(len(table.columns))
    ]


def _draw(table: Table) -> None:
    from rich import box
    from rich.table import Table as Drawn
    from rich.text import Text as Cell

    title = Cell(escape_text(table.title)) if table.title else None
    drawn = Drawn(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name, right in zip(table.columns, _numeric(table), strict=True):
        drawn.add_column(name, justify="right" if right else "left", overflow="fold")
    for row in table.rows:
        drawn.add_row(*(Cell(cell(value)) for value in row))
    terminal.console("stdout").print(drawn)


def _findings(findings: Iterable[Mapping[str, Any]], verbose: bool) -> Iterator[tuple[str, Style]]:
    for _, alike in groupby(group(findings), lambda one: (one.first["severity"], one.first["rule"])):
        of_rule = list(alike)
        first = of_rule[0].first
        style, count = _STYLES[first["severity"]], sum(len(one.findings) for one in of_rule)
        if first["severity"] == "info" and not verbose and count > 1:
            yield f"info {first['rule']} {first['name']}: {count:,} (--verbose lists them)", style
            continue
        entries = [one for found in of_rule for one in _entries(found)]
        for line, hint in entries[:PER_RULE]:
            yield line, style
            yield from ((f"    {escape_text(one)}", "dim") for one in hint)
        if len(entries) > PER_RULE:
            yield f"... and {len(entries) - PER_RULE:,} more of {first['rule']} (--json shows all)", "dim"


def _entries(found: Group) -> Iterator[tuple[str, list[str]]]:
    """What is shown of findings that are alike, each with the lines below it: a few one by one, many as one."""
    if len(found.findings) > EXAMPLES:
        yield group_line(found), [f"such as {', '.join(found.examples)}", *([found.hint] if found.hint else [])]
        return
    hints = [str(one["hint"]) for one in found.findings]
    for one, hint, following in zip(found.findings, hints, [*hints[1:], ""], strict=True):
        yield finding_line(one), [hint] if hint and hint != following else []


def group_line(found: Group) -> str:
    """Many findings that are alike in one line, which speaks of the first: `error MB201 9 files in trades: message`."""
    first, count, files = found.first, len(found.findings), counted(found.files, "file")
    place = files if found.files == count else f"{counted(count, 'time')} in {files}"
    place = f"{place} in {found.where}" if found.where else place
    place = f"{place} at {found.pointer}" if found.pointer else place
    return escape_text(f"{first['severity']} {first['rule']} {place}: {first['message']}")


def finding_line(finding: Mapping[str, Any]) -> str:
    """A finding in one line: `error MB102 trades/a.json: message`."""
    place = finding.get("path") or "the bank"
    if finding.get("line"):
        place = f"{place}:{finding['line']}"
    if finding.get("pointer"):
        place = f"{place} at {finding['pointer']}"
    return escape_text(f"{finding['severity']} {finding['rule']} {place}: {finding['message']}")
