"""The JSON documents of one line of JSON Lines: one as a rule, several or a part of one where writers raced."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from memorybank_cli.base.strict_json import MEMORY_BUDGET, decode, parse_cost, too_deep

_BLANK = b" \t\r\n"


class Document(NamedTuple):
    """One document and its bytes; or what is left of a line, and why it is none."""

    value: Any
    data: bytes
    wrong: str = ""


def documents(line: bytes) -> Iterator[Document]:
    """What a line holds, in its order; what is wrong in it ends it. Nothing for a blank line."""
    if not line.strip(_BLANK):
        return
    if parse_cost(line) > MEMORY_BUDGET:
        yield Document(None, line, f"{len(line):,} bytes that may take too much memory to parse")
        return
    try:
        text, at = line.decode(), 0
    except UnicodeDecodeError as error:
        yield Document(None, line, f"byte {error.start + 1:,} is not UTF-8")
        return
    while at < len(text):
        start = at
        try:
            value, end = decode(text, at)
        except json.JSONDecodeError as error:
            message = error.msg.removesuffix(" at").removesuffix(" starting")
            yield Document(None, text[start:].encode(), f"{message} at character {error.pos + 1:,}")
            return
        except RecursionError:
            yield Document(None, text[start:].encode(), "nested too deeply")
            return
        except ValueError as error:
            yield Document(None, text[start:].encode(), str(error))
            return
        at = len(text) if end is None else end
        yield Document(value, text[start:at].encode(), "nested too deeply" if too_deep(value) else "")
