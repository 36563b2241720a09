"""Single records of a document replaced, taken out or put back in its bytes: all other bytes stay what they are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from memorybank_cli.base import positions
from memorybank_cli.base.exact_json import dumps
from memorybank_cli.meaning.differences import Change
from memorybank_cli.meaning.records import Held, Record, spans

_NEXT = re.compile(rb"\s*+,\s*+")
_SPACE = re.compile(rb"\s*+")


class _Element(NamedTuple):
    """One element of the array, or member of the object, that holds the records."""

    record: Record
    start: int
    end: int


class _Parts(NamedTuple):
    """A document taken apart: what is before, between and after the elements stays what it is."""

    data: bytes
    opening: int
    closing: int
    elements: list[_Element]

    def text(self, number: int) -> bytes:
        """The bytes of one element, with its key where it has one."""
        return self.data[self.elements[number].start : self.elements[number].end]

    def between(self, number: int) -> bytes:
        """What stands before the element `number`: the opening space, or the comma with what is around it."""
        start = self.elements[number - 1].end if number else self.opening
        return self.data[start : self.elements[number].start]

    @property
    def tail(self) -> bytes:
        """What stands after the last element."""
        return self.data[self.elements[-1].end : self.closing]


def _parts(data: bytes, held: Held) -> _Parts | None:
    holder = positions.locate(data, held.holder or "")
    if holder is None:
        return None
    at = holder.start + 1
    elements: list[_Element] = []
    for record, span in zip(held.records, spans(data, held), strict=True):
        gap = _NEXT.match(data, at) if elements else _SPACE.match(data, at)
        elements.append(_Element(record, gap.end() if gap else span.start, span.end))
        at = span.end
    return _Parts(data, holder.start + 1, holder.end - 1, elements)


def operated(now: bytes, was: Held, then: bytes, want: Held, changes: Sequence[Change]) -> bytes:
    """A document with some records as another version of it has them; all other bytes stay."""
    here, there = _parts(now, was), _parts(then, want)
    assert here is not None
    gone = {one.pointer for one in changes if one.what == "removed"}
    fresh = {one.pointer: one for one in changes if one.what != "removed"}
    chosen: list[tuple[bytes, int | None, Record]] = []
    placed = _placed(there, fresh)
    new = {one.old_pointer: there.text(n) for n, one in placed if there is not None and one.what == "changed"}
    for number, element in enumerate(here.elements):
        if element.record.pointer in gone:
            continue
        text = new.get(element.record.pointer, here.text(number))
        chosen.append((text, number, element.record))
    for number, change in placed:
        if there is not None and change.what == "added":
            at = _place([record for _, _, record in chosen], there, number)
            chosen.insert(at, (there.text(number), None, there.elements[number].record))
    return _joined(here, there, [(text, origin) for text, origin, _ in chosen])


def _placed(there: _Parts | None, fresh: dict[str, Change]) -> list[tuple[int, Change]]:
    elements = there.elements if there is not None else []
    return [(n, fresh[one.record.pointer]) for n, one in enumerate(elements) if one.record.pointer in fresh]


def _place(chosen: list[Record], there: _Parts, number: int) -> int:
    """Where a record comes back: behind the nearest that stood before it, else before the nearest behind it."""
    known = {_name(one): place for place, one in enumerate(chosen)}
    for before in reversed(there.elements[:number]):
        if (place := known.get(_name(before.record))) is not None:
            return place + 1
    for after in there.elements[number + 1 :]:
        if (place := known.get(_name(after.record))) is not None:
            return place
    return len(chosen)


def _name(record: Record) -> tuple[str, str]:
    return record.kind, record.id or dumps(record.value).decode()


def _joined(here: _Parts, there: _Parts | None, chosen: Sequence[tuple[bytes, int | None]]) -> bytes:
    """The document with these elements; those that were neighbours keep what stands between them."""
    model = here if here.elements else there
    if not chosen or model is None:
        return here.data[: here.opening] + here.data[here.closing :]
    several = next((one for one in (here, there) if one is not None and len(one.elements) > 1), None)
    comma = several.between(1) if several else b"," + model.between(0)
    parts = [here.data[: here.opening], model.between(0)]
    last: int | None = None
    for number, (text, origin) in enumerate(chosen):
        if number:
            follows = origin is not None and last is not None and origin == last + 1
            parts.append(here.between(origin) if follows and origin is not None else comma)
        parts.append(text)
        last = origin
    return b"".join([*parts, model.tail, here.data[here.closing :]])


def only(data: bytes, held: Held, ids: Iterable[str]) -> bytes:
    """A document without its other records."""
    wanted = set(ids)
    parts = _parts(data, held)
    assert parts is not None
    chosen = [(parts.text(n), n) for n, one in enumerate(parts.elements) if one.record.id in wanted]
    return _joined(parts, parts, chosen)
