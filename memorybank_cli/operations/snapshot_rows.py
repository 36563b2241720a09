"""The bank as a stream of rows for a snapshot; a damaged file stands there with its last good version.

A directory that looks as it did when it was last saved is one row. In one whose files are all settled and sound,
each file is a tuple. The rest is judged file by file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from functools import cached_property, partial

from memorybank_cli.bank import layout, versions
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.examine import Changing, Examiner
from memorybank_cli.bank.judge import judge
from memorybank_cli.bank.rows import SOUND, Known, Seen, is_good
from memorybank_cli.bank.rows import Row as CatalogRow
from memorybank_cli.bank.scan import judging_rules
from memorybank_cli.bank.settled import signature
from memorybank_cli.base.names import unescape
from memorybank_cli.base.records import Finding
from memorybank_cli.base.strict_json import HARD_SIZE
from memorybank_cli.base.walk import READ, READ_SIZE, Entry, Listing, fitting, read_all
from memorybank_cli.operations import kept_trees
from memorybank_cli.operations.holding import Held, Holding
from memorybank_cli.operations.kept_trees import Looks, Tree
from memorybank_cli.operations.repositories import Snapshots
from memorybank_cli.snapshots import trees
from memorybank_cli.snapshots.index import Index
from memorybank_cli.snapshots.packs import FILE_BLOB_SIZE
from memorybank_cli.snapshots.saving import Folder, Item, Row, Sound, Whole
from memorybank_cli.snapshots.sealing import Damaged


class Source:
    """The bank as a stream of rows for a snapshot: what the scan saw, held against what the catalog knows."""

    def __init__(self, bank: Bank, snapshots: Snapshots, looks: Looks) -> None:
        self.bank, self.snapshots, self.looks = bank, snapshots, looks
        self.holding = Holding(bank)
        self.examiner, self.judging = Examiner(bank.registry), judging_rules(bank)
        self.damaged: list[dict[str, str]] = []
        self.excluded: list[str] = []
        self.findings: list[Finding] = []
        self.records = 0
        self._aside: list[str] = []
        self._recorded = sorted(bank.catalog.directories(), key=lambda path: path.split("/"))
        self._kept: dict[str, Tree] = {}
        self.known_packs: frozenset[str] | None = None
        """The packs that the repository had after the last backup, None where that is not known."""
        self._keys: dict[str, str] = {}
        self._trees: dict[str, str] = {}
        self._counts: dict[str, tuple[int, int, int]] = {}

    def close(self) -> None:
        """Give descriptors back."""
        self.holding.close()

    # What was saved before, and is now

    def opened(self, index: Index) -> None:
        """Use an index, and what was kept for it; hold on to the accounts."""
        self.compare(index)
        self.holding.hold(self.looks, self.judging.limits, lambda path: self._keys.get(path, "") in self._kept)
        self.excluded += self.holding.excluded
        held = {one.listing.path.partition("/")[0] for one in self.holding.directories}
        self._keys = {path: key for path, key in self._keys.items() if path.partition("/")[0] not in held}

    def compare(self, index: Index | None) -> None:
        """Find out which directories are as they were saved into a repository of that index; None: there is none."""
        for path in self._recorded:  # a directory that is gone is somebody's loss: those above it are gone into
            if path not in self.looks:
                self._doubt_above(path)
        self._keys = self.looks.keys()
        if index is not None and self.snapshots.repo is not None:
            self.snapshots.use(index)
            self._kept, self.known_packs = kept_trees.load(self.bank, self.snapshots.repo, index)

    def closed(self, path: str, tree: str) -> None:
        """Remember the tree of a directory."""
        self._trees[path] = tree

    def keep(self, packs: list[str]) -> None:
        """Keep the trees of this run for the next one; `packs` are all that the repository has."""
        assert self.snapshots.repo is not None
        kept: dict[str, Tree] = {}
        totals: dict[str, tuple[int, ...]] = {}
        for path, key in self.looks.keys().items():  # the deepest come first
            if path not in self._trees:
                if key in self._kept:
                    kept[key] = self._kept[key]
                    totals[path] = tuple(kept[key][1:])
                continue
            inner = [totals.get(one) for one in self.looks.directories(path)]
            known = [one for one in inner if one is not None]
            if len(known) == len(inner):
                totals[path] = tuple(map(sum, zip(self._counts.get(path, (0, 0, 0)), *known, strict=True)))
                kept[key] = Tree(self._trees[path], *totals[path])
        kept_trees.write(self.bank, self.snapshots.repo, packs, kept)

    def _doubt_above(self, path: str) -> None:
        while path:
            path = path.rpartition("/")[0]
            self.looks.doubt(path)

    # The stream

    def rows(self) -> Iterator[Item]:
        """Every directory and file that belongs into a snapshot."""
        for listing in self.bank.walk(inner=self.excluded):
            if self._stands_aside(listing.path):
                continue
            if listing.path:
                info = os.fstat(listing.fd)
                yield Folder(listing.path, info.st_mode & 0o7777, fitting(info.st_mtime_ns))
            yield from self._directory(listing, None)
            yield from self._unchanged(listing)
        for held in self.holding.directories:
            if not self._stands_aside(held.listing.path):
                yield Folder(held.listing.path, held.mode, held.mtime_ns)
                yield from self._directory(held.listing, held)

    def _unchanged(self, listing: Listing) -> Iterator[Whole]:
        """The directories in a listing that are as they were saved; they, and accounts, are taken out of it."""
        prefix = f"{listing.path}/" if listing.path else ""
        others: list[Entry] = []
        for entry in listing.directories:
            path = prefix + entry.name
            tree = self._kept.get(self._keys.get(path, ""))
            if tree is not None and not self._stands_aside(path):
                self.records += tree.records
                self.excluded += self.looks.excluded_below(path)
                yield Whole(path, entry.mode & 0o7777, entry.mtime_ns, *tree[:3])
            elif listing.path or not self.holding.begun or not layout.account_of(entry.name):
                others.append(entry)
        listing.directories[:] = others

    def _directory(self, listing: Listing, held: Held | None) -> Iterator[Item]:
        """The files right in a directory."""
        prefix = f"{listing.path}/" if listing.path else ""
        self._exclude(listing, prefix)
        lost = self._lost_directories(prefix, listing)
        settled = self.looks.signature(listing.path)
        if not settled or lost or settled != signature(listing, self.judging.limits):
            self.looks.doubt(listing.path)
        known = self.bank.catalog.sound(listing.path) if held is None else held.sound()
        batch, others = _sorted_out(listing, known, lost)
        self.excluded += [prefix + name for name in lost if any(one.name == name for one in listing.files)]
        records = self.records
        self.records += sum(known[one[0]].records for one in batch)

        def row(entry: Entry, fresh: bool = False) -> Row | None:
            recorded = self._recorded_row(prefix + entry.name, held)
            recorded = recorded._replace(seen=None) if fresh else recorded
            return self._row(prefix + entry.name, listing, entry, recorded, held)

        def instead(name: str) -> Row | None:
            self.looks.doubt(listing.path)
            self.records -= known[name].records
            return row(next(one for one in listing.files if one.name == name), fresh=True)

        yield Sound(listing.path, batch, self._reader(listing, held), instead)
        yield from filter(None, map(row, others))
        size = sum(one[3] for one in batch) + sum(one.size for one in others)
        self._counts[listing.path] = (len(batch) + len(others), size, self.records - records)
        gone = known.keys() - {one.name for one in listing.files}
        for saved in self._missing(prefix, {name: self._recorded_row(prefix + name, held) for name in gone}):
            if saved.path.removeprefix(prefix) in {one.name for one in listing.directories}:
                self._aside.append(saved.path)
                self.excluded.append(saved.path)
            yield saved
        for rows in lost.values():
            yield from rows

    def _recorded_row(self, path: str, held: Held | None) -> CatalogRow:
        if held is None:
            return self.bank.catalog.row(path)
        return held.rows.get(path.rpartition("/")[2], CatalogRow(None, None))

    def _reader(self, listing: Listing, held: Held | None) -> Callable[[str], bytes]:
        """Reads files of a directory by name."""
        if held is not None:
            prefix = f"{listing.path}/" if listing.path else ""
            return lambda name: held.read(name) if name in held.contents else self.bank.root.read(prefix + name)
        directory = listing.fd

        def read(name: str) -> bytes:
            # No stat and no second read to find the end: whoever reads so compares digests.
            fd = os.open(unescape(name) if "\\" in name else name, READ, dir_fd=directory)
            try:
                data = os.read(fd, READ_SIZE)
                return data if len(data) < READ_SIZE else data + read_all(fd, HARD_SIZE)
            finally:
                os.close(fd)

        return read

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
        self.excluded += kept_trees.excluded(listing)

    def _row(self, path: str, listing: Listing, entry: Entry, known: CatalogRow, held: Held | None) -> Row | None:
        where = layout.place_in(listing.path)(entry.name)
        seen = known.seen
        read = partial(self._reader(listing, held), entry.name)
        if seen is None or not _same(entry, seen):
            try:
                seen = self._look(path, listing, entry, where, held)
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
        ids = (seen.sha,) if seen.size <= FILE_BLOB_SIZE else None
        content = partial(self._pieces, path) if seen.size > HARD_SIZE else partial(self._content, path, seen, read)
        return Row(path, entry.mode & 0o7777, entry.mtime_ns, seen.size, content, ids)

    def _look(self, path: str, listing: Listing, entry: Entry, where: layout.Place, held: Held | None) -> Seen:
        """What a file is now, or was when its account was held. Raises OSError."""
        if held is None:
            return self.examiner.file(unescape(entry.name), listing.fd, where)
        if entry.name in held.contents:
            return self.examiner.memory(held.read(entry.name), where)
        with self.bank.root.directory(listing.path) as fd:
            return self.examiner.file(unescape(entry.name), fd, where)

    def _pieces(self, path: str) -> Iterator[bytes]:
        """A file that is too large to be held in memory. Raises Changing when it does not hold still."""
        fd = self.bank.root.open(path)
        try:
            before = os.fstat(fd)
            while piece := os.read(fd, FILE_BLOB_SIZE):
                yield piece
            after = os.fstat(fd)
        finally:
            os.close(fd)
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise Changing(f"{path} changed while it was read")

    def _content(self, path: str, seen: Seen, read: Callable[[], bytes]) -> bytes:
        """The file's bytes; where they changed since they were looked at, the new ones must be good too."""
        from memorybank_cli.base import digests

        for _ in range(3):
            data = read()
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
        ids = (seen.sha,) if seen is not None and seen.size <= FILE_BLOB_SIZE else None
        mode = entry.mode & 0o7777 if entry else expected.mode if expected else 0o600
        mtime = older[1].mtime_ns if older else entry.mtime_ns if entry else 0
        if expected is not None:
            kept = versions.find(self.bank.journal, path, expected.sha, expected.seq)
            if kept is not None:
                self.records += self._count(path, kept)
                content, ours = partial(bytes, kept), (expected.sha,)
                return Row(path, expected.mode, mtime, expected.size, content, ours, found, ids, rule)
        if older is not None:
            entry_there = older[1]
            with suppress(Damaged):
                self.records += self._count(path, trees.read_file(self.snapshots.blobs, entry_there))
            return Row(path, entry_there.mode, mtime, entry_there.size, None, entry_there.good, found, ids, rule)
        data = self._older(path) if expected is not None else None
        if data is not None:
            return Row(path, mode, mtime, len(data), partial(bytes, data), None, found, ids, rule)
        if found is None:
            return None
        return Row(path, mode, mtime, seen.size if seen else 0, None, None, found, ids, rule)

    def _older(self, path: str) -> bytes | None:
        """The newest good version that the journal still keeps of a file."""
        for line, row in versions.history(self.bank.journal, path):
            if row.after is not None and is_good(row.rules) and (data := versions.unpack(line).get(path)) is not None:
                return data
        return None

    def _count(self, path: str, data: bytes) -> int:
        return self.examiner.memory(data, layout.place(path)).records

    def _good_content(self, path: str) -> bytes | None:
        expected = self.bank.catalog.row(path).expected
        if expected is not None and expected.good:
            data = versions.find(self.bank.journal, path, expected.sha, expected.seq)
            if data is not None:
                return data
        found = self.snapshots.content(path)
        return found[0] if found else self._older(path)

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


def _sorted_out(
    listing: Listing, known: dict[str, Known], lost: Collection[str]
) -> tuple[list[tuple[str, int, int, int, str]], list[Entry]]:
    """Of the files in a directory those that are as they were seen, sound and recorded so, and the others."""
    batch: list[tuple[str, int, int, int, str]] = []
    others: list[Entry] = []
    for entry in listing.files:
        name, size, mtime_ns, ctime_ns, inode, mode, *_ = entry
        if layout.is_secret(name) or name in lost:
            continue
        seen = known.get(name)
        if seen is None or not seen.sound or size > FILE_BLOB_SIZE or (size, mtime_ns, ctime_ns, inode) != seen[1:5]:
            others.append(entry)
        else:
            batch.append((name, mode, mtime_ns, size, seen.sha))
    return batch, others


def _same(entry: Entry, seen: Seen) -> bool:
    now = entry.mtime_ns, entry.size, entry.inode, entry.ctime_ns
    return now == (seen.mtime, seen.size, seen.inode, seen.ctime)
