"""Narrowing a large document down to the part in which it does not match its schema.

A validator that lists faults copies what it looks at for each of them, and for each alternative: 760 KB of
`[{},{},…]` would cost 7 GB and a minute. Whether a document matches at all costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

LIGHT = 1_000
"""Values, and 32 characters of a text count as one, that a document may have for its faults to be listed at once."""
WINDOW = 20


class Narrowed(NamedTuple):
    """A light document that does not match either: `value` is the whole with only a piece of its list at `pointer`."""

    value: Any
    pointer: str = ""
    offset: int = 0
    """The index, in the whole list, of the piece's first element."""

    def widened(self, found: str) -> str:
        """What a JSON Pointer into `value` is in the whole document."""
        head, _, tail = found[len(self.pointer) + 1 :].partition("/")
        if not self.offset or not found.startswith(f"{self.pointer}/") or not head.isdecimal():
            return found
        return f"{self.pointer}/{int(head) + self.offset}" + (f"/{tail}" if tail else "")


def narrow(value: Any, matches: Callable[[Any], bool]) -> Narrowed | None:
    """A part of a document that does not match which is light enough to say where; None where none can be had."""
    if is_light(value):
        return Narrowed(value)
    key = _longest(value)
    items = value if isinstance(value, list) else value[key] if key is not None else []

    def with_items(part: list[Any]) -> Any:
        return part if key is None else {**value, key: part}

    pointer = "" if key is None else "/" + key.replace("~", "~0").replace("/", "~1")
    if not items:
        return None
    if not matches(with_items([])):
        return _if_light(with_items([]), pointer, 0)
    first = _first_wrong(items, lambda part: matches(with_items(part)))
    for count in (WINDOW, 1):
        found = _if_light(with_items(items[first : first + count]), pointer, first)
        if found is not None and not matches(found.value):
            return found
    return None


def _longest(value: Any) -> str | None:
    """The key of an object's longest list."""
    lists = {key: len(one) for key, one in value.items() if isinstance(one, list)} if isinstance(value, dict) else {}
    return max(lists, key=lists.__getitem__, default=None)


def _first_wrong(items: list[Any], matches: Callable[[list[Any]], bool]) -> int:
    """The index of the element with which a list begins not to match, by halving."""
    good, bad = 0, len(items)
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if matches(items[:middle]) else (good, middle)
    return good


def _if_light(value: Any, pointer: str, offset: int) -> Narrowed | None:
    return Narrowed(value, pointer, offset) if is_light(value) else None


def is_light(value: Any, limit: int = LIGHT) -> bool:
    """Whether a document has at most `limit` values, 32 characters of a text counting as one."""
    weight, waiting = 0, [value]
    while waiting:
        one = waiting.pop()
        weight += 1 + (len(one) // 32 if isinstance(one, str) else 0)
        if isinstance(one, dict | list):
            if weight + len(waiting) + len(one) > limit:
                return False
            if isinstance(one, dict):
                weight += sum(len(key) for key in one if isinstance(key, str)) // 32
                waiting.extend(one.values())
            else:
                waiting.extend(one)
        if weight > limit:
            return False
    return True
