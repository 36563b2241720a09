"""The bank: one directory of records, opened, with its journal, catalog, schemas and settings.

Every change passes `commit`: gates → lock → what others wrote → the appliers'
admission → one journal append with fdatasync, which is the acknowledgement → catalog → high-water mark. The files of
managed sections are rendered from the journal at `close`, or by whoever opens the bank next.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import cached_property
from itertools import chain
from typing import Any, Protocol

from memorybank_cli.bank import layout, rendering, versions
from memorybank_cli.bank.catalog import Catalog, is_busy
from memorybank_cli.bank.chain import CHECKPOINT, START, Break, Position, Reading
from memorybank_cli.bank.framing import Line
from memorybank_cli.bank.home import Home, user_name
from memorybank_cli.bank.identity import (
    of_another_format,
    read_aggregates,
    read_document,
    read_registry,
    read_settings,
    schema_files,
)
from memorybank_cli.bank.journal import CHECKPOINT_LINES, CHECKPOINT_SECONDS, Entry, Group, Journal
from memorybank_cli.bank.measures import Aggregates
from memorybank_cli.bank.rendering import Rendering
from memorybank_cli.bank.schemas import Registry
from memorybank_cli.base import clock, files, locks
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import AccountDamaged, JournalDamaged, Locked, OperationFailed, from_os_error
from memorybank_cli.base.walk import Listing, Root


class Applier(Protocol):
    """How one kind of event becomes files; floor 3 implements it, floor 4 holds the table."""

    ops: frozenset[str]

    def admit(self, bank: Bank, entries: list[Entry]) -> list[Entry]:
        """Stateful gate, under the lock: entries of these ops as they may be written; duplicates are left out."""

    def render(self, bank: Bank, account: str, upto: int) -> Iterable[Rendering | dict[str, Any]]:
        """The account's files as of journal line `upto`, a pure function of what was recorded, in the order of writing.

        A dict holds further fields of the line that tells of them. Raises AccountDamaged; then nothing is told.
        """

    def is_rendering(self, bank: Bank, path: str, data: bytes) -> bool:
        """Whether bytes found at `path` are what this applier renders there at the journal line that they name."""


Gate = Callable[["Bank", Entry], Entry]


class Bank:
    """An open bank. `appliers` and `gates` come from the table of floor 4; `aside`: see `home.Home`.

    `writes` is the format that is written; a bank of the format before it can be read.
    """

    def __init__(
        self,
        path: str,
        context: Context,
        appliers: Iterable[Applier] = (),
        gates: Iterable[Gate] = (),
        document: dict[str, Any] | None = None,
        aside: bool = False,
        writes: int = layout.FORMAT,
    ) -> None:
        self.context, self.writes = context, writes
        self.root = Root(path)
        self.appliers, self.gates = list(appliers), list(gates)
        self.journal = Journal(self.root, "")
        try:
            self._open(document, aside)
        except BaseException:
            self.root.close()
            raise

    def _open(self, document: dict[str, Any] | None, aside: bool) -> None:
        self.document = document or read_document(self.root, self.journal, self.writes)
        self.format = int(self.document["format"])
        self.bank_id = str(self.document["bank_id"])
        self.owner = self.root.stat("").st_uid  # type: ignore[union-attr]  # the root is open
        self.home = Home(self.bank_id, self.owner, aside)
        self.settings = read_settings(self.root, self.home, self.context)
        self.journal.actor = self.settings["actor"] or user_name()
        self.catalog = Catalog(self.root)
        self._depth = 0
        self.holding = 0
        """How many times the lock was taken: what is remembered under one hold means nothing under the next."""
        self.resources = ExitStack()
        """What appliers opened and `close` gives back."""

    def __repr__(self) -> str:
        return f"Bank({self.root.path!r})"

    @cached_property
    def registry(self) -> Registry:
        """Built-in schemas, and those in config/schemas/ as they were recorded: a hand edit waits for `accept`."""
        names = (path for path, _ in self.catalog.all_expected(layout.CONFIG_SCHEMAS))
        return read_registry(schema_files(self.root) if self.is_empty else names, self._recorded)

    @cached_property
    def aggregates(self) -> Aggregates:
        """What is counted here: built-in measures, and the rules in the bank's config as they were recorded."""
        return read_aggregates(self.registry, self._recorded)

    def read_config_again(self) -> None:
        """Let schemas and rules be read anew: the config was changed."""
        for name in ("registry", "aggregates"):
            vars(self).pop(name, None)

    def _recorded(self, path: str) -> bytes | None:
        """A file of the config as it was recorded, whatever stands there now; before a baseline as it stands."""
        data = self.root.content(path, layout.CONFIG_LIMIT)
        return data if self.is_empty else versions.recorded(self.journal, path, self.catalog.row(path).expected, data)

    @property
    def modes(self) -> tuple[int, int]:
        """Of files and directories that are made here: for the owner, or for the group too, which is inherited."""
        return (0o660, 0o2770) if self.document.get("group") else (files.FILE_MODE, files.DIRECTORY_MODE)

    @property
    def lock_timeout(self) -> float:
        """Seconds to wait for another process."""
        return float(self.settings["lock_timeout"])

    def close(self) -> None:
        """Render what is not rendered yet, note how far the journal was read, and give everything back."""
        try:
            if not self.catalog.in_memory:
                self.render()
        except sqlite3.DatabaseError as error:
            self.explain(error)
        finally:
            for one in (self.resources, self.catalog, self.home, self.root):
                one.close()

    # Reading

    @property
    def end(self) -> Position:
        """How far the journal was read."""
        return self.catalog.position()

    @property
    def is_empty(self) -> bool:
        """Whether there is no baseline: nothing was recorded, or the journal was lost and goes on after a gap."""
        return not self.catalog.meta("begun", False)

    def breaks(self) -> list[Break]:
        """Where the journal's chain is not proved."""
        return self.catalog.breaks()

    def refresh(self) -> None:
        """Take over what was appended to the journal since, by us or by others. Raises Locked."""
        try:
            self._refresh()
        except sqlite3.DatabaseError as error:
            if is_busy(error):
                raise Locked("another process keeps the catalog", path=self.root.path) from error
            self.rebuild_catalog()

    def _refresh(self) -> None:
        mark, end = self.home.mark(), self.catalog.position()
        if self.journal.is_behind(end):
            self._start_over("the journal is shorter than the catalog says")
            return
        if not self.catalog.is_followed_by(self.journal):
            self._start_over("the journal is not the one that the catalog was made from")
            return
        if mark[0] <= end.seq and not self.journal.is_ahead(end):
            self.journal.tail = None
            return
        with self.catalog.writing():
            self.journal.tail = self.catalog.apply(self.journal.read(self.catalog.position(), mark)).tail

    def rebuild_catalog(self) -> None:
        """Make the catalog again from the journal, under a new name."""
        self._start_over("the catalog was damaged")

    def explain(self, error: Exception) -> None:
        """Raise what a failure of the catalog in the middle of an operation means; return for any other error."""
        if not isinstance(error, sqlite3.DatabaseError):
            return
        if is_busy(error):
            raise Locked("another process keeps the catalog", path=self.root.path) from error
        if "full" in str(error):
            raise from_os_error(OSError(errno.ENOSPC, "", self.root.path), "cannot write the catalog") from error
        self.catalog.close()
        self.catalog.db = self.catalog.replaced()
        raise OperationFailed(
            f"the catalog is damaged: {error}", hint="run it again: it is made again from the journal"
        ) from error

    def _start_over(self, why: str) -> None:
        self.catalog.close()
        self.catalog.db = self.catalog.replaced()
        self.context.progress.note(f"{why}; the catalog is made again from the journal")
        with self.catalog.writing():
            self.journal.tail = self.catalog.apply(self.journal.read(START, self.home.mark())).tail

    def walk(self, path: str = "", inner: list[str] | None = None) -> Iterator[Listing]:
        """Every directory of the bank, without what the settings exclude; banks inside it are put into `inner`."""
        return self.root.walk(path, layout.shaping(self.settings["exclude"], inner))

    # Writing

    @contextmanager
    def locked(self, timeout: float | None = None) -> Iterator[None]:
        """Hold the bank's lock, once per process however deep; what others wrote is read first."""
        if self._depth:
            yield
            return
        files.make_dirs(self.root, layout.PRIVATE)
        with locks.hold(self.root, layout.LOCK, timeout=self.lock_timeout if timeout is None else timeout):
            self._depth = 1
            self.holding += 1
            try:
                self.refresh()
                yield
            finally:
                self._depth = 0

    def commit(self, entries: Iterable[Entry]) -> list[Line]:
        """Acknowledge entries as one group: when this returns they are durable. The lines written, duplicates left out.

        Raises JournalDamaged, CopiedBank, Locked, OSError; then nothing was written.
        """
        checked = [self.passed(entry) for entry in entries]
        with self.locked():
            self.check_writable()
            checked = self.admitted(checked)
            lines: list[Line] = []
            if checked:
                self._append([checked], lines.append)
            return [line for line in lines if line.op != CHECKPOINT]

    def admitted(self, entries: list[Entry]) -> list[Entry]:
        """What the appliers let through of entries; the caller holds the lock."""
        for applier in self.appliers:
            entries = applier.admit(self, entries)
        return entries

    def commit_group(self, group: Group) -> None:
        """`commit` for a group of any length, whose entries were admitted and pass no gate any more."""
        with self.locked():
            self.check_writable()
            self._append([group])

    def passed(self, entry: Entry) -> Entry:
        """An entry as the gates let it through. Raises what they raise."""
        for gate in self.gates:
            entry = gate(self, entry)
        return entry

    @contextmanager
    def in_its_format(self) -> Iterator[None]:
        """Write in the format that the bank has: to finish what was begun in it."""
        before, self.writes = self.writes, self.format
        try:
            yield
        finally:
            self.writes = before

    def check_format(self) -> None:
        """Raise FormatMismatch unless the bank has the format that is written."""
        if self.format != self.writes:
            raise of_another_format(self.format, self.writes, self.root.path)

    def check_writable(self) -> None:
        """Raise unless it has our format, the journal is whole, and this is the bank it was, not a copy."""
        self.check_format()
        broken = self.breaks()
        if broken:
            raise JournalDamaged(f"the journal is damaged after line {broken[0].after}: {broken[0].reason}")
        former = self.home.remember_place(self.root)
        if former:
            self.context.progress.note(f"the bank was moved here from {former}")

    def _append(self, groups: list[Group], take: Callable[[Line], object] = lambda _: None, sync: bool = True) -> None:
        """Write groups, and take them over into the catalog line by line while they are written."""
        end = self.end
        if self.journal.tail is not None:
            groups = [[self.journal.cut(self.journal.tail, end)], *groups]
            self.journal.tail = None
        vouching = self._checkpoint(end)
        with closing(self._taken(self.journal.write(end, [*vouching, *groups], sync), take, sync)) as stream:
            try:
                with self.catalog.writing():
                    reading = self.catalog.apply(stream)
                    if vouching:
                        self.catalog.set_meta("checkpoint", [reading.end.seq, clock.now_ns()])
            except sqlite3.DatabaseError:
                for _ in stream:
                    pass  # the journal has it all: a lost catalog never fails a write
                self.rebuild_catalog()

    def _taken(
        self, stream: Iterator[Line | Reading], take: Callable[[Line], object], sync: bool
    ) -> Generator[Line | Reading, None, None]:
        for item in stream:
            if not isinstance(item, Reading):
                take(item)
            elif sync:
                self._mark(item.end)
            yield item

    def _mark(self, end: Position) -> None:
        """Remember the durable end; the lines are acknowledged already, so a failure here is only said."""
        try:
            self.home.set_mark(end.seq, end.hash)
        except OSError as error:
            self.context.progress.note(f"the high-water mark could not be written: {(error.strerror or '').lower()}")

    def _checkpoint(self, end: Position) -> list[Group]:
        if end == START:
            return []
        seq, moment = self.catalog.meta("checkpoint", [0, 0])
        due = end.seq - seq >= CHECKPOINT_LINES or clock.now_ns() - moment > CHECKPOINT_SECONDS * clock.SECOND_NS
        return [[Entry(CHECKPOINT, {"upto": [end.seq, end.hash]})]] if due and end.seq > seq else []

    def record_gap(self, fields: dict[str, Any]) -> None:
        """Start a new segment whose first line names the breaks; after it the bank can be written again."""
        self.check_format()
        with self.locked():
            end, broken = self.end, self.breaks()
            last = max(end.seq, self.home.mark()[0], *self.journal.segments())
            breaks = [[one.after, one.hash] for one in broken]
            entry = Entry("journal.gap", {"seq": last + 1, "breaks": breaks, **fields})
            beyond = end._replace(segment=0, offset=0, seq=last)
            self.journal.tail = None
            lines, end = self.journal.append(beyond, [[entry]])
            self._mark(end)
            with self.catalog.writing():
                self.catalog.apply([*lines, Reading(end, (), None)])

    # Files

    def render(self) -> None:
        """Write the files of accounts that the journal knows more of; the next opener does it if it cannot be now."""
        try:
            self.refresh()
            if not self.catalog.unrendered() or self.breaks() or self.format != self.writes:
                return
            with self.locked(timeout=0 if not self._depth else None):
                for account in self.catalog.unrendered():
                    self._render(account)
        except Locked:
            return  # the holder renders what it finds

    def is_rendering(self, path: str) -> bool:
        """Whether what stands at `path` is a rendering of ours that the journal does not tell of yet.

        Files are put in place before the line that says so: another process may be between the two, or died there.
        """
        self.refresh()
        return self._is_ours(path)

    def _is_ours(self, path: str) -> bool:
        data = self.root.content(path)
        return data is not None and any(applier.is_rendering(self, path, data) for applier in self.appliers)

    def _render(self, account: str) -> None:
        upto = self.end.seq
        kept: dict[str, str] = {}
        rows: list[list[Any]] = []
        fields: dict[str, Any] = {}
        try:
            for one in chain.from_iterable(applier.render(self, account, upto) for applier in self.appliers):
                fields |= {"files": rows} if isinstance(one, Rendering) else one
                if isinstance(one, Rendering):
                    rows += self._put(one, kept)
        except AccountDamaged as error:
            self.context.progress.note(f"{error.message}; its files are left as they are")
            return
        if fields:
            fields |= {"account": account, "upto": upto, **({"kept": kept} if kept else {})}
            self._append([[Entry("files.rendered", fields)]], sync=False)

    def _put(self, one: Rendering, kept: dict[str, str]) -> list[list[Any]]:
        """Put a rendering in place; its row, none where the journal says that already."""
        expected = self.catalog.row(one.path).expected
        done = rendering.put(self.root, one, expected, self.modes, self._is_ours)
        if done.kept:
            kept[one.path] = done.kept
        if done.foreign:
            self.context.progress.note(f"{one.path} was changed by somebody else; those bytes are in {done.kept}")
        return [] if done.row is None else [list(done.row)]
