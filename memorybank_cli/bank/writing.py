"""Where the journal ends for this process, and going on from there: follow what others appended, append, sync.

Descriptors stay open. Whether anything happened since the last hold of the lock is told by `sync.lock`, where everybody
who appended says how far, and by the bytes at that place: a process that was killed before it said so left some.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from memorybank_cli.bank import layout
from memorybank_cli.bank.chain import Position, Reading
from memorybank_cli.bank.following import Told, follow
from memorybank_cli.bank.framing import Line
from memorybank_cli.bank.journal import Group, Journal
from memorybank_cli.bank.syncing import NOWHERE, UNKNOWN, Synced, Syncing
from memorybank_cli.base import files
from memorybank_cli.base.walk import Root


class Appended(NamedTuple):
    """How far the journal goes after an append, and what `durable` needs to know of it."""

    end: Position
    fd: int
    failures: int


class Writer:
    """The writing end of one bank's journal. All of it but `durable` happens under the bank's lock."""

    def __init__(self, root: Root, journal: Journal) -> None:
        self.root, self.journal = root, journal
        self.syncing = Syncing(root)
        journal.unsynced = self._poison
        self._is_settled = self._is_seen = False
        """Whether this process knew all of the journal at some end; and whether it was seen under this hold of the lock
        that it still does."""
        self._appended = NOWHERE
        self._failures = UNKNOWN.failures
        self.state = UNKNOWN
        """How far the journal is durable, as of when the lock was taken."""

    def close(self) -> None:
        """Give the descriptors back."""
        self.syncing.close()
        self.journal.close()

    # What others did

    def settle(self) -> None:
        """The journal was read to its end: from there it is followed, unless somebody has to cut a tail first."""
        state = self.syncing.state()
        self._is_settled, self._failures = self.journal.tail is None and not state.poisoned, state.failures

    def doubt(self) -> None:
        """Have the journal read again before the next append."""
        self._is_settled = self._is_seen = False

    def is_current(self, end: Position) -> bool:
        """Whether nothing was appended after `end`, nor anything else done to the journal, since it was settled."""
        self._is_seen = (
            self._is_settled
            and self._appended == (end.segment, end.offset)
            and self._is_known(self.state)
            and self.journal.tip.is_open_at(end)
        )
        return self._is_seen

    def follow(self, end: Position) -> tuple[Position, list[Told]] | None:
        """What others appended after `end`; None where only a full reading can tell."""
        if not (self._is_settled and end.segment and self._is_known(self.state)):
            return None
        told: list[Told] = []
        with suppress(FileNotFoundError):  # closed segments are written again
            while found := follow(self.journal.tip.descriptor(end.segment, create=False), end):
                end = found.end
                told += found.told
                if not self._is_rotated(end):
                    return (end, told) if self.journal.tip.is_open_at(end) else None
                end = end._replace(segment=end.seq + 1, offset=0)
        return None

    def _is_rotated(self, end: Position) -> bool:
        following = end.seq + 1  # an empty segment may be that one itself
        return following != end.segment and os.access(layout.segment_file(following), os.F_OK, dir_fd=self.root.fd)

    def _is_known(self, state: Synced) -> bool:
        return state.failures == self._failures and not state.poisoned

    # Going on

    def append(self, end: Position, groups: Sequence[Group]) -> tuple[list[Line], Position]:
        """Append groups after `end`, unsynced: the lines, and how far the journal goes."""
        known = self._begin(end)
        lines, last = self.journal.append(end, groups, not self.syncing.shares, known)
        self._wrote(last)
        return lines, last

    def write(self, end: Position, groups: Sequence[Group]) -> Iterator[list[Line] | Reading]:
        """`append` for groups of any length: lines, then how far the journal goes; see `Journal.write`."""
        known = self._begin(end)
        for item in self.journal.write(end, groups, not self.syncing.shares, known):
            if isinstance(item, Reading):
                self._wrote(item.end)
            yield item

    def _wrote(self, end: Position) -> None:
        self.syncing.appended(end.segment, end.offset)
        self._is_settled = self._is_seen = True

    def appended(self, end: Position) -> Appended:
        """What `durable` needs to know of an append that came to `end`."""
        return Appended(end, self.journal.tip.current(end.segment), self._failures)

    def durable(self, what: Appended, timeout: float) -> Synced | None:
        """Return once it is on the disk; needs no lock. See `Syncing.durable`. Raises OSError: it is void then."""
        if what.failures < 0 or not what.end.segment:
            return None  # nothing was appended since the machine started, or the append itself has synced it
        return self.syncing.durable(what.fd, what.end.segment, what.end.offset, what.failures, timeout)

    def look(self) -> Synced:
        """How far the journal is durable, now that the lock is held."""
        self._is_seen = False
        self.state, self._appended = self.syncing.look_afresh()
        return self.state

    def _poison(self) -> None:
        """A sync failed while the bank's lock is held: the next fdatasync of the same descriptor would say nothing."""
        if self.syncing.shares:
            self.syncing.poison(max(self.state.failures, self._failures))

    def cure(self) -> None:
        """After a sync that failed: what was synced before, in a fresh file in the segment's place; the rest is void.

        Nobody knows what of the old file is on the disk, and a sync that works later does not say. Where nobody knows
        either how far it was synced, all of it is kept. Raises OSError: writing stops then.
        """
        segments = self.journal.segments()
        if not self.state.segment and segments:
            whole = self.root.read(layout.segment_file(segments[-1])).rstrip(b"\0")
            self.state = self.state._replace(segment=segments[-1], offset=len(whole))
        for first in reversed(segments):
            if first > self.state.segment:  # begun before anybody knew
                files.remove(self.root, layout.segment_file(first))
        path, offset = layout.segment_file(self.state.segment), self.state.offset
        info = self.root.stat(path)
        if info is not None:
            files.replace(self.root, path, self.root.read(path)[:offset], info.st_mode)
        self.syncing.appended(self.state.segment, self.state.offset)
        self.state = self.state._replace(poisoned=False)
        self.syncing.publish(self.state)

    def restart(self, end: Position) -> None:
        """The journal goes on at `end` otherwise than by appending: whoever knows it has to read it again."""
        self.state = Synced(end.segment, end.offset, self.state.failures + 1, False)
        self.syncing.publish(self.state)

    def _begin(self, end: Position) -> bool:
        """Know what is durable before the first append since the machine started; whether `end` was seen to be it."""
        claimed = (self.state.segment, self.state.offset) > (end.segment, end.offset)  # put back from a copy meanwhile
        if self.syncing.shares and (self.state == UNKNOWN or claimed):
            if end.segment:
                files.sync_data(self.journal.tip.descriptor(end.segment))  # somebody may have removed `sync.lock`
            self.state = Synced(end.segment, end.offset, self.state.failures + 1, False)
            self.syncing.publish(self.state)
        self._failures = self.state.failures
        if self.journal.is_full(end):
            self.syncing.appended(end.seq + 1, 0)  # nobody may go on in the old segment once the new one stands there
        known, self._is_seen = self._is_seen, False
        return known
