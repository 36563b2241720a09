"""Finishing at the next opening what a kill interrupted: replacements that were begun and not ended."""

from __future__ import annotations

from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.framing import Line
from memorybank_cli.bank.journal import Entry
from memorybank_cli.bank.replacing import BEGIN, END, digest_there, put_away, swap_one
from memorybank_cli.bank.rows import FileRow
from memorybank_cli.base import files
from memorybank_cli.base.errors import Locked, from_os_error

_KEPT = ("id", "reason", "files", "snapshot", "accounts", "methods")


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
    except Locked:
        return
    except OSError as error:  # a full or read-only disk: what can be read is served, and the next opening goes on
        bank.context.progress.note(f"files that were being replaced wait for it: {from_os_error(error).message}")


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
        place = _finish_one(bank, row, f"{stage}/{index}")
        if place:
            kept[row.path] = place
    head = {key: value for key, value in begin.core.items() if key in _KEPT}
    bank.commit([Entry(END, {**head, "kept": kept, "recovered": True})])


def _finish_one(bank: Bank, row: FileRow, staged: str) -> str:
    """Swap in what is still staged, or keep what came out just before the kill; where the bytes that came out are."""
    if row.after is None or digest_there(bank, staged) == row.after:
        return swap_one(bank, row, staged, keep=True)
    return put_away(bank, staged, row, keep=True) if bank.root.stat(staged) is not None else ""
