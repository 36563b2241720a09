"""The journal: an append-only, hash-chained log of every change, in segments under `.memorybank/journal/`.

Reading goes on from a `Position` and tells where the chain breaks; it changes nothing. Appending happens under the
bank's lock. A tail that nothing vouches for is cut then, and the cut is an entry; a break that a later checkpoint,
snapshot or the high-water mark vouches for is never cut: it is a `Break`, and writing stops until `gap` names it.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Container, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from memorybank_cli.bank import layout, packed
from memorybank_cli.bank.chain import VOUCHING, Position, Reader, Reading, Tail
from memorybank_cli.bank.framing import Line, frame, unframe
from memorybank_cli.bank.tip import ROOM, Tip
from memorybank_cli.base import clock, digests, files
from memorybank_cli.base.exact_json import dumps
from memorybank_cli.base.names import uuid7
from memorybank_cli.base.walk import Root

SEGMENT_LINES = 10_000
SEGMENT_BYTES = 16 << 20
CHECKPOINT_LINES = 1_000
CHECKPOINT_SECONDS = 60
ENDING_BYTES = 4_096
NEAR = 1 << 16  # bytes that are rather read than searched
PIECE_BYTES = 1 << 20  # a group of any length is written in such pieces
READ_BYTES = 1 << 20  # adopting many files makes lines of half a megabyte
CUT = "journal.cut"
_TIME = re.compile(rb'\{"core":\{"seq":(\d{1,16}),"ts":"([0-9TZ:.-]{20,40})"')
_SEQ = re.compile(rb'\{"core":\{"seq":(\d{1,16}),')
_OP = re.compile(rb'\{"core":\{"seq":\d{1,16},"ts":"[^"\\]*","actor":"(?:[^"\\]|\\.)*","op":"([^"\\]*)"')
_BEGINNING = re.compile(rb"\n" + _SEQ.pattern)
_LONGEST_BEGINNING = 40


@dataclass(slots=True)
class Entry:
    """What is to be written: the operation, further fields of `core`, and data that may be forgotten later."""

    op: str
    fields: dict[str, Any]
    value: Any = None
    is_new: bool = False
    """Whether its id was made for it, so that nobody can have stored it before."""
    _data: bytes | None = field(init=False, default=None)

    @property
    def data(self) -> bytes | None:
        """The value as JSON, None where there is none. Raises ValueError for NaN."""
        if self._data is None and self.value is not None:
            self._data = dumps(self.value)
        return self._data


class Group(Protocol):
    """Entries that are written together or not at all; a list of them, or something that makes them as they go."""

    def __len__(self) -> int:
        """How many there are."""

    def __iter__(self) -> Iterator[Entry]:
        """Each of them, in order."""


class Journal:
    """One bank's journal. `actor` stands as the author in what is appended."""

    def __init__(self, root: Root, actor: str) -> None:
        self.root, self.actor = root, actor
        self.opened: dict[int, dict[str, bytes]] = {}
        """Contents that lines keep, as far as `versions` remembers them."""
        self.tail: Tail | None = None
        """What stands at the end and is no part of the journal: whole lines of a torn group may be in it."""
        self.closes = False
        """Whether the next write begins a segment: closed ones can be rewritten."""
        self.begun = 0
        """Segments that were begun here."""
        self.tip = Tip(root)
        self.unsynced: Callable[[], object] = lambda: None
        """Is told of a sync that failed: what was written before it, by whomever, may not be on the disk."""

    def segments(self) -> list[int]:
        """First seqs of the segments that stand, ascending."""
        firsts = {layout.segment_first(entry.name) for entry in self.root.listing(layout.JOURNAL)}
        return sorted(first for first in firsts if first is not None)

    def is_packed(self, first: int) -> bool:
        """Whether a segment is closed and compressed: lines came after it."""
        return self._plain_size(first) is None and self.root.stat(layout.packed_segment(first)) is not None

    def _plain_size(self, first: int) -> int | None:
        info = self.root.stat(layout.segment_file(first))
        return None if info is None else info.st_size

    def _size(self, first: int) -> int | None:
        """How many bytes of lines a segment has, None where it is gone."""
        plain = self._plain_size(first)
        return packed.size(self.root, layout.packed_segment(first)) if plain is None else plain

    def is_ahead(self, position: Position) -> bool:
        """Whether there is anything after `position`; costs a stat, and a read where there is room behind it."""
        size = self._plain_size(position.segment) if position.segment else None
        if size is None or size < position.offset or (size > position.offset and not self._is_room(position)):
            return True
        return any(first > position.segment for first in self.segments())

    def _is_room(self, position: Position) -> bool:
        try:
            fd = self.root.open(layout.segment_file(position.segment))
        except FileNotFoundError:
            return False
        with open(fd, "rb", buffering=0) as file:
            file.seek(position.offset)
            found = file.read(2 * len(ROOM)) or b""
        return position.offset > 0 and len(found) < 2 * len(ROOM) and not found.strip(b"\0")

    def is_behind(self, position: Position) -> bool:
        """Whether lines up to `position` are not all there any more; costs a stat."""
        if not position.segment:
            return False
        size = self._size(position.segment)
        return size is None or size < position.offset

    def read(self, after: Position, mark: tuple[int, str] = (0, "")) -> Iterator[Line | Reading]:
        """Every line after a position in whole groups, then one `Reading`. `mark` is the high-water mark, if known."""
        return Reader(self, after, mark).run()

    def lines(
        self, after: int = 0, having: tuple[bytes, ...] = (), ops: Container[bytes] | None = None
    ) -> Iterator[Line]:
        """Lines with a seq above `after`, as far as they can be read, the chain not checked.

        With `having` only those in whose bytes one of these texts stands, with `ops` only those of these operations;
        the others are not even parsed.
        """
        firsts = self.segments()
        start = max((first for first in firsts if first <= after + 1), default=0)
        for first in firsts:
            if first >= start:
                for raw in self._believed(first, self._offset(first, after) if first == start else 0, having):
                    if ops is not None and (head := _OP.match(raw)) and head[1] not in ops:
                        continue
                    if (begun := _SEQ.match(raw)) and int(begun[1]) <= after:
                        continue
                    found = unframe(raw)
                    if found and found[0].seq > after:
                        yield found[0]

    def newest_first(self, having: bytes) -> Iterator[Line]:
        """Lines in whose bytes a text stands, the newest first, as far as they can be read, the chain not checked."""
        for first in reversed(self.segments()):
            for raw in [*self._believed(first, 0, (having,))][::-1]:
                if found := unframe(raw):
                    yield found[0]

    def _offset(self, first: int, after: int) -> int:
        """Where in a segment a line begins before which no seq is above `after`: its end is as near as its start.

        Found by halving; what is no beginning of a line is passed over.
        """
        try:
            fd = self.root.open(layout.segment_file(first))
        except FileNotFoundError:
            return packed.before(self.root, layout.packed_segment(first), after)
        except OSError:
            return 0
        try:
            low, high = 0, os.fstat(fd).st_size
            while high - low > NEAR:
                middle = (low + high) // 2
                start, seq = _next_line(fd, middle, high)
                low, high = (start, high) if seq is not None and seq <= after else (low, middle)
            return low
        finally:
            os.close(fd)

    def times(self) -> Iterator[tuple[int, str]]:
        """Seq and time of each line, in order; nothing else of them is looked at."""
        for first in self.segments():
            for raw in self._believed(first, 0):
                if found := _TIME.match(raw):
                    yield int(found[1]), found[2].decode()

    def lines_about(self, path: str) -> list[Line]:
        """Lines that name `path`, newest first: found by text, then confirmed by the caller."""
        hits = [found[0] for raw in self._texts(dumps(path)) if (found := unframe(raw))]
        return hits[::-1]

    def _texts(self, text: bytes) -> Iterator[bytes]:
        return (raw for first in self.segments() for raw in self._believed(first, 0, (text,)))

    def _believed(self, first: int, offset: int, having: tuple[bytes, ...] = ()) -> Iterator[bytes]:
        """`raw_lines` before the tail."""
        if self.tail is None or first < self.tail.segment:
            yield from self.raw_lines(first, offset, having)
        elif first == self.tail.segment:
            yield from self.raw_lines(first, offset, having, self.tail.offset)

    def raw_lines(
        self, first: int, offset: int, having: tuple[bytes, ...] = (), end: int | None = None
    ) -> Iterator[bytes]:
        """The bytes of a segment from `offset` to `end`, line by line; nothing where it is gone.

        With `having` only the lines in which one of these texts stands: where that is rare most are not even looked at.
        """
        for block in self._blocks(first, offset, end):
            if not having:
                yield from io.BytesIO(block)
            elif any(text in block for text in having):
                yield from (raw for raw in io.BytesIO(block) if any(text in raw for text in having))

    def _blocks(self, first: int, offset: int, end: int | None) -> Iterator[bytes]:
        """Many lines at a time, without the room behind them; the last one of all may have no end.

        Another process is at it then: what it writes meanwhile would look like lines of its own.
        """
        try:
            fd = self.root.open(layout.segment_file(first))
        except PermissionError:
            raise
        except OSError:  # gone, or become something that is no file: what vouches for it makes that a break
            yield from packed.blocks(self.root, layout.packed_segment(first), offset)
            return
        try:
            size = NEAR  # who wants one line asks for few
            while True:
                piece = os.pread(fd, size if end is None else min(size, max(0, end - offset)), offset)
                cut = piece.rfind(b"\n") + 1
                if piece.find(0, 0, cut) >= 0:  # what stands before a line was written before it: it is there by now
                    piece = os.pread(fd, cut, offset)
                    cut = piece.rfind(b"\n") + 1
                if cut:
                    yield piece[:cut]
                    offset, size = offset + cut, min(2 * size, READ_BYTES)
                elif len(piece) < size:
                    break
                else:
                    size *= 2
            if piece.strip(b"\0") or (piece and not offset):  # NULs from the start on are no room
                yield piece
        finally:
            os.close(fd)

    def ending(self, position: Position) -> str:
        """The digest of the last bytes before a position, '' where they cannot be read."""
        if not position.segment:
            return ""
        start = max(0, position.offset - ENDING_BYTES)
        try:
            fd = self.root.open(layout.segment_file(position.segment))
        except FileNotFoundError:
            path = layout.packed_segment(position.segment)
            data = packed.ending(self.root, path, start, position.offset)
            return digests.of(data) if data else ""
        except OSError:
            return ""
        try:
            return digests.of(os.pread(fd, position.offset - start, start))
        finally:
            os.close(fd)

    def append(
        self, end: Position, groups: Sequence[Group], sync: bool = True, known: bool = False
    ) -> tuple[list[Line], Position]:
        """`write`, and its lines at once."""
        lines: list[Line] = []
        for item in self.write(end, groups, sync, known):
            if isinstance(item, Reading):
                end = item.end
            else:
                lines += item
        return lines, end

    def write(
        self, end: Position, groups: Sequence[Group], sync: bool = True, known: bool = False
    ) -> Iterator[list[Line] | Reading]:
        """Write groups of entries after `end`, each all or nothing: the lines, then how far the journal goes now.

        They are durable, and so acknowledged, once that last item is given; lines come before. The caller holds the
        lock, has read up to `end` and cut the tail. Raises OSError; of the group that failed nothing is then written,
        nor when this is closed before its end. With `known` the caller has seen that the segment that is open is the
        one that stands there, and that no other was begun. A line that vouches for others is the first of its group.
        """
        for group in groups:
            end = yield from self._write(end, group, sync and group is groups[-1], known)
            known = True
        yield Reading(end, (), None)

    def _write(self, end: Position, group: Group, sync: bool, known: bool) -> Generator[list[Line], None, Position]:
        end = self._rotated(end, known)
        fd = self.tip.current(end.segment) if known else self.tip.descriptor(end.segment)
        last = end
        try:
            for text, lines in self._pieces(end, group):
                if lines[0].op in VOUCHING:  # a crash that kept it and tore what is before it looks like damage
                    self._sync(fd)
                self.tip.put(fd, text, last.offset)
                last = Position(lines[-1].seq, lines[-1].hash, last.segment, last.offset + len(text))
                yield lines
            if sync:
                self._sync(fd)
        except BaseException:
            files.truncate(fd, end.offset)
            if sync:
                with suppress(OSError):  # else a crash may leave what its caller was told is not there
                    files.sync(fd)
            raise
        return last

    def _sync(self, fd: int) -> None:
        try:
            files.sync_data(fd)
        except OSError:
            self.unsynced()
            raise

    def _pieces(self, end: Position, group: Group) -> Iterator[tuple[bytes, list[Line]]]:
        """The lines of a group in pieces that are written at once."""
        texts: list[bytes] = []
        lines: list[Line] = []
        size = 0
        for text, line in self._framed(end, group):
            if size > PIECE_BYTES:
                yield b"".join(texts), lines
                texts, lines, size = [], [], 0
            texts.append(text)
            lines.append(line)
            size += len(text)
        if lines:
            yield b"".join(texts), lines

    def _framed(self, end: Position, group: Group) -> Iterator[tuple[bytes, Line]]:
        seq, previous, count, moment = end.seq, end.hash, len(group), clock.now()
        group_id = uuid7() if count > 1 else ""
        for index, entry in enumerate(group):
            core = {"seq": seq + 1, "ts": moment, "actor": self.actor, "op": entry.op, **entry.fields}
            seq = core["seq"]
            if group_id:
                core["txn"] = [group_id, index, count]
            text, line = frame(previous, core, entry.data)
            previous = line.hash
            yield text, line

    def close(self) -> None:
        """Give the descriptors back."""
        self.tip.close()

    def is_full(self, end: Position) -> bool:
        """Whether the next write begins a segment."""
        return self.closes or end.offset >= SEGMENT_BYTES or end.seq - end.segment + 1 >= SEGMENT_LINES

    def _rotated(self, end: Position, known: bool) -> Position:
        if end.segment and not self.is_full(end) and (known or not self._is_begun(end)):
            return end
        self.closes = False
        if end.segment:  # lines of renderings may wait unsynced there; what is in a later segment vouches for them
            with suppress(FileNotFoundError):
                fd = self.tip.descriptor(end.segment, create=False)
                files.truncate(fd, end.offset)
                self._sync(fd)
        files.make_dirs(self.root, layout.JOURNAL)
        self.begun += 1
        return end._replace(segment=end.seq + 1, offset=0)

    def _is_begun(self, end: Position) -> bool:
        """Whether the next segment stands there, empty: a crash came before its first line was on the disk."""
        path = layout.segment_file(end.seq + 1)
        return end.segment != end.seq + 1 and os.access(path, os.F_OK, dir_fd=self.root.fd)

    def cut(self, tail: Tail, end: Position) -> Entry:
        """Take a worthless tail off the journal (the lock is held) and give the entry that says so."""
        path = layout.segment_file(tail.segment)
        fd = files.open_to_write(self.root, path, create=False)
        try:
            os.lseek(fd, tail.offset, os.SEEK_SET)
            digest, size = digests.of_fd(fd)
            files.truncate(fd, tail.offset)
        finally:
            os.close(fd)
        return Entry(
            CUT, {"segment": path, "offset": tail.offset, "bytes": size, "sha256": digest, "after_seq": end.seq}
        )


def _next_line(fd: int, offset: int, end: int) -> tuple[int, int | None]:
    """Where the first line that begins between two offsets does, and its seq; None where none does."""
    while offset < end:
        piece = os.pread(fd, NEAR, offset)
        if found := _BEGINNING.search(piece):
            return offset + found.start() + 1, int(found[1])
        offset += max(len(piece) - _LONGEST_BEGINNING, 1)
    return offset, None
