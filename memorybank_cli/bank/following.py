"""What others appended, read just as far as the next write needs it: the chain's end, and which records were stored.

A full reading parses each line and proves its data. In front of an append, lines that came since are followed in the
way they were written a moment ago by processes of this very machine: their chain is proved, and of lines that store a
message only the account and the record's id are taken. Everything that is not plain is left to the full reading.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from memorybank_cli.bank.chain import Position
from memorybank_cli.bank.framing import Line, link, unframe
from memorybank_cli.base.exact_json import loads

STORED, RENDERED, MESSAGE = "record.stored", "files.rendered", "message"
_TIME = b'"timestamp":"'
MOST_BYTES = 4 << 20
_LIGHT = re.compile(
    rb'\{"core":(\{"seq":([0-9]{1,16}),"ts":"([^"\\]*)","actor":"(?:[^"\\]|\\.)*","op":"record\.stored",'
    rb'"account":"([^"\\]*)","kind":"message","record":("(?:[^"\\]|\\.)*")'
    rb'(?:,"txn":\["[0-9a-f-]*",([0-9]+),([0-9]+)\])?[^{}\[\]]*\}),"hash":"([0-9a-f]{64})"[,}]'
)


class Told(NamedTuple):
    """One line as an applier hears of it. `account` and `record` are '' where it names none."""

    seq: int
    op: str
    account: str
    record: str
    kind: str
    time: str
    """When a message was said, as its record has it; '' for anything else, and where that was dropped."""
    line: Line | bytes
    """The line itself, or its bytes where no more than what stands above was taken from it."""

    def whole(self) -> Line | None:
        """The line with all that it says; None for bytes that are none after all."""
        if isinstance(self.line, Line):
            return self.line
        found = unframe(self.line)
        return None if found is None else found[0]


class Followed(NamedTuple):
    """What came after a position."""

    end: Position
    told: list[Told]


def follow(fd: int, end: Position) -> Followed | None:
    """The lines of an open segment after `end`, in whole groups to its end; None where that is not all there is."""
    size = os.lseek(fd, 0, os.SEEK_END) - end.offset  # no fstat: see `is_named`
    if not 0 <= size <= MOST_BYTES:
        return None
    data = os.pread(fd, size, end.offset).partition(b"\0")[0]  # what stands behind the room is nobody's yet
    if data and not data.endswith(b"\n"):
        return None
    told: list[Told] = []
    seq, digest, whole = end.seq, end.hash, True
    for raw in data.splitlines(keepends=True):
        found = _light(raw) or _full(raw)
        if found is None:
            return None
        core, stated, one, place, count = found
        if one.seq != seq + 1 or link(digest, core) != stated or (place == 0) != whole:
            return None
        seq, digest, whole = one.seq, stated, place == count - 1
        told.append(one)
    return Followed(end._replace(seq=seq, hash=digest, offset=end.offset + len(data)), told) if whole else None


_Parts = tuple[bytes, str, Told, int, int]


def _light(raw: bytes) -> _Parts | None:
    found = _LIGHT.match(raw)
    if found is None:
        return None
    core, seq, _, account, record, place, count, digest = found.groups()
    name = record[1:-1].decode() if b"\\" not in record else loads(record)
    one = Told(int(seq), STORED, account.decode(), name, MESSAGE, time_of(raw, found.end()), raw)
    return core, digest.decode(), one, int(place or 0), int(count or 1)


def _full(raw: bytes) -> _Parts | None:
    found = unframe(raw)
    if found is None:
        return None
    line, core = found
    _, place, count = line.core.get("txn", ("", 0, 1))
    return core, line.hash, told(line), place, count


def told(line: Line) -> Told:
    """What is told of a line."""
    core, moment = line.core, ""
    kind = core.get("kind") or ""
    if kind == MESSAGE and line.data is not None:
        moment = time_of(line.data)
    return Told(line.seq, core["op"], core.get("account") or "", str(core.get("record") or ""), kind, moment, line)


def time_of(record: bytes, start: int = 0) -> str:
    """The time of a message in its JSON. Quotes inside of what was said are escaped, so the first member is its own."""
    at = record.find(_TIME, start)
    return "" if at < 0 else record[at + len(_TIME) : record.index(b'"', at + len(_TIME))].decode()
