"""An account's messages as of one journal line: those that are not sealed, and what is known of the sealed ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from memorybank_cli.accounts.segments import LARGEST, MOST, Segment, full, seal
from memorybank_cli.base.exact_json import dumps

SHORT_TERM = 50
MID_TERM = 200
WINDOWS = SHORT_TERM + MID_TERM
_SEPARATOR = 6  # bytes between two messages of a file

Message = dict[str, Any]


class Open(NamedTuple):
    """One message that is not sealed: with its position, as JSON, and its journal line (0 where that is not known)."""

    message: Message
    text: bytes
    line: int

    @property
    def size(self) -> int:
        """Its part of a file."""
        return len(self.text) + _SEPARATOR


class Shelf(Protocol):
    """Where the sealed messages of one account are read."""

    def segments(self, digest: str, count: int) -> tuple[list[Segment], bool]:
        """The segments, of `count` messages in all, under an index of this digest, and whether its file is right.

        Raises AccountDamaged.
        """

    def forward(self, segments: Sequence[Segment]) -> Iterator[list[Message]]:
        """The messages of each segment; ascending is cheap also where files are damaged. Raises AccountDamaged."""


class History:
    """All messages of one account, oldest first, as of one journal line.

    `sealed` is how many messages are sealed, `digest` the digest of the index that lists them ('' for none), and
    `sealed_line` the journal line of the last of them: None where it is not known, 0 where none is sealed and the
    journal holds the account from its beginning.
    """

    def __init__(self, account: str, created_at: str = "", shelf: Shelf | None = None) -> None:
        self.account, self.created_at, self.shelf = account, created_at, shelf
        self.seq = 0
        self.last_update = created_at
        self.open: list[Open] = []
        self.size = 0
        self.sealed, self.digest = 0, ""
        self.sealed_line: int | None = None
        self.index_changed = False
        """Whether the index is to be written: segments were added, or its file is not what the head names."""
        self._segments: list[Segment] | None = []
        self._recent: list[Message] = []  # the newest sealed messages, as far as they were sealed here

    @property
    def exists(self) -> bool:
        """Whether the account was created."""
        return bool(self.created_at)

    @property
    def total(self) -> int:
        """How many messages there are."""
        return self.sealed + len(self.open)

    def stand_on(self, sealed: int, digest: str, line: int | None) -> None:
        """Begin after messages that are sealed already; the index is read when it is needed."""
        self.sealed, self.digest, self.sealed_line = sealed, digest, line
        self._segments = None if sealed else []

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
            self._recent = [*self._recent[-WINDOWS:], *(one.message for one in part)][-WINDOWS:]
            yield segment, data

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
        for part in self._read(self.segments) if self.sealed else ():
            yield from part
        for one in self.open:
            yield one.message

    def backwards(self) -> Iterator[Message]:
        """Every message, newest first, a segment in memory at a time. Raises AccountDamaged."""
        for one in reversed(self.open):
            yield one.message
        for segment in reversed(self.segments):
            for part in self._read([segment]):
                yield from reversed(part)
