"""The screen of the live view: rows for a size, drawn from what is known and what was chosen. It writes nothing."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from memorybank_cli.base.clock import parse
from memorybank_cli.base.names import escape_text
from memorybank_cli.cli.blocks import Bytes, Style
from memorybank_cli.cli.live.controls import Controls, Row
from memorybank_cli.cli.live.model import STYLES, Model, Section, span
from memorybank_cli.cli.render import cell, finding_line

WIDE = 120
"""From so many columns on findings stand beside the sections."""
LEFT = 56
LEAST_EVENTS = 3
FOOT = 3
"""Rows that a question may take."""
TREND = 26
"""Columns that a trend needs."""
RECENT = 3
"""So many samples may be missing at the end: the next one is on its way."""
BARS = "▁▂▃▄▅▆▇█"
PLAIN_BARS = "_.:-=+*#"
KEYS = ("? help", "q quit", "f filter", "p pause", "a accept", "r roll back")
ELLIPSIS = ".."


def draw(model: Model, controls: Controls, size: tuple[int, int], now: float, *, plain: bool = False) -> list[Row]:
    """As many rows as the screen has, each as wide; `plain` keeps to ASCII in what is not an agent's text."""
    width, height = size
    if width < 1 or height < 1:
        return []
    head = _head(model, controls, width, now, " - " if plain else " · ")
    foot = broken(_foot(controls, width), width)[:FOOT] if controls.mode == "asked" else [_foot(controls, width)]
    body = height - len(head) - len(foot)
    if body < 1:
        return [fitted(row, width) for row in [*head[1:], *foot, ()][:height]]
    if controls.page or controls.mode == "reading":
        rows = _page(controls, width, body)
    else:
        rows = _panels(model, controls, width, body, now, plain)
    rows = [*head, *rows[:body], *[()] * (body - len(rows)), *foot]
    return [fitted(row, width) for row in rows]


def fitted(row: Row, width: int) -> Row:
    """A row cut or filled to a width in cells of a terminal."""
    from rich.cells import cell_len, set_cell_size

    pieces: list[tuple[str, Style]] = []
    left = width
    for text, style in row:
        length = cell_len(text)
        if length > left:
            short = set_cell_size(text, left - len(ELLIPSIS)) + ELLIPSIS if left > 8 else set_cell_size(text, left)
            pieces.append((short, style))
            left = 0
            break
        pieces.append((text, style))
        left -= length
    return (*pieces, (" " * left, "")) if left else tuple(pieces)


def broken(row: Row, width: int) -> list[Row]:
    """A row as several, broken between words where it is too long; what follows the first stands indented."""
    from rich.cells import cell_len, chop_cells

    indent = "    " if width > 24 else ""
    rows: list[list[tuple[str, Style]]] = [[]]
    left = width
    for text, style in row:
        for word in _words(text):
            if cell_len(word) > left and left < width - len(indent):
                rows.append([(indent, "")])
                left = width - len(indent)
            for number, part in enumerate(chop_cells(word, width - len(indent)) if cell_len(word) > left else [word]):
                if number:
                    rows.append([(indent, "")])
                    left = width - len(indent)
                rows[-1].append((part, style))
                left -= cell_len(part)
    return [tuple(one) for one in rows]


def _words(text: str) -> list[str]:
    """The words of a text, each with the blanks before it."""
    words, at = [], 0
    while at < len(text):
        start = at
        while at < len(text) and text[at] == " ":
            at += 1
        while at < len(text) and text[at] != " ":
            at += 1
        words.append(text[start:at])
    return words


