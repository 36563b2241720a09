"""Who may write a bank, and appending to its journal: the locks, what others appended, the acknowledgement."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress

from memorybank_cli.bank import layout
from memorybank_cli.bank.chain import CHECKPOINT, START, Position, Reading
from memorybank_cli.bank.following import told
from memorybank_cli.bank.framing import Line
from memorybank_cli.bank.journal import CHECKPOINT_LINES, CHECKPOINT_SECONDS, Entry, Group
from memorybank_cli.bank.ledger import Ledger
from memorybank_cli.bank.writing import Appended
from memorybank_cli.base import clock, files
from memorybank_cli.base.errors import Locked


class Appending(Ledger):
    """A ledger that can be locked and appended to."""

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
                self._hold(wait)
                try:
                    self.refresh()
                    yield
                finally:
                    self._let_go()
            finally:
                self._render_lock.release()

    @contextmanager
    def appending(self, timeout: float | None = None) -> Iterator[None]:
        """Be the only one who appends, while others may render; what others appended is known. Raises Locked."""
        with self.mutex:
            if self._depth:
                yield
                return
            self._hold(self.lock_timeout if timeout is None else min(timeout, self.lock_timeout))
            try:
                self._keep_up()
                yield
            finally:
                self._let_go()

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
    def _alone(self) -> Iterator[None]:
        with self.mutex:
            if self._depth:
                yield
                return
            self._lock.acquire(self.lock_timeout)
            try:
                yield
            finally:
                self._lock.release()

    def _hold(self, wait: float) -> None:
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
        except BaseException:
            self._let_go()
            raise

    def _let_go(self) -> None:
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
        self.heard = self._end

    # Appending

    def append(self, entries: list[Entry]) -> tuple[list[Line], Appended]:
        """Append entries as one group; they count once `durable` returned. The lock is held."""
        try:
            lines, end = self.writer.append(self._end, self._groups(entries))
        except BaseException:
            self._doubt()
            raise
        self._unrendered += max(0, end.offset - self._end.offset)
        self._end = end
        self.hear([told(line) for line in lines])
        self.heard = self._end
        self._wait_for_catalog(lines)
        return lines, self.writer.appended(self._end)

    def _doubt(self) -> None:
        self.writer.doubt()
        self._checkpointed = None
        if self.writer.look().poisoned:  # a sync failed in the middle of it
            with suppress(Locked, OSError):
                self._cure()
                self.refresh()

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
        self.writer.syncing.appended(beyond.seq + 1, 0)
        lines, end = self.journal.append(beyond, [[entry]])
        with self._catalog.writing():
            self._catalog.apply([*lines, Reading(end, (), None)])
        self.writer.restart(end)
        self.marking.reached(end)
        self.marking.write()
        self._settle()

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
        self.heard = self._end
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
            left = self.writer.durable(what, self.lock_timeout)
            if left is not None:  # else a sync that fails later would take it back
                with self._alone():
                    self.writer.syncing.catch_up(left)
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
                self._hold(1.0)
                try:
                    self.refresh()
                finally:
                    self._let_go()
