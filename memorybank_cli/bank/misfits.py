"""Misfits: where a document does not match its schema, in words that are safe to show."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from memorybank_cli.base.names import escape_text

LOOKED_AT = 1000
"""So many faults of one document are compared; a hostile one may have millions."""
_WIDTH = 60
_DESCRIPTION = 120
_EXPECTED = 160
_WIDE = 1 << 200
_FOREIGN = frozenset({"type", "falseSchema", "not"})
"""Keywords which say that an alternative is not meant at all."""

Path = tuple[str | int, ...]


class Misfit(NamedTuple):
    """One place that does not match: a JSON Pointer (raw, not escaped for a terminal), and what is wrong there.

    The message is whole; `expected` and `found` repeat its parts, shortened, '' where there is no such part.
    """

    pointer: str
    message: str
    expected: str = ""
    found: str = ""


class Fault(NamedTuple):
    """What a validator says of one place, whichever validator it was.

    `expected` is the keyword's value; for `required` the missing name, for `additionalProperties` and
    `unevaluatedProperties` the unknown names. `branches` are the faults of each alternative of anyOf and oneOf.
    `wanted` is the schema's own description of the place, where it says more than the keyword; `known` are the
    members that the schema names there.
    """

    keyword: str
    expected: Any
    path: Path
    found: Any
    branches: tuple[tuple[Fault, ...], ...] = ()
    wanted: str = ""
    known: Collection[str] = ()


def describe(faults: Iterable[Fault], limit: int) -> list[Misfit]:
    """The `limit` misfits that say most, the outermost first, without repetition."""
    told = [one for fault in islice(faults, LOOKED_AT) for one in _tell(fault)]
    told.sort(key=lambda pair: len(pair[0]))
    return list(dict.fromkeys(misfit for _, misfit in told))[:limit]


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


def _tell(fault: Fault) -> Iterator[tuple[Path, Misfit]]:
    if fault.branches:
        yield from _tell_alternatives(fault)
        return
    name = fault.path[-1] if fault.path else ""
    from memorybank_cli.bank.causes import likely_cause

    cause = likely_cause(fault.keyword, fault.expected, fault.found, name, fault.known)
    misfit = _misfit(fault, _expected(fault), _found(fault))
    yield fault.path, misfit._replace(message=f"{misfit.message}; {cause}") if cause else misfit


def _tell_alternatives(fault: Fault) -> Iterator[tuple[Path, Misfit]]:
    """One sentence for all alternatives where they ask for the same kind of thing, else what the nearest one says."""
    if not all(fault.branches):
        message = f"fits more than one of the alternatives: {shorten(fault.found)}"
        place = pointer(fault.path)
        yield fault.path, Misfit(place, message, "exactly one of the alternatives", shorten(fault.found))
        return
    keys = [_distance(branch, fault.path) for branch in fault.branches]
    nearest = [branch for branch, key in zip(fault.branches, keys, strict=True) if key == min(keys)]
    inner = [one for branch in fault.branches for one in branch]
    if {one.keyword for one in inner} == {"required"} and all(one.path == fault.path for one in inner):
        yield fault.path, _one_of_these_members(fault)
    elif telling := _of_no_known_shape(fault, min(keys)):
        yield from _tell(_joined(telling))
    elif len(nearest) > 1 and all(_is_simple(branch, fault.path) for branch in nearest):
        yield from _tell(_joined([branch[0] for branch in nearest]))
    else:
        for one in nearest[0]:
            yield from _tell(one._replace(known={*fault.known, *one.known}) if one.path == fault.path else one)


def _distance(branch: tuple[Fault, ...], path: Path) -> tuple[bool, int, int, int, int]:
    """How far a value is from an alternative: first of all by its type and by the members that tell shapes apart."""
    here = [one.keyword for one in branch if one.path == path]
    told_apart = sum(_tells_apart(one, path) for one in branch)
    return not _FOREIGN.isdisjoint(here), told_apart, len(here), -max(len(one.path) for one in branch), len(branch)


def _tells_apart(fault: Fault, path: Path) -> bool:
    return fault.keyword in ("const", "enum") and len(fault.path) == len(path) + 1


def _of_no_known_shape(fault: Fault, least: tuple[bool, int, int, int, int]) -> list[Fault]:
    """What the alternatives expect of the one member that tells them apart, where it has the value of none of them."""
    found = [one for branch in fault.branches for one in branch if _tells_apart(one, fault.path)]
    return found if least[:2] == (False, 1) and len({one.path for one in found}) == 1 else []


def _is_simple(branch: tuple[Fault, ...], path: Path) -> bool:
    return len(branch) == 1 and branch[0].path == path and not branch[0].branches and _is_value(branch[0])


def _is_value(fault: Fault) -> bool:
    """Whether it is the value as such that is wrong, not a member too many or too few."""
    return fault.keyword not in ("required", "additionalProperties", "unevaluatedProperties")


def _joined(faults: list[Fault]) -> Fault:
    """One fault for alternatives which differ in what they expect of the same value."""
    first = faults[0]
    keywords = {one.keyword for one in faults}
    if keywords == {"type"}:
        return first._replace(expected=list(dict.fromkeys(kind for one in faults for kind in _as_list(one.expected))))
    if keywords <= {"const", "enum"}:
        values = [value for one in faults for value in ([one.expected] if one.keyword == "const" else one.expected)]
        return first._replace(keyword="enum", expected=list({shorten(value): value for value in values}.values()))
    return first._replace(keyword="anyOf", wanted=" or ".join(dict.fromkeys(map(_expected, faults))))


def _one_of_these_members(fault: Fault) -> Misfit:
    from memorybank_cli.bank.causes import likely_cause

    sets = [" and ".join(shorten(one.expected) for one in branch) for branch in fault.branches]
    names = _cut(", ".join(dict.fromkeys(sets)), 3 * _EXPECTED)
    causes = (
        likely_cause("required", one.expected, fault.found, "", {*fault.known, *one.known})
        for branch in fault.branches
        for one in branch
    )
    cause = next((f"; {one}" for one in causes if one), "")
    message = f"at least one of these members is needed: {names}{cause}"
    return Misfit(pointer(fault.path), message, _cut(f"one of the members {names}"))


def _misfit(fault: Fault, expected: str, found: str) -> Misfit:
    match fault.keyword:
        case "required":
            message = f"{expected} is missing"
        case "additionalProperties" | "unevaluatedProperties":
            message = f"unknown member: {found}"
        case "falseSchema" | "not":
            message = f"not allowed here: {found}"
        case keyword if fault.wanted or keyword in _PHRASES or keyword in ("type", "enum", "const"):
            message = f"expected {expected}, found {found}"
        case keyword:
            message = f"does not satisfy {escape_text(keyword)}: {found}"
    return Misfit(pointer(fault.path), message, _cut(expected), found)


def _expected(fault: Fault) -> str:
    expected = fault.expected
    if fault.wanted:
        return _cut(escape_text(fault.wanted[:_EXPECTED]).rstrip("."), _DESCRIPTION)
    match fault.keyword:
        case "type":
            return _either(_as_list(expected))
        case "required":
            return f"the member {shorten(expected)}"
        case "additionalProperties" | "unevaluatedProperties":
            return "only known members"
        case "enum":
            return f"one of {_listed(expected)}"
        case "const":
            return shorten(expected)
        case "falseSchema" | "not":
            return "something else, or nothing"
        case keyword if keyword in _PHRASES:
            return _PHRASES[keyword].format(_plain(expected))
        case keyword:
            return f"what satisfies {escape_text(keyword)}"


def _found(fault: Fault) -> str:
    match fault.keyword:
        case "required":
            return ""
        case "additionalProperties" | "unevaluatedProperties":
            return _listed(fault.expected)
        case _:
            return shorten(fault.found)


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


def _cut(text: str, width: int = _EXPECTED) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."


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
