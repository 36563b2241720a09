"""Names of files in the bank for things that were called otherwise elsewhere: safe, and none given twice."""

from __future__ import annotations

import re

from memorybank_cli.base.names import unescape

LONGEST = 100
_ODD = re.compile(r"[^A-Za-z0-9._-]+")


def safe(name: str) -> str:
    """A name of letters, digits, '.', '_' and '-' that does not begin with a dot; other characters become '-'."""
    return _ODD.sub("-", name)[:LONGEST].lstrip(".") or "unnamed"


def safe_path(path: str) -> str:
    """An escaped path of a source with each of its parts made safe."""
    return "/".join(safe(unescape(part)) for part in path.split("/"))


class Names:
    """Names that were given out, so that none is given twice, not even where letter case does not count."""

    def __init__(self) -> None:
        self._given: dict[str, int] = {}

    def fresh(self, name: str, ending: str = "") -> str:
        """`name` and its ending, with -2, -3 … between them where that was given already."""
        first = given = name + ending
        number = self._given.get(first.lower(), 1)
        while given.lower() in self._given:
            number += 1
            given = f"{name}-{number}{ending}"
        self._given[first.lower()] = number
        self._given.setdefault(given.lower(), 1)
        return given
