"""Adoption: taking changes that agents made themselves into the journal, by the policy of their section."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from itertools import groupby

from memorybank_cli.bank import versions
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.journal import Entry
from memorybank_cli.bank.judge import recorded_rules
from memorybank_cli.bank.rows import FileRow
from memorybank_cli.bank.scan import Change, judging_rules
from memorybank_cli.base import digests
from memorybank_cli.base.names import unescape
from memorybank_cli.base.records import QUIET, Progress
from memorybank_cli.base.walk import open_regular, read_all

GROUP = 1_000
MINUTE = 60.0
_OPS = {"new": "file.adopted", "changed": "file.adopted", "removed": "file.removed", "found": "file.found"}


class Adopter:
    """Adopts changes of one bank; it keeps at most one version of a path a minute."""

    def __init__(self, bank: Bank, progress: Progress = QUIET) -> None:
        self.bank, self.progress = bank, progress
        self.kept: dict[str, float] = {}
        self.bound: frozenset[str] = frozenset()

    def adopt(self, changes: Iterable[Change], op: str | None = None, **fields: object) -> list[str]:
        """Record changes, up to 1,000 a line; the paths recorded. `op` replaces the one that a change implies."""
        self.bound = judging_rules(self.bank).bound
        by_op: dict[str, list[Change]] = {}
        for change in changes:
            by_op.setdefault(op or _OPS[change.pending], []).append(change)
        if not by_op:
            return []
        adopted: list[str] = []
        self.progress.start("adopting", sum(map(len, by_op.values())))
        for name, group in by_op.items():
            for part in _parts(group):
                adopted += self._record(name, part, fields)
        self.progress.finish()
        return adopted

    def _record(self, op: str, changes: list[Change], fields: dict[str, object]) -> list[str]:
        contents, kept = self._contents(changes)
        with self.bank.locked():
            # What another process recorded since, of the very same bytes, is no change any more. A full group is a
            # baseline, where the question would only cost time.
            several = len(kept) < GROUP
            fresh = [number for number, change in enumerate(kept) if not (several and self._is_recorded(change))]
            rows = [list(self._row(kept[number])) for number in fresh]
            if rows:
                packed = versions.pack([contents[number] for number in fresh])
                self.bank.commit([Entry(op, {"files": rows, **fields}, packed)])
        self.progress.advance(len(changes))
        return [kept[number].path for number in fresh]

    def _is_recorded(self, change: Change) -> bool:
        if change.seen is None:
            return False
        expected = self.bank.catalog.row(change.path).expected
        return expected is not None and expected != change.expected and expected.sha == change.seen.sha

    def _contents(self, changes: list[Change]) -> tuple[list[bytes | None], list[Change]]:
        """Contents worth keeping, and the changes that still hold: a small file is read again and must be the same."""
        room = versions.room(self.bank.root, self.bank.settings) > 0
        contents: list[bytes | None] = []
        kept: list[Change] = []
        for directory, group in groupby(changes, lambda change: change.path.rpartition("/")[0]):
            for change, content in self._read(directory, list(group)):
                kept.append(change)
                contents.append(content if room and self._due(change) else None)
        return contents, kept

    def _read(self, directory: str, changes: list[Change]) -> Iterator[tuple[Change, bytes | None]]:
        """Changes of one directory with the content of the small files; those that hold no more are left out."""
        small = [change for change in changes if change.seen is not None and change.seen.size <= versions.LARGEST]
        if not small:
            yield from ((change, None) for change in changes)
            return
        try:
            with self.bank.root.directory(directory) as fd:
                for change in changes:
                    if change.seen is None or change.seen.size > versions.LARGEST:
                        yield change, None
                    elif (content := _content(change, change.seen.sha, fd)) is not None:
                        yield change, content
        except (FileNotFoundError, NotADirectoryError):
            yield from ((change, None) for change in changes if change.seen is None)

    def _due(self, change: Change) -> bool:
        """Whether a version is to be kept: the first of a file, then at most one a minute."""
        if change.expected is None:
            return True
        path = change.path
        now = time.monotonic()
        if now - self.kept.get(path, -MINUTE) < MINUTE:
            return False
        self.kept[path] = now
        return True

    def _row(self, change: Change) -> FileRow:
        before = change.expected.sha if change.expected else None
        if change.seen is None:
            return FileRow(change.path, None, 0, 0, [], change.expected.kind if change.expected else "", before)
        seen = change.seen
        rules = recorded_rules(change.place, seen, self.bound)
        return FileRow(change.path, seen.sha, seen.size, seen.mode & 0o7777, rules, seen.kind, before)


def _parts(changes: list[Change]) -> Iterator[list[Change]]:
    for start in range(0, len(changes), GROUP):
        yield changes[start : start + GROUP]


def _content(change: Change, digest: str, directory: int) -> bytes | None:
    try:
        fd = open_regular(unescape(change.path.rpartition("/")[2]), directory)
    except OSError:
        return None  # gone since it was looked at: the next look judges it anew
    try:
        content = read_all(fd, versions.LARGEST)
    except OSError:
        return None  # grown
    finally:
        os.close(fd)
    return content if digests.of(content) == digest else None
