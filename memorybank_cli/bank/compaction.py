"""Closed segments of the journal, written again: data that is not needed any more is dropped, old ones are compressed.

The chain holds as before, for a line's hash covers its core only. A segment is replaced in one step, so a kill leaves
the old one or the new one, and what was planned before it is planned again. It is packed before the lock is taken: who
writes waits for the exchange only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from memorybank_cli.bank import layout, packed
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.framing import Line, link, stripped, unframe
from memorybank_cli.bank.journal import Entry
from memorybank_cli.bank.replacing import END as RESTORED
from memorybank_cli.base import clock, files
from memorybank_cli.base.errors import OperationFailed

COMPACTED = "journal.compacted"
WINDOW_DAYS = 7
MIB = 1 << 20
AT_ONCE = 1 << 20  # bytes that are written in one piece
_SEQ = re.compile(rb'\{"core":\{"seq":(\d{1,16}),')
_DATA = b',"data":'

Change = Callable[[bytes], bytes]
"""What becomes of one line of a segment, newline included."""
MayGo = Callable[[Line], bool]
"""Whether a line's data is kept elsewhere, or is of a state that nobody can want back after the undo window."""


class Compacted(NamedTuple):
    """What becomes of one segment: of how many lines the data goes, and how many bytes it has before and after."""

    segment: int
    lines: int
    before: int
    after: int


class Step(NamedTuple):
    """A segment that is to be written again, with or without the data that may go."""

    told: Compacted
    drops: bool


def rewrite(bank: Bank, first: int, change: Change) -> None:
    """Replace a closed segment durably by its changed lines, in the form that it has.

    The lock is held. Raises OSError; the segment is then as it was.
    """
    lines = map(change, bank.journal.raw_lines(first, 0))
    if bank.root.stat(layout.packed_segment(first)) is not None:
        _put(bank, first, packed.pack(map(_numbered, lines)))
        return
    plain = layout.segment_file(first)
    info = bank.root.stat(plain)
    files.replace(bank.root, plain, _joined(lines), files.FILE_MODE if info is None else info.st_mode & 0o777)
    bank.journal.opened.clear()


def total(bank: Bank) -> int:
    """Bytes of the whole journal."""
    return sum(entry.size for entry in bank.root.listing(layout.JOURNAL))


def closed(bank: Bank) -> list[int]:
    """Segments that are not written to any more, the oldest first."""
    return bank.journal.segments()[:-1]


def dropping(may_go: MayGo) -> Change:
    """A change that takes the data off the lines of which it may go."""

    def change(raw: bytes) -> bytes:
        found = unframe(raw) if _DATA in raw else None
        return stripped(raw) if found and found[0].data is not None and may_go(found[0]) else raw

    return change


def plan(bank: Bank, may_go: MayGo, days: int = WINDOW_DAYS) -> list[Step]:
    """What is to be done so that nothing older than the undo window stays that may go, nor more than the budget.

    What is older is compressed and loses the data that may go; while the journal is larger than its budget so do the
    oldest of the others, first the one, then the other. Segments in which something cannot be read stay as they are.
    """
    since = clock.show(datetime.now(UTC) - timedelta(days=days))
    budget = int(bank.settings["undo_budget_mib"]) * MIB
    left = total(bank)
    steps: dict[int, Step] = {}
    young: list[int] = []
    for first in closed(bank):
        old = _newest(bank, first) < since
        if not old:
            young.append(first)
        if (old or left > budget) and (step := _step(bank, first, may_go if old else None)) is not None:
            steps[first] = step
            left -= step.told.before - step.told.after
    for first in young:
        if left <= budget:
            break
        step = _step(bank, first, may_go)
        if step is not None and step.told.lines:
            known = steps.get(first)
            left -= (known.told.after if known else step.told.before) - step.told.after
            steps[first] = step
    return [steps[first] for first in sorted(steps)]


def carry_out(bank: Bank, steps: list[Step], may_go: MayGo, since: int) -> None:
    """Do what was planned as of line `since`; the journal has it before it happens.

    Raises OperationFailed where what was planned does not hold any more.
    """
    bank.context.progress.start("compacting the journal", len(steps))
    for one in steps:
        if _compacted(bank, one.told.segment, may_go if one.drops else None, since) is None:
            raise OperationFailed("files were put back meanwhile, so other data is needed", hint="run it again")
        bank.context.progress.advance(1)
    bank.context.progress.finish()


