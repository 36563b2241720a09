"""Looking over the whole bank: a walk by descriptors, merged with the catalog, judged directory by directory.

A directory in which no stat moved since a look that settled is not gone into: one digest over its stats is
compared, and its findings are repeated. A file whose stat did not move is not read again once it was hashed 60 s
after its mtime: a memory-mapped writer changes content without moving mtime until writeback.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from functools import cache
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

from memorybank_cli.bank import ahead, facts, layout, places, rolling, sifting
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.examine import Changing, Examiner
from memorybank_cli.bank.judge import ROT, Pending, Rules, judge
from memorybank_cli.bank.layout import Place
from memorybank_cli.bank.oddities import beside_files, inner_bank
from memorybank_cli.bank.rows import SETTLED_NS, Content, Expected, Known, Row, Seen
from memorybank_cli.bank.settled import Counts, Look, Settled, Sifted, read, signature, stats
from memorybank_cli.bank.sifting import same
from memorybank_cli.bank.tally import Tally
from memorybank_cli.bank.turns import Turns
from memorybank_cli.base import clock
from memorybank_cli.base.errors import from_os_error
from memorybank_cli.base.names import unescape
from memorybank_cli.base.records import QUIET, Finding, Progress
from memorybank_cli.base.walk import Entry, Listing, entry_at, may

KEPT_AT_ONCE = 10_000  # files whose looks wait in memory, at some 700 bytes each

_SIZE, _MTIME, _RECORDS = map(attrgetter, ("size", "mtime", "records"))


class Change(NamedTuple):
    """A change that waits for adoption, or a version that was found damaged."""

    path: str
    pending: Pending
    place: Place
    expected: Expected | None
    seen: Seen | None


class Scan:
    """What a look over the bank came to."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.changes: list[Change] = []
        self.outside: list[Change] = []
        self.damaged: list[Change] = []
        self.checked = 0
        self.pending = 0
        self.bytes = 0
        self.records = 0
        self.read = 0
        """How many of the files checked were read; the others have not moved since they were."""
        self.by_section: dict[str, int] = {}
        self.records_by_section: dict[str, int] = {}
        self.mtimes: dict[str, int] = {}


