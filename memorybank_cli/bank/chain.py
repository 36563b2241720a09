"""Following the journal's chain, and what to make of a place where it does not hold.

While lines follow one another nothing is kept. At the first that does not, the rest is read into memory and one
question decides: does anything vouch for a later line? If not, the rest is a tail that a crash left; if so, it is a
break: the line is passed over, and what follows it is still served, because it was acknowledged.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import NamedTuple, Protocol

from memorybank_cli.bank.framing import GENESIS, Line, link, unframe
from memorybank_cli.bank.layout import segment_file
from memorybank_cli.base.records import Finding

GAP = "journal.gap"
CHECKPOINT = "checkpoint"


class Position(NamedTuple):
    """A place between two lines: the last line's seq and hash, its segment's first seq, and the byte after it."""

    seq: int = 0
    hash: str = GENESIS
    segment: int = 0
    offset: int = 0


START = Position()


class Break(NamedTuple):
    """A place where the chain is not proved: after which seq and hash, in which segment, at which byte, and why."""

    after: int
    hash: str
    segment: int
    offset: int
    rule: str
    reason: str

    def finding(self) -> Finding:
        """The break as it is told to people."""
        hint = "memorybank log --verify shows the place; memorybank repair starts a segment that names the gap"
        return Finding(self.rule, f"after line {self.after}: {self.reason}", segment_file(self.segment or 1), hint)


class Tail(NamedTuple):
    """Bytes at the end that are no line, or an incomplete group, and that nothing vouches for."""

    segment: int
    offset: int
    size: int


class Reading(NamedTuple):
    """What reading the journal came to: where it ends, what is broken, and what would be cut before the next line."""

    end: Position
    breaks: tuple[Break, ...]
    tail: Tail | None


class Segments(Protocol):
    """Where the lines stand."""

    def segments(self) -> list[int]:
        """First seqs of the segments, ascending."""

    def raw_lines(self, first: int, offset: int) -> Iterator[bytes]:
        """The bytes of a segment from `offset` on, line by line."""

    def is_packed(self, first: int) -> bool:
        """Whether a segment is closed and compressed: lines came after it."""


HELD = 4 << 20  # bytes of a group that wait in memory until its last line is met
VOUCHING = (CHECKPOINT, "snapshot.created", GAP)  # what stands before such a line was durable before it was written


class _Item(NamedTuple):
    """One line of a segment file; `line` is None where the bytes are none."""

    line: Line | None
    core: bytes
    segment: int
    start: int
    end: int


class Reader:
    """One pass over a journal from a position on; see `Journal.read`."""

    def __init__(self, journal: Segments, after: Position, mark: tuple[int, str]) -> None:
        self.journal, self.mark, self.end = journal, mark, after
        self.breaks: dict[tuple[int, str], Break] = {}
        self.tail: Tail | None = None
        self.taken_on_trust: _Item | None = None
        self.contradicted = False

    def run(self) -> Iterator[Line | Reading]:
        """Lines in whole groups, then the reading."""
        items = self._items(self.end)
        while trouble := (yield from self._follow(items)):
            items = self._resume(trouble)
        self._check_mark()
        yield Reading(self.end, tuple(self.breaks.values()), self.tail)

    def _items(self, after: Position) -> Iterator[_Item]:
        for first in self.journal.segments():
            if first < after.segment:
                continue
            start = after.offset if first == after.segment else 0
            for raw in self.journal.raw_lines(first, start):
                found = unframe(raw)
                line, core = found or (None, b"")
                yield _Item(line, core, first, start, start + len(raw))
                start += len(raw)

    def _follow(self, items: Iterator[_Item]) -> Generator[Line, None, list[_Item]]:
        group: list[_Item] = []
        before, whole, held = None, None, 0  # type: Line | None, bool | None, int
        for item in items:
            if not self._fits(item, before):
                return [*group, item, *items]
            group.append(item)
            before, held = item.line, held + item.end - item.start
            if _is_last(before):
                before, whole, held = None, None, 0
            else:
                if whole is None and held > HELD:
                    whole = self._is_whole(item)
                if not whole:
                    continue
            yield from self._accept(group)
            group = []
        return group

    def _is_whole(self, item: _Item) -> bool:
        """Whether the rest of the group that `item` belongs to follows it: a long group is not held in memory."""
        before = item.line
        for later in self._items(Position(0, "", item.segment, item.end)):
            if not self._fits(later, before):
                return False
            if _is_last(later.line):
                return True
            before = later.line
        return False

    def _fits(self, item: _Item, before: Line | None) -> bool:
        """Whether an item follows `before`, a line of its own group, or where that is None begins one after the end."""
        line, seq, digest = item.line, before.seq if before else self.end.seq, before.hash if before else self.end.hash
        if line is None:
            return False
        if item is self.taken_on_trust:
            return True
        follows = line.seq == seq + 1 or (line.op == GAP and line.seq > seq)
        return follows and link(digest, item.core) == line.hash and _same_group(before, line)

    def _accept(self, group: list[_Item]) -> Iterator[Line]:
        for item in group:
            line = item.line
            assert line is not None
            self.end = Position(line.seq, line.hash, item.segment, item.end)
            if line.seq == self.mark[0] and line.hash != self.mark[1]:
                self.contradicted = True
            if line.op == GAP:
                self._heal(line)
            yield line

    def _heal(self, line: Line) -> None:
        for after, digest in line.core.get("breaks", ()):
            self.breaks.pop((after, digest), None)

    def _resume(self, trouble: list[_Item]) -> Iterator[_Item]:
        if not self._vouched(trouble):
            first = trouble[0]
            self.tail = Tail(first.segment, first.start, trouble[-1].end - first.start)
            return iter(())
        reason = "bytes that are no line" if trouble[0].line is None else "a line that does not follow the one before"
        self._break(trouble[0].segment, trouble[0].start, "MB120", reason)
        for index in range(1, len(trouble)):
            if self._restart(trouble[index - 1], trouble[index]):
                return iter(trouble[index:])
        return iter(())

    def _restart(self, before: _Item, item: _Item) -> bool:
        """Whether reading may go on here: the item follows the end, the line before it, or bytes that are no line."""
        if item.line is None:
            return False
        if link(self.end.hash, item.core) == item.line.hash:
            self.end = self.end._replace(seq=item.line.seq - 1)
            return True
        if before.line is not None and (link(before.line.hash, item.core) != item.line.hash or not _begins(item.line)):
            return False
        if before.line is None:
            self.taken_on_trust = item
        digest = before.line.hash if before.line else self.end.hash
        self.end = Position(item.line.seq - 1, digest, item.segment, item.start)
        return True

    def _vouched(self, trouble: list[_Item]) -> bool:
        last = trouble[-1].segment
        if self.mark[0] > self.end.seq or trouble[0].segment != last or self.journal.is_packed(last):
            return True
        first = trouble[0]
        if first.start == 0 and first.line is not None and first.line.seq == first.segment > self.end.seq + 1:
            return True  # a segment begins when all before it is durable
        return any(
            item.line is not None
            and item.line.op in VOUCHING
            and before.line is not None
            and link(before.line.hash, item.core) == item.line.hash
            for before, item in zip(trouble, trouble[1:], strict=False)
        )

    def _check_mark(self) -> None:
        if self.mark[0] > self.end.seq:
            missing = f"ends at line {self.end.seq}, but line {self.mark[0]} was acknowledged"
            self._break(self.end.segment, self.end.offset, "MB121", missing)
        elif self.end.segment and self.tail is None and self._goes_on():
            missing = f"ends at line {self.end.seq}, but its last segment was closed, so there was another one"
            self._break(self.end.segment, self.end.offset, "MB121", missing)
        elif self.contradicted:
            self._break(self.end.segment, self.end.offset, "MB120", f"line {self.mark[0]} is not the one acknowledged")

    def _goes_on(self) -> bool:
        """Whether the segment in which the journal ends was closed."""
        last = max(self.journal.segments(), default=0)
        return last == self.end.segment and self.journal.is_packed(last)

    def _break(self, segment: int, offset: int, rule: str, reason: str) -> None:
        key = (self.end.seq, self.end.hash)
        self.breaks.setdefault(key, Break(self.end.seq, self.end.hash, segment, offset, rule, reason))


def _same_group(before: Line | None, line: Line) -> bool:
    txn = line.core.get("txn")
    if before is None:
        return txn is None or txn[1] == 0
    return txn is not None and txn[0] == before.core["txn"][0] and txn[1] == before.core["txn"][1] + 1


def _begins(line: Line) -> bool:
    """Whether no line of a group has to stand before it."""
    txn = line.core.get("txn")
    return txn is None or txn[1] == 0


def _is_last(line: Line | None) -> bool:
    txn = line.core.get("txn") if line else None
    return txn is None or txn[1] == txn[2] - 1
