"""Sealed segments of a history and the index that lists them: when one is full, and their bytes both ways."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import orjson

from memorybank_cli.bank.layout import history_segment
from memorybank_cli.base import digests
from memorybank_cli.base.exact_json import FlawedJSON, dumps, loads

MOST = 1_000
LARGEST = 512 << 10
"""Bytes of messages that one segment holds; a longer message has a segment of its own."""
_END = 10**12  # a segment's file is named by twelve digits
_MEMBERS = ("first", "count", "first_id", "last_id", "first_time", "last_time", "sha256")


class Segment(NamedTuple):
    """One sealed segment, as the index lists it."""

    first: int
    length: int
    first_id: str
    last_id: str
    first_time: str
    last_time: str
    sha256: str
    gone: int = 0
    """Positions in it whose messages were forgotten."""

    @property
    def last(self) -> int:
        """The last position in it."""
        return self.first + self.length + self.gone - 1


def full(sizes: Iterable[int]) -> int:
    """How many of messages of these sizes the first segment takes; 0 while it is not full.

    A pure function of the sizes: where a history is cut never depends on when that is done.
    """
    total = 0
    for before, size in enumerate(sizes):
        if before and total + size > LARGEST:
            return before
        total += size
        if before + 1 == MOST or total >= LARGEST:
            return before + 1
    return 0


def document(head: dict[str, Any], name: str, records: Sequence[bytes]) -> bytes:
    """A document for people: two spaces of indentation, and under its last member `name` one record a line."""
    text = dumps(head, indent=True)
    listed = b"[\n    " + b",\n    ".join(records) + b"\n  ]" if records else b"[]"
    return b'%s,\n  "%s": %s\n}\n' % (text[:-2], name.encode(), listed)


def seal(
    account: str, texts: Sequence[bytes], first: dict[str, Any], last: dict[str, Any], begin: int = 0, gone: int = 0
) -> tuple[Segment, bytes]:
    """A segment of messages by their JSON, of which the first and the last are given too, and its file's bytes.

    It begins at position `begin`, unless that is 0 with the first message; `gone` of its positions were forgotten.
    """
    begin = begin or first["seq"]
    head = {"account_id": account, "first": begin, "count": len(texts), **_forgotten(gone)}
    data = document(head, "messages", texts)
    times = first["timestamp"], last["timestamp"]
    return Segment(begin, len(texts), first["id"], last["id"], *times, digests.of(data), gone), data


def without(account: str, segment: Segment, messages: Sequence[dict[str, Any]]) -> tuple[Segment, bytes]:
    """A segment of which only these messages are left, and its file's bytes."""
    gone = segment.gone + segment.length - len(messages)
    return seal(account, [dumps(one) for one in messages], messages[0], messages[-1], segment.first, gone)


def _forgotten(count: int) -> dict[str, int]:
    """What a file says of positions whose messages were forgotten: nothing where there are none."""
    return {"forgotten": count} if count else {}


def index_text(account: str, segments: Iterable[Segment]) -> bytes:
    """The bytes of history/index.json."""
    return document({"account_id": account}, "segments", [_entry(account, one) for one in segments])


def _entry(account: str, one: Segment) -> bytes:
    name = history_segment(account, one.first).rpartition("/")[2]
    return dumps({"file": name, **dict(zip(_MEMBERS, one[:-1], strict=True)), **_forgotten(one.gone)})


def parse_index(data: bytes) -> list[Segment]:
    """The segments that an index lists; whether they follow one another is not looked at.

    Raises ValueError, KeyError or TypeError for an index that somebody else wrote.
    """
    listed = orjson.loads(data)["segments"]
    found = [Segment(*(one[name] for name in _MEMBERS))._replace(gone=one.get("forgotten", 0)) for one in listed]
    if not all(map(_is_one, found)):
        raise ValueError("no index of segments")
    return found


def _is_one(found: Segment) -> bool:
    if {*map(type, (found.first, found.length, found.gone))} != {int} or {*map(type, found[2:-1])} != {str}:
        return False
    return 0 < found.first < _END and 0 < found.length < _END and 0 <= found.gone < _END


def parse_segment(data: bytes) -> tuple[Segment, list[dict[str, Any]]]:
    """A segment as it must be listed, and its messages. Raises ValueError for bytes that are no whole segment."""
    try:
        value = loads(data)
        messages, first = value["messages"], int(value["first"])
        begin, end = messages[0], messages[-1]
        positions, gone = [one["seq"] for one in messages], int(value.get("forgotten", 0))
        ends = (begin["id"], end["id"], begin["timestamp"], end["timestamp"], digests.of(data))
        listed = Segment(first, len(messages), *ends, gone)
    except (FlawedJSON, KeyError, TypeError, IndexError) as error:
        raise ValueError(f"no segment: {error}") from None
    if value["count"] != len(messages) or not in_order(positions, first, listed.last) or gone < 0:
        raise ValueError("its count or order is broken")
    return listed, messages


def in_order(positions: Sequence[Any], first: int, last: int) -> bool:
    """Whether positions ascend and lie within a range: where none is missing of it each has its own place."""
    around = [first - 1, *positions, last + 1]
    return all(type(one) is int for one in positions) and all(a < b for a, b in zip(around, around[1:], strict=False))
