"""The bank as a stream of rows for a snapshot; a damaged file stands there with its last good version."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property, partial

from memorybank_cli.bank import layout, versions
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.examine import Changing, Examiner
from memorybank_cli.bank.judge import judge
from memorybank_cli.bank.rows import SOUND, Seen
from memorybank_cli.bank.rows import Row as CatalogRow
from memorybank_cli.bank.scan import judging_rules
from memorybank_cli.base import files
from memorybank_cli.base.names import unescape
from memorybank_cli.base.records import Finding
from memorybank_cli.base.strict_json import HARD_SIZE
from memorybank_cli.base.walk import Entry, Listing, fitting
from memorybank_cli.operations.repositories import Snapshots
from memorybank_cli.snapshots import trees
from memorybank_cli.snapshots.saving import Folder, Row
from memorybank_cli.snapshots.sealing import Damaged

BLOB_LIMIT = 4 << 20


class Source:
    """The bank as a stream of rows for a snapshot: one walk, held against what the catalog knows."""

    def __init__(self, bank: Bank, snapshots: Snapshots) -> None:
        self.bank, self.snapshots = bank, snapshots
        self.end = bank.end
        self.examiner, self.judging = Examiner(bank.registry), judging_rules(bank)
        self.damaged: list[dict[str, str]] = []
        self.excluded: list[str] = []
        self.findings: list[Finding] = []
        self.records = 0
        self._aside: list[str] = []
        self._recorded: list[str] = []

    def rows(self) -> Iterator[Row | Folder]:
        """Every directory and file that belongs into a snapshot."""
        self._recorded = sorted(self.bank.catalog.directories(), key=lambda path: path.split("/"))
        for listing in self._walk():
            if self._stands_aside(listing.path):
                continue
            prefix = f"{listing.path}/" if listing.path else ""
            self._exclude(listing, prefix)
            if listing.path:
                info = os.fstat(listing.fd)
                yield Folder(listing.path, info.st_mode & 0o7777, fitting(info.st_mtime_ns))
            lost = self._lost_directories(prefix, listing)
            known = self.bank.catalog.rows(listing.path)
            for entry in listing.files:
                if layout.is_secret(entry.name):
                    continue
                recorded = known.pop(entry.name, CatalogRow(None, None))
                if entry.name in lost:
                    self.excluded.append(prefix + entry.name)
                    continue
                row = self._row(prefix + entry.name, listing, entry, recorded)
                if row is not None:
                    yield row
            for row in self._missing(prefix, known):
                if row.path.removeprefix(prefix) in {one.name for one in listing.directories}:
                    self._aside.append(row.path)
                    self.excluded.append(row.path)
                yield row
            for rows in lost.values():
                yield from rows

    def _walk(self) -> Iterator[Listing]:
        """The bank's directories; nobody writes while those of an account are saved, so its files fit each other."""
        for listing in self.bank.walk(inner=self.excluded):
            top = listing.path.partition("/")[0]
            if not layout.account_of(top):
                yield listing
            elif listing.path == top:  # what was listed before the lock was had may be old already
                with self.bank.locked():
                    self.bank.render()
                    yield from self.bank.walk(top)

    def _stands_aside(self, path: str) -> bool:
        """Whether a directory is, or is in, one that stands where a file of the snapshot is."""
        return any(f"{path}/".startswith(f"{one}/") for one in self._aside)

    def _lost_directories(self, prefix: str, listing: Listing) -> dict[str, list[Row]]:
        """The last good version of files in directories that are gone, cannot be read, or became something else."""
        lost: dict[str, list[Row]] = {}
        for name in self._children.get(listing.path, ()):
            path = prefix + name
            unreadable = any(one.name == name and stat.S_ISDIR(one.mode) for one in listing.others)
            is_here = any(one.name == name for one in listing.directories)
            if is_here and self.bank.root.stat(f"{path}/{layout.BANK}") is None:
                continue
            rows: list[Row] = []
            for directory in self._recorded:
                if f"{directory}/".startswith(f"{path}/"):
                    known = self.bank.catalog.rows(directory)
                    rows += (self._unseen if unreadable else self._missing)(f"{directory}/", known)
            if rows:
                lost[name] = rows
        return lost

    @cached_property
    def _children(self) -> dict[str, list[str]]:
        """By directory the names in it below which files are recorded."""
        found: dict[str, dict[str, None]] = {}
        for directory in filter(None, self._recorded):
            parts = directory.split("/")
            for depth, name in enumerate(parts):
                found.setdefault("/".join(parts[:depth]), {})[name] = None
        return {path: list(names) for path, names in found.items()}

    def _unseen(self, prefix: str, known: dict[str, CatalogRow]) -> Iterator[Row]:
        """The last good version of files in a directory that cannot be read: they may be there."""
        for name, row in sorted(known.items()):
            saved = self._last_good(prefix + name, None, row, "", None)
            if saved is not None:
                yield saved

    def _exclude(self, listing: Listing, prefix: str) -> None:
        for one in listing.others:
            if stat.S_ISDIR(one.mode):
                self.findings.append(Finding("MB307", "the directory cannot be read", prefix + one.name))
        names = [one.name for one in listing.others] + [one.name for one in listing.files if layout.is_secret(one.name)]
        names += [name for name in listing.hidden if not name.startswith(files.TEMPORARY)]
        self.excluded += [prefix + name for name in names if prefix + name != layout.PRIVATE]

    def _row(self, path: str, listing: Listing, entry: Entry, known: CatalogRow) -> Row | None:
        where = layout.place_in(listing.path)(entry.name)
        seen = known.seen
        if seen is None or (seen.mtime, seen.size, seen.inode) != (entry.mtime_ns, entry.size, entry.inode):
            try:
                seen = self.examiner.file(unescape(entry.name), listing.fd, where)
            except FileNotFoundError:
                return None
            except Changing:
                self.findings.append(Finding("MB307", "kept changing while it was read", path))
                return self._last_good(path, entry, known, "MB307", None)
            except OSError as error:
                self.findings.append(Finding("MB307", f"cannot be read: {(error.strerror or '').lower()}", path))
                return self._last_good(path, entry, known, "MB307", None)
        rule = judge(path, where, known.expected, seen, self.judging).rule
        if rule:
            self.damaged.append({"path": path, "rule": rule})
            return self._last_good(path, entry, known, rule, seen)
        self.records += seen.records
        ids = (seen.sha,) if seen.size <= BLOB_LIMIT else None
        content = partial(self._pieces, path) if seen.size > HARD_SIZE else partial(self._content, path, seen)
        return Row(path, entry.mode & 0o7777, entry.mtime_ns, seen.size, content, ids)

    def _pieces(self, path: str) -> Iterator[bytes]:
        """A file that is too large to be held in memory. Raises Changing when it does not hold still."""
        fd = self.bank.root.open(path)
        try:
            before = os.fstat(fd)
            while piece := os.read(fd, BLOB_LIMIT):
                yield piece
            after = os.fstat(fd)
        finally:
            os.close(fd)
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise Changing(f"{path} changed while it was read")

    def _content(self, path: str, seen: Seen) -> bytes:
        """The file's bytes; where they changed since they were looked at, the new ones must be good too."""
        from memorybank_cli.base import digests

        data = self.bank.root.read(path)
        if digests.of(data) == seen.sha:
            return data
        again = self.examiner.memory(data, layout.place(path))
        if not any(one.rule not in SOUND for one in again.content):
            return data
        good = self._good_content(path)
        if good is None:
            raise Changing(f"{path} is being written and has no good version yet")
        return good

    def _last_good(self, path: str, entry: Entry | None, known: CatalogRow, rule: str, seen: Seen | None) -> Row | None:
        """The last good version of a file with what was found beside it."""
        expected = known.expected if known.expected and known.expected.good else None
        older = next(self.snapshots.versions(path), None)
        read = self._pieces if seen is not None and seen.size > HARD_SIZE else self.bank.root.read
        found = partial(read, path) if seen is not None else None
        ids = (seen.sha,) if seen is not None and seen.size <= BLOB_LIMIT else None
        mode = entry.mode & 0o7777 if entry else expected.mode if expected else 0o600
        mtime = older[1].mtime_ns if older else entry.mtime_ns if entry else 0
        if expected is not None:
            data = versions.find(self.bank.journal, path, expected.sha, expected.seq)
            if data is not None:
                self.records += self._count(path, data)
                return Row(path, expected.mode, mtime, expected.size, lambda: data, (expected.sha,), found, ids, rule)
        if older is not None:
            entry_there = older[1]
            with suppress(Damaged):
                self.records += self._count(path, trees.read_file(self.snapshots.blobs, entry_there))
            return Row(path, entry_there.mode, mtime, entry_there.size, None, entry_there.good, found, ids, rule)
        if found is None:
            return None
        return Row(path, mode, mtime, seen.size if seen else 0, None, None, found, ids, rule)

    def _count(self, path: str, data: bytes) -> int:
        return self.examiner.memory(data, layout.place(path)).records

    def _good_content(self, path: str) -> bytes | None:
        expected = self.bank.catalog.row(path).expected
        if expected is not None and expected.good:
            data = versions.find(self.bank.journal, path, expected.sha, expected.seq)
            if data is not None:
                return data
        found = self.snapshots.content(path)
        return found[0] if found else None

    def _missing(self, prefix: str, known: dict[str, CatalogRow]) -> Iterator[Row]:
        """Files that are gone without being meant to: their last good version stays in the snapshot."""
        patterns = self.bank.settings["exclude"]
        for name, row in sorted(known.items()):
            path = prefix + name
            if (
                row.expected is None
                or layout.is_excluded(path, patterns)
                or judge(path, layout.place(path), row.expected, None, self.judging).rule != "MB111"
            ):
                continue
            self.damaged.append({"path": path, "rule": "MB111"})
            saved = self._last_good(path, None, row, "", None)
            if saved is not None:
                yield saved
