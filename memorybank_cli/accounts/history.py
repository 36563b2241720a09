"""An account's messages as of one journal line: those that are not sealed, and what is known of the sealed ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple, Protocol

from memorybank_cli.accounts.contexts import NEVER, Laid, State
from memorybank_cli.accounts.segments import LARGEST, MOST, Segment, full, seal
from memorybank_cli.base.errors import AccountDamaged
from memorybank_cli.base.exact_json import dumps

SHORT_TERM = 50
MID_TERM = 200
MOST_SHORT_TERM, MOST_MID_TERM = 1_000, 10_000  # a window is written again with each rendering
_SEPARATOR = 6  # bytes between two messages of a file

Message = dict[str, Any]


class Capacity(NamedTuple):
    """How many messages the windows of an account hold."""

    short_term: int = SHORT_TERM
    mid_term: int = MID_TERM

    @property
    def both(self) -> int:
        """Messages in the two together."""
        return self.short_term + self.mid_term

    def sizes(self, total: int) -> tuple[int, int]:
        """How many messages short_term and mid_term hold of `total`."""
        short = min(total, self.short_term)
        return short, min(total - short, self.mid_term)

    def moved(self, before: int, after: int) -> int:
        """How many messages left short_term for mid_term while the total went from `before` to `after`."""
        return max(0, after - self.short_term) - max(0, before - self.short_term)


USUAL = Capacity()


def capacity_of(value: Any) -> Capacity | None:
    """Sizes of windows from `[short_term, mid_term]`, None for anything else."""
    fits = isinstance(value, list) and [type(one) for one in value] == [int, int] and min(value) >= 0 < value[0]
    return Capacity(*value) if fits else None


class Open(NamedTuple):
    """One message that is not sealed: with its position, as JSON, and its journal line (0 where that is not known)."""

    message: Message
    text: bytes
    line: int

    @property
    def size(self) -> int:
        """Its part of a file."""
        return len(self.text) + _SEPARATOR


def _newest_of(some: Sequence[Open]) -> str:
    return max((str(one.message["timestamp"]) for one in some), default="")


class Shelf(Protocol):
    """Where the sealed messages of one account are read."""

    def segments(self, digest: str, count: int) -> tuple[list[Segment], bool]:
        """The segments, of `count` messages in all, under an index of this digest, and whether its file is right.

        Raises AccountDamaged.
        """

    def forward(self, segments: Sequence[Segment]) -> Iterator[list[Message]]:
        """The messages of each segment; ascending is cheap also where files are damaged. Raises AccountDamaged."""

    def context(self, created_at: str, upto: int) -> State:
        """The account's context as its file shows it by the journal line `upto`."""


