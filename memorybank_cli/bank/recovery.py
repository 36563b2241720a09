"""Finishing at the next opening what a kill interrupted: replacements that were begun and not ended."""

from __future__ import annotations

from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.catalog import FileRow
from memorybank_cli.bank.framing import Line
from memorybank_cli.bank.journal import Entry
from memorybank_cli.bank.replacing import BEGIN, END, swap_one
from memorybank_cli.base import digests, files
from memorybank_cli.base.errors import Locked


def finish_replacements(bank: Bank) -> None:
    """Decide each open replacement by its stage: what is still staged is swapped in, then the end is recorded.

    A stage without a begun replacement is scratch of a process that died before it; it is removed. While
    another process holds the lock nothing is done: it may be at work on the very stage.
    """
    if not bank.root.listing(layout.SCRATCH) or bank.breaks():
        return
    try:
        with bank.locked(timeout=0):
            begun = _begun(bank)
            for entry in bank.root.listing(layout.SCRATCH):
                if entry.name in begun:
                    _finish(bank, begun[entry.name])
                files.remove_tree(bank.root, f"{layout.SCRATCH}/{entry.name}")
    except (Locked, PermissionError):
        return


def _begun(bank: Bank) -> dict[str, Line]:
    open_ones: dict[str, Line] = {}
    for line in bank.journal.lines():
        if line.op == BEGIN:
            open_ones[line.core["id"]] = line
        elif line.op == END:
            open_ones.pop(line.core["id"], None)
    return open_ones


def _finish(bank: Bank, begin: Line) -> None:
    transaction = begin.core["id"]
    stage = f"{layout.SCRATCH}/{transaction}"
    rows = [FileRow(*row) for row in begin.core["files"]]
    kept: dict[str, str] = {}
    for index, row in enumerate(rows):
        staged = f"{stage}/{index}"
        if _staged(bank, staged, row) and (place := swap_one(bank, row, staged, keep=True)):
            kept[row.path] = place
    head = {key: begin.core[key] for key in ("id", "reason", "files")}
    bank.commit([Entry(END, {**head, "kept": kept, "recovered": True})])


def _staged(bank: Bank, path: str, row: FileRow) -> bool:
    if row.after is None:
        return True
    data = bank.root.read_if_there(path)
    return data is not None and digests.of(data) == row.after
