"""The bank as a stream of rows for a snapshot; a damaged file stands there with its last good version.

A directory that looks as it did when it was last saved is one row. In one whose files are all settled and sound,
each file is a tuple. The rest is judged file by file.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Collection, Iterator
from functools import cached_property, partial

from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.examine import Changing, Examiner
from memorybank_cli.bank.judge import judge
from memorybank_cli.bank.rows import SOUND, Seen
from memorybank_cli.bank.rows import Row as CatalogRow
from memorybank_cli.bank.scan import judging_rules
from memorybank_cli.bank.settled import signature, stats
from memorybank_cli.bank.sifting import FEW
from memorybank_cli.base.names import unescape
from memorybank_cli.base.records import Finding
from memorybank_cli.base.strict_json import HARD_SIZE
from memorybank_cli.base.walk import Entry, Listing
from memorybank_cli.operations.holding import Held, Holding, known
from memorybank_cli.operations.kept_trees import Unchanged
from memorybank_cli.operations.last_good import LastGood
from memorybank_cli.operations.looks import Looks, Sorted, excluded, sort_out
from memorybank_cli.operations.loss import Amount, amounts
from memorybank_cli.operations.reading import entry_now, is_same, pieces, reader, sealed
from memorybank_cli.operations.repositories import Snapshots
from memorybank_cli.snapshots.index import Index
from memorybank_cli.snapshots.packs import FILE_BLOB_SIZE
from memorybank_cli.snapshots.saving import Folder, Item, Row, Sound, Whole


class Source:
    """The bank as a stream of rows for a snapshot: what the scan saw, held against what the catalog knows."""

    def __init__(self, bank: Bank, snapshots: Snapshots, looks: Looks) -> None:
        self.bank, self.snapshots, self.looks = bank, snapshots, looks
        self.holding = Holding(bank)
        self.examiner, self.judging = Examiner(bank.registry), judging_rules(bank)
        self._good_versions = LastGood(bank, snapshots, self.examiner)
        self.damaged: list[dict[str, str]] = []
        self.excluded: list[str] = []
        self.findings: list[Finding] = []
        self.records = 0
        self.sections: dict[str, list[int]] = {}
        """Files and records by top directory, '' for the bank's root."""
        self.lacking: set[str] = set()
        """Damaged files, and missing ones, of which no good version is kept."""
        self.missing: dict[str, int] = {}
        """Records of each file that is gone from an append-only section; its last good version is in the snapshot."""
        self._aside: list[str] = []
        self._recorded = sorted(bank.catalog.directories(), key=lambda path: path.split("/"))
        self.unchanged = Unchanged(bank, looks)

    def close(self) -> None:
        """Give descriptors back."""
        self.holding.close()

    def opened(self, index: Index) -> None:
        """Use an index, and what was kept for it; hold on to the accounts."""
        self.compare(index)
        self.holding.hold(self.looks, self.judging.limits, lambda path: self.unchanged.tree(path) is not None)
        self.excluded += self.holding.excluded
        self.unchanged.forget({one.listing.path.partition("/")[0] for one in self.holding.directories})

    def compare(self, index: Index | None) -> None:
        """Find out which directories are as they were saved into a repository of that index; None: there is none."""
        if index is not None and self.snapshots.repo is not None:
            self.snapshots.use(index)
        self.unchanged.compare(self._recorded, self.snapshots.repo, index)

    # The stream

    def rows(self) -> Iterator[Item]:
        """Every directory and file that belongs into a snapshot."""
        for item in self._items():
            if isinstance(item, Sound):
                self._tally(item.directory)[0] += len(item.files)
            elif isinstance(item, Whole):
                self._tally(item.path)[0] += item.files
            elif isinstance(item, Row):
                self._tally(item.path.rpartition("/")[0])[0] += 1
            yield item

    def unread(self, row: Row, error: OSError | None) -> Row | None:
        """Take back a row that could not be read, and give the last good version of its file; see `saving.Hooks`."""
        directory = row.path.rpartition("/")[0]
        held = next((one for one in self.holding.directories if one.listing.path == directory), None)
        self.looks.doubt(directory)
        self._add(directory, -row.records)
        gone = isinstance(error, FileNotFoundError)
        if error is not None and not gone:
            saved = self._last_good(row.path, row, self._recorded_row(row.path, held), "", None)
            if saved is not None:
                return saved
        self._tally(directory)[0] -= 1
        self.missing.pop(row.path, None)
        if not gone:
            self.excluded.append(row.path)
        return None

    def amounts(self, files: int) -> dict[str, Amount]:
        """How much there is once every row was taken, when the snapshot has so many files."""
        return amounts(files, self.records, self.sections, self.missing)

    def _tally(self, directory: str) -> list[int]:
        return self.sections.setdefault(directory.partition("/")[0], [0, 0])

    def _add(self, directory: str, records: int) -> None:
        self.records += records
        self._tally(directory)[1] += records

    def _items(self) -> Iterator[Item]:
        for root in self.bank.walk():
            self.looks(root, stats(root), "")  # the program itself has written files there since the scan
            break
        waiting: list[tuple[str, Entry | None]] = [("", None)]
        while waiting:
            path, entry = waiting.pop()
            if self._stands_aside(path):
                continue
            with self.bank.root.directory(path) as fd:
                listing = self.looks.listing(path, fd)
                self._leave_out_gone(listing)
                if entry is not None:
                    yield Folder(path, entry.mode & 0o7777, entry.mtime_ns)
                yield from self._directory(listing, None)
                yield from self._unchanged(listing)
                prefix = f"{path}/" if path else ""
                waiting += [(prefix + one.name, one) for one in reversed(listing.directories)]
        for held in self.holding.directories:
            if not self._stands_aside(held.listing.path):
                yield Folder(held.listing.path, held.mode, held.mtime_ns)
                yield from self._directory(held.listing, held)

    def _leave_out_gone(self, listing: Listing) -> None:
        """Take out of a listing the directories that are gone since it was made."""
        prefix = f"{listing.path}/" if listing.path else ""
        listing.directories[:] = [one for one in listing.directories if self.bank.root.is_dir(prefix + one.name)]

    def _unchanged(self, listing: Listing) -> Iterator[Whole]:
        """The directories in a listing that are as they were saved; they, and accounts, are taken out of it."""
        prefix = f"{listing.path}/" if listing.path else ""
        others: list[Entry] = []
        for entry in listing.directories:
            path = prefix + entry.name
            tree = self.unchanged.tree(path)
            if tree is not None and not self._stands_aside(path):
                self._add(path, tree.records)
                self.excluded += self.looks.excluded_below(path)
                yield Whole(path, entry.mode & 0o7777, entry.mtime_ns, *tree[:3])
            elif not listing.path and self.holding.begun and layout.account_of(entry.name):
                continue
            elif path in self.looks:
                others.append(entry)
            elif self.bank.root.stat(f"{path}/{layout.BANK}") is not None:
                self.excluded.append(path)  # a bank inside this one
        listing.directories[:] = others

    def _directory(self, listing: Listing, held: Held | None) -> Iterator[Item]:
        """The files right in a directory."""
        prefix = f"{listing.path}/" if listing.path else ""
        self._exclude(listing, prefix, held)
        lost = self._lost_directories(prefix, listing)
        if lost and held is None:  # what stands in their place is as it is now
            for now in self.bank.walk(listing.path):
                listing.files[:] = now.files
                break
        if lost or (held is not None and self.looks.signature(listing.path) != self._sign(listing)):
            self.looks.doubt(listing.path)
        batch, sure, gone, others = self._sorted(listing, held, lost)
        self.excluded += [prefix + name for name in lost if any(one.name == name for one in listing.files)]
        records = self.records
        self._add(listing.path, sure)

        def row(entry: Entry, fresh: bool = False) -> Row | None:
            recorded = self._recorded_row(prefix + entry.name, held)
            recorded = recorded._replace(seen=None) if fresh else recorded
            return self._row(prefix + entry.name, listing, entry, recorded, held)

        def instead(name: str) -> Row | None:
            self.looks.doubt(listing.path)
            seen = self._recorded_row(prefix + name, held).seen
            self._add(listing.path, -seen.records if seen else 0)
            entry = entry_now(listing, name) if held is None else next(one for one in listing.files if one.name == name)
            saved = None if entry is None else row(entry, fresh=True)
            if saved is None:
                self._tally(listing.path)[0] -= 1
            return saved

        yield Sound(listing.path, batch, reader(self.bank.root, listing, held), instead)
        yield from filter(None, map(row, others))
        size = sum(one[5] for one in batch) + sum(one.size for one in others)
        self.unchanged.counts[listing.path] = (len(batch) + len(others), size, self.records - records)
        for saved in self._missing(prefix, {name: self._recorded_row(prefix + name, held) for name in gone}):
            if saved.path.removeprefix(prefix) in {one.name for one in listing.directories}:
                self._aside.append(saved.path)
                self.excluded.append(saved.path)
            yield saved
        for rows in lost.values():
            yield from rows

    def _sorted(self, listing: Listing, held: Held | None, without: Collection[str]) -> Sorted:
        """The files in a directory; what the scan was sure of is not asked for again."""
        if held is not None:
            return sort_out(listing, held.sound(), without)
        sure = None if without else self.looks.sure(listing.path)
        if sure is None:
            return sort_out(listing, self.bank.catalog.sound(listing.path), without)
        prefix, names = f"{listing.path}/", [one.name for one in listing.files]
        if FEW * len(names) > len(sure.batch):
            recorded = self.bank.catalog.sound(listing.path)
        else:
            recorded = {name: known(name, self._recorded_row(prefix + name, None)) for name in names}
        rest = sort_out(listing, recorded, without)
        return Sorted(sure.batch + rest.batch, sure.records + rest.records, sure.gone, rest.others)

    def _recorded_row(self, path: str, held: Held | None) -> CatalogRow:
        if held is None:
            return self.bank.catalog.row(path)
        return held.rows.get(path.rpartition("/")[2], CatalogRow(None, None))

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

    def _sign(self, listing: Listing) -> str:
        return signature(stats(listing), self.judging.limits)

    def _exclude(self, listing: Listing, prefix: str, held: Held | None) -> None:
        for one in listing.others:
            if stat.S_ISDIR(one.mode):
                self.findings.append(Finding("MB307", "the directory cannot be read", prefix + one.name))
        self.excluded += excluded(listing) if held is not None else self.looks.excluded(listing.path)

    def _row(self, path: str, listing: Listing, entry: Entry, known: CatalogRow, held: Held | None) -> Row | None:
        where = layout.place_in(listing.path)(entry.name)
        seen = known.seen
        read = partial(reader(self.bank.root, listing, held), entry.name)
        if seen is None or not is_same(entry, seen):
            try:
                seen = self._look(path, listing, entry, where, held)
            except OSError as error:
                self.looks.doubt(listing.path)
                if isinstance(error, FileNotFoundError):
                    return None
                why = f"cannot be read: {(error.strerror or '').lower()}"
                why = "kept changing while it was read" if isinstance(error, Changing) else why
                self.findings.append(Finding("MB307", why, path))
                saved = self._last_good(path, entry, known, "", None)
                self.excluded += [path] if saved is None else []
                return saved
        rule = judge(path, where, known.expected, seen, self.judging).rule
        if rule:
            self.damaged.append({"path": path, "rule": rule})
            return self._last_good(path, entry, known, rule, seen)
        self._add(listing.path, seen.records)
        ids = (seen.sha,) if seen.size <= FILE_BLOB_SIZE else None
        content = (
            partial(pieces, self.bank.root, path) if seen.size > HARD_SIZE else partial(self._content, path, seen, read)
        )
        return Row(path, entry.mode & 0o7777, entry.mtime_ns, seen.size, content, ids, records=seen.records)

    def _look(self, path: str, listing: Listing, entry: Entry, where: layout.Place, held: Held | None) -> Seen:
        """What a file is now, or was when its account was held. Raises OSError."""
        if held is None:
            return self.examiner.file(unescape(entry.name), listing.fd, where)
        if entry.name in held.contents:
            return self.examiner.memory(held.read(entry.name), where)
        try:
            with self.bank.root.directory(listing.path) as fd:
                return self.examiner.file(unescape(entry.name), fd, where)
        except FileNotFoundError:
            return self.examiner.memory(sealed(self.bank.root, path, held.rows), where)

    def _content(self, path: str, seen: Seen, read: Callable[[], bytes]) -> bytes:
        """The file's bytes; where they changed since they were looked at, the new ones must be good too."""
        from memorybank_cli.base import digests

        data = read()
        if digests.of(data) == seen.sha:
            return data
        directory = path.rpartition("/")[0]
        self.looks.doubt(directory)
        again = self.examiner.memory(data, layout.place(path))
        if read() != data or any(one.rule not in SOUND for one in again.content):
            raise Changing("it is being written")
        self._add(directory, again.records - seen.records)
        return data

    def _last_good(
        self, path: str, there: Entry | Row | None, known: CatalogRow, rule: str, seen: Seen | None
    ) -> Row | None:
        """The last good version of a file, and what was found beside it."""
        good = self._good_versions.row(path, known.expected, there)
        if good is None:
            self.lacking.add(path)
        else:
            self._add(path.rpartition("/")[0], good.records)
        if seen is None or there is None:
            return good
        root, large = self.bank.root, seen.size > HARD_SIZE
        found = partial(pieces, root, path) if large else partial(root.read, path)
        ids = (seen.sha,) if seen.size <= FILE_BLOB_SIZE else None
        base = good or Row(path, there.mode & 0o7777, there.mtime_ns, seen.size)
        return base._replace(found_content=found, found=ids, rule=rule)

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
            before = self.records
            saved = self._last_good(path, None, row, "", None)
            if saved is not None:
                if layout.place(path).policy == "append":
                    self.missing[path] = self.records - before
                yield saved
