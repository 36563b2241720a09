"""What can be had out of damaged bytes without guessing: a complete leading document, or every complete record."""

from __future__ import annotations

import re
from typing import NamedTuple

from memorybank_cli.base.exact_json import FlawedJSON, loads
from memorybank_cli.base.strict_json import HARD_DEPTH, MEMORY_BUDGET, parse_cost

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"?+|[\[\]{},]', re.DOTALL)
_CLOSER = {b"[": b"]", b"{": b"}"}


class Salvaged(NamedTuple):
    """Bytes that are good JSON again, how they were had, and what was lost ('' for nothing)."""

    content: bytes
    method: str
    lost: str


class _Open(NamedTuple):
    """A container that is still open: its bracket, where it begins, where its last complete element ends, how many."""

    bracket: bytes
    start: int
    complete: int
    elements: int


def salvage(data: bytes) -> Salvaged | None:
    """The best lossless cure of damaged bytes by themselves, None where there is none."""
    try:
        loads(data)
    except FlawedJSON as error:
        flaw = error.flaw
    else:
        return None
    if flaw.rule == "MB102" and flaw.end is not None:
        return Salvaged(data[: flaw.end], "leading-document", "")
    if flaw.rule == "MB106" and data.startswith(b"\xef\xbb\xbf"):
        return _without_mark(data[3:])
    if flaw.rule == "MB103" and parse_cost(data) <= MEMORY_BUDGET:
        return _complete_records(data.rstrip(b"\0"))
    return None


def _without_mark(data: bytes) -> Salvaged | None:
    try:
        loads(data)
    except FlawedJSON:
        return None
    return Salvaged(data, "byte-order-mark-removed", "")


def _complete_records(data: bytes) -> Salvaged | None:
    """A truncated document up to its last complete record, its brackets closed.

    Records are the elements of the outermost array that is still open; where none is, the members of the
    document's own object, if they are all containers: then it is a map of records, not one record itself.
    """
    stack = _open_containers(data)
    at = next((index for index, one in enumerate(stack) if one.bracket == b"["), None)
    if at is None and stack and (b"}" in data or b"]" in data):
        at = 0
    if at is None or not stack[at].elements:
        return None
    cut = stack[at].complete
    closing = b"".join(_CLOSER[one.bracket] for one in reversed(stack[: at + 1]))
    content = data[:cut].rstrip() + b"\n" + closing + b"\n"
    try:
        value = loads(content)
    except FlawedJSON:
        return None
    if stack[at].bracket == b"{" and not all(isinstance(one, dict | list) for one in value.values()):
        return None
    lost = (
        f"{len(data) - cut} bytes after record {stack[at].elements}, which was not complete" if cut < len(data) else ""
    )
    return Salvaged(content, "complete-records", lost)


def _open_containers(data: bytes) -> list[_Open]:
    stack: list[_Open] = []
    for match in _TOKEN.finditer(data):
        token = match.group()
        if token in _CLOSER:
            stack.append(_Open(token, match.start(), match.end(), 0))
            if len(stack) > HARD_DEPTH:
                return []
        elif token in (b"]", b"}"):
            if not stack:
                return []
            stack.pop()
            if stack:  # a container that is closed is complete, whether a comma follows or not
                stack[-1] = stack[-1]._replace(complete=match.end(), elements=stack[-1].elements + 1)
        elif token == b"," and stack:
            top = stack[-1]
            closed = data[top.complete : match.start()].strip() == b""
            count = top.elements if closed and top.elements else top.elements + 1
            stack[-1] = top._replace(complete=match.start(), elements=count)
    return stack
