"""The exact reader of JSON: slower than orjson, and right about what orjson drops or rounds without a word.

Integers of up to 4,300 digits keep their value, a key that stands twice is refused, and so is what is no JSON
although Python reads it. `exact_json` uses it where orjson is not provably the same; `damage` to find the fault.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

HARD_SIZE = 64 << 20
HARD_DEPTH = 64
MAX_DIGITS = 4300
# What parsing one document may cost in memory, by `parse_cost`.
MEMORY_BUDGET = 100 << 20

_CONTAINER_COST = 120
_SCALAR_COST = 34
_QUOTE_COST = 12
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


def parse_cost(data: bytes) -> int:
    """An upper estimate, in bytes, of what a document costs to parse: its text, its strings and its values."""
    width = 1 if data.isascii() else 4 if _ASTRAL.search(data) else 2
    containers, quotes = data.count(b"{") + data.count(b"["), data.count(b'"')
    values = containers * _CONTAINER_COST + data.count(b",") * _SCALAR_COST + quotes * _QUOTE_COST
    return len(data) * (1 + width) + values


def decode(text: str, start: int = 0) -> tuple[Any, int | None]:
    """The exact value that a text has from `start` on, and where it ends (None: nothing but space follows).

    Raises ValueError: json.JSONDecodeError for syntax, `Unfit` for what JSON allows and a bank does not.
    """
    start = _SPACE.match(text, start).end()  # type: ignore[union-attr]  # the pattern matches everywhere
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
    for _ in range(HARD_DEPTH):
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
