"""What differs between two schemas for documents; words beside the keywords don't count."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from memorybank_cli.bank.annotations import KEYWORD
from memorybank_cli.bank.misfits import pointer

_WORDS = frozenset({"$comment", "$id", "$schema", "description", "title", KEYWORD})
_NAMED = frozenset({"properties", "patternProperties", "$defs", "definitions"})
_UNORDERED = frozenset({"required", "enum", "type"})


class Difference(NamedTuple):
    """One keyword that says something else: at which place of the schema, what it said, what it says; None: nothing."""

    pointer: str
    keyword: str
    was: Any
    now: Any


def differences(was: dict[str, Any], now: dict[str, Any]) -> list[Difference]:
    """What differs, in the order of the new schema; what is gone comes last."""
    before, after = dict(_keywords(was, ())), dict(_keywords(now, ()))
    changed = [
        Difference(pointer(place), keyword, before.get((place, keyword)), value)
        for (place, keyword), value in after.items()
        if before.get((place, keyword)) != value
    ]
    gone = [
        Difference(pointer(place), keyword, value, None)
        for (place, keyword), value in before.items()
        if (place, keyword) not in after
    ]
    return changed + gone


def _keywords(schema: Any, place: tuple[str, ...]) -> Iterator[tuple[tuple[tuple[str, ...], str], Any]]:
    if not isinstance(schema, dict):
        yield (place, "schema"), schema
        return
    for keyword, value in schema.items():
        if keyword in _WORDS:
            continue
        if keyword in _NAMED and isinstance(value, dict):
            for name, inner in value.items():
                yield from _keywords(inner, (*place, keyword, name))
        elif isinstance(value, dict):
            yield from _keywords(value, (*place, keyword))
        elif keyword in _UNORDERED and isinstance(value, list):
            yield (place, keyword), sorted(value, key=repr)
        else:
            yield (place, keyword), value
