"""Finishing at the next opening what a kill interrupted: acts that were begun and not ended."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.framing import Line
from memorybank_cli.bank.journal import Entry
from memorybank_cli.bank.replacing import BEGIN, digest_there, ending, leave, put_away, swap_in
from memorybank_cli.bank.rows import FileRow
from memorybank_cli.base import files
from memorybank_cli.base.errors import AccountDamaged, Locked, from_os_error

Finisher = Callable[[Bank, str, list[Line]], None]
"""What to do with an act, by its id and the lines that began it."""
_OF_THE_LINE = frozenset({"seq", "ts", "actor", "op", "txn", "key", "commit"})


def finish_replacements(bank: Bank, finishers: Mapping[str, Finisher] | None = None) -> list[str]:
    """Decide each open replacement by its stage: what is still staged is swapped in, then the end is recorded.

    `finishers` do the like for acts of other kinds, by the operation that begins them. A stage without a begun act is
    scratch of a process that died before it; it is removed. While another process holds the lock nothing is done: it
    may be at work on the very stage. Gives the operations that were finished.
    """
    if not bank.root.listing(layout.SCRATCH) or bank.breaks():
        return []
    known = {BEGIN: _finish, **(finishers or {})}
    finished = []
    try:
        with bank.in_its_format(), bank.locked(timeout=0):
            begun = _begun(bank, known)
            for entry in reversed(bank.root.listing(layout.SCRATCH)):  # ids ascend: what was begun last comes first
                if lines := begun.get(entry.name):
                    try:
                        known[lines[0].op](bank, entry.name, lines)
                    except AccountDamaged as error:
                        bank.context.progress.note(f"what was begun in line {lines[0].seq} waits: {error.message}")
                        continue
                    finished.append(lines[0].op)
                files.remove_tree(bank.root, f"{layout.SCRATCH}/{entry.name}")
    except Locked:
        return finished
    except OSError as error:  # a full or read-only disk: what can be read is served, and the next opening goes on
        bank.context.progress.note(f"files that were being replaced wait for it: {from_os_error(error).message}")
    return finished


def _begun(bank: Bank, known: Collection[str]) -> dict[str, list[Line]]:
    """The lines that began each open act, in order; an act of many files has several."""
    ending = {op.removesuffix(".begin") + ".end" for op in known}
    open_ones: dict[str, list[Line]] = {}
    for line in bank.journal.lines():
        if line.op in known:
            open_ones.setdefault(line.core["id"], []).append(line._replace(data=None))
        elif line.op in ending:
            open_ones.pop(line.core["id"], None)
    return open_ones


def _finish(bank: Bank, act: str, begun: list[Line]) -> None:
    kept: dict[str, str] = {}
    changed: set[str] = set()
    rows = (FileRow(*row) for line in begun for row in line.core["files"])
    for index, row in enumerate(rows):
        if place := _finish_one(bank, row, f"{layout.SCRATCH}/{act}/{index}", changed):
            kept[row.path] = place
    files.sync_paths(bank.root, changed)
    leave(bank, (row.path for line in begun for row in map(FileRow._make, line.core["files"]) if row.after is None))
    bank.commit(_ending(line, kept) for line in begun)


def _ending(line: Line, kept: dict[str, str]) -> Entry:
    begun = {name: value for name, value in line.core.items() if name not in _OF_THE_LINE}
    return ending(begun, kept, recovered=True)


def _finish_one(bank: Bank, row: FileRow, staged: str, changed: set[str]) -> str:
    """Swap in what is still staged, or keep what came out just before the kill; where the bytes that came out are."""
    if row.after is not None and digest_there(bank, staged) == row.after:
        return swap_in(bank, row, staged, True, changed)
    is_staged = bank.root.stat(staged) is not None
    place = put_away(bank, staged, row, keep=True) if is_staged else ""
    # What was taken out may be found in both places after a crash; anything else that is there now came since.
    if row.after is None and (not is_staged or digest_there(bank, row.path) == row.before):
        place = swap_in(bank, row, staged, True, changed) or place
    return place
