"""What differs between two versions of a document: which records came, went or changed, and in which fields.

Records are held against each other by their ids, those without one by their content, then by their order. Work
and memory grow with the size of the documents, not with the square of anything.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import orjson

from memorybank_cli.bank import layout
from memorybank_cli.bank.misfits import pointer
from memorybank_cli.base.exact_json import FlawedJSON, loads
from memorybank_cli.meaning.records import Held, Reader, Record, naming

What = Literal["added", "removed", "changed"]
FieldWhat = Literal["added", "removed", "changed", "reordered"]
Pair = tuple[int | None, int | None]


class Field(NamedTuple):
    """One place of a record that differs; `before` and `after` are None where nothing stood or stands."""

    pointer: str
    """JSON Pointer from the record on; '' for a record that has no fields."""
    what: FieldWhat
    before: Any
    after: Any

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON; `before` and `after` only where there was something."""
        return {"pointer": self.pointer, "what": self.what, **_sides(self.what, self.before, self.after)}


class Change(NamedTuple):
    """One record that differs."""

    what: What
    kind: str
    """The kind of the record: `trade`, `message`, `member` …"""
    id: str
    """What names it, '' where nothing does."""
    pointer: str
    """Where it stands in the document; where it stood, if it was removed."""
    before: Any
    after: Any
    fields: tuple[Field, ...] = ()
    """What differs inside a changed one."""
    old_pointer: str = ""
    """Where a changed one stood: several may have one id."""

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON; a changed record is told by its fields, others by all that was or is there."""
        told: dict[str, Any] = {"what": self.what, "kind": self.kind, "id": self.id, "pointer": self.pointer}
        if self.what == "changed":
            return {**told, "fields": [one.as_dict() for one in self.fields]}
        return {**told, **_sides(self.what, self.before, self.after)}


class Comparison(NamedTuple):
    """What two versions of one document differ in. Without any of it they are the same, or the same values."""

    changes: tuple[Change, ...] = ()
    reordered: bool = False
    """The records that both have stand in another order."""
    damaged: Literal["", "before", "after", "both"] = ""
    """Which version is no JSON, so that only bytes could be compared."""
    reshaped: bool = False
    """The records stand in a document of another form, as a list instead of one."""


def compare(reader: Reader, path: str, before: bytes | None, after: bytes | None) -> Comparison:
    """Two versions of the file at an escaped path, None where there is none. Files that are no JSON have no records."""
    if before == after or not layout.place(path).is_json:
        return Comparison()
    values, wrong = [], []
    for side, data in (("before", before), ("after", after)):
        try:
            values += [] if data is None else [loads(data)]
        except FlawedJSON:
            wrong.append(side)
    if wrong:
        return Comparison(damaged="both" if len(wrong) > 1 else "before" if wrong == ["before"] else "after")
    held = reader.held(path, *values)
    if before is None or after is None:
        gone, come = (held[0], Held([])) if after is None else (Held([]), held[0])
        return compare_held(gone, come)
    return compare_held(*held)._replace(reshaped=held[0].holder != held[1].holder)


def compare_held(was: Held, now: Held) -> Comparison:
    """What two versions hold; see `compare`."""
    whole = len(was.records) == len(now.records) == 1 and not was.records[0].pointer and not now.records[0].pointer
    pairs: list[Pair] = [(0, 0)] if whole else _paired_records(was.records, now.records)
    changes = _changes(was.records, now.records, pairs)
    beside = _changes(was.beside, now.beside, _paired_records(was.beside, now.beside))
    return Comparison((*changes, *beside), now.holder is not None and _moved(pairs))


def compare_records(was: Sequence[Record], now: Sequence[Record]) -> Comparison:
    """Two sets of records, wherever they stood."""
    pairs = _paired_records(was, now)
    return Comparison(tuple(_changes(was, now, pairs)), _moved(pairs))


def fields(before: Any, after: Any, place: str = "") -> Iterator[Field]:
    """What differs between two JSON values, at the deepest places; 1 and 1.0 differ, the order of keys does not."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in (*before, *(one for one in after if one not in before)):
            inner = place + pointer([name])
            if name not in after:
                yield Field(inner, "removed", before[name], None)
            elif name not in before:
                yield Field(inner, "added", None, after[name])
            else:
                yield from fields(before[name], after[name], inner)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _items(before, after, place)
    elif _text(before) != _text(after):
        yield Field(place, "changed", before, after)


