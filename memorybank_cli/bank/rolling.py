"""Which files a look reads again though no stat of them moved, so that bit rot is found: a few, one after the other."""

from __future__ import annotations

from memorybank_cli.bank import columns
from memorybank_cli.bank.catalog import Catalog
from memorybank_cli.base import clock

SHARE = 500
"""One file in so many is read in each look,"""
LEAST = 8
"""and at least so many."""
_START = "", ""


def in_turn(catalog: Catalog) -> dict[tuple[str, str], str]:
    """The paths of those whose turn it is, by directory and name, in order; none at the first look."""
    total = catalog.meta("files", 0)
    count = min(max(LEAST, total // SHARE), total)
    now, reached = clock.now_ns(), columns.place(catalog.meta("rolled", list(_START)))
    rows = catalog.looks_before(now, reached, count)
    rows += catalog.looks_before(now, _START, count - len(rows))
    return {(directory, name): f"{directory}/{name}" if directory else name for directory, name in rows}


def reached(rows: dict[tuple[str, str], str]) -> tuple[str, str]:
    """After which file it goes on once those were read: what the catalog keeps as `rolled`."""
    return next(reversed(rows), _START)
