"""Which records a change of a file is about: told with the change where both versions are at hand."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from memorybank_cli.bank import versions
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.scan import Change
from memorybank_cli.base import digests
from memorybank_cli.meaning.differences import compare
from memorybank_cli.meaning.records import Reader

LARGEST = 1 << 20
"""Bytes of a file whose records are compared."""
ROOM = 8 << 20
"""Bytes of versions that are kept in memory: the journal keeps only those of small files."""
NAMED = 10
LONGEST = 80


class ChangedRecords:
    """What changed in the files of one bank, by record."""

    def __init__(self, bank: Bank) -> None:
        self.bank = bank
        self._reader: Reader | None = None
        self._digest = ""
        self._kept: OrderedDict[str, tuple[str, bytes]] = OrderedDict()
        self._size = 0

    def of(self, change: Change) -> dict[str, Any] | None:
        """`{"added", "removed", "changed", "more"}`: ids or pointers, at most ten each; None where it is not known."""
        before = self._before(change)
        after = self._there(change)  # which takes the place of the version before
        if (after is None) != (change.seen is None) or (before is None) != (change.expected is None):
            return None
        found: dict[str, Any] = {"added": [], "removed": [], "changed": [], "more": 0}
        comparison = compare(self._use(), change.path, before, after)
        for one in comparison.changes:
            if len(found[one.what]) < NAMED:
                found[one.what].append((one.id or one.pointer)[:LONGEST])
            else:
                found["more"] += 1
        return found if comparison.changes else None

    def _use(self) -> Reader:
        registry = self.bank.registry
        if self._reader is None or self._digest != registry.digest:
            self._reader, self._digest = Reader(registry), registry.digest
        return self._reader

    def _there(self, change: Change) -> bytes | None:
        """What stands there now, if it is what was seen; it is kept for the next change."""
        if change.seen is None or change.seen.size > LARGEST:
            return None
        data = self.bank.root.content(change.path, LARGEST)
        if data is None or digests.of(data) != change.seen.sha:
            return None
        self._keep(change.path, change.seen.sha, data)
        return data

    def _before(self, change: Change) -> bytes | None:
        expected = change.expected
        if expected is None or expected.size > LARGEST:
            return None
        kept = self._kept.get(change.path)
        if kept is not None and kept[0] == expected.sha:
            return kept[1]
        return versions.at(self.bank.journal, expected.seq).get(change.path)

    def _keep(self, path: str, digest: str, data: bytes) -> None:
        if len(data) <= versions.LARGEST:
            return  # the journal has it
        former = self._kept.pop(path, None)
        self._size += len(data) - (len(former[1]) if former else 0)
        self._kept[path] = digest, data
        while self._size > ROOM:
            _, (_, old) = self._kept.popitem(last=False)
            self._size -= len(old)