class History:
    """All messages of one account, oldest first, as of one journal line.

    `sealed` is how many messages are sealed, `digest` the digest of the index that lists them ('' for none), and
    `sealed_line` the journal line of the last of them: None where it is not known, 0 where none is sealed and the
    journal holds the account from its beginning.
    """

    def __init__(self, account: str, created_at: str = "", shelf: Shelf | None = None) -> None:
        self.account, self.created_at, self.shelf = account, created_at, shelf
        self.capacity = Capacity()
        self.failing = False
        """Whether messages were given up: the account was begun anew because nothing gave them any more."""
        self.seq = 0
        self.upto = 0
        """The journal line as of which it is; `seq` is the last one that changed its messages."""
        self.laid = Laid()
        self.last_update = created_at
        self.open: list[Open] = []
        self.size = 0
        self.sealed, self.digest = 0, ""
        self.sealed_line: int | None = None
        self.index_changed = False
        """Whether the index is to be written: segments were added, or its file is not what the head names."""
        self._segments: list[Segment] | None = []
        self._recent: list[Message] = []  # the newest sealed messages, as far as they were sealed here
        self._newest_time: str | None = ""  # of the sealed messages; None where it is not known yet

    @property
    def exists(self) -> bool:
        """Whether the account was created."""
        return bool(self.created_at)

    @property
    def total(self) -> int:
        """How many messages there are."""
        return self.sealed + len(self.open)

    @property
    def context(self) -> State:
        """Its summaries; read when they are asked for."""
        shelf = self.shelf
        return self.laid.state(lambda: NEVER if shelf is None else shelf.context(self.created_at, self.upto))

    @property
    def newest_time(self) -> str:
        """The latest time that a message has, '' where there is none.

        Where nobody noted it the sealed messages are read; of damaged ones the ends that the index names count.
        """
        if self._newest_time is None:
            self._newest_time = self._newest_sealed()
        return max(self._newest_time, _newest_of(self.open))

    def _newest_sealed(self) -> str:
        try:
            times = (str(message["timestamp"]) for part in self._read(self.segments) for message in part)
            return max(times, default="")
        except AccountDamaged:  # a mark on a late message is worth less than the message
            return max((one.last_time for one in self._segments or ()), default="")

    def stand_on(self, sealed: int, digest: str, line: int | None) -> None:
        """Begin after messages that are sealed already; the index is read when it is needed."""
        self.sealed, self.digest, self.sealed_line = sealed, digest, line
        self._segments, self._newest_time = (None, None) if sealed else ([], "")

    def describe(self, created_at: str, capacity: Capacity) -> None:
        """Take over what is known of the account beside its messages."""
        self.created_at, self.capacity = created_at, capacity

    def note_time(self, newest: str | None) -> None:
        """Take over the latest time that a message has so far; None where nobody noted it."""
        if newest is not None:
            self._newest_time = newest

    def configure(self, capacity: Capacity, seq: int, moment: str) -> None:
        """Give the windows other sizes; `seq` and `moment` are those of the journal line that says so."""
        self.capacity, self.seq, self.last_update = capacity, seq, moment

    @property
    def segments(self) -> list[Segment]:
        """The sealed segments, oldest first. Raises AccountDamaged where the index cannot be had."""
        if self._segments is None:
            assert self.shelf is not None
            self._segments, right = self.shelf.segments(self.digest, self.sealed)
            self.index_changed = not right
        return self._segments

    def add(self, record: Message, seq: int, moment: str, known_line: bool = True) -> None:
        """Take one stored record over; `seq` and `moment` are those of its journal line."""
        message = {**record, "seq": self.total + 1}
        one = Open(message, dumps(message), seq if known_line else 0)
        self.open.append(one)
        self.size += one.size
        self.seq, self.last_update = seq, moment

    def take_full(self) -> Iterator[tuple[Segment, bytes]]:
        """Seal what fills segments: each with its file's bytes. Raises AccountDamaged."""
        while len(self.open) >= MOST or self.size >= LARGEST:
            part = self.open[: full(one.size for one in self.open)]
            segment, data = seal(self.account, [one.message for one in part], [one.text for one in part])
            self.segments.append(segment)
            self.index_changed = True
            del self.open[: len(part)]
            self.size -= sum(one.size for one in part)
            self.sealed, self.sealed_line = segment.last, part[-1].line or None
            self._note_times(part)
            both = self.capacity.both
            self._recent = [*self._recent[-both:], *(one.message for one in part)][-both:]
            yield segment, data

    def _note_times(self, part: Sequence[Open]) -> None:
        if self._newest_time is not None:
            self._newest_time = max(self._newest_time, _newest_of(part))

    def newest(self, count: int) -> list[Message]:
        """The newest messages, oldest first. Raises AccountDamaged."""
        found = [one.message for one in self.open[-count:]] if count else []
        if len(found) < count:
            found = [*self._recent[len(found) - count :], *found]
        if len(found) < min(count, self.total):
            return self._newest_read(count)
        return found

    def _newest_read(self, count: int) -> list[Message]:
        needed: list[Segment] = []
        for segment in reversed(self.segments):
            if self.total - segment.last >= count:
                break
            needed.append(segment)
        parts = self._read(needed[::-1])
        sealed = [message for part in parts for message in part]
        return [*sealed, *(one.message for one in self.open)][-count:]

    def _read(self, segments: Sequence[Segment]) -> Iterator[list[Message]]:
        assert self.shelf is not None
        return self.shelf.forward(segments)

    @property
    def messages(self) -> Iterator[Message]:
        """Every message, oldest first, a segment in memory at a time. Raises AccountDamaged."""
        return self.after(0)

    def after(self, position: int) -> Iterator[Message]:
        """The messages after a position, oldest first, a segment in memory at a time. Raises AccountDamaged."""
        return self.stretch(position + 1, self.total)

    def stretch(self, first: int, last: int) -> Iterator[Message]:
        """The messages from position `first` to `last`, a segment in memory at a time. Raises AccountDamaged."""
        within = [one for one in self.segments if one.first <= last and one.last >= first] if self.sealed else []
        parts = chain(self._read(within) if within else (), [[one.message for one in self.open]])
        return (one for part in parts for one in part if first <= one["seq"] <= last)

    def backwards(self) -> Iterator[Message]:
        """Every message, newest first, a segment in memory at a time. Raises AccountDamaged."""
        for one in reversed(self.open):
            yield one.message
        for segment in reversed(self.segments):
            for part in self._read([segment]):
                yield from reversed(part)
