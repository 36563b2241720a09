"""What many JSON values have in common: a summary of bounded size that grows value by value and can be merged.

This is the hot path of `schema infer`: a few attributes per place of a document, and one dispatch per value.
"""

from __future__ import annotations

from math import inf
from typing import Any

from memorybank_cli.meaning.formats import forms_of, still

MEMBERS = 200
"""An object with more different members is a map: its keys are data, as symbols are."""
DEEPEST = 12
PLACES = 2_500
"""So many places of the documents of one kind are described; what lies elsewhere is let pass."""
WORDS = 8
"""A text with more different values is no choice of a few."""
LONGEST_WORD = 40
LONGEST_NAME = 200


class Room:
    """How many more places may be described."""

    def __init__(self, left: int = PLACES) -> None:
        self.left = left


class Shape:
    """The values at one place of many documents."""

    __slots__ = (
        "arrays",
        "booleans",
        "entries",
        "floats",
        "forms",
        "high",
        "integers",
        "items",
        "low",
        "members",
        "nulls",
        "objects",
        "partial",
        "texts",
        "words",
    )

    def __init__(self) -> None:
        self.nulls = self.booleans = self.integers = self.floats = 0
        self.texts = self.objects = self.arrays = 0
        self.low, self.high = inf, -inf
        self.forms: tuple[str, ...] | None = None
        """Forms that every text has; None while there was no text."""
        self.words: dict[str, int] | None = {}
        """How often each text came; None once they are too many, too long, or hold digits."""
        self.members: dict[str, Shape] = {}
        self.entries: Shape | None = None
        """The values of a map, whatever their keys."""
        self.items: Shape | None = None
        self.partial = False
        """Something here was not described: a member that is not among `members` may have come."""

    @property
    def count(self) -> int:
        """How many values there were."""
        scalars = self.nulls + self.booleans + self.integers + self.floats + self.texts
        return scalars + self.objects + self.arrays

    def add(self, value: Any, room: Room, depth: int = 0) -> None:
        """Take in one value."""
        kind = type(value)
        if kind is str:
            self._text(value)
        elif kind is float:
            self.floats += 1
            self._number(value)
        elif kind is dict:
            self.objects += 1
            self._object(value, room, depth)
        elif value is None:
            self.nulls += 1
        elif kind is bool:
            self.booleans += 1
        elif kind is int:
            self.integers += 1
            self._number(value)
        else:
            self.arrays += 1
            self._array(value, room, depth)

    def _number(self, value: float) -> None:
        if value < self.low:
            self.low = _as_float(value)
        if value > self.high:
            self.high = _as_float(value)

    def _text(self, value: str) -> None:
        self.texts += 1
        if self.forms is None:
            self.forms = forms_of(value)
        elif self.forms:
            self.forms = still(self.forms, value)
        words = self.words
        if words is None:
            return
        if value in words:
            words[value] += 1
        elif len(words) == WORDS or not _is_word(value):
            self.words = None
        else:
            words[value] = 1

    def _object(self, value: dict[str, Any], room: Room, depth: int) -> None:
        if depth == DEEPEST:
            self.partial = True
            return
        depth += 1
        if self.entries is None:
            members = self.members
            for name, inner in value.items():
                shape = members.get(name)
                if shape is None:
                    if len(members) == MEMBERS:
                        break
                    shape = self._new(room, name)
                    if shape is None:
                        continue
                    members[name] = shape
                shape.add(inner, room, depth)
            else:
                return
            self.to_map()
        assert self.entries is not None
        for inner in value.values():  # members counted twice at the turn do no harm: a map counts no presence
            self.entries.add(inner, room, depth)

    def _array(self, value: list[Any], room: Room, depth: int) -> None:
        if depth == DEEPEST:
            self.partial = True
            return
        if self.items is None and value:
            self.items = self._new(room, "")
        if self.items is not None:
            for inner in value:
                self.items.add(inner, room, depth + 1)

    def _new(self, room: Room, name: str) -> Shape | None:
        if room.left <= 0 or len(name) > LONGEST_NAME:
            self.partial = True
            return None
        room.left -= 1
        return Shape()

    def to_map(self) -> None:
        """From now on keys are data."""
        if self.entries is None:
            self.entries = merged(self.members.values())
            self.members = {}

    def merge(self, other: Shape) -> None:
        """Take in all that another summary took in; the other one may be used up."""
        self.nulls += other.nulls
        self.booleans += other.booleans
        self.integers += other.integers
        self.floats += other.floats
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self._merge_texts(other)
        self._merge_objects(other)
        self._merge_arrays(other)

    def _merge_texts(self, other: Shape) -> None:
        self.texts += other.texts
        if self.forms is None or other.forms is None:
            self.forms = self.forms if other.forms is None else other.forms
        else:
            self.forms = tuple(name for name in self.forms if name in other.forms)
        if self.words is None or other.words is None:
            self.words = None
            return
        for word, times in other.words.items():
            self.words[word] = self.words.get(word, 0) + times
        if len(self.words) > WORDS:
            self.words = None

    def _merge_objects(self, other: Shape) -> None:
        self.objects += other.objects
        if self.entries is not None or other.entries is not None:
            self.to_map()
            other.to_map()
            assert self.entries is not None
            assert other.entries is not None
            self.entries.merge(other.entries)
        else:
            self._merge_members(other)
        self.partial = self.partial or other.partial

    def _merge_members(self, other: Shape) -> None:
        mine = self.members
        if other.partial:  # of what only we described it may have seen other values
            mine = {name: shape for name, shape in mine.items() if name in other.members}
        for name, shape in other.members.items():
            if name in mine:
                mine[name].merge(shape)
            elif not self.partial:
                mine[name] = shape
        self.members = mine
        if len(mine) > MEMBERS:
            self.to_map()

    def _merge_arrays(self, other: Shape) -> None:
        if self.items is None or other.items is None:
            # Elements that were not described may have been anything.
            unknown = (self.arrays and self.partial) or (other.arrays and other.partial)
            self.items = None if unknown else self.items or other.items
        else:
            self.items.merge(other.items)
        self.arrays += other.arrays

    def to_json(self) -> list[Any]:
        """The summary as JSON can hold it."""
        inner = (self.entries, self.items)
        return [
            [self.nulls, self.booleans, self.integers, self.floats, self.texts, self.objects, self.arrays],
            [self.low, self.high] if self.low <= self.high else None,
            self.forms,
            self.words,
            {name: shape.to_json() for name, shape in self.members.items()},
            [None if shape is None else shape.to_json() for shape in inner],
            self.partial,
        ]


def from_json(found: list[Any]) -> Shape:
    """The summary that `to_json` wrote."""
    shape = Shape()
    counts, limits, forms, shape.words, members, inner, shape.partial = found
    shape.nulls, shape.booleans, shape.integers, shape.floats, shape.texts, shape.objects, shape.arrays = counts
    if limits:
        shape.low, shape.high = limits
    shape.forms = None if forms is None else tuple(forms)
    shape.members = {name: from_json(one) for name, one in members.items()}
    shape.entries, shape.items = (None if one is None else from_json(one) for one in inner)
    return shape


def merged(shapes: Any) -> Shape:
    """One summary of what several took in."""
    whole = Shape()
    for shape in shapes:
        whole.merge(shape)
    return whole


def _as_float(value: float) -> float:
    return float(max(-1e300, min(1e300, value)))  # an integer may have thousands of digits


def _is_word(text: str) -> bool:
    return 0 < len(text) <= LONGEST_WORD and not any(letter.isdigit() for letter in text)
