"""The sealed part of an account's history as its files hold it, each proved by its digest before it is used.

The head names the digest of the index, the index those of the segments. What does not fit is had another way: an
index that is ahead of its head is cut back, a lost one is made again from the segments, a segment from the journal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice, takewhile

from memorybank_cli.accounts import replay
from memorybank_cli.accounts.history import Message
from memorybank_cli.accounts.segments import Segment, index_text, parse_index, parse_segment, seal
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.layout import account_section, history_first, history_index, history_segment
from memorybank_cli.base import digests
from memorybank_cli.base.errors import AccountDamaged
from memorybank_cli.base.exact_json import dumps, loads

Find = Callable[[str, str], bytes | None]
"""Gives the bytes that a path had under a digest, from wherever they are kept; None where they are not."""


def nowhere(_path: str, _digest: str) -> bytes | None:
    """A `Find` that knows no other place."""
    return None


class FileShelf:
    """One account's `history/` directory. `find` is asked for what is damaged there."""

    def __init__(self, bank: Bank, account: str, find: Find = nowhere) -> None:
        self.bank, self.account, self.find = bank, account, find
        self._pass: Iterator[Message] = iter(())
        self._at = 0

    def segments(self, digest: str, count: int) -> tuple[list[Segment], bool]:
        """The segments under an index of this digest, and whether its file is right. Raises AccountDamaged."""
        path = history_index(self.account)
        data = self.bank.root.content(path)
        if data is not None and digests.of(data) == digest:
            return self._parsed(data, path), True
        for candidate in (self._cut_back(data, count), self._read_anew(count)):
            if digests.of(index_text(self.account, candidate)) == digest:
                return candidate, False
        data = self.find(path, digest)
        if data is not None:
            return self._parsed(data, path), False
        raise replay.not_whole(self.account, path)

    def _parsed(self, data: bytes, path: str) -> list[Segment]:
        try:
            return parse_index(data)
        except (ValueError, KeyError, TypeError):
            raise replay.not_whole(self.account, path) from None

    def _cut_back(self, data: bytes | None, count: int) -> list[Segment]:
        """The index without the segments that its head does not know yet."""
        try:
            return [one for one in parse_index(data or b"") if one.last <= count]
        except (ValueError, KeyError, TypeError):
            return []

    def _read_anew(self, count: int) -> list[Segment]:
        firsts = (history_first(f"{account_section(self.account)}/history/{name}") for name in self._names())
        found: list[Segment] = []
        for first in takewhile(lambda first: first <= count, sorted(first for first in firsts if first)):
            data = self.bank.root.content(history_segment(self.account, first))
            try:
                found.append(parse_segment(data or b"")[0])
            except ValueError:
                return []
        return found

    def _names(self) -> list[str]:
        return [entry.name for entry in self.bank.root.listing(f"{account_section(self.account)}/history")]

    def forward(self, segments: Sequence[Segment]) -> Iterator[list[Message]]:
        """The messages of each segment; ascending ones cost one pass over the journal, however many are damaged.

        Raises AccountDamaged.
        """
        for segment in segments:
            data = self.data(segment)
            yield self._again(segment) if data is None else loads(data)["messages"]

    def data(self, segment: Segment) -> bytes | None:
        """The bytes of a segment's file, None where they are not what the index says."""
        path = history_segment(self.account, segment.first)
        data = self.bank.root.content(path)
        return data if data is not None and digests.of(data) == segment.sha256 else self.find(path, segment.sha256)

    def again(self, segment: Segment) -> bytes:
        """The bytes of a segment made again from the journal. Raises AccountDamaged."""
        part = self._again(segment)
        return seal(self.account, part, [dumps(one) for one in part])[1]

    def _again(self, segment: Segment) -> list[Message]:
        if not 0 < self._at <= segment.first:
            self._pass, self._at = replay.messages(self.bank, self.account, self.bank.end.seq), 1
        skipped = segment.first - self._at
        self._at = segment.last + 1
        try:
            part = list(islice(self._pass, skipped, skipped + segment.length))
        except AccountDamaged:
            part = []
        if len(part) == segment.length and seal(self.account, part, [dumps(one) for one in part])[0] == segment:
            return part
        raise replay.not_whole(self.account, history_segment(self.account, segment.first))
