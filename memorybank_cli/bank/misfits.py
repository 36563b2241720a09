"""Misfits: where a document does not match its schema, in words that are safe to show."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import islice
from typing import Any, NamedTuple

from memorybank_cli.base.names import escape_text

LOOKED_AT = 1000
"""So many faults of one document are compared; a hostile one may have millions."""
_WIDTH = 60
_DESCRIPTION = 120
_WIDE = 1 << 200


class Misfit(NamedTuple):
    """One place that does not match: a JSON Pointer (raw, not escaped for a terminal), and what is expected there."""

    pointer: str
    message: str


class Fault(NamedTuple):
    """What a validator says of one place, whichever validator it was.

    `expected` is the keyword's value; for `required` the missing name, for `additionalProperties` and
    `unevaluatedProperties` the unknown names. `branches` are the faults of each alternative of anyOf and oneOf.
    `wanted` is the schema's own description of the place, where it says more than the keyword.
    """

    keyword: str
    expected: Any
    path: tuple[str | int, ...]
    found: Any
    branches: tuple[tuple[Fault, ...], ...] = ()
    wanted: str = ""


def describe(faults: Iterable[Fault], limit: int) -> list[Misfit]:
    """The `limit` misfits that say most, the outermost first, without repetition."""
    told = [_tell(fault) for fault in islice(faults, LOOKED_AT)]
    told.sort(key=lambda pair: len(pair[0]))
    return list(dict.fromkeys(Misfit(pointer(path), message) for path, message in told))[:limit]


def pointer(path: Iterable[str | int]) -> str:
    """A path into a document as an RFC 6901 JSON Pointer."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def shorten(value: Any) -> str:
    """A value of unknown origin in about 60 printable characters; containers by their size only."""
    if isinstance(value, dict):
        return f"an object of {len(value)}" if value else "an empty object"
    if isinstance(value, list | tuple):
        return f"an array of {len(value)}" if value else "an empty array"
    if isinstance(value, int) and abs(value) > _WIDE:
        return f"an integer of about {value.bit_length() * 30103 // 100000 + 1} digits"
    if isinstance(value, str):
        text = escape_text(value[:_WIDTH])
        return f"'{text}'" if len(value) <= _WIDTH and len(text) <= _WIDTH else f"'{text[: _WIDTH - 3]}...'"
    return json.dumps(value)


def _tell(fault: Fault) -> tuple[tuple[str | int, ...], str]:
    if fault.branches:
        return _tell_alternatives(fault)
    return fault.path, _message(fault)


def _tell_alternatives(fault: Fault) -> tuple[tuple[str | int, ...], str]:
    """One sentence for all alternatives where they ask for the same kind of thing, else the nearest one's."""
    if not all(fault.branches):
        return fault.path, f"fits more than one of the alternatives: {shorten(fault.found)}"
    first = [branch[0] for branch in fault.branches]
    here = all(one.path == fault.path for one in first)
    keywords = {one.keyword for one in first}
    if here and keywords == {"required"}:
        return fault.path, "at least one of these members is needed: " + _listed([one.expected for one in first])
    if here and keywords == {"type"}:
        kinds = dict.fromkeys(kind for one in first for kind in _as_list(one.expected))
        return fault.path, f"expected {_either(kinds)}, found {shorten(fault.found)}"
    nearest = min(fault.branches, key=lambda branch: (branch[0].keyword == "type", -_depth(branch), len(branch)))
    return _tell(nearest[0])


def _depth(branch: tuple[Fault, ...]) -> int:
    return max(len(fault.path) for fault in branch)


def _message(fault: Fault) -> str:
    expected, found = fault.expected, shorten(fault.found)
    if fault.wanted:
        return f"expected {escape_text(fault.wanted[:_DESCRIPTION]).rstrip('.')}, found {found}"
    match fault.keyword:
        case "type":
            return f"expected {_either(_as_list(expected))}, found {found}"
        case "required":
            return f"the member {shorten(expected)} is missing"
        case "additionalProperties" | "unevaluatedProperties":
            return "unknown member: " + _listed(expected)
        case "enum":
            return f"expected one of {_listed(expected)}, found {found}"
        case "const":
            return f"expected {shorten(expected)}, found {found}"
        case "falseSchema" | "not":
            return f"not allowed here: {found}"
        case keyword if keyword in _PHRASES:
            return f"expected {_PHRASES[keyword].format(_plain(expected))}, found {found}"
        case keyword:
            return f"does not satisfy {escape_text(keyword)}: {found}"


_PHRASES = {
    "pattern": "text that matches {}",
    "format": "text in the form {}",
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "more than {}",
    "exclusiveMaximum": "less than {}",
    "multipleOf": "a multiple of {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "minProperties": "at least {} members",
    "maxProperties": "at most {} members",
    "uniqueItems": "items that differ from each other",
}


def _plain(expected: Any) -> str:
    return shorten(expected).strip("'")


def _as_list(expected: Any) -> list[str]:
    return [expected] if isinstance(expected, str) else list(expected)


def _either(kinds: Iterable[str]) -> str:
    return " or ".join(sorted(escape_text(kind) for kind in kinds))


def _listed(values: Iterable[Any], most: int = 12) -> str:
    values = list(values)
    shown = ", ".join(shorten(value) for value in values[:most])
    return shown if len(values) <= most else f"{shown} and {len(values) - most} more"