class Scanner:
    """One look over a bank."""

    def __init__(
        self, bank: Bank, progress: Progress = QUIET, look: Look = lambda *_: None, turns: Turns | None = None
    ) -> None:
        self.look, self.turns = look, turns or Turns()
        self.bank, self.catalog, self.progress = bank, bank.catalog, progress
        self.scan, self.facts = Scan(), Tally()
        self._use(frozenset(self.catalog.meta("claimed", [])))
        self.rules = judging_rules(bank)
        self.full = False
        self.fresh: set[str] = set()
        self._rolled: set[str] = set()
        self._settled = 0 if bank.home.aside else SETTLED_NS  # into a bank that is built aside nobody else writes
        self._unreadable_directories: list[str] = []
        # Directories with files that are damaged, or not what was recorded: they are gone into each time.
        self._troubled: set[str] = set()
        self._waiting, self._written = 0, list[Callable[[], None]]()

    def run(self, full: bool = False) -> Scan:
        """Look at everything; what was seen is kept in the catalog. With `full` every file is read again."""
        self._check_version()
        self.full = full
        self.unchanged = self.catalog.unchanged()
        rolled = rolling.in_turn(self.catalog)
        self.fresh = set(rolled.values())
        self._rolled = {path.rpartition("/")[0] for path in self.fresh}
        known, visited = self.catalog.directories(), set()
        inner: list[str] = []
        self.turns.begin(self.catalog.meta("files", 0), self.rules.limits, self._may_be_passed)
        for listing in ahead.walk(self.bank, inner, known, self.turns):
            visited.add(listing.path)
            self._directory(listing)
        for directory in sorted(known - visited):
            self._gone(directory)
        self.scan.findings += [inner_bank(path) for path in inner]
        self._keep(files=self.scan.checked, facts=self.facts.value(), rolled=rolling.reached(rolled))
        return self.scan

    def run_on(self, paths: Iterable[str]) -> Scan:
        """Look at some files only, each read afresh; a directory stands for all files below it."""
        for directory, group in groupby(paths, lambda path: path.rpartition("/")[0]):
            for path in self._beside(directory, list(group)):
                self._below(path)
        self._keep()
        return self.scan

    def _below(self, path: str) -> None:
        """Look at everything below a directory, and at what was known below a place where none stands now."""
        visited, is_open = set(), path not in self._unreadable_directories and self.bank.root.is_dir(path)
        for listing in self.bank.walk(path) if is_open else ():
            visited.add(listing.path)
            rows = self.catalog.rows(listing.path)
            self._others(listing)
            seen: list[tuple[str, Seen]] = []
            for entry in listing.files:
                self._file(listing, entry, rows.pop(entry.name, Row(None, None)), seen, afresh=True)
            self._remember(listing.path, seen, self._vanished(listing.path, rows))
        for directory in sorted(self.catalog.directories(path) - visited):
            self._gone(directory)

    def _beside(self, directory: str, paths: list[str]) -> list[str]:
        """Look at files of one directory; the paths at which none stands come back, and those that were directories."""
        left, gone, seen = list[str](), list[str](), list[tuple[str, Seen]]()
        names = [path.rpartition("/")[2] for path in paths]
        db = self.catalog.db
        rows, inner = places.rows(db, directory, names), places.were_directories(db, directory, names)
        try:
            with self.bank.root.directory(directory) as fd:
                listing = Listing(directory, fd, [], [], [], [])
                for path, name in zip(paths, names, strict=True):
                    entry = entry_at(fd, name)
                    if entry is not None and stat.S_ISREG(entry.mode):
                        self._file(listing, entry, rows.pop(name, Row(None, None)), seen, afresh=True)
                        left += [path] if name in inner else []
                        continue
                    if entry is not None and not _goes_into(entry, fd):
                        self._others(listing._replace(others=[entry]))
                    gone.append(path)
        except (FileNotFoundError, NotADirectoryError):
            gone = paths
        except PermissionError:
            if not directory:
                raise
            return self._beside(directory.rpartition("/")[0], [directory])
        self._remember(directory, seen, self._vanished(directory, rows))
        return left + gone

    # Versions and rolling re-hash

    def _check_version(self) -> None:
        boot = [clock.boot_id()]
        with self.catalog.writing():
            if self.catalog.meta("version") != self.version:
                self.catalog.forget_seen()
                self.catalog.set_meta("version", self.version)
            if self.catalog.meta("boot", boot) != boot:
                self.catalog.doubt_seen()
            self.catalog.set_meta("boot", boot)

    def _use(self, claimed: frozenset[str]) -> None:
        from memorybank_cli import __version__

        registry, aggregates = self.bank.registry, self.bank.aggregates
        self.claimed = claimed
        self.version = " ".join((__version__, registry.digest, str(facts.VERSION), aggregates.digest, *sorted(claimed)))
        self.examiner = Examiner(registry, aggregates.claiming(claimed))

    def _claim(self, found: dict[str, Any]) -> None:
        """Measure trades, which are walked after metrics and state, for what these say for the first time."""
        claimed = self.claimed.union(claim[2] for claim in found.get("claims", ()) if isinstance(claim[2], str))
        if claimed == self.claimed:
            return
        self._keep()
        self._use(claimed)
        self.unchanged = {path: look for path, look in self.unchanged.items() if not f"{path}/".startswith("trades/")}
        with self.catalog.writing():
            self.catalog.forget_seen("trades")
            self.catalog.set_meta("claimed", sorted(claimed))
            self.catalog.set_meta("version", self.version)

    def _may_be_passed(self, directory: str) -> bool:
        return not self.full and directory in self.unchanged and directory not in self._rolled

    def _directory(self, listing: Listing) -> None:
        self._others(listing)
        if listing.path in self.turns.passed:
            self._repeat(read(listing.path, self.unchanged[listing.path][1:]))
            return
        looked = stats(listing)
        sign = signature(looked, self.rules.limits)
        last = self.unchanged.get(listing.path)
        if last and last[0] == sign and not self.full and listing.path not in self._rolled:
            self._repeat(read(listing.path, last[1:]))
            self.look(listing, looked, sign, None)
            return
        mark = self._mark()
        known = self.catalog.sound(listing.path)
        plain = self._plain(listing, known)
        rows = sifting.rows(self.catalog, listing.path, known, plain)
        settled, tally = True, Tally()
        seen: list[tuple[str, Seen]] = []
        for entry in [entry for entry in listing.files if entry[0] not in plain]:
            row = rows.pop(entry.name, Row(None, None))
            settled = self._file(listing, entry, row, keep=seen, tally=tally) and settled
        tally.add_ids(listing.path, plain.values())
        vanished = self._vanished(listing.path, rows)
        self._remember(listing.path, seen, vanished)
        found = tally.value()
        self.facts.merge(found)
        self._claim(found)
        settled = settled and self.scan.pending == mark[1] and listing.path not in self._troubled
        self.look(listing, looked, sign if settled else "", Sifted(plain, vanished))
        if listing.path and settled:
            section, newest = _section(listing.path), max((entry.mtime_ns for entry in listing.files), default=0)
            checked, size, records = (now - then for now, then in zip(self._mark()[2:], mark[2:], strict=True))
            counts = Counts(checked, size, records, section, newest)
            self._settle(listing.path, sign, Settled(counts, self.scan.findings[mark[0] :], found))
        self._waiting += len(seen)
        if self._waiting >= KEPT_AT_ONCE:
            self._keep()

    def _plain(self, listing: Listing, known: dict[str, Known]) -> dict[str, Known]:
        """The files that need not be gone into, counted."""
        if self.full or not listing.path:
            return {}
        fresh = self.fresh if listing.path in self._rolled else ()
        plain = sifting.plain(listing, known, self.rules.limits, fresh)
        if plain:
            ones = plain.values()
            size, records = sum(map(_SIZE, ones)), sum(map(_RECORDS, ones))
            self._count(_section(listing.path), len(ones), size, records, max(map(_MTIME, ones)))
            self.progress.advance(len(ones))
        return plain

    def _mark(self) -> tuple[int, int, int, int, int]:
        scan = self.scan
        return len(scan.findings), scan.pending, scan.checked, scan.bytes, scan.records

    def _repeat(self, look: Settled) -> None:
        counts = look.counts
        self._count(counts.section, counts.checked, counts.bytes, counts.records, counts.mtime)
        self.scan.findings += look.findings
        self.facts.merge(look.facts)
        self.progress.advance(counts.checked)

    def _settle(self, directory: str, sign: str, look: Settled) -> None:
        texts = look.texts()
        self._written.append(lambda: self.catalog.set_unchanged(directory, sign, *texts))

    def _remember(self, directory: str, seen: list[tuple[str, Seen]], vanished: list[str]) -> None:
        if seen or vanished:
            self._written.append(lambda: self.catalog.remember(directory, seen, vanished))

    def _keep(self, **values: Any) -> None:
        with self.catalog.writing():
            # Looks by other schemas or rules than another process uses meanwhile are not kept.
            for write in self._written if self.catalog.meta("version", self.version) == self.version else ():
                write()
            for name, value in values.items():
                self.catalog.set_meta(name, value)
        self._written.clear()
        self._waiting = 0

    def _gone(self, directory: str) -> None:
        if any(f"{directory}/".startswith(f"{one}/") for one in self._unreadable_directories):
            return  # what cannot be seen is not called gone
        self._remember(directory, [], self._vanished(directory, self.catalog.rows(directory)))

    def _vanished(self, directory: str, rows: dict[str, Row]) -> list[str]:
        patterns = self.bank.settings["exclude"]
        for name, row in sorted(rows.items()):
            path = f"{directory}/{name}" if directory else name
            if row.expected is not None and not layout.is_excluded(path, patterns):
                self._judge(path, layout.place(path), row.expected, None)
        return list(rows)

    def _file(
        self,
        listing: Listing,
        entry: Entry,
        row: Row,
        keep: list[tuple[str, Seen]],
        afresh: bool = False,
        tally: Tally | None = None,
    ) -> bool:
        """Look at one file; says whether it need not be read again while its stat stays."""
        path = f"{listing.path}/{entry.name}" if listing.path else entry.name
        where, seen = layout.place_in(listing.path)(entry.name), row.seen
        if afresh or self.full or seen is None or path in self.fresh or not same(entry, seen, self._settled):
            looked = self._look(path, listing, entry, where, seen)
            if looked is None:
                return False
            self.scan.read += 1
            healed = row.expected is not None and row.expected.good and looked.sha == row.expected.sha
            if seen is not None and same(entry, seen) and not healed:
                looked = self._perhaps_rotten(path, listing, entry, where, seen, looked)
            seen = looked
            keep.append((entry.name, seen))
        section = _section(listing.path) if listing.path else where.section
        self._count(section, 1, entry.size, seen.records, entry.mtime_ns)
        if tally is not None and (seen.id or seen.facts):
            tally.add(path, section, seen)
        if entry.links > 1 and where.policy == "managed":
            self.scan.findings.append(
                Finding("MB305", f"has {entry.links} hard links", path, "replace it with a copy of its own")
            )
        self._judge(path, where, row.expected, seen)
        self.progress.advance()
        return seen.hashed - seen.mtime >= SETTLED_NS

    def _look(self, path: str, listing: Listing, entry: Entry, where: Place, seen: Seen | None = None) -> Seen | None:
        known = None if seen is None or any(one.rule == ROT for one in seen.content) else seen
        try:
            return self.examiner.file(unescape(entry.name), listing.fd, where, known, path)
        except FileNotFoundError:
            return None
        except Changing:
            self.progress.note(f"{path} keeps changing; it is looked at next time")
        except OSError as error:
            self._unreadable(path, error)
        return None

    def _perhaps_rotten(
        self, path: str, listing: Listing, entry: Entry, where: Place, seen: Seen, looked: Seen
    ) -> Seen:
        """A look at a file whose stat did not move: other content in two reads is bit rot, until it is written anew."""
        if looked.sha == seen.sha:
            rotten = any(one.rule == ROT for one in seen.content)
        else:
            again = self._look(path, listing, entry, where)
            rotten = again is not None and again.sha == looked.sha
        if not rotten:
            return looked
        message = "the content changed while size, times and inode did not: no program wrote that"
        return looked._replace(content=(Content(ROT, message), *looked.content))

    def _unreadable(self, path: str, error: OSError) -> None:
        words = from_os_error(error)
        self.scan.findings.append(Finding("MB307", f"cannot be read: {words.message}", path, words.hint))

    def _judge(self, path: str, where: Place, expected: Expected | None, seen: Seen | None) -> None:
        verdict = judge(path, where, expected, seen, self.rules)
        if (
            verdict.outside
            and where.policy == "managed"
            and layout.account_of(where.section)
            and self.bank.is_rendering(path)
        ):
            return
        self.scan.findings += verdict.findings
        if verdict.outside or verdict.rule:
            self._troubled.add(path.rpartition("/")[0])
        if verdict.outside:
            self.scan.outside.append(Change(path, "", where, expected, seen))
        if verdict.rule:
            self.scan.damaged.append(Change(path, "", where, expected, seen))
        if verdict.pending:
            self.scan.changes.append(Change(path, verdict.pending, where, expected, seen))
            self.scan.pending += 1

    def _count(self, section: str, checked: int, size: int, records: int, mtime: int) -> None:
        scan = self.scan
        scan.checked += checked
        scan.bytes += size
        scan.records += records
        scan.by_section[section] = scan.by_section.get(section, 0) + checked
        scan.records_by_section[section] = scan.records_by_section.get(section, 0) + records
        scan.mtimes[section] = max(scan.mtimes.get(section, 0), mtime)

    def _others(self, listing: Listing) -> None:
        self.scan.findings += beside_files(listing)
        prefix = f"{listing.path}/" if listing.path else ""
        self._unreadable_directories += [prefix + one.name for one in listing.others if stat.S_ISDIR(one.mode)]


def _goes_into(entry: Entry, fd: int) -> bool:
    return stat.S_ISDIR(entry.mode) and may(unescape(entry.name), os.R_OK | os.X_OK, fd)


def judging_rules(bank: Bank) -> Rules:
    """What `judge` needs to know of a bank."""
    bound = frozenset(bank.catalog.meta("bound", [])) | bank.registry.own
    return Rules(bound, layout.limits(bank.settings), bank.settings["open_patterns"], not bank.is_empty)


@cache
def _section(directory: str) -> str:
    return layout.place_in(directory)("x.json").section
