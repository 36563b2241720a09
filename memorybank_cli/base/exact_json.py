"""Strict and exact JSON: UTF-8 without a mark, no duplicate keys, no NaN, integers as they stand.

orjson is used where it provably gives the same result as the exact reader, and nowhere else: it keeps the
last of duplicate keys, and turns integers beyond 64 bits into floats, both without a word. See `_proved`.
"""

from __future__ import annotations

import json
import re
from math import isfinite
from typing import Any, NamedTuple

import orjson

HARD_SIZE = 64 << 20
HARD_DEPTH = 64
MAX_DIGITS = 4300
# What parsing one document may cost in memory, by `parse_cost`.
MEMORY_BUDGET = 100 << 20
SMALL = 1 << 16

_CONTAINER_COST = 120
_SCALAR_COST = 34
_DIGIT_RUN = b"0" * 19
_DIGITS_ONLY = bytes(48 if 48 <= byte <= 57 else 32 for byte in range(256))
_TOO_DEEP = b"\n" + b" " * (2 * HARD_DEPTH)
_SPACE = re.compile(r"[ \t\n\r]*")
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_ASTRAL = re.compile(rb"[\xf0-\xf4]")


class Flaw(NamedTuple):
    """Why bytes are no good JSON: the rule, what is wrong, and where.

    `end` is the byte at which a complete leading document ends, `None` where there is none.
    """

    rule: str
    message: str
    offset: int
    end: int | None = None


class FlawedJSON(ValueError):
    """Bytes that are not the JSON a bank may hold; `flaw` says why."""

    def __init__(self, flaw: Flaw) -> None:
        super().__init__(flaw.message)
        self.flaw = flaw


def loads(data: bytes) -> Any:
    """The value of a document, exactly. Raises FlawedJSON."""
    if len(data) > SMALL and (len(data) > HARD_SIZE or parse_cost(data) > MEMORY_BUDGET):
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
    if b"\\u" in data or _DIGIT_RUN in data.translate(_DIGITS_ONLY):
        return False
    if data.count(b"{") + data.count(b"[") <= HARD_DEPTH:
        return orjson.dumps(value).count(b'"') == data.count(b'"')
    try:
        again = orjson.dumps(value, option=orjson.OPT_INDENT_2)
    except orjson.JSONEncodeError:
        return False
    return again.count(b'"') == data.count(b'"') and _TOO_DEEP not in again


def parse_cost(data: bytes) -> int:
    """An upper estimate, in bytes, of what a document costs to parse: its text, its strings and its values."""
    width = 1 if data.isascii() else 4 if _ASTRAL.search(data) else 2
    containers = data.count(b"{") + data.count(b"[")
    return len(data) * (1 + width) + containers * _CONTAINER_COST + data.count(b",") * _SCALAR_COST


def _exact(data: bytes) -> Any:
    from memorybank_cli.base.damage import diagnose

    if len(data) <= HARD_SIZE and parse_cost(data) <= MEMORY_BUDGET:
        try:
            value, end = raw_decode(data.decode("utf-8"))
            if end is None and not too_deep(value):
                return value
            del value
        except (ValueError, RecursionError):
            pass  # `diagnose` finds the same fault again, and the words for it
    raise FlawedJSON(diagnose(data))


def raw_decode(text: str) -> tuple[Any, int | None]:
    """The exact value that a text begins with, and where it ends (None: nothing but space follows).

    Raises ValueError: json.JSONDecodeError for syntax, `Unfit` for what JSON allows and a bank does not.
    """
    start = _SPACE.match(text).end()  # type: ignore[union-attr]  # the pattern matches everywhere
    value, end = _DECODER.raw_decode(text, start)
    if _HALF.search(text, start, end) and _SURROGATE.search(json.dumps(value, ensure_ascii=False)):
        raise Unfit("MB106", "a \\u escape stands for half a character (a lone surrogate)")
    rest = _SPACE.match(text, end).end()  # type: ignore[union-attr]
    return value, None if rest == len(text) else end


class Unfit(ValueError):
    """Something that the grammar of JSON allows, or that Python does, but a bank does not."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise Unfit("MB105", f"the key {_quoted(twice)} stands twice in one object")
    return found


def _integer(digits: str) -> int:
    if len(digits.lstrip("-")) > MAX_DIGITS:
        raise Unfit("MB107", f"an integer of {len(digits.lstrip('-')):,} digits; at most {MAX_DIGITS:,} are read")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise Unfit("MB107", f"the number {digits[:40]} is too large for a float")
    return value


def _constant(name: str) -> float:
    raise Unfit("MB107", f"{name} is not JSON")


def _quoted(key: str) -> str:
    return json.dumps(key if len(key) <= 60 else key[:57] + "...")


_DECODER: json.JSONDecoder = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_integer, parse_float=_float, parse_constant=_constant
)


def too_deep(value: Any) -> bool:
    """Whether containers stand in one another more than 64 deep."""
    level: list[Any] = [value]
    for _ in range(HARD_DEPTH + 1):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner += [one for one in item.values() if isinstance(one, dict | list)]
            elif isinstance(item, list):
                inner += [one for one in item if isinstance(one, dict | list)]
        if not inner:
            return False
        level = inner
    return True


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


def _no_nan(value: Any) -> bool:
    stack: list[Any] = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, float):
            if not isfinite(item):
                return False
        elif isinstance(item, dict):
            stack.extend(item.values())
        elif isinstance(item, list | tuple):
            stack.extend(item)
    return True
