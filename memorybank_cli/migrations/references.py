"""References by path inside JSON documents: texts that are the path of a file that stands elsewhere now."""

from __future__ import annotations

import re
from collections.abc import Mapping

import orjson

_TEXT = re.compile(rb'("(?:[^"\\]|\\.)*+")([ \t\r\n]*+:)?', re.DOTALL)
_COULD_BE = b".json"


def update(data: bytes, moved: Mapping[str, str]) -> tuple[bytes, int]:
    """A well-formed document with each text that is a key of `moved` replaced, and how many were.

    Names of members stay, and every other byte.
    """
    if not moved or _COULD_BE not in data:
        return data, 0
    count = 0

    def replaced(found: re.Match[bytes]) -> bytes:
        nonlocal count
        text, is_name = found.groups()
        if is_name:
            return found[0]
        new = moved.get(orjson.loads(text)) if text.endswith(_COULD_BE + b'"') or b"\\" in text else None
        count += new is not None
        return text if new is None else orjson.dumps(new)

    return _TEXT.sub(replaced, data), count
