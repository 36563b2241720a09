"""A bank's journal and its catalog, kept in step: who reads, who holds the lock, who appends.

Appending waits for the disk only. The catalog is derived and has its own position in the journal, so what it has to
learn of appended lines waits until somebody reads it: `end` is how far the journal is known, the catalog may lag.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from threading import RLock

from memorybank_cli.bank import layout
from memorybank_cli.bank.catalog import Catalog, is_busy
from memorybank_cli.bank.chain import CHECKPOINT, START, Break, Position, Reading
from memorybank_cli.bank.following import Told, told
from memorybank_cli.bank.framing import Line
from memorybank_cli.bank.home import Home
from memorybank_cli.bank.journal import CHECKPOINT_LINES, CHECKPOINT_SECONDS, Entry, Group, Journal
from memorybank_cli.bank.marking import Marking
from memorybank_cli.bank.writing import Appended, Writer
from memorybank_cli.base import clock, files
from memorybank_cli.base.context import Context
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
        self._end = self._first_end()
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
        self.writer.close()
        self._lock.close()
        self._render_lock.close()
        self._catalog.close()
        self.home.close()

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
            before = self._end
            try:
                if self._behind:
                    self._tell_catalog()
                self._refresh()
            except sqlite3.DatabaseError as error:
                if is_busy(error):
                    raise Locked("another process keeps the catalog", path=self.root.path) from error
                self._start_over("the catalog was damaged")
            self._settle(before)

    def _settle(self, before: Position) -> None:
        """The catalog knows all that was read: go on from there."""
        self._end = self._catalog.position()
        self._behind, self._untold, self._breaks, self._begun, self._checkpointed = False, [], None, False, None
        self.writer.settle(self._end)
        if self._end != before:
            self.lose()

    def hear(self, told: list[Told]) -> None:
        """Lines were appended, by us or by others, right after those heard of before. The lock is held."""

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
            self.journal.tail = self._catalog.apply(self.journal.read(self._catalog.position(), mark)).tail

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
        if not lines or self._catalog.position().seq != lines[0].seq - 1:
            return False
        with self._catalog.writing():
            self._catalog.apply([*lines, Reading(self._end, (), None)])
        self._behind, self._untold = False, []
        return True

    def rebuild_catalog(self) -> None:
        """Make the catalog again from the journal, under a new name."""
        with self.mutex:
            before = self._end
            self._start_over("the catalog was damaged")
            self._settle(before)

    def explain(self, error: Exception) -> None:
        """Raise what a failure of the catalog in the middle of an operation means; return for any other error."""
        if not isinstance(error, sqlite3.DatabaseError):
            return
        if is_busy(error):
            raise Locked("another process keeps the catalog", path=self.root.path) from error
        if "full" in str(error):
            raise from_os_error(OSError(errno.ENOSPC, "", self.root.path), "cannot write the catalog") from error
        self._catalog.close()
        self._catalog.db = self._catalog.replaced()
        raise OperationFailed(
            f"the catalog is damaged: {error}", hint="run it again: it is made again from the journal"
        ) from error

    def _start_over(self, why: str) -> None:
        self._catalog.close()
        self._catalog.db = self._catalog.replaced()
        self.context.progress.note(f"{why}; the catalog is made again from the journal")
        with self._catalog.writing():
            self.journal.tail = self._catalog.apply(self.journal.read(START, self.home.mark())).tail

    # Locks

    @contextmanager
    def locked(self, timeout: float | None = None) -> Iterator[None]:
        """Be the only one who writes or renders, once per process however deep; what others wrote is read first.

        Raises Locked when another process goes on longer than `timeout` seconds.
        """
        with self.mutex:
            if self._depth:
                yield
                return
            wait = self.lock_timeout if timeout is None else timeout
            files.make_dirs(self.root, layout.PRIVATE)
            self._render_lock.acquire(wait)
            try:
                with self._held(wait):
                    self.refresh()
                    yield
            finally:
                self._render_lock.release()

    @contextmanager
    def appending(self, timeout: float | None = None) -> Iterator[None]:
        """Be the only one who appends, while others may render; what others appended is known. Raises Locked."""
        with self.mutex:
            if self._depth:
                yield
                return
            with self._held(self.lock_timeout if timeout is None else min(timeout, self.lock_timeout)):
                self._keep_up()
                yield

    @contextmanager
    def rendering(self) -> Iterator[None]:
        """Be the only one who renders, while others may append. Raises Locked where somebody else is at it."""
        with self.mutex:
            if self._depth:
                yield
                return
            files.make_dirs(self.root, layout.PRIVATE)
            self._render_lock.acquire(0)
            try:
                yield
            finally:
                self._render_lock.release()

    @contextmanager
    def _held(self, wait: float) -> Iterator[None]:
        try:
            self._lock.acquire(wait)
        except FileNotFoundError:
            files.make_dirs(self.root, layout.PRIVATE)
            self._lock.acquire(wait)
        self._depth = 1
        self.holding += 1
        try:
            if self.writer.look().poisoned:
                self._cure()
            yield
        finally:
            self._depth = 0
            self._lock.release()

    def _cure(self) -> None:
        """Void what a failed sync left undecided; whoever appended it is told, and so is the catalog."""
        self.context.progress.note("the disk did not take what was written to the journal; that is taken back")
        self.writer.cure()
        self.writer.doubt()
        self.lose()

    def _keep_up(self) -> None:
        if self.writer.is_current(self._end):
            return
        found = self.writer.follow(self._end)
        if found is None:
            self.refresh()
            return
        self._end, news = found
        if any(one.op == CHECKPOINT for one in news):
            self._checkpointed = [self._end.seq, clock.now_ns()]
        self._behind, self._untold = True, None
        self.hear(news)

    # Appending

    def append(self, entries: list[Entry]) -> tuple[list[Line], Appended]:
        """Append entries as one group; they count once `durable` returned. The lock is held."""
        lines: list[Line] = []
        try:
            for item in self.writer.write(self._end, self._groups(entries)):
                if isinstance(item, Reading):
                    self._unrendered += max(0, item.end.offset - self._end.offset)
                    self._end = item.end
                else:
                    lines += item
        except BaseException:
            self._doubt()
            raise
        self.hear([told(line) for line in lines])
        self._wait_for_catalog(lines)
        return lines, self.writer.appended(self._end)

    def _doubt(self) -> None:
        self.writer.doubt()
        self._checkpointed = None

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

    def _groups(self, entries: Group) -> list[Group]:
        """The entries as they are written now: behind a checkpoint where one is due, and the cut of a torn tail."""
        end, groups = self._end, [entries]
        if self.journal.tail is not None:
            groups.insert(0, [self.journal.cut(self.journal.tail, end)])
            self.journal.tail = None
        if (due := self._checkpoint(end)) is not None:
            groups.insert(0, [due])
        return groups

    def _checkpoint(self, end: Position) -> Entry | None:
        if end == START:
            return None
        if self._checkpointed is None:
            self._checkpointed = self._catalog.meta("checkpoint", [0, 0])
        seq, moment = self._checkpointed
        due = end.seq - seq >= CHECKPOINT_LINES or clock.now_ns() - moment > CHECKPOINT_SECONDS * clock.SECOND_NS
        if not due or end.seq <= seq:
            return None
        self._checkpointed = [end.seq + 1, clock.now_ns()]
        return Entry(CHECKPOINT, {"upto": [end.seq, end.hash]})

    def start_segment(self, beyond: Position, entry: Entry) -> None:
        """Go on after a gap: `entry` becomes the first line of a new segment, at once durable. The lock is held."""
        self.journal.tail = None
        lines, end = self.journal.append(beyond, [[entry]])
        with self._catalog.writing():
            self._catalog.apply([*lines, Reading(end, (), None)])
        self.writer.restart(end)
        self.marking.reached(end)
        self.marking.write()
        self._settle(self._end)

    def append_stream(self, group: Group, take: Callable[[Line], object] = lambda _: None) -> Appended:
        """`append` for a group of any length: the catalog takes it over line by line while it is written."""
        _ = self.catalog
        stream = self._passed_on(self.writer.write(self._end, self._groups(group)), take)
        with closing(stream):
            try:
                with self._catalog.writing():
                    self._catalog.apply(stream)
                self._untold = []
            except sqlite3.DatabaseError:
                for _ in stream:
                    pass  # the journal has it all: a lost catalog never fails a write
                self.rebuild_catalog()
            except BaseException:
                self._doubt()
                raise
        self.lose()
        return self.writer.appended(self._end)

    def _passed_on(
        self, stream: Iterator[list[Line] | Reading], take: Callable[[Line], object]
    ) -> Generator[Line | Reading, None, None]:
        for item in stream:
            if isinstance(item, Reading):
                self._end = item.end
                yield item
                return
            for line in item:
                take(line)
                yield line

    def durable(self, what: Appended) -> None:
        """Return once it is on the disk: that is the acknowledgement. Raises OSError; then it is void."""
        try:
            self.writer.durable(what, self.lock_timeout)
        except OSError:
            self._take_back()
            raise
        self.committed()
        self.marking.reached(what.end)

    def _take_back(self) -> None:
        """After a failed sync: what is void is taken off the journal now, or else by the next who appends."""
        with self.mutex, suppress(Locked, OSError):
            self.writer.doubt()
            self.lose()
            if self._depth:
                if self.writer.look().poisoned:
                    self._cure()
                self.refresh()
            else:
                with self._held(1.0):
                    self.refresh()