def overdue(bank: Bank, may_go: Callable[[], MayGo], most: int, goes_on: Callable[[], bool]) -> int:
    """Compact the oldest segments that nobody compacted yet while the journal is beyond its budget; how many.

    At most so many. What may go is asked for only when it is needed. It ends early where that does not hold any more,
    or `goes_on` says no.
    """
    left, budget, done = total(bank), int(bank.settings["undo_budget_mib"]) * MIB, 0
    if left <= budget:
        return 0
    since, known = bank.end.seq, may_go()
    for first in closed(bank):
        if left <= budget or done >= most or not goes_on():
            break
        if not bank.journal.is_packed(first):
            told = _compacted(bank, first, known, since)
            if told is None:
                break
            left, done = left - told.before + told.after, done + 1
    return done


def _compacted(bank: Bank, first: int, may_go: MayGo | None, since: int) -> Compacted | None:
    """Replace one segment; None where it changed meanwhile, is damaged, or files were put back since line `since`."""
    stood = _stands(bank, first)
    packing = _packed_anew(bank, first, may_go)
    if packing is None:
        return None
    lines, pieces = packing
    told = Compacted(first, lines, _size(bank, first), sum(map(len, pieces)))
    with bank.locked():
        bank.check_writable()
        restored = bank.journal.lines(since, (b'"op":"restore.end"',))
        if _stands(bank, first) != stood or any(line.op == RESTORED for line in restored):
            return None
        bank.commit([Entry(COMPACTED, {"segments": [list(told)], "days": WINDOW_DAYS})])
        _put(bank, first, iter(pieces))
    return told


def _stands(bank: Bank, first: int) -> list[tuple[int, int] | None]:
    found = (bank.root.stat(path) for path in (layout.segment_file(first), layout.packed_segment(first)))
    return [None if info is None else (info.st_ino, info.st_size) for info in found]


def _put(bank: Bank, first: int, pieces: Iterator[bytes]) -> None:
    """Have these bytes be the packed form of a segment, and the only one. The lock is held."""
    plain, target = layout.segment_file(first), layout.packed_segment(first)
    there = bank.root.stat(plain)
    info = there or bank.root.stat(target)
    files.replace(bank.root, target, pieces, files.FILE_MODE if info is None else info.st_mode & 0o777)
    if there is not None:
        files.remove(bank.root, plain)
    bank.journal.opened.clear()


def _packed_anew(bank: Bank, first: int, may_go: MayGo | None) -> tuple[int, list[bytes]] | None:
    """Of how many lines of a segment the data goes, and its bytes packed without; None where it is damaged."""
    counted, previous = 0, ""
    change = _as_it_is if may_go is None else dropping(may_go)

    def lines() -> Iterator[bytes]:
        nonlocal counted, previous
        for raw in bank.journal.raw_lines(first, 0):
            found = unframe(raw)
            if found is None or (previous and link(previous, found[1]) != found[0].hash):
                raise _Damaged
            previous, done = found[0].hash, change(raw)
            counted += done is not raw
            yield done

    try:
        pieces = list(packed.pack(map(_numbered, lines())))
    except _Damaged:
        return None
    return counted, pieces


def _step(bank: Bank, first: int, may_go: MayGo | None) -> Step | None:
    """What writing a segment again would bring; None where that is nothing, or where it is damaged."""
    packing = _packed_anew(bank, first, may_go)
    if packing is None or (bank.journal.is_packed(first) and not packing[0]):
        return None
    lines, pieces = packing
    return Step(Compacted(first, lines, _size(bank, first), sum(map(len, pieces))), may_go is not None)


class _Damaged(Exception):
    """Something in a segment is no line, or does not follow: it stays as it is, as evidence."""


def _size(bank: Bank, first: int) -> int:
    found = (bank.root.stat(path) for path in (layout.segment_file(first), layout.packed_segment(first)))
    return sum(info.st_size for info in found if info is not None)


def _newest(bank: Bank, first: int) -> str:
    """When the newest line of a segment was written."""
    times = (found[0].core.get("ts") for raw in bank.journal.raw_lines(first, 0) if (found := _begun(raw)))
    return max((str(time) for time in times), default="")


def _begun(raw: bytes) -> tuple[Line, bytes] | None:
    return unframe(stripped(raw)) if b',"hash":"' in raw else None


def _as_it_is(raw: bytes) -> bytes:
    return raw


def _numbered(raw: bytes) -> tuple[int, bytes]:
    found = _SEQ.match(raw)
    return (int(found[1]) if found else 0), raw


def _joined(lines: Iterable[bytes]) -> Iterator[bytes]:
    waiting, size = [], 0
    for line in lines:
        waiting.append(line)
        size += len(line)
        if size > AT_ONCE:
            yield b"".join(waiting)
            waiting, size = [], 0
    yield b"".join(waiting)
