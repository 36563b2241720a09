"""The bank: one directory of records, opened, with its journal, catalog, schemas and settings.

Every change passes `commit`: gates → lock → what others wrote → the appliers'
admission → one journal append with fdatasync, which is the acknowledgement → catalog → high-water mark. The files of
managed sections are rendered from the journal at `close`, or by whoever opens the bank next.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from itertools import chain
from typing import Any, Protocol

from memorybank_cli.bank import layout, rendering, versions
from memorybank_cli.bank.appending import Appending
from memorybank_cli.bank.chain import CHECKPOINT
from memorybank_cli.bank.following import RENDERED, Told
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
from memorybank_cli.bank.journal import CUT, Entry, Group
from memorybank_cli.bank.ledger import UNTOLD_LINES
from memorybank_cli.bank.measures import Aggregates
from memorybank_cli.bank.rendering import Rendering
from memorybank_cli.bank.schemas import Registry
from memorybank_cli.bank.together import Together
from memorybank_cli.bank.writing import Appended
from memorybank_cli.base import files
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import AccountDamaged, JournalDamaged, Locked
from memorybank_cli.base.names import escape
from memorybank_cli.base.walk import Listing, Root

PATIENCE = 1.0  # seconds to wait with the line that tells of files; without it they are rendered once more
ROUNDS = 8  # of rendering what others append meanwhile, before it is left to them


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

    def heard(self, bank: Bank, told: list[Told]) -> None:
        """Lines were appended, by us or by others, right after those told before. The lock is held."""

    def lost(self) -> None:
        """Lines passed that nobody told: what is kept in memory of the journal holds no longer."""


Gate = Callable[["Bank", Entry], Entry]


class Bank(Appending):
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
        super().__init__(Root(path), context)
        self.writes = writes
        self.appliers, self.gates = list(appliers), list(gates)
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
        home = Home(self.bank_id, self.owner, aside)
        self.settings = read_settings(self.root, home, self.context)
        self.journal.actor = self.settings["actor"] or user_name()
        self.open_ledger(home, float(self.settings["lock_timeout"]))
        self._is_placed = False
        self.together = Together(self)
        self.nudge: Callable[[], None] | None = None
        """Called after each commit, where a thread renders; it ends before the bank does."""
        self.another: Callable[[], Bank] | None = None
        """Opens this bank once more, for a thread of its own, in processes that live long; `abandon` ends it."""
        self.afterwards: dict[str, Callable[[], None]] = {}
        """What is to be done at close, when everybody has their answer and the files are rendered, by name."""
        self.before_close = ExitStack()
        """What has to end before the files are rendered a last time."""
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

    def close(self) -> None:
        """Render what is not rendered yet, note how far the journal was read, and give everything back."""
        self.before_close.close()
        try:
            if not self.catalog.in_memory:
                self.render()
                for call in self.afterwards.values():
                    call()
        except sqlite3.DatabaseError as error:
            self.explain(error)
        finally:
            self.marking.write()
            self.abandon()

    def abandon(self) -> None:
        """Give everything back and leave the rest to the next opener."""
        self.before_close.close()
        self.resources.close()
        self.close_ledger()
        self.root.close()

    def walk(self, path: str = "", inner: list[str] | None = None) -> Iterator[Listing]:
        """Every directory of the bank, without what the settings exclude; banks inside it are put into `inner`."""
        return self.root.walk(path, layout.shaping(self.settings["exclude"], inner))

    # Writing

    def commit(self, entries: Iterable[Entry]) -> list[Line]:
        """Acknowledge entries as one group: when this returns they are durable. The lines written, duplicates left out.

        Raises JournalDamaged, CopiedBank, Locked, OSError; then nothing was written.
        """
        lines, what = self.begin(entries)
        if what is not None:
            self.durable(what)
        return lines

    def begin(self, entries: Iterable[Entry]) -> tuple[list[Line], Appended | None]:
        """The first half of `commit`: the lines count once `durable` returned of what is given with them."""
        checked = [self.passed(entry) for entry in entries]
        with self.appending():
            self.check_writable()
            checked = self.admitted(checked)
            if not checked:
                return [], None
            if len(checked) < UNTOLD_LINES:
                lines, what = self.append(checked)
            else:
                lines = []
                what = self.append_stream(checked, lines.append)
            return [line for line in lines if line.op not in (CHECKPOINT, CUT)], what

    def admitted(self, entries: list[Entry]) -> list[Entry]:
        """What the appliers let through of entries; the caller holds the lock."""
        for applier in self.appliers:
            entries = applier.admit(self, entries)
        return entries

    def commit_group(self, group: Group) -> None:
        """`commit` for a group of any length, whose entries were admitted and pass no gate any more."""
        with self.locked():
            self.check_writable()
            self.durable(self.append_stream(group))

    def hear(self, told: list[Told]) -> None:
        """Let the appliers hear of lines; what another process renders need not be rendered here."""
        for applier in self.appliers:
            applier.heard(self, told)
        if any(one.op == RENDERED for one in told):
            self._rendered_at, self._unrendered = told[-1].seq, 0

    def committed(self) -> None:
        """Have it rendered soon, where that is not left to `close`."""
        if self.nudge is not None:
            self.nudge()

    def lose(self) -> None:
        """Let the appliers know that lines passed."""
        for applier in self.appliers:
            applier.lost()

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
        if not self._is_placed:
            former = self.home.remember_place(self.root)
            self._is_placed = True
            if former:
                self.context.progress.note(f"the bank was moved here from {escape(former)}")

    def record_gap(self, fields: dict[str, Any]) -> None:
        """Start a new segment whose first line names the breaks; after it the bank can be written again."""
        self.check_format()
        with self.locked():
            end, broken = self.end, self.breaks()
            last = max(end.seq, self.home.mark()[0], *self.journal.segments())
            breaks = [[one.after, one.hash] for one in broken]
            entry = Entry("journal.gap", {"seq": last + 1, "breaks": breaks, **fields})
            beyond = end._replace(segment=0, offset=0, seq=last)
            self.start_segment(beyond, entry)

    # Files

    def relieve(self) -> None:
        """Render where much waits for it, and nobody else is at it."""
        if not self.much_waits:
            return
        try:
            with self.rendering():
                self._render_rounds(ROUNDS)
        except Locked:
            self._rendered_at, self._unrendered = self._end.seq, 0

    def render(self, rounds: int = ROUNDS) -> bool:
        """Write the files of accounts that the journal knows more of; the next opener does it if it cannot be now.

        Others go on appending meanwhile; what they append is rendered, too, in so many `rounds`. Says whether nothing
        is left for this process to do.
        """
        try:
            self.refresh()
            self._rendered_at, self._unrendered = self.end.seq, 0
            if self._is_rendered():
                return True
            with self.rendering():
                return self._render_rounds(rounds)
        except Locked:
            return True  # the holder renders what it finds

    def _render_rounds(self, rounds: int) -> bool:
        for _ in range(rounds):
            told = self._render_all()
            self.refresh()
            self._rendered_at, self._unrendered = self.end.seq, 0
            if not told or self._is_rendered():
                return True
        return False

    def _is_rendered(self) -> bool:
        return not self.catalog.unrendered() or bool(self.breaks()) or self.format != self.writes

    def _render_all(self) -> bool:
        """Whether files of an account were rendered."""
        if self.writer.syncing.state().poisoned:  # lines whose sync failed are void: no mark and no file may count them
            with self.appending(PATIENCE):
                self.refresh()
        accounts = self.catalog.unrendered()
        self.durable(self.writer.appended(self.end))  # what is not durable may be void, and no file may tell of it
        return sum([self._render(account) for account in accounts]) > 0

    def is_rendering(self, path: str) -> bool:
        """Whether what stands at `path` is a rendering of ours that the journal does not tell of yet.

        Files are put in place before the line that says so: another process may be between the two, or died there.
        """
        self.refresh()
        return self._is_ours(path)

    def _is_ours(self, path: str) -> bool:
        data = self.root.content(path)
        return data is not None and any(applier.is_rendering(self, path, data) for applier in self.appliers)

    def _render(self, account: str) -> bool:
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
            return False
        if fields:
            fields |= {"account": account, "upto": upto, **({"kept": kept} if kept else {})}
            with self.appending(PATIENCE):
                self.append([Entry(RENDERED, fields)])  # not synced
        return bool(fields)

    def _put(self, one: Rendering, kept: dict[str, str]) -> list[list[Any]]:
        """Put a rendering in place; its row, none where the journal says that already."""
        expected = self.catalog.row(one.path).expected
        done = rendering.put(self.root, one, expected, self.modes, self._is_ours)
        if done.kept:
            kept[one.path] = done.kept
        if done.foreign:
            self.context.progress.note(f"{one.path} was changed by somebody else; those bytes are in {done.kept}")
        return [] if done.row is None else [list(done.row)]
