"""A bank's journal and its catalog, kept in step while it is read, here or beside those who append.

Appending waits for the disk only. The catalog is derived and has its own position in the journal, so what it has to
learn of appended lines waits until somebody reads it: `end` is how far the journal is known, the catalog may lag.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from threading import RLock

from memorybank_cli.bank import layout
from memorybank_cli.bank.catalog import Catalog
from memorybank_cli.bank.chain import START, Break, Position, Reading
from memorybank_cli.bank.following import Told, told
from memorybank_cli.bank.framing import Line
from memorybank_cli.bank.home import Home
from memorybank_cli.bank.journal import Journal
from memorybank_cli.bank.marking import Marking
from memorybank_cli.bank.writing import Writer
from memorybank_cli.base.context import Context
from memorybank_cli.base.database import is_busy
from memorybank_cli.base.errors import Locked, OperationFailed, from_os_error
from memorybank_cli.base.locks import Lock
from memorybank_cli.base.walk import Root

UNTOLD_LINES = 1_000
RENDERED_LINES = 4_096
RENDERED_BYTES = 4 << 20


class Ledger:
    """The journal and the catalog of one bank. Threads that share it hold `mutex`, but not to wait for the disk."""

    def __init__(self, root: Root, context: Context) -> None:
        self.root, self.context = root, context
        self.mutex = RLock()
        self.journal = Journal(root, "")
        self.writer = Writer(root, self.journal)
        self.holding = 0
        """How many times the lock was taken: what is remembered under one hold means nothing under the next."""
        self._depth = 0
        self._lock, self._render_lock = Lock(root, layout.LOCK), Lock(root, layout.RENDER_LOCK)

    def open_ledger(self, home: Home, lock_timeout: float) -> None:
        """Open the catalog; what stands in the journal is not looked at yet."""
        self.home = home
        self.lock_timeout = lock_timeout
        """Seconds to wait for another process."""
        self._catalog = Catalog(self.root)
        self._end = self.heard = self._first_end()
        """How far the journal is known, and up to where all that came was told to those who `hear`."""
        self._untold: list[Line] | None = []
        self._behind = False
        self._rendered_at, self._unrendered = self._end.seq, 0
        self._begun = False
        self._breaks: list[Break] | None = None
        self._checkpointed: list[int] | None = None
        self.marking = Marking(home, self.context.progress)

    def _first_end(self) -> Position:
        """How far the catalog goes; a damaged one is made again when the journal is read."""
        try:
            return self._catalog.position()
        except sqlite3.DatabaseError as error:
            if is_busy(error):
                raise Locked("another process keeps the catalog", path=self.root.path) from error
            self._catalog.close()
            self._catalog.db = self._catalog.replaced()
            self.context.progress.note("the catalog was damaged; it is made again from the journal")
            return START

    def close_ledger(self) -> None:
        """Give everything back."""
        self._give_room_back()
        self.writer.close()
        self._lock.close()
        self._render_lock.close()
        self._catalog.close()
        self.home.close()

    def _give_room_back(self) -> None:
        """Leave a segment of lines and nothing else; whoever holds the lock now leaves it later."""
        if self.journal.tip.has_room:
            with suppress(Locked, OSError):
                self._lock.acquire(0)
                self.journal.tip.give_room_back()

    # Reading

    @property
    def catalog(self) -> Catalog:
        """What every file should be, up to date with all that is known of the journal."""
        if self._behind:
            with self.mutex:
                self._catch_up()
        return self._catalog

    @property
    def end(self) -> Position:
        """How far the journal was read or written, here or by whoever shares the catalog."""
        if self._depth:
            return self._end
        shared = self._catalog.position()
        return shared if shared.seq > self._end.seq else self._end

    @property
    def much_waits(self) -> bool:
        """Whether so much came since files were rendered here last, or since it was opened, that they should be now."""
        return self._end.seq - self._rendered_at >= RENDERED_LINES or self._unrendered >= RENDERED_BYTES

    @property
    def is_empty(self) -> bool:
        """Whether there is no baseline: nothing was recorded, or the journal was lost and goes on after a gap."""
        if not self._begun:
            with self.mutex:
                self._begun = bool(self.catalog.meta("begun", False))
        return not self._begun

    def breaks(self) -> list[Break]:
        """Where the journal's chain is not proved."""
        if self._breaks is None:
            self._breaks = self._catalog.breaks()
        return self._breaks

    def refresh(self) -> None:
        """Take over what was appended to the journal since, by us or by others. Raises Locked."""
        with self.mutex:
            try:
                if self._behind:
                    self._tell_catalog()
                self._refresh()
            except sqlite3.DatabaseError as error:
                if is_busy(error):
                    raise Locked("another process keeps the catalog", path=self.root.path) from error
                self._start_over("the catalog was damaged")
            self._settle()

    def _settle(self) -> None:
        """The catalog knows all that was read: go on from there."""
        self._end = self._catalog.position()
        self._behind, self._untold, self._breaks, self._begun, self._checkpointed = False, [], None, False, None
        if self._depth:
            self.writer.settle()
        else:
            self.writer.doubt()
        if self._end != self.heard:
            self.lose()
            self.heard = self._end

    @property
    def is_held(self) -> bool:
        """Whether the lock is held here."""
        return self._depth > 0

    def hear(self, told: list[Told]) -> None:
        """Lines were appended, by us or by others, right after those heard of before."""

    def committed(self) -> None:
        """Something became durable."""

    def lose(self) -> None:
        """Lines passed that nobody told: what is kept in memory of the journal holds no longer."""

    def _refresh(self) -> None:
        mark, end = self.home.mark(), self._catalog.position()
        if self.journal.is_behind(end):
            self._start_over("the journal is shorter than the catalog says")
            return
        if not self._catalog.is_followed_by(self.journal):
            self._start_over("the journal is not the one that the catalog was made from")
            return
        if mark[0] <= end.seq and not self.journal.is_ahead(end):
            self.journal.tail = None
            return
        with self._catalog.writing():
            position = self._catalog.position()
            stream = self.journal.read(position, mark)
            if position == self.heard:
                stream = self._overheard(stream)
            self.journal.tail = self._catalog.apply(stream).tail

    def _overheard(self, stream: Iterator[Line | Reading]) -> Iterator[Line | Reading]:
        """Lines on their way into the catalog, heard of, too."""
        heard: list[Told] = []
        self.heard = START  # until all of it was heard
        for item in stream:
            if isinstance(item, Reading) or len(heard) == UNTOLD_LINES:
                self.hear(heard)
                heard = []
            if isinstance(item, Reading):
                self.heard = item.end
            else:
                heard.append(told(item))
            yield item

    def _catch_up(self) -> None:
        """Let the catalog learn what was appended here; what others appended between is read."""
        try:
            if self._tell_catalog():
                return
        except sqlite3.DatabaseError as error:
            if is_busy(error):
                raise Locked("another process keeps the catalog", path=self.root.path) from error
        self.refresh()

    def _tell_catalog(self) -> bool:
        """Whether the catalog could learn all that it lacks from the lines that were appended here."""
        lines, self._untold = self._untold, None
        if not lines:
            return False
        with self._catalog.writing():  # others share it: once they have told it more, it must not go back
            if self._catalog.position().seq != lines[0].seq - 1:
                return False
            self._catalog.apply([*lines, Reading(self._end, (), None)])
        self._behind, self._untold = False, []
        return True

    def _wait_for_catalog(self, lines: list[Line]) -> None:
        self._behind = True
        if self._untold is None:
            return
        self._untold += lines
        if len(self._untold) >= UNTOLD_LINES:
            try:
                self._catch_up()
            except Locked:
                self._untold = None  # a catalog that somebody keeps never fails a write

    def rebuild_catalog(self) -> None:
        """Make the catalog again from the journal, under a new name."""
        with self.mutex:
            self._start_over("the catalog was damaged")
            self._settle()

    def leave_memory(self) -> None:
        """Keep the catalog on the disk again, once there is room for it: for processes that live long."""
        with self.mutex:
            try:
                back = self._catalog.return_to_disk()
            except sqlite3.DatabaseError as error:
                if not is_busy(error):
                    raise
                return  # the next time, then
            if back:
                self.refresh()

    def explain(self, error: Exception) -> None:
        """Raise what a failure of the catalog in the middle of an operation means; return for any other error."""
        if not isinstance(error, sqlite3.DatabaseError):
            return
        if is_busy(error):
            raise Locked("another process keeps the catalog", path=self.root.path) from error
        if "full" in str(error):
            raise from_os_error(OSError(errno.ENOSPC, "", self.root.path), "cannot write the catalog") from error
        with self.mutex:  # others may be at it
            self._catalog.close()
            self._catalog.db = self._catalog.replaced()
            self._behind, self._untold, self._breaks, self._begun = True, None, None, False
        raise OperationFailed(
            f"the catalog is damaged: {error}", hint="run it again: it is made again from the journal"
        ) from error

    def _start_over(self, why: str) -> None:
        self._catalog.close()
        self._catalog.db = self._catalog.replaced()
        self.context.progress.note(f"{why}; the catalog is made again from the journal")
        with self._catalog.writing():
            self.journal.tail = self._catalog.apply(self.journal.read(START, self.home.mark())).tail
