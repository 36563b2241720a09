"""Summaries of JSON values: what they keep, that they stay small, and that parts merge to the whole."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.meaning.shapes import DEEPEST, MEMBERS, PLACES, Room, Shape, from_json, merged
from tests.meaning.documents import DOCUMENTS, VALUES


def shape_of(*values: Any, room: Room | None = None) -> Shape:
    shape = Shape()
    space = room or Room()
    for value in values:
        shape.add(value, space)
    return shape


def test_what_is_counted() -> None:
    shape = shape_of(None, True, 3, -2.5, "buy", {"a": 1}, [1, 2])
    assert shape.count == 7
    assert (shape.nulls, shape.booleans, shape.integers, shape.floats) == (1, 1, 1, 1)
    assert (shape.texts, shape.objects, shape.arrays) == (1, 1, 1)
    assert (shape.low, shape.high) == (-2.5, 3.0)
    assert shape.members["a"].count == 1
    assert shape.items is not None
    assert shape.items.count == 2


def test_numbers_of_any_size_have_a_range() -> None:
    shape = shape_of(10**400, -(10**400))
    assert (shape.low, shape.high) == (-1e300, 1e300)


def test_few_words_are_kept_and_many_are_not() -> None:
    assert shape_of("buy", "sell", "buy").words == {"buy": 2, "sell": 1}
    assert shape_of(*"abcdefghi").words is None
    assert shape_of("order 7").words is None
    assert shape_of("x" * 41).words is None
    assert shape_of("").words is None


def test_forms_are_those_of_every_text() -> None:
    assert shape_of("2025-01-02T03:04:05Z").forms == ("date-time", "time", "date-or-time")
    assert shape_of("2025-01-02T03:04:05Z", "2025-01-02T03:04:05").forms == ("time", "date-or-time")
    assert shape_of("2025-01-02T03:04:05Z", "soon").forms == ()
    assert shape_of(1).forms is None


def test_many_different_members_are_keys_of_a_map() -> None:
    shape = shape_of({f"k{n}": n for n in range(MEMBERS)}, {"other": "text"})
    assert shape.members == {}
    assert shape.entries is not None
    assert shape.entries.integers
    assert shape.entries.texts == 1
    shape.add({"and": None}, Room())
    assert shape.entries.nulls == 1


def test_memory_is_bounded_whatever_comes() -> None:
    room = Room()
    deep: Any = "end"
    for _ in range(60):
        deep = {"inner": [deep]}
    shape = shape_of(deep, {"x" * 300: 1}, room=room)
    for number in range(100):
        shape.add({f"a{number}": {f"b{inner}": {"c": 1} for inner in range(150)}}, room)
    assert room.left <= 0
    assert shape.partial
    assert depth_of(shape) <= DEEPEST + 1
    assert places_of(shape) <= PLACES + 1
    lists: Any = []
    for _ in range(60):
        lists = [lists]
    assert depth_of(shape_of(lists)) == DEEPEST + 1


def depth_of(shape: Shape) -> int:
    inner = [*shape.members.values(), *(one for one in (shape.entries, shape.items) if one is not None)]
    return 1 + max(map(depth_of, inner), default=0)


def places_of(shape: Shape) -> int:
    inner = [*shape.members.values(), *(one for one in (shape.entries, shape.items) if one is not None)]
    return 1 + sum(map(places_of, inner))


@given(DOCUMENTS)
def test_a_summary_survives_json(values: list[Any]) -> None:
    shape = shape_of(*values)
    text = json.dumps(shape.to_json())
    assert json.dumps(from_json(json.loads(text)).to_json()) == text


@given(DOCUMENTS, st.integers(0, 12))
def test_parts_merge_to_the_whole(values: list[Any], cut: int) -> None:
    whole = shape_of(*values)
    parts = merged([shape_of(*values[:cut]), shape_of(*values[cut:])])
    assert simple(parts) == simple(whole)


def simple(shape: Shape) -> Any:
    """A summary without the order in which members came."""
    return json.dumps(json.loads(json.dumps(shape.to_json())), sort_keys=True)


def test_what_one_part_did_not_describe_is_not_known_of_the_whole() -> None:
    full = shape_of({"a": 1, "b": [1]})
    blind = shape_of({"a": 1, "b": ["text"]}, room=Room(1))
    assert blind.partial
    for parts in ([full, blind], [blind, full]):
        whole = merged(from_json(one.to_json()) for one in parts)
        assert set(whole.members) == {"a"}


def test_elements_that_one_part_did_not_describe_are_not_known() -> None:
    full, blind = shape_of([1]), shape_of(["text"], room=Room(0))
    assert merged([full, blind]).items is None
    assert merged([blind, shape_of([1])]).items is None
    assert merged([shape_of([]), shape_of([1])]).items is not None


@given(VALUES)
def test_maps_and_records_merge(value: Any) -> None:
    large = {f"k{n}": 1 for n in range(MEMBERS + 1)}
    whole = merged([shape_of({"a": value}), shape_of(large)])
    assert whole.entries is not None
    assert whole.entries.count >= MEMBERS + 2


def test_members_of_both_parts_may_be_too_many() -> None:
    halves = [shape_of({f"{side}{n}": n for n in range(MEMBERS - 50)}) for side in "ab"]
    assert merged(halves).entries is not None


def test_words_of_both_parts_may_be_too_many() -> None:
    assert merged([shape_of(*"abcdef"), shape_of(*"fghij")]).words is None
    assert merged([shape_of("a"), shape_of("a", "b")]).words == {"a": 2, "b": 1}
