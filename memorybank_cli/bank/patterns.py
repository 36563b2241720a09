"""Patterns and formats of JSON Schema in Python's terms, for the validator that is written in Python.

In JSON Schema `$` is the very end and `\\d` an ASCII digit; in Python `$` also stands before a last line break
and `\\d` is a digit of any script. Python's engine backtracks, so some patterns are not taken at all.
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


_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{\d*,?\d*\}|.", re.DOTALL)


def explodes(pattern: str) -> bool:
    """Whether a backtracking engine may need exponential time: a repeated group that itself repeats or branches."""
    groups, closed_one = [False], False
    for token in _TOKEN.findall(pattern):
        repeats = token in ("*", "+") or (token[0] == "{" and len(token) > 1)
        if repeats and closed_one:
            return True
        closed_one = token == ")" and groups[-1]
        if token == "(":
            groups.append(False)
        elif token == ")" and len(groups) > 1:
            inner = groups.pop()
            groups[-1] = groups[-1] or inner
        elif token == "|" or token in ("*", "+") or (repeats and token.endswith(",}")):
            groups[-1] = True
    return False


_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.\d+)?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)


def is_time(text: object) -> bool:
    """Whether a text is an RFC 3339 date-time; a leap second only at 23:59 UTC. Anything but text passes."""
    if not isinstance(text, str):
        return True
    found = _TIME.fullmatch(text)
    if not found:
        return False
    year, month, day, hour, minute, second = map(int, found.groups()[:6])
    ahead = (int(found[8]) * 60 + int(found[9])) * (1 if found[7] == "+" else -1) if found[7] else 0
    if hour > 23 or minute > 59 or second > 60 or (found[7] and (int(found[8]) > 23 or int(found[9]) > 59)):
        return False
    if second == 60 and (hour * 60 + minute - ahead) % 1440 != 1439:
        return False
    return is_date(f"{year or 400:04d}-{month:02d}-{day:02d}")


def is_date(text: object) -> bool:
    """Whether a text is an RFC 3339 full-date. Anything but text passes."""
    if not isinstance(text, str):
        return True
    try:
        return date.fromisoformat(text).isoformat() == text
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
