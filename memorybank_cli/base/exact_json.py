"""Strict and exact JSON: UTF-8 without a mark, no duplicate keys, no NaN, integers as they stand.

orjson is used where it provably gives the same result as the exact reader, and nowhere else: it keeps the
last of duplicate keys, and turns integers beyond 64 bits into floats, both without a word. See `_proved`.
"""

from __future__ import annotations

import json
from math import isfinite
from typing import Any

import orjson

from memorybank_cli.base.damage import diagnose
from memorybank_cli.base.strict_json import (
    HARD_DEPTH,
    HARD_SIZE,
    MEMORY_BUDGET,
    Flaw,
    decode,
    parse_cost,
    too_deep,
)

# Proving orjson right takes several times the document in memory: larger ones are left to the exact reader.
LARGE = 3 << 18

_DIGIT_RUN = b"0" * 19
# Digits as 0, brackets that open as {, the rest as blanks: one pass for two questions.
_SHAPE = bytes(48 if 48 <= byte <= 57 else 123 if byte in b"[{" else 32 for byte in range(256))
_TOO_DEEP = b"\n" + b" " * (2 * HARD_DEPTH)


class FlawedJSON(ValueError):
    """Bytes that are not the JSON a bank may hold; `flaw` says why."""

    def __init__(self, flaw: Flaw) -> None:
        super().__init__(flaw.message)
        self.flaw = flaw


def loads(data: bytes) -> Any:
    """The value of a document, exactly. Raises FlawedJSON."""
    if len(data) > LARGE:
        return _exact(data)
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return _exact(data)
    if _proved(data, value):
        return value
    del value
    return _exact(data)


def _proved(data: bytes, value: Any) -> bool:
    """Whether orjson's result must be the exact one.

    Each string of the source has two quotes and each quote inside it one more, unless it is written
    as an escape (then we do not look further). A dropped duplicate key therefore shows as fewer quotes
    when the value is written again. Integers below 10^18 are exact; depth shows in the indentation.
    """
    if b"\\" in data and b"\\u" in data:
        return False
    shape = data.translate(_SHAPE)
    if _DIGIT_RUN in shape and _has_long_number(data):
        return False
    if shape.count(b"{") <= HARD_DEPTH:
        return orjson.dumps(value).count(b'"') == data.count(b'"')
    try:
        again = orjson.dumps(value, option=orjson.OPT_INDENT_2)
    except orjson.JSONEncodeError:
        return False
    return again.count(b'"') == data.count(b'"') and _TOO_DEEP not in again


def _has_long_number(data: bytes) -> bool:
    """Whether digits outside strings may run that long; one of 400 digests has such a run in it."""
    return b"\\" in data or _DIGIT_RUN in b'"'.join(data.split(b'"')[::2]).translate(_SHAPE)


def _exact(data: bytes) -> Any:
    if len(data) <= HARD_SIZE and parse_cost(data) <= MEMORY_BUDGET:
        try:
            value, end = decode(data.decode("utf-8"))
            if end is None and not too_deep(value):
                return value
            del value
        except (ValueError, RecursionError):
            pass  # `diagnose` finds the same fault again, and the words for it
    raise FlawedJSON(diagnose(data))


def dumps(value: Any, *, indent: bool = False) -> bytes:
    """A value as JSON: UTF-8, integers of any size, two spaces of indentation for people. Raises ValueError for NaN."""
    option = orjson.OPT_INDENT_2 if indent else 0
    try:
        text = orjson.dumps(value, option=option)
    except TypeError:
        return _dumps_exact(value, indent)
    return text if b"null" not in text or _no_nan(value) else _dumps_exact(value, indent)


def _dumps_exact(value: Any, indent: bool) -> bytes:
    separators = None if indent else (",", ":")
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=2 if indent else None, separators=separators)
    return text.encode()


_NO_NUMBER = frozenset({str, int, bool, type(None)})


def _no_nan(value: Any) -> bool:
    stack: list[Any] = [(value,)]
    while stack:
        inner = stack.pop()
        for item in inner.values() if isinstance(inner, dict) else inner:
            if type(item) in _NO_NUMBER:
                continue
            if isinstance(item, dict | list | tuple):
                stack.append(item)
            elif isinstance(item, float) and not isfinite(item):
                return False
    return True
