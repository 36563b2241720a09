"""A second process that lists directories of a large bank before the walk over it comes to them.

The stats of 100,000 files take as long as all that is done with them where little changed. What the child sees is a
moment older than what the walk would see; where that matters, a file is looked at again by whoever reads it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Any

from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.turns import Turns
from memorybank_cli.base import workers
from memorybank_cli.base.walk import Entry, Found, Listing, Root, entries

WORTH_IT = 10_000
"""A bank of so many files is worth a second process."""
LARGEST = 20_000
"""A directory of more entries is left to the walk: it would stand in memory twice."""


def walk(bank: Bank, inner: list[str], known: set[str], turns: Turns) -> Iterator[Listing]:
    """`Bank.walk` over all of it, by `turns`; where there are many files another process helps with the `known` ones.

    The first look of many is to be over soon, and the others are to cost little: they go alone.
    """
    shape = layout.shaping(bank.settings["exclude"], inner)
    if turns.looks > 1 or bank.catalog.meta("files", 0) < WORTH_IT or not workers.are_two():
        yield from bank.root.walk("", shape, turns.listed(lambda _path, _fd: None))
        return
    with closing(_Listed(bank.root, sorted(known - {""}, key=lambda path: path.split("/")))) as listed:
        yield from bank.root.walk("", shape, turns.listed(listed))


class _Listed:
    """What stands in directories, which are asked for in the order of `paths`; None where the child does not say it."""

    def __init__(self, root: Root, paths: Sequence[str]) -> None:
        size = max(1, -(-len(paths) // workers.MOST_SHARED))
        groups = [paths[start : start + size] for start in range(0, len(paths), size)]
        self._numbers = {path: number for number, group in enumerate(groups) for path in group}
        self._number, self._found = -1, dict[str, Any]()
        self._groups = groups
        self._ahead = workers.Ahead(len(groups), lambda number: [_found(root, path) for path in groups[number]])

    def __call__(self, path: str, _fd: int) -> Found | None:
        number = self._numbers.get(path)
        if number is None:
            return None
        if number != self._number:
            self._number = number
            self._found = dict(zip(self._groups[number], self._ahead.take(number) or (), strict=False))
        found = self._found.pop(path, None)
        if found is None:
            return None
        *kinds, hidden = found
        files, directories, others = (list(map(_entry, rows)) for rows in kinds)
        return files, directories, others, hidden

    def close(self) -> None:
        """Stop the child."""
        self._ahead.end()


_entry = partial(tuple.__new__, Entry)
"""An entry of a plain tuple; `Entry(*row)` takes twice as long."""


def _found(root: Root, path: str) -> tuple[list[Any], ...] | None:
    try:
        with root.directory(path) as fd:
            *kinds, hidden = entries(fd)
            if sum(map(len, kinds)) > LARGEST:
                return None
            return *(list(map(tuple, one)) for one in kinds), hidden
    except OSError:
        return None  # the walk itself finds out why
