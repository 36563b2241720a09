"""The bank as it stands, held against a snapshot: by one walk, and by digests where the catalog knows them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import closing

from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.examine import Changing, Examiner
from memorybank_cli.bank.judge import judge
from memorybank_cli.bank.rows import Row, Seen, is_good
from memorybank_cli.bank.scan import judging_rules
from memorybank_cli.base import digests
from memorybank_cli.base.names import unescape
from memorybank_cli.base.records import Finding
from memorybank_cli.base.walk import Entry, Listing
from memorybank_cli.operations.scope import Scope
from memorybank_cli.snapshots import comparing
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.comparing import FileChange, Lost
from memorybank_cli.snapshots.packs import FILE_BLOB_SIZE
from memorybank_cli.snapshots.trees import DirectoryEntry, FileEntry, Ids


class Standing:
    """The files of a bank as a snapshot would list them."""

    def __init__(self, bank: Bank, blobs: Blobs, scope: Scope) -> None:
        self.bank, self.blobs, self.scope = bank, blobs, scope
        self.findings: list[Finding] = []
        self._examiner, self._judging = Examiner(bank.registry), judging_rules(bank)

    def changes_since(self, root: str, lost: Lost) -> Iterator[FileChange]:
        """What differs from a tree; nothing is said of what cannot be read on either side."""
        known = {"": comparing.root(root)}
        unknown: list[str] = []
        for listing in self.bank.walk():
            path = listing.path
            directory = known.pop(path, None)
            if f"{path}/".startswith(tuple(unknown)) or not self.scope.leads(path):
                continue
            level = comparing.read(self.blobs, directory, lost)
            if level is None:
                unknown.append(f"{path}/")
                continue
            known.update({one.path: one for one in level.directories if self.scope.leads(one.path)})
            there = {one.path: one for one in level.files if self.scope.has(one.path)}
            yield from comparing.changes(there.values(), self._files(listing, there))
            for one in self._hidden(listing):
                known.pop(one, None)
        for path in sorted(known):
            yield from self._gone(known[path], lost)

    def _gone(self, directory: DirectoryEntry, lost: Lost) -> Iterator[FileChange]:
        for entry in comparing.below(self.blobs, directory, lost, self.scope.leads):
            if self.scope.has(entry.path):
                yield FileChange(entry.path, "removed", entry, None)

    def _hidden(self, listing: Listing) -> Iterator[str]:
        """Directories that cannot be looked into: what was in them may be there."""
        prefix = f"{listing.path}/" if listing.path else ""
        for one in listing.others:
            if stat.S_ISDIR(one.mode) and self.scope.leads(prefix + one.name):
                self.findings.append(Finding("MB307", "the directory cannot be read", prefix + one.name))
                yield prefix + one.name

    def _files(self, listing: Listing, there: dict[str, FileEntry]) -> Iterator[FileEntry]:
        prefix = f"{listing.path}/" if listing.path else ""
        rows = self.bank.catalog.rows(listing.path)
        for entry in listing.files:
            path = prefix + entry.name
            if layout.is_secret(entry.name) or not self.scope.has(path):
                continue
            before = there.get(path)
            found: FileEntry | None
            try:
                found = self._file(path, listing, entry, rows.get(entry.name, Row(None, None)), before)
            except FileNotFoundError:
                continue
            except (Changing, OSError) as error:
                self.findings.append(
                    Finding("MB307", f"cannot be read: {getattr(error, 'strerror', '') or error}", path)
                )
                found = before
            if found is not None:
                yield found

    def _file(self, path: str, listing: Listing, entry: Entry, row: Row, before: FileEntry | None) -> FileEntry:
        where = layout.place_in(listing.path)(entry.name)
        seen = row.seen
        if seen is None or (seen.mtime, seen.size, seen.inode) != (entry.mtime_ns, entry.size, entry.inode):
            seen = self._examiner.file(unescape(entry.name), listing.fd, where)
        rule = judge(path, where, row.expected, seen, self._judging).rule
        ids = self._ids(path, seen, before)
        if not rule or is_good([rule]):
            return FileEntry(path, entry.mode, entry.mtime_ns, ids, seen.size, rule=rule)
        return FileEntry(path, entry.mode, entry.mtime_ns, before.good if before else None, seen.size, ids, rule)

    def _ids(self, path: str, seen: Seen, before: FileEntry | None) -> Ids:
        """The blobs that a file would be; of a large one only where it can be what the snapshot has."""
        others = before and (before.good or before.found)
        large = seen.size > FILE_BLOB_SIZE
        if not large or others is None or before is None or before.size != seen.size:
            return (seen.sha,)
        with closing(os.fdopen(self.bank.root.open(path), "rb")) as file:
            return tuple(digests.of(piece) for piece in iter(lambda: file.read(FILE_BLOB_SIZE), b""))