def _items(before: list[Any], after: list[Any], place: str) -> Iterator[Field]:
    named = naming([before, after])
    pairs = _paired([named(one) for one in before], [named(one) for one in after], before, after)
    for old, new in pairs:
        if old is None:
            yield Field(f"{place}/{new}", "added", None, after[new or 0])
        elif new is None:
            yield Field(f"{place}/{old}", "removed", before[old], None)
        else:
            yield from fields(before[old], after[new], f"{place}/{new}")
    if _moved(pairs):
        yield Field(place, "reordered", before, after)


def _changes(was: Sequence[Record], now: Sequence[Record], pairs: Sequence[Pair]) -> Iterator[Change]:
    for old, new in pairs:
        if old is None:
            one = now[new or 0]
            yield Change("added", one.kind, one.id, one.pointer, None, one.value)
        elif new is None:
            one = was[old]
            yield Change("removed", one.kind, one.id, one.pointer, one.value, None)
        elif _text(was[old].value) != _text(now[new].value):
            one = now[new]
            inner = tuple(fields(was[old].value, one.value))
            yield Change("changed", one.kind, one.id, one.pointer, was[old].value, one.value, inner, was[old].pointer)


def _paired_records(was: Sequence[Record], now: Sequence[Record]) -> list[Pair]:
    old, new = ([f"{one.kind}\0{one.id}" if one.id else "" for one in side] for side in (was, now))
    return _paired(old, new, [one.value for one in was], [one.value for one in now])


def _paired(
    old_keys: Sequence[str], new_keys: Sequence[str], old_values: Sequence[Any], new_values: Sequence[Any]
) -> list[Pair]:
    """Which of the old ones each of the new ones is, in the order of the new; then what is gone.

    Of several with one key, or without any, those of the same content are the same. What is left with a key is
    taken in order; what is left without one where as many stand between the same neighbours.
    """
    old_groups, new_groups = _grouped(old_keys), _grouped(new_keys)
    partner: list[int | None] = [None] * len(new_keys)
    gone: list[int] = []
    for key in new_groups:
        old, new = old_groups.pop(key, []), new_groups[key]
        if len(old) != 1 or len(new) != 1 or not key:
            old, new = _settle_alike(old, new, old_values, new_values, partner)
        if not key:
            old, new = _between_the_same(old, new, gone)
        for before, after in zip(old, new, strict=False):
            partner[after] = before
        gone += old[len(new) :]
    gone += [index for group in old_groups.values() for index in group]
    return [*((old, new) for new, old in enumerate(partner)), *((old, None) for old in sorted(gone))]


def _grouped(keys: Sequence[Any]) -> dict[Any, list[int]]:
    groups: dict[Any, list[int]] = {}
    for index, key in enumerate(keys):
        groups.setdefault(key, []).append(index)
    return groups


def _settle_alike(
    old: list[int], new: list[int], old_values: Sequence[Any], new_values: Sequence[Any], partner: list[int | None]
) -> tuple[list[int], list[int]]:
    """Pair those of the same content; what is left of both."""
    same: dict[bytes, list[int]] = {}
    for index in reversed(old):
        same.setdefault(_text(old_values[index]), []).append(index)
    left = []
    for index in new:
        alike = same.get(_text(new_values[index]))
        if alike:
            partner[index] = alike.pop()
        else:
            left.append(index)
    return sorted(index for rest in same.values() for index in rest), left


def _between_the_same(old: list[int], new: list[int], gone: list[int]) -> tuple[list[int], list[int]]:
    """Those of both that stand in gaps of the same size and number; other old ones are gone."""
    gaps = _grouped([index - rank for rank, index in enumerate(old)])
    new_gaps = _grouped([index - rank for rank, index in enumerate(new)])
    paired: tuple[list[int], list[int]] = [], []
    for gap, ranks in gaps.items():
        new_ranks = new_gaps.get(gap, [])
        if len(ranks) == len(new_ranks):
            paired[0].extend(old[rank] for rank in ranks)
            paired[1].extend(new[rank] for rank in new_ranks)
        else:
            gone += (old[rank] for rank in ranks)
    return paired


def _moved(pairs: Sequence[Pair]) -> bool:
    """Whether what both have stands in another order."""
    order = [old for old, new in pairs if old is not None and new is not None]
    return any(first > second for first, second in pairwise(order))


def _text(value: Any) -> bytes:
    """A value as text in which equal values are equal, and 1, 1.0 and true are not."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # an integer beyond 64 bits
        return json.dumps(value, sort_keys=True).encode()


def _sides(what: FieldWhat, before: Any, after: Any) -> dict[str, Any]:
    sides = {"before": before, "after": after}
    if what == "reordered":
        return {}
    return {name: value for name, value in sides.items() if what == "changed" or (name == "after") == (what == "added")}
