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

    @property
    def last(self) -> int:
        """The position of its last message."""
        return self.first + self.length - 1


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


def seal(account: str, messages: Sequence[dict[str, Any]], texts: Sequence[bytes]) -> tuple[Segment, bytes]:
    """A segment of these messages, whose JSON is `texts`, and its file's bytes."""
    first, last = messages[0], messages[-1]
    data = document({"account_id": account, "first": first["seq"], "count": len(messages)}, "messages", texts)
    times = first["timestamp"], last["timestamp"]
    return Segment(first["seq"], len(messages), first["id"], last["id"], *times, digests.of(data)), data


def index_text(account: str, segments: Iterable[Segment]) -> bytes:
    """The bytes of history/index.json."""
    return document({"account_id": account}, "segments", [_entry(account, one) for one in segments])


def _entry(account: str, one: Segment) -> bytes:
    name = history_segment(account, one.first).rpartition("/")[2]
    return dumps({"file": name, **dict(zip(_MEMBERS, one, strict=True))})


def parse_index(data: bytes) -> list[Segment]:
    """The segments that an index lists; whether they follow one another is not looked at.

    Raises ValueError, KeyError or TypeError for an index that somebody else wrote.
    """
    found = [Segment(*(one[name] for name in _MEMBERS)) for one in orjson.loads(data)["segments"]]
    if not all(map(_is_one, found)):
        raise ValueError("no index of segments")
    return found


def _is_one(found: Segment) -> bool:
    numbers = type(found.first) is int and type(found.length) is int
    return numbers and 0 < found.first < _END and 0 < found.length < _END and {*map(type, found[2:])} == {str}


def parse_segment(data: bytes) -> tuple[Segment, list[dict[str, Any]]]:
    """A segment as it must be listed, and its messages. Raises ValueError for bytes that are no whole segment."""
    try:
        value = loads(data)
        messages, first = value["messages"], int(value["first"])
        begin, end = messages[0], messages[-1]
        positions = [one["seq"] for one in messages]
        listed = Segment(
            first, len(messages), begin["id"], end["id"], begin["timestamp"], end["timestamp"], digests.of(data)
        )
    except (FlawedJSON, KeyError, TypeError, IndexError) as error:
        raise ValueError(f"no segment: {error}") from None
    if value["count"] != len(messages) or positions != list(range(first, first + len(messages))):
        raise ValueError("its count or order is broken")
    return listed, messages
