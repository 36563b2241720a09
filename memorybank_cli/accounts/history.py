"""An account's messages as of one journal line: those that are not sealed, and what is known of the sealed ones."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple, Protocol

from memorybank_cli.accounts.contexts import NEVER, Laid, State
from memorybank_cli.accounts.segments import LARGEST, MOST, Segment, full, seal
from memorybank_cli.bank.following import time_of
from memorybank_cli.base.errors import AccountDamaged
from memorybank_cli.base.exact_json import dumps, loads

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


class Open:
    """One message by its JSON, with its position in it, and by its journal line (0 where that is not known)."""

    __slots__ = ("_message", "line", "text")

    def __init__(self, text: bytes, line: int = 0) -> None:
        self.text, self.line = text, line
        self._message: Message | None = None

    @property
    def message(self) -> Message:
        """The message; most are only passed on, and never looked at."""
        if self._message is None:
            self._message = loads(self.text)
        return self._message

    @property
    def size(self) -> int:
        """Its part of a file."""
        return weight(self.text)

    @property
    def position(self) -> int:
        """Its position: the last member."""
        return int(self.text[self.text.rindex(b":") + 1 : -1])


def weight(text: bytes) -> int:
    """Which part of a file a message takes, by its JSON with its position."""
    return len(text) + _SEPARATOR


class _Gone(NamedTuple):
    """The place of a message that was sealed when it was forgotten: segments are cut as if it still stood there."""

    position: int
    size: int
    line: int
    forgotten: int
    """The line that told to forget it."""


def _newest_of(some: Sequence[Open]) -> str:
    return max((time_of(one.text) for one in some), default="")


def _placed(record: bytes, position: int) -> bytes:
    """The JSON of a record with its position as the last member."""
    if b'"seq":' in record:  # a quote inside of a text is escaped, so this is a member
        return dumps({**{name: one for name, one in loads(record).items() if name != "seq"}, "seq": position})
    return b'%s,"seq":%d}' % (record[:-1], position)


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

    Positions are never given twice. `last` is that of the newest message, and `gone` of them were forgotten, so there
    are `last - gone` messages. `sealed` is the position up to which they are sealed (`gone_sealed` of them forgotten),
    `digest` the digest of the index that lists them ('' for none), and `sealed_line` the journal line of the last of
    them: None where it is not known, 0 where none is sealed and the journal holds the account from its beginning.
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
        self.last = self.gone = 0
        self.sealed, self.gone_sealed, self.digest = 0, 0, ""
        self._held: list[_Gone] = []
        self.sealed_line: int | None = None
        self.index_changed = False
        """Whether the index is to be written: segments were added, or its file is not what the head names."""
        self._segments: list[Segment] | None = []
        self._recent: list[Open] = []  # the newest sealed messages, as far as they were sealed here
        self._newest_time: str | None = ""  # of the sealed messages; None where it is not known yet
        self._open_time, self._timed = "", 0  # of the first so many that are not sealed, and maybe of earlier ones

    @property
    def exists(self) -> bool:
        """Whether the account was created."""
        return bool(self.created_at)

    @property
    def total(self) -> int:
        """How many messages there are."""
        return self.last - self.gone

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
        self._open_time = max(self._open_time, _newest_of(self.open[self._timed :]))
        self._timed = len(self.open)
        return max(self._newest_time, self._open_time)

    def _newest_sealed(self) -> str:
        try:
            times = (str(message["timestamp"]) for part in self._read(self.segments) for message in part)
            return max(times, default="")
        except AccountDamaged:  # a mark on a late message is worth less than the message
            return max((one.last_time for one in self._segments or ()), default="")

    def stand_on(self, sealed: int, digest: str, line: int | None, gone: int = 0) -> None:
        """Begin after messages that are sealed already, `gone` of them forgotten; the index is read when needed."""
        self.sealed, self.digest, self.sealed_line = sealed, digest, line
        self.last, self.gone, self.gone_sealed = sealed, gone, gone
        self._segments, self._newest_time = (None, None) if digest else ([], "")

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

    def add(self, record: bytes, seq: int, moment: str, known_line: bool = True) -> None:
        """Take one stored record over, by its JSON; `seq` and `moment` are those of its journal line."""
        self.last += 1
        one = Open(_placed(record, self.last), seq if known_line else 0)
        self.open.append(one)
        self.size += one.size
        self.seq, self.last_update = seq, moment

    def add_again(self, message: Message, seq: int, moment: str, known_line: bool = False) -> None:
        """`add` for a message as a history has it: the position that it had there is left behind."""
        self.add(dumps({name: one for name, one in message.items() if name != "seq"}), seq, moment, known_line)

    def skip(self, size: int, forgotten: int, seq: int, moment: str) -> None:
        """Pass the position of a message that line `forgotten` told to forget; `size` is 0 unless it was sealed."""
        self.pass_over(1)
        if size:
            self._held.append(_Gone(self.last, size, seq, forgotten))
            self.size += size
        self.seq, self.last_update = seq, moment

    def put_back(self, seq: int) -> None:
        """The files were made anew by a line: of what was forgotten before it no place counts that was not sealed."""
        left = [one for one in self._held if one.forgotten > seq]
        self.size -= sum(one.size for one in self._held) - sum(one.size for one in left)
        self._held = left

    def pass_over(self, count: int) -> None:
        """Leave so many positions empty."""
        self.last += count
        self.gone += count

    def leave_out(self, ids: Collection[str], segments: list[Segment]) -> None:
        """Have messages be gone; their positions stay empty. `segments` are the sealed ones without them.

        Raises AccountDamaged.
        """
        both = self.capacity.both
        newest = [one for one in self.newest_open(both + len(ids)) if one.message["id"] not in ids]
        kept = [one for one in self.open if one.message["id"] not in ids]
        sealed = sum(one.length for one in self.segments) - sum(one.length for one in segments)
        self._recent = newest[: max(0, len(newest) - len(kept))][-both:]
        self.gone += sealed + len(self.open) - len(kept)
        self.gone_sealed += sealed
        self.open, self.size = kept, sum(one.size for one in kept)
        self._open_time, self._timed = "", 0
        self._segments, self.index_changed = segments, self.index_changed or sealed > 0

    def rename(self, account: str, segments: list[Segment]) -> None:
        """Have it be another account's; `segments` are the sealed ones under that name. Raises AccountDamaged."""
        self.leave_out((), segments)
        self.account, self.index_changed = account, bool(segments)

    @property
    def is_full(self) -> bool:
        """Whether there is a segment to be sealed."""
        return len(self.open) + len(self._held) >= MOST or self.size >= LARGEST

    def take_full(self) -> Iterator[tuple[Segment, bytes]]:
        """Seal what fills segments: each with its file's bytes. Raises AccountDamaged."""
        while self.is_full:
            part, end = self._first_part()
            begin, gone = self.sealed + 1, end.position - self.sealed - len(part)
            segments = self.segments  # read as of what was sealed before
            del self.open[: len(part)]
            self._timed = max(0, self._timed - len(part))
            self.size -= sum(one.size for one in part)
            self.sealed, self.sealed_line = end.position, end.line or None
            self.gone_sealed += gone
            if not part:
                continue
            texts = [one.text for one in part]
            segment, data = seal(self.account, texts, part[0].message, part[-1].message, begin, gone)
            segments.append(segment)
            self.index_changed = True
            self._note_times(part)
            both = self.capacity.both
            self._recent = [*self._recent[-both:], *part][-both:]
            yield segment, data

    def _first_part(self) -> tuple[list[Open], Open | _Gone]:
        """What the first segment takes of the messages that are not sealed, and the last of it."""
        if not self._held:
            part = self.open[: full(one.size for one in self.open)]
            return part, part[-1]
        places: list[Open | _Gone] = sorted([*self.open, *self._held], key=lambda one: one.position)
        places = places[: full(one.size for one in places)]
        held = [one for one in places if isinstance(one, _Gone)]
        del self._held[: len(held)]
        self.size -= sum(one.size for one in held)
        return [one for one in places if isinstance(one, Open)], places[-1]

    def _note_times(self, part: Sequence[Open]) -> None:
        if self._newest_time is not None:
            self._newest_time = max(self._newest_time, _newest_of(part))

    def newest(self, count: int) -> list[Message]:
        """The newest messages, oldest first. Raises AccountDamaged."""
        return [one.message for one in self.newest_open(count)]

    def newest_open(self, count: int) -> list[Open]:
        """`newest`, by their JSON."""
        found = self.open[-count:] if count else []
        if len(found) < count:
            found = [*self._recent[len(found) - count :], *found]
        if len(found) < min(count, self.total):
            return self._newest_read(count)
        return found

    def _newest_read(self, count: int) -> list[Open]:
        parts = self._read(self._holding(count)[0])
        sealed = [Open(dumps(message)) for part in parts for message in part]
        return [*sealed, *self.open][-count:]

    def _holding(self, count: int) -> tuple[list[Segment], int]:
        """The segments that it takes to have the newest messages, and how many these and the open ones hold."""
        needed: list[Segment] = []
        held = len(self.open)
        for segment in reversed(self.segments):
            if held >= count:
                break
            needed.append(segment)
            held += segment.length
        return needed[::-1], held

    def latest(self, count: int) -> Iterator[Message]:
        """The newest messages, oldest first, a segment in memory at a time. Raises AccountDamaged."""
        segments, held = self._holding(count)
        parts = chain(self._read(segments), [[one.message for one in self.open]])
        return islice(chain.from_iterable(parts), max(0, held - count), None)

    def _read(self, segments: Sequence[Segment]) -> Iterator[list[Message]]:
        assert self.shelf is not None
        return self.shelf.forward(segments)

    @property
    def messages(self) -> Iterator[Message]:
        """Every message, oldest first, a segment in memory at a time. Raises AccountDamaged."""
        return self.after(0)

    def after(self, position: int) -> Iterator[Message]:
        """The messages after a position, oldest first, a segment in memory at a time. Raises AccountDamaged."""
        return self.stretch(position + 1, self.last)

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
