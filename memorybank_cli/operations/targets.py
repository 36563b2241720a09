"""Where imported things go: into a bank that is built aside, into one that stands, or nowhere (a rehearsal).

The three are told apart only here; see `operations.intake` for what they are given.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

from memorybank_cli.accounts.replay import CREATED, STORED
from memorybank_cli.bank import baseline, layout, versions
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.examine import MISFIT
from memorybank_cli.bank.journal import Entry
from memorybank_cli.bank.judge import judge, recorded_rules
from memorybank_cli.bank.replacing import ROWS, Act, Replacement
from memorybank_cli.bank.rows import FileRow, Seen, is_good
from memorybank_cli.bank.scan import Scanner, judging_rules
from memorybank_cli.bank.spool import Spool
from memorybank_cli.base import clock, files
from memorybank_cli.base.names import unescape
from memorybank_cli.base.records import Finding
from memorybank_cli.base.walk import MOST, Root, fitting
from memorybank_cli.operations.accounts import account_ids, creation
from memorybank_cli.operations.present import Kept, Once, There

BATCH = 10_000  # messages that are admitted and written together


Sizes = tuple[int, int] | None
"""How many messages the windows of an account are to hold; None: as the settings say."""


class Given(NamedTuple):
    """One file as it is to stand in the bank; `seen` is a look at its bytes, None for one too large for that."""

    path: str
    content: bytes | Iterator[bytes]
    mode: int
    mtime_ns: int
    seen: Seen | None


class Target(Protocol):
    """What takes files, entries and refused bytes."""

    findings: list[Finding]
    refused: int
    """How many refused records are kept now that were not kept before."""
    stands: bool
    """Whether it is a bank that was there before: its own config decides then."""

    def digest(self, path: str) -> str | None:
        """The digest of what stands at a path; '' for what is no file, None where nothing stands in the way."""

    def put(self, given: Given) -> int:
        """Take a file for a free path; its bytes. Raises OSError when the place cannot hold it."""

    def accounts(self) -> list[str]:
        """Ids of the accounts that exist."""

    def create(self, account: str, sizes: Sizes) -> None:
        """Have an account that does not exist yet, with windows of these sizes, None for the usual ones."""

    def add(self, entries: list[Entry]) -> int:
        """Take messages; how many of them are new, as far as that is known before `finish`."""

    def keep(self, pieces: Iterable[bytes]) -> str:
        """Keep refused bytes; where they wait, '' where nothing is kept."""

    def finish(self, told: list[Entry]) -> int:
        """Everything was given, and `told` is what the journal says of it: carry it out; how many more were new."""


class Rehearsal:
    """Takes everything and writes nothing; `root` is what stands there already, None for nothing."""

    def __init__(self, root: Root | None = None, bank: Bank | None = None) -> None:
        self.bank, self.stands = bank, bank is not None
        self._there = None if root is None else There(root)
        self.findings: list[Finding] = []
        self.refused = 0
        self._once = Once(bank)

    def digest(self, path: str) -> str | None:
        """What stands there."""
        return None if self._there is None else self._there.digest(path)

    def put(self, given: Given) -> int:
        """Only counted."""
        return len(given.content) if isinstance(given.content, bytes) else sum(map(len, given.content))

    def accounts(self) -> list[str]:
        """Ids of the accounts that exist."""
        return [] if self.bank is None else account_ids(self.bank)

    def create(self, account: str, sizes: Sizes) -> None:
        """Only noted."""
        del sizes
        self._once.fresh.add(account)

    def add(self, entries: list[Entry]) -> int:
        """How many messages the bank does not hold."""
        return len(self._once.new(entries))

    def keep(self, pieces: Iterable[bytes]) -> str:
        """Nothing is kept."""
        del pieces
        return ""

    def finish(self, told: list[Entry]) -> int:
        """There is nothing to be done."""
        del told
        return 0


class Standing:
    """A bank that stands: everything becomes one act, which is carried out at the end."""

    def __init__(self, bank: Bank, act: Act) -> None:
        self.bank, self.act, self.stands = bank, act, True
        self._there = There(bank.root)
        self.findings: list[Finding] = []
        self.refused = 0
        self._kept = Kept(bank)
        self._rules = judging_rules(bank)._replace(recorded=False)
        self._once = Once(bank)

    def digest(self, path: str) -> str | None:
        """What stands there."""
        return self._there.digest(path)

    def put(self, given: Given) -> int:
        """Stage a file."""
        where = layout.place(given.path)
        seen, kind, rules = given.seen, where.kind, ["MB108"] if where.is_json else []
        if seen is not None:
            kind, rules = seen.kind, recorded_rules(where, seen, self._rules.bound)
            self.findings += judge(given.path, where, None, seen, self._rules).findings
        one = Replacement(given.path, given.content, given.mode, given.mtime_ns, kind, tuple(rules))
        return self.act.put(one, self._there.digest(given.path)).size

    def accounts(self) -> list[str]:
        """Ids of the accounts that exist."""
        return account_ids(self.bank)

    def create(self, account: str, sizes: Sizes) -> None:
        """Put its creation beside the beginning of the act."""
        self._once.fresh.add(account)
        self.act.add(creation(self.bank, account, *sizes or ()))

    def add(self, entries: list[Entry]) -> int:
        """Put messages beside the beginning of the act; those that the bank holds are left out."""
        new = self._once.new(entries)
        for entry in new:
            self.act.add(entry)
        return len(new)

    def keep(self, pieces: Iterable[bytes]) -> str:
        """Keep refused bytes in quarantine."""
        place = self._kept.put(pieces)
        self.refused = self._kept.fresh
        return place

    def finish(self, told: list[Entry]) -> int:
        """Carry out the act."""
        self._kept.finish()
        for entry in told:
            self.act.add(entry)
        self.act.carry_out()
        return 0


class _Part(NamedTuple):
    """Rows and contents of a line to be."""

    rows: list[FileRow]
    contents: list[bytes | None]


class Aside:
    """A new bank that is built aside: files are written at once, the journal when all of them are known."""

    def __init__(self, bank: Bank) -> None:
        self.bank, self.stands = bank, False
        self.findings: list[Finding] = []
        self.refused = 0
        Scanner(bank).run()  # from now on the catalog keeps what is seen
        files.make_dirs(bank.root, layout.SCRATCH)
        self._kept = Kept(bank)
        self.adopted = 0
        """Files that the journal tells of; one too large to be looked at on the way is left to the scan."""
        self._fitting = baseline.Fitting()
        self._files = Spool(bank.root, f"{layout.SCRATCH}/files")
        self._entries = Spool(bank.root, f"{layout.SCRATCH}/entries")
        self._parts = {"file.adopted": _Part([], []), "file.found": _Part([], [])}
        self._looks: dict[str, list[tuple[str, Seen]]] = {}
        self._waiting = 0
        self._directory, self._fd = "", os.dup(bank.root.fd)
        self._room = versions.room(bank.root, bank.settings)

    def digest(self, path: str) -> str | None:
        """Nothing stands in a new bank."""
        del path
        return None

    def put(self, given: Given) -> int:
        """Write a file, and keep what was seen of it."""
        directory, _, name = given.path.rpartition("/")
        if directory != self._directory:
            self._enter(directory)
        content = (given.content,) if isinstance(given.content, bytes) else given.content
        info = files.write_new(self._fd, unescape(name), content, given.mode, given.mtime_ns)
        if given.seen is not None and isinstance(given.content, bytes):
            self._row(given, given.seen, given.content)
            self._look(directory, name, given.seen, info)
        return info.st_size

    def _enter(self, directory: str) -> None:
        files.make_dirs(self.bank.root, directory, self.bank.modes[1], durable=False)
        with self.bank.root.directory(directory) as fd:
            os.close(self._fd)
            self._directory, self._fd = directory, os.dup(fd)

    def _row(self, given: Given, seen: Seen, content: bytes) -> None:
        where = layout.place(given.path)
        self._fitting.see(seen)
        rules = recorded_rules(where, seen, frozenset({seen.kind}))
        op = "file.found" if rules and not is_good(rules) else "file.adopted"
        part = self._parts[op]
        part.rows.append(FileRow(given.path, seen.sha, seen.size, given.mode & 0o7777, rules, seen.kind, None))
        self.adopted += 1
        part.contents.append(content if seen.size <= versions.LARGEST else None)
        if len(part.rows) >= ROWS:
            self._close_part(op)

    def _close_part(self, op: str) -> None:
        part = self._parts[op]
        if part.rows:
            packed = versions.pack(part.contents) if self._room > 0 else None
            self._room -= len(packed["zstd"]) if packed else 0
            self._files.add(Entry(op, {"files": [list(row) for row in part.rows]}, packed))
            self._parts[op] = _Part([], [])

    def _look(self, directory: str, name: str, seen: Seen, info: os.stat_result) -> None:
        looked = seen._replace(
            mtime=fitting(info.st_mtime_ns),
            ctime=fitting(info.st_ctime_ns),
            inode=info.st_ino & MOST,
            mode=info.st_mode,
            hashed=clock.now_ns(),
        )
        self._looks.setdefault(directory, []).append((name, looked))
        self._waiting += 1
        if self._waiting >= BATCH:
            self._keep_looks()

    def _keep_looks(self) -> None:
        with self.bank.catalog.writing():
            for directory, looks in self._looks.items():
                self.bank.catalog.remember(directory, looks)
        self._looks.clear()
        self._waiting = 0

    def accounts(self) -> list[str]:
        """A new bank has none."""
        return []

    def create(self, account: str, sizes: Sizes) -> None:
        """Wait for the baseline."""
        self._entries.add(creation(self.bank, account, *sizes or ()))

    def add(self, entries: list[Entry]) -> int:
        """Wait for the baseline; which are new is found then."""
        for entry in entries:
            self._entries.add(entry)
        return 0

    def keep(self, pieces: Iterable[bytes]) -> str:
        """Keep refused bytes in quarantine."""
        place = self._kept.put(pieces)
        self.refused = self._kept.fresh
        return place

    def finish(self, told: list[Entry]) -> int:
        """Write the journal: what the bank is, its files, its messages."""
        os.close(self._fd)
        self._keep_looks()
        for op in self._parts:
            self._close_part(op)
        bound = frozenset(self._fitting.kinds())
        baseline.create(self.bank, sorted(bound))
        for entry in self._files:
            self.bank.commit([_settled(entry, bound)])
        added = sum(self._commit(batch) for batch in batched(self._entries, BATCH))
        for entry in told:
            self.bank.commit([entry])
        files.remove_tree(self.bank.root, layout.SCRATCH)
        return added

    def _commit(self, batch: list[Entry]) -> int:
        """Creations stand before what they create: an account is there before it is asked what it holds."""
        created = [entry for entry in batch if entry.op == CREATED]
        for entry in created:
            self.bank.commit([entry])
        lines = self.bank.commit(entry for entry in batch if entry.op != CREATED)
        return sum(line.op == STORED for line in lines)


def _settled(entry: Entry, bound: frozenset[str]) -> Entry:
    """A line of files now that it is known which kinds are bound: a misfit of any other is only told."""
    for row in entry.fields["files"]:
        path, rules, kind = row[0], row[4], row[5]
        if rules == [MISFIT] and kind not in bound and not layout.place(path).bound:
            row[4] = ["MB202"]
    return entry


def batched(entries: Iterable[Entry], size: int) -> Iterator[list[Entry]]:
    """Lists of at most so many."""
    waiting: list[Entry] = []
    for entry in entries:
        waiting.append(entry)
        if len(waiting) >= size:
            yield waiting
            waiting = []
    if waiting:
        yield waiting