def _head(model: Model, controls: Controls, width: int, now: float, between: str) -> list[Row]:
    from rich.cells import cell_len

    clock = time.strftime("%H:%M:%SZ", time.gmtime())
    name, place = "memorybank watch ", escape_text(model.path)
    room = width - len(name) - len(clock) - 1
    if cell_len(place) > room:  # the end of a path says more than its beginning
        place = ELLIPSIS + place[len(ELLIPSIS) - room :] if room > 8 else ""
    gap = " " * max(width - len(name) - cell_len(place) - len(clock), 1)
    found = model.standing(now)
    score = "" if found.score is None else f"{found.score} of 100 "
    facts = [found.why, f"{model.backend}, {model.watches:,} watched" if model.backend else ""]
    if model.role == "following":
        facts.insert(0, "another watch adopts")
    if controls.busy:
        facts.insert(0, controls.busy)
    if controls.filter:
        facts.insert(0, f"filter '{escape_text(controls.filter)}'")
    if controls.paused_at is not None:
        facts.insert(0, f"paused, {model.count - controls.paused_at:,} more events")
    why = between.join(one for one in facts if one)
    return [
        ((name, "strong"), (place, ""), (gap, ""), (clock, "dim")),
        ((score + found.word, STYLES.get(found.word, "strong bad")), ("  ", ""), (why, "")),
    ]


def _foot(controls: Controls, width: int) -> Row:
    if controls.mode == "filtering":
        return (("filter: ", "strong"), (escape_text(controls.typed) + "_", ""))
    if controls.mode == "asked":
        return ((f"{escape_text(controls.question)} [y/N] ", "strong warning"),)
    if controls.mode == "telling":
        return ((f"{escape_text(controls.question)}: ", "strong warning"), ("*" * len(controls.typed) + "_", ""))
    if controls.mode == "reading":
        return (("Escape: back   up, down: more", "dim"),)
    if controls.message:
        return ((escape_text(controls.message), "strong"),)
    shown, length = [], 0
    for one in KEYS:
        if length + len(one) > width:
            break
        shown.append(one)
        length += len(one) + 3
    return (("   ".join(shown), "dim"),)


def _page(controls: Controls, width: int, height: int) -> list[Row]:
    page = (tuple((escape_text(text), style) for text, style in row) for row in controls.page)
    rows = [part for row in page for part in broken(row, width)]
    room = height - 2
    if room < 1:
        return rows[:height]
    controls.offset = min(controls.offset, max(len(rows) - room, 0))
    below = len(rows) - controls.offset - room
    more = f"  ({below:,} more lines below)" if below > 0 else ""
    return [((controls.title, "strong"), (more, "dim")), (), *rows[controls.offset : controls.offset + room]]


