"""Where in a document's bytes a JSON Pointer leads: the first and last byte of the value, and its line.

The text is passed over token by token and nothing is parsed: strings, numbers and containers that hold no other
container are taken in one step. Patterns are possessive, so each byte is looked at a fixed number of times, and
nothing is recursive.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from memorybank_cli.base.strict_json import HARD_DEPTH

_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_PLAIN = rb'[^"\[\]{}]'
_FLAT = rb"[\[{]" + _PLAIN + rb"*+(?:" + _STRING + _PLAIN + rb"*+)*+[\]}]"
_SIMPLE = re.compile(_STRING + rb'|[^"\[\]{},:\s]++|' + _FLAT, re.DOTALL)
"""A whole value that holds no container."""
_BRACKET = re.compile(rb"(?:" + _PLAIN + rb"++|" + _STRING + rb"|" + _FLAT + rb")*+([\[\]{}])", re.DOTALL)
"""Up to the next bracket of a container that does hold one."""
_KEY = re.compile(rb"\s*+(" + _STRING + rb")\s*+:\s*+", re.DOTALL)
_SPACE = re.compile(rb"\s*+")
_NEXT = re.compile(rb"\s*+,\s*+")
_INDEX = re.compile(r"0|[1-9][0-9]{0,9}")


class Span(NamedTuple):
    """The value of a JSON Pointer: it is `data[start:end]`, and begins in `line`, counted from 1."""

    start: int
    end: int
    line: int


def locate(data: bytes, pointer: str) -> Span | None:
    """Where the value of an RFC 6901 JSON Pointer stands in a well-formed document; None where there is none.

    Of bytes that are no JSON it says something or None, and never raises.
    """
    parts = pointer.split("/")
    if parts[0] or len(parts) > HARD_DEPTH + 1:
        return None
    start = _space(data, 0)
    for part in parts[1:]:
        found = _member(data, start, part) if data[start : start + 1] == b"{" else _item(data, start, part)
        if found is None:
            return None
        start = found
    end = _end(data, start)
    return None if end is None else Span(start, end, data.count(b"\n", 0, start) + 1)


def children(data: bytes, pointer: str) -> list[Span]:
    """Where the elements of an array, or the values of an object, stand, in their order; [] for anything else."""
    found: list[Span] = []
    holder = locate(data, pointer)
    opening = data[holder.start : holder.start + 1] if holder else b""
    if holder is None or opening not in (b"{", b"["):
        return found
    at: int | None = _space(data, holder.start + 1)
    counted, line = holder.start, holder.line
    while at is not None and data[at : at + 1] not in (b"]", b"}", b""):
        key = _KEY.match(data, at) if opening == b"{" else None
        start = key.end() if key else at
        end = _end(data, start)
        if end is None:
            break
        line += data.count(b"\n", counted, start)
        counted = start
        found.append(Span(start, end, line))
        at = _after(data, start, end)
    return found


def _space(data: bytes, at: int) -> int:
    return _SPACE.match(data, at).end()  # type: ignore[union-attr]  # the pattern matches everywhere


def _end(data: bytes, start: int) -> int | None:
    """Where the value that begins at `start` ends."""
    if simple := _SIMPLE.match(data, start):
        return simple.end()
    if data[start : start + 1] not in (b"{", b"["):
        return None
    depth, at = 1, start + 1
    while depth:
        bracket = _BRACKET.match(data, at)
        if bracket is None:
            return None
        depth += 1 if bracket[1] in b"[{" else -1
        at = bracket.end()
    return at


def _member(data: bytes, start: int, part: str) -> int | None:
    """Where the value of a key begins in the object at `start`."""
    name = part.replace("~1", "/").replace("~0", "~")
    plain = name.encode("utf-8", "surrogatepass")
    at: int | None = start + 1
    while at is not None:
        key = _KEY.match(data, at)
        if key is None:
            return None
        text = key[1][1:-1]
        if text == plain if b"\\" not in text else _unescaped(key[1]) == name:
            return key.end()
        at = _after(data, key.end())
    return None


def _unescaped(text: bytes) -> str | None:
    try:
        value: str = json.loads(text)
    except ValueError:
        return None
    return value


def _item(data: bytes, start: int, part: str) -> int | None:
    """Where the element with that index begins in the array at `start`."""
    if data[start : start + 1] != b"[" or not _INDEX.fullmatch(part):
        return None
    at = _space(data, start + 1)
    for _ in range(int(part)):
        following = _after(data, at)
        if following is None:
            return None
        at = following
    return None if data[at : at + 1] in (b"]", b"") else at


def _after(data: bytes, start: int, end: int | None = None) -> int | None:
    """Where the value (or its key) begins that follows the one from `start` on; None for the last."""
    end = _end(data, start) if end is None else end
    comma = None if end is None else _NEXT.match(data, end)
    return None if comma is None else comma.end()
