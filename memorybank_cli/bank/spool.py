"""Entries of one group that wait until all of them are known: in memory while they are few, then in a scratch file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from memorybank_cli.bank.journal import Entry
from memorybank_cli.base import files
from memorybank_cli.base.exact_json import dumps, loads
from memorybank_cli.base.walk import Root

HELD = 4 << 20


class Spool:
    """Entries in the order in which they were added; they can be gone through any number of times.

    What does not fit into memory goes to `path`, unsynced: the caller removes it, and a crash makes it worthless.
    """

    def __init__(self, root: Root, path: str) -> None:
        self.root, self.path = root, path
        self._waiting: list[bytes] = []
        self._size = self._count = 0
        self._spilled = False

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Entry]:
        for lines in self._lines():
            for line in lines:
                op, fields = loads(line)
                yield Entry(op, fields, loads(next(lines)))

    def _lines(self) -> Iterator[Iterator[bytes]]:
        """Lines by twos: operation and fields, then the value."""
        if self._spilled:
            with open(self.root.open(self.path), "rb", buffering=1 << 16) as file:
                yield file
        yield iter(self._waiting)

    def fields(self, op: str) -> Iterator[dict[str, Any]]:
        """The fields of the entries of one operation, whose values are not looked at."""
        for lines in self._lines():
            for line in lines:
                found, fields = loads(line)
                next(lines)
                if found == op:
                    yield fields

    def add(self, entry: Entry) -> None:
        """One more entry. Raises OSError where there is no room for it."""
        # The value stands alone: one that is nested as deeply as can be read must not be nested once more.
        lines = (dumps([entry.op, entry.fields]) + b"\n", dumps(entry.value) + b"\n")
        self._waiting += lines
        self._size += sum(map(len, lines))
        self._count += 1
        if self._size > HELD:
            self._spill()

    def _spill(self) -> None:
        fd = files.open_to_write(self.root, self.path)
        try:
            files.append(fd, b"".join(self._waiting))
        finally:
            os.close(fd)
        self._spilled = True
        self._waiting.clear()
        self._size = 0
