"""The likely cause of a misfit, where what stands there shows it: words that are added to the message."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from functools import lru_cache
from itertools import islice
from typing import Any

from memorybank_cli.base.names import escape_text

_NEAR = 0.8
_COMPARED = 50
_LONGEST = 10_000
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")
_WORDS = {"true": "boolean", "false": "boolean", "null": "null", "none": "null"}
_TIME_NAME = re.compile(
    r"time|date|stamp|epoch|expir|created|updated|opened|closed|(^|_)(at|ts|since|until)$", re.IGNORECASE
)
_LOCAL_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?")
_UNITS = ((10**8, "seconds"), (10**11, "milliseconds"), (10**14, "microseconds"), (10**17, "nanoseconds"))


def likely_cause(keyword: str, expected: Any, found: Any, name: str | int, known: Collection[str]) -> str:
    """Why a value may not fit, '' where nothing shows it.

    `keyword` and `expected` are the schema's, `name` is the member that holds `found`, `known` are the members that
    the schema names. For `required` `expected` is the missing name, for unknown members their names.
    """
    match keyword:
        case "required":
            return _meant(expected, found, known)
        case "additionalProperties" | "unevaluatedProperties":
            return _unknown(expected, found, known)
        case "type" | "enum" | "const" if found is None:
            return "a value must stand here"
        case "type":
            return _as_text([expected] if isinstance(expected, str) else expected, found)
        case "enum" | "const":
            return _similar(expected if keyword == "enum" else [expected], found)
        case "format" if expected == "date-time" and isinstance(found, str):
            return "the zone is missing" if _LOCAL_TIME.fullmatch(found) else ""
        case "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum":
            return _other_unit(expected, found, name)
        case _:
            return ""


def _meant(missing: str, found: Any, known: Collection[str]) -> str:
    names = tuple(islice((one for one in found if one not in known), _COMPARED)) if isinstance(found, dict) else ()
    near = _nearest(missing, names)
    return f"{_quoted(near)} may be meant for {_quoted(missing)}" if near else ""


def _unknown(unknown: Iterable[str], found: Any, known: Collection[str]) -> str:
    missing = tuple(islice((one for one in known if one not in found), _COMPARED))
    pairs = [(one, _nearest(one, missing)) for one in islice(unknown, 3)]
    return ", ".join(f"{_quoted(one)} may be meant for {_quoted(near)}" for one, near in pairs if near)


@lru_cache(maxsize=1_000)  # files that fail alike have the same names, and comparing them is slow
def _nearest(name: str, names: tuple[str, ...]) -> str:
    """The one of some names that is this one misspelt, or spelt in another way; '' for none."""
    from difflib import get_close_matches

    plain = {_plain(one): one for one in names if one}
    near = get_close_matches(_plain(name), plain, 1, _NEAR)
    return plain[near[0]] if near else ""


def _plain(name: str) -> str:
    return name[:100].lower().replace("_", "").replace("-", "").replace(" ", "")


def _similar(allowed: Iterable[Any], found: Any) -> str:
    texts = tuple(one for one in islice(allowed, _COMPARED) if isinstance(one, str))
    near = _nearest(found, texts) if isinstance(found, str) and texts else ""
    return f"{_quoted(near)} may be meant" if near else ""


def _as_text(kinds: Iterable[str], found: Any) -> str:
    """That a value of the expected type stands there as the text of one."""
    kind = _kind_of_text(found.strip()) if isinstance(found, str) and len(found) <= _LONGEST else ""
    if kind == "integer" and kind not in kinds:
        kind = "number"
    return f"{'an' if kind[0] in 'aio' else 'a'} {kind} written as text" if kind and kind in kinds else ""


def _kind_of_text(text: str) -> str:
    from memorybank_cli.base.exact_json import FlawedJSON, loads

    if number := _NUMBER.fullmatch(text):
        return "number" if number[1] or number[2] else "integer"
    if text[:1] in ("{", "["):
        try:
            return "object" if isinstance(loads(text.encode("utf-8", "replace")), dict) else "array"
        except FlawedJSON:
            return ""
    return _WORDS.get(text.lower(), "")


def _other_unit(limit: Any, found: Any, name: str | int) -> str:
    wanted, had = _unit(limit), _unit(found)
    if wanted and had and wanted != had and _TIME_NAME.search(str(name)):
        return f"{had} since the epoch, where {wanted} are expected"
    return ""


def _unit(value: Any) -> str:
    """In what a number of this size counts a time between 1973 and 5138."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    return next((unit for floor, unit in _UNITS if floor <= value < floor * 1_000), "")


def _quoted(name: str) -> str:
    return f"'{escape_text(name[:60])}'"
