r"""Patterns and formats of JSON Schema in Python's terms, for the validator that is written in Python.

In JSON Schema `$` is the very end and `\d` an ASCII digit; in Python `$` also stands before a last line break
and `\d` is a digit of any script. Python's engine backtracks, so some patterns are not taken at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from typing import Any

from memorybank_cli.bank.misfits import shorten


class UnusableSchema(ValueError):
    """A schema that cannot be compiled: why, and at which path of the schema where that is known."""

    def __init__(self, reason: str, path: Iterable[str | int] = ()) -> None:
        super().__init__(reason)
        self.path = tuple(path)


_LITERAL = frozenset({"const", "enum", "default", "examples"})
_SEVERAL = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_ASCII = "(?a)"
_BACKTRACKING = re.compile(r"\(\?(?!:)|(?<!\\)(?:\\\\)*\\[1-9AZ]")
_NAMED = frozenset({"properties", "$defs", "definitions", "dependentSchemas"})
_END = re.compile(r"(?<!\\)((?:\\\\)*)\$(?=\)|\||$)")


def in_python(schema: Any) -> Any:
    """A schema with its patterns as Python means them. Raises UnusableSchema for those that Python cannot bear."""
    if isinstance(schema, list):
        return [in_python(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    translated: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "pattern" and isinstance(value, str):
            translated[key] = _python_pattern(value)
        elif key == "patternProperties" and isinstance(value, dict):
            translated[key] = {_python_pattern(pattern): _in_place(inner) for pattern, inner in value.items()}
        elif key in _NAMED and isinstance(value, dict):
            translated[key] = {name: _in_place(inner) for name, inner in value.items()}
        elif key in _SEVERAL and isinstance(value, list):
            translated[key] = [_in_place(inner) for inner in value]
        else:
            translated[key] = value if key in _LITERAL else in_python(value)
    return translated


def _in_place(schema: Any) -> Any:
    # jsonschema loses the path to a place where nothing is allowed.
    return {"not": {}} if schema is False else in_python(schema)


def original(pattern: Any) -> Any:
    """A translated pattern as the schema has it; anything else as it is."""
    return pattern.removeprefix(_ASCII).replace(r"\Z", "$") if isinstance(pattern, str) else pattern


def _python_pattern(pattern: str) -> str:
    if _BACKTRACKING.search(pattern):
        reason = f"the pattern {shorten(pattern)} is not supported; look-around and back-references never are"
        raise UnusableSchema(reason)
    text = _ASCII + _END.sub(r"\1\\Z", pattern)
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise UnusableSchema(f"the pattern {shorten(pattern)} is not supported: {error}") from None
    if explodes(pattern):
        raise UnusableSchema(f"the pattern {shorten(pattern)} repeats a group that repeats or branches, without end")
    return text


_PART = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{\d*,?\d*\}|.", re.DOTALL)


def explodes(pattern: str) -> bool:
    """Whether a backtracking engine may need exponential time: a repeated group that itself repeats or branches."""
    groups, closed_one = [False], False
    for part in _PART.findall(pattern):
        repeats = part in ("*", "+") or (part[0] == "{" and len(part) > 1)
        if repeats and closed_one:
            return True
        closed_one = part == ")" and groups[-1]
        if part == "(":
            groups.append(False)
        elif part == ")" and len(groups) > 1:
            inner = groups.pop()
            groups[-1] = groups[-1] or inner
        elif part == "|" or part in ("*", "+") or (repeats and part.endswith(",}")):
            groups[-1] = True
    return False


_DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)", re.ASCII)
_CLOCK = re.compile(r"(\d\d):(\d\d):(\d\d)(?:\.\d+)?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII)


def is_time(text: object) -> bool:
    """Whether a text is an RFC 3339 date-time; a leap second only at 23:59 UTC. Anything but text passes."""
    if not isinstance(text, str):
        return True
    found = _CLOCK.fullmatch(text, 11)
    if not found or text[10] not in "Tt" or not is_date(text[:10]):
        return False
    hour, minute, second, zone_hour, zone_minute = (int(found[group] or 0) for group in (1, 2, 3, 5, 6))
    if max(hour, zone_hour) > 23 or max(minute, zone_minute) > 59 or second > 60:
        return False
    ahead = (zone_hour * 60 + zone_minute) * (-1 if found[4] == "-" else 1)
    return second < 60 or (hour * 60 + minute - ahead) % 1440 == 1439


def is_date(text: object) -> bool:
    """Whether a text is an RFC 3339 full-date. Anything but text passes."""
    if not isinstance(text, str):
        return True
    found = _DATE.fullmatch(text)
    try:
        return found is not None and bool(date(int(found[1]) or 400, int(found[2]), int(found[3])))
    except ValueError:
        return False


def is_uuid(text: object) -> bool:
    """Whether a text is a UUID with its hyphens. Anything but text passes."""
    if not isinstance(text, str):
        return True
    from uuid import UUID

    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False
