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
INDENT = "    "
LEAST_WIDTH = 20
Line = tuple[tuple[str, Style], ...]
_Told = tuple[str, str, str]
"""A finding in three parts: severity and rule, place, message."""
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


def show(blocks: Iterable[Block], *, live: bool, verbose: bool = False, to: terminal.Stream = "stdout") -> None:
    """Write blocks to a stream."""
    for block in blocks:
        if isinstance(block, Table) and live:
            _draw(block, to)
            continue
        for line in _lines(block, verbose):
            if live:
                _print(line, to)
            else:
                terminal.stream(to).write(printable("".join(text for text, _ in line)) + "\n")
    terminal.stream(to).flush()


def rows(blocks: Iterable[Block], *, verbose: bool = False) -> list[Line]:
    """Blocks as lines without a break in them, nothing escaped yet, for who draws a screen of rows."""
    found: list[Line] = []
    for block in blocks:
        for line in _lines(block, verbose):
            found += [((text, line[0][1]),) for text in line[0][0].split("\n")] if len(line) == 1 else [line]
    return found


def _print(line: Line, to: terminal.Stream) -> None:
    """A line on a terminal, broken between words; what is indented is a command to copy, and stays one line."""
    from rich.text import Text as Drawn

    console = terminal.console(to)
    text = Drawn.assemble(*((printable(part), _COLOURS.get(style, "")) for part, style in line))
    if text.plain.startswith(INDENT):
        console.print(text, soft_wrap=True)
        return
    hanging = INDENT if len(line) > 1 else ""
    for number, part in enumerate(text.wrap(console, max(console.width - len(hanging), LEAST_WIDTH))):
        part.rstrip()
        console.print(hanging if number else "", part, sep="", soft_wrap=True)


def _lines(block: Block, verbose: bool) -> Iterator[Line]:
    if isinstance(block, Text):
        yield ((block.text, block.style),)
    elif isinstance(block, Fields):
        width = max((len(name) for name, _ in block.pairs), default=0)
        for name, value in block.pairs:
            yield (f"{name + ':':<{width + 1}}", "dim"), (f"  {cell(value)}", "")
    elif isinstance(block, Table):
        yield from (((line, ""),) for line in _aligned(block))
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


def _draw(table: Table, to: terminal.Stream) -> None:
    from rich import box
    from rich.table import Table as Drawn
    from rich.text import Text as Cell

    title = Cell(escape_text(table.title)) if table.title else None
    console = terminal.console(to)
    rows = [[cell(value) for value in row] for row in table.rows]
    # Narrow, so that 80 columns hold much; the first column is what people copy, so others are broken before it.
    drawn = Drawn(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True
    )
    for index, (name, right) in enumerate(zip(table.columns, _numeric(table), strict=True)):
        whole = index == 0 and max((len(row[0]) for row in rows), default=0) <= console.width // 2
        drawn.add_column(name, justify="right" if right else "left", overflow="fold", no_wrap=whole)
    for row in rows:
        drawn.add_row(*map(Cell, row))
    console.print(drawn)


def _findings(findings: Iterable[Mapping[str, Any]], verbose: bool) -> Iterator[Line]:
    for _, alike in groupby(group(findings), lambda one: (one.first["severity"], one.first["rule"])):
        of_rule = list(alike)
        first = of_rule[0].first
        style, count = _STYLES[first["severity"]], sum(len(one.findings) for one in of_rule)
        if first["severity"] == "info" and not verbose and count > 1:
            yield ((f"info {first['rule']} {first['name']}: {count:,} (--verbose lists them)", style),)
            continue
        entries = [one for found in of_rule for one in _entries(found)]
        for (head, place, message), hint in entries[:PER_RULE]:
            yield (head, style), (place, "strong"), (message, "")
            yield from (((f"{INDENT}{escape_text(one)}", "dim"),) for one in hint)
        if len(entries) > PER_RULE:
            yield ((f"... and {len(entries) - PER_RULE:,} more of {first['rule']} (--json shows all)", "dim"),)


def _entries(found: Group) -> Iterator[tuple[_Told, list[str]]]:
    """What is shown of findings that are alike, each with the lines below it: a few one by one, many as one."""
    if len(found.findings) > EXAMPLES:
        yield _told_group(found), [f"such as {', '.join(found.examples)}", *([found.hint] if found.hint else [])]
        return
    hints = [str(one["hint"]) for one in found.findings]
    for one, hint, following in zip(found.findings, hints, [*hints[1:], ""], strict=True):
        yield _told(one), [hint] if hint and hint != following else []


def _told_group(found: Group) -> _Told:
    """Many findings that are alike, told by the first: `error MB201 9 files in trades: message`."""
    first, count, files = found.first, len(found.findings), counted(found.files, "file")
    place = files if found.files == count else f"{counted(count, 'time')} in {files}"
    place = f"{place} in {found.where}" if found.where else place
    place = f"{place} at {found.pointer}" if found.pointer else place
    return _escaped(first, place)


def finding_line(finding: Mapping[str, Any]) -> str:
    """A finding in one line: `error MB102 trades/a.json: message`."""
    return "".join(_told(finding))


def _told(finding: Mapping[str, Any]) -> _Told:
    place = finding.get("path") or "the bank"
    if finding.get("line"):
        place = f"{place}:{finding['line']}"
    if finding.get("pointer") and finding.get("path"):  # without a document it only tells such findings apart
        place = f"{place} at {finding['pointer']}"
    return _escaped(finding, place)


def _escaped(finding: Mapping[str, Any], place: str) -> _Told:
    parts = (f"{finding['severity']} {finding['rule']} ", place, f": {finding['message']}")
    head, where, message = map(escape_text, parts)
    return head, where, message