def _panels(model: Model, controls: Controls, width: int, height: int, now: float, plain: bool) -> list[Row]:
    findings, events = model.shown(controls.filter)
    if controls.paused_at is not None:
        events = [one for one in events if one.number <= controls.paused_at]
    sections = model.rows(now)
    trends = 1 if height >= 12 and any((*model.trends.values(), *model.samples)) else 0
    room = height - trends - LEAST_EVENTS - 1
    if width >= WIDE:
        top = max(min(room, max(1 + len(sections), 1 + 2 * len(findings)), height // 2), 2)
        rows = _beside(_sections(sections, LEFT, top), _findings(findings, controls, top), LEFT)
    else:
        third = max(room // 2, 2)
        wanted = 1 + max(2 * len(findings), 1)
        for_sections = min(1 + len(sections), max(third, room - wanted))
        rows = _sections(sections, width, for_sections)
        rows += _findings(findings, controls, max(min(wanted, room - len(rows)), 2))
    if trends:
        rows.append(_trends(model, width, PLAIN_BARS if plain else BARS))
    space = height - len(rows) - 1
    if space < 1:
        return rows
    rows.append((("EVENTS", "strong"), (" (none yet)" if not events else "", "dim")))
    return rows + [((f"{one.time} ", "dim"), (one.text, one.style)) for one in events[-space:]]


def _beside(left: list[Row], right: list[Row], width: int) -> list[Row]:
    count = max(len(left), len(right))
    pad: list[Row] = [()]
    pairs = zip(left + pad * (count - len(left)), right + pad * (count - len(right)), strict=True)
    return [(*fitted(one, width), ("  ", ""), *other) for one, other in pairs]


def _sections(sections: Sequence[Section], width: int, height: int) -> list[Row]:
    """The sections as a table; where not all fit, those in trouble and those that changed last."""
    if height < 2:
        return []
    shown = sections
    if len(sections) > height - 1:
        urgent = sorted(sections, key=lambda one: (one.status == "ok", one.changed == "", _older(one.changed)))
        shown = sorted(urgent[: height - 1], key=lambda one: one.name)
    name = max(min(max((len(one.name) for one in shown), default=7), width - 29), 7)
    records = width >= 52
    hidden = f" ({len(sections) - len(shown)} more)" if len(sections) > len(shown) else ""
    title = f"{'SECTION':<{name}} {'FILES':>8} " + (f"{'RECORDS':>11} " if records else "") + f"{'HEALTH':<8} CHANGED"
    rows: list[Row] = [((title, "strong"), (hidden, "dim"))]
    for one in shown:
        counts = f"{one.name[:name]:<{name}} {one.files:>8,} "
        if records:
            counts += f"{cell(one.records):>11} "
        rows.append(((counts, ""), (f"{one.status:<8} ", STYLES.get(one.status, "")), (_age(one.changed), "")))
    return rows


def _findings(findings: Sequence[dict[str, Any]], controls: Controls, height: int) -> list[Row]:
    """Findings with their cures, around the one that is chosen."""
    selected = controls.place(findings)
    if not findings:
        return [(("FINDINGS", "strong"), (" none", "dim"))]
    cured = 2 * len(findings) <= height - 1 or height >= 5
    room = max((height - 1) // 2 if cured else height - 1, 1)
    first = max(min(selected - room // 2, len(findings) - room), 0)
    rows: list[Row] = [((f"FINDINGS {len(findings):,}", "strong"),)]
    for number, one in enumerate(findings[first : first + room], first):
        style = STYLES.get(str(one["severity"]), "")
        rows.append(((("> " if number == selected else "  "), "strong"), (finding_line(one), style)))
        if cured and one.get("hint"):
            rows.append(((f"    {escape_text(str(one['hint']))}", "dim"),))
    return rows


def _trends(model: Model, width: int, bars: str) -> Row:
    """Each trend in as many columns as there are for it, with its last value."""
    trends: dict[str, list[float | None]] = {name: list(values) for name, values in model.trends.items() if values}
    trends |= {name: values for name, values in model.samples.items() if _known(values)}
    count = max(min(width // TREND, len(trends)), 1)
    each = width // count
    pieces: list[tuple[str, Style]] = []
    for name, values in list(trends.items())[:count]:
        words = name.removesuffix("_bytes").removesuffix("_seconds").replace("_", " ")
        last = f" {_last(name, values)}"
        room = max(each - len(words) - len(last) - 3, 1)
        pieces += [(f"{words} ", "dim"), (sparkline(values[-room:], bars), ""), (f"{last}  ", "")]
    return tuple(pieces)


def sparkline(values: Iterable[float | None], bars: str = BARS) -> str:
    """Values as bars between the least and the largest of them, 0 counting as one; a blank where there is none."""
    found = list(values)
    low, high = min([0.0, *_known(found)]), max([0.0, *_known(found)])
    step = (len(bars) - 1) / (high - low) if high > low else 0.0
    return "".join(" " if one is None else bars[round((one - low) * step)] for one in found)


def _known(values: Iterable[float | None]) -> list[float]:
    return [one for one in values if one is not None]


def _last(name: str, values: Sequence[float | None]) -> str:
    """The newest value with its unit; `?` where the last samples are missing."""
    newest = _known(values[-RECENT:])
    if not newest:
        return "?"
    if name.endswith("_bytes"):
        return cell(Bytes(newest[-1]))
    return f"{newest[-1] * 1000:,.0f} ms" if name.endswith("_seconds") else cell(round(newest[-1], 1))


def _age(moment: str) -> str:
    if not moment:
        return "never"
    return f"{span(time.time() - parse(moment).timestamp())} ago"


def _older(moment: str) -> float:
    return -parse(moment).timestamp() if moment else 0.0
