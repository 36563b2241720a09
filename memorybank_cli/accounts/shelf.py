"""The sealed part of an account's history as its files hold it, each proved by its digest before it is used.

The head names the digest of the index, the index those of the segments. What does not fit is had another way: an
index that is ahead of its head is cut back, a lost one is made again from the segments, a segment from the journal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, takewhile

from memorybank_cli.accounts import replay
from memorybank_cli.accounts.contexts import State
from memorybank_cli.accounts.history import Message
from memorybank_cli.accounts.segments import Segment, index_text, parse_index, parse_segment, seal
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.layout import (
    ARCHIVED_KIND,
    account_section,
    history_archive,
    history_first,
    history_index,
    history_segment,
)
from memorybank_cli.bank.rendering import Rendering
from memorybank_cli.base import digests
from memorybank_cli.base.errors import AccountDamaged
from memorybank_cli.base.exact_json import dumps, loads
from memorybank_cli.base.strict_json import HARD_SIZE

ARCHIVE_LEVEL = 3  # at 12 dialogues are 9 % smaller, and the bank's lock is held many times as long
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
        for candidate in self._candidates(data, count):
            if digests.of(index_text(self.account, candidate)) == digest:
                return candidate, False
        data = self.find(path, digest)
        if data is not None:
            return self._parsed(data, path), False
        raise replay.not_whole(self.account, path)

    def _candidates(self, data: bytes | None, count: int) -> Iterator[list[Segment]]:
        yield self._cut_back(data, count)
        yield self._read_anew(count)  # reads all of them

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
        for first in takewhile(lambda first: first <= count, sorted({first for first in firsts if first})):
            data = self.bank.root.content(history_segment(self.account, first)) or self.archived(first)
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

    def context(self, created_at: str, upto: int) -> State:
        """The account's context as its file shows it by the journal line `upto`."""
        from memorybank_cli.accounts.context_base import base_of

        return base_of(self.bank, self.account, created_at, upto, self.find)

    def data(self, segment: Segment) -> bytes | None:
        """The bytes of a segment's file, None where they are not what the index says."""
        # Looked for twice: between two looks it may have been given its other form.
        found = self._either(segment) or self._either(segment)
        return found or self.find(history_segment(self.account, segment.first), segment.sha256)

    def _either(self, segment: Segment) -> bytes | None:
        data = self.bank.root.content(history_segment(self.account, segment.first))
        if data is None or digests.of(data) != segment.sha256:
            data = self.archived(segment.first)
        return data if data is not None and digests.of(data) == segment.sha256 else None

    def stored(self, one: Rendering) -> Rendering:
        """A segment's file in the form in which the bank has it now: archived, where that is what stands there."""
        first = history_first(one.path) if one.kind == "history_segment" else None
        if first is None or self.archived(first) != one.data:
            return one
        path = history_archive(self.account, first)
        return Rendering(path, ARCHIVED_KIND, self.bank.root.content(path) or b"")

    def archived(self, first: int) -> bytes | None:
        """The bytes of the segment that begins at a position, from its archived form; None where there is none."""
        packed = self.bank.root.content(history_archive(self.account, first))
        return None if packed is None else unpacked(packed)

    def again(self, segment: Segment) -> bytes:
        """The bytes of a segment made again from the journal. Raises AccountDamaged."""
        return self._sealed(segment, self._again(segment))[1]

    def _again(self, segment: Segment) -> list[Message]:
        if not 0 < self._at <= segment.first:
            self._pass = replay.messages(self.bank, self.account, self.bank.end.seq)
        self._at = segment.last + 1
        part: list[Message] = []
        try:
            for one in self._pass:
                if one["seq"] > segment.last:
                    self._pass = chain((one,), self._pass)
                    break
                part += [one] if one["seq"] >= segment.first else []
        except AccountDamaged:
            part = []
        if len(part) == segment.length and self._sealed(segment, part)[0] == segment:
            return part
        raise replay.not_whole(self.account, history_segment(self.account, segment.first))

    def _sealed(self, segment: Segment, part: Sequence[Message]) -> tuple[Segment, bytes]:
        texts = [dumps(one) for one in part]
        return seal(self.account, texts, part[0], part[-1], segment.first, segment.gone)


def packed(data: bytes) -> bytes:
    """A segment's bytes as its archived form has them."""
    import zstandard

    # What it gives keeps room for the worst case; of a thousand segments that wait to be put in place that is much.
    return memoryview(zstandard.ZstdCompressor(ARCHIVE_LEVEL, write_checksum=True).compress(data)).tobytes()


def unpacked(data: bytes) -> bytes | None:
    """The bytes of a segment from its archived form, None where it is damaged."""
    import zstandard

    try:
        if zstandard.frame_content_size(data) > HARD_SIZE:
            return None
        return zstandard.ZstdDecompressor().decompress(data, max_output_size=HARD_SIZE)
    except zstandard.ZstdError:
        return None
