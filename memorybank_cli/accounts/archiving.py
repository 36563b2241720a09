"""Which sealed segments of a history are archived: the oldest ones, by age or by how much may stay as plain JSON.

An archived segment is `history/<first>.json.zst`, the very bytes of its JSON compressed. The index lists it as before,
by the digest of those bytes, and whoever reads the history finds it either way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import NamedTuple

from memorybank_cli.accounts.history import History
from memorybank_cli.accounts.segments import Segment
from memorybank_cli.accounts.shelf import FileShelf, packed, unpacked
from memorybank_cli.accounts.sources import read_history
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.layout import ARCHIVED_KIND, account_of, history_archive, history_first, history_segment
from memorybank_cli.bank.rendering import Rendering
from memorybank_cli.base import digests
from memorybank_cli.base.errors import AccountDamaged


class Stood(NamedTuple):
    """One sealed segment and the bytes of its file as it stands."""

    segment: Segment
    bytes: int
    is_archived: bool


def stood(bank: Bank, history: History) -> list[Stood]:
    """The sealed segments, oldest first, with the sizes of their files; 0 for one that is gone. Reads none."""
    found = []
    for segment in history.segments:
        plain = bank.root.stat(history_segment(history.account, segment.first))
        archived = bank.root.stat(history_archive(history.account, segment.first))
        info = plain or archived
        found.append(Stood(segment, info.st_size if info else 0, plain is None and archived is not None))
    return found


def chosen(segments: Sequence[Stood], before: str | None, most: int | None) -> list[Stood]:
    """The plain segments to archive, a run from the oldest on.

    Those whose last message is older than `before` (a time as `base.clock` writes it), and as many more as it takes
    until plain ones of at most `most` bytes remain. None asks for nothing.
    """
    aged = len(list(takewhile(lambda one: before is not None and one.segment.last_time < before, segments)))
    rest = sum(one.bytes for one in segments if not one.is_archived)
    sized = 0
    for number, one in enumerate(segments, 1):
        if most is None or rest <= most:
            break
        rest, sized = rest - (0 if one.is_archived else one.bytes), number
    return [one for one in segments[: max(aged, sized)] if not one.is_archived]


def is_right(bank: Bank, path: str) -> bool:
    """Whether what stands at the path of an archived segment is one that its account's index lists, compressed."""
    account, first = account_of(path.partition("/")[0]), history_first(path)
    try:
        segments = read_history(bank, account, indexed=True).segments
    except AccountDamaged:
        return False
    data = unpacked(bank.root.content(path) or b"")
    return data is not None and any(one.first == first and one.sha256 == digests.of(data) for one in segments)


def archived(bank: Bank, account: str, segments: Sequence[Stood]) -> Iterator[tuple[Rendering, str]]:
    """The archived form of each segment, and the path whose place it takes. Raises AccountDamaged."""
    shelf = FileShelf(bank, account)
    for one in segments:
        data = shelf.data(one.segment) or shelf.again(one.segment)
        path = history_archive(account, one.segment.first)
        yield Rendering(path, ARCHIVED_KIND, packed(data)), history_segment(account, one.segment.first)


def plain(bank: Bank, account: str, segments: Sequence[Stood]) -> Iterator[tuple[Rendering, str]]:
    """The plain form of each segment, and the path whose place it takes. Raises AccountDamaged."""
    shelf = FileShelf(bank, account)
    for one in segments:
        data = shelf.data(one.segment) or shelf.again(one.segment)
        path = history_segment(account, one.segment.first)
        yield Rendering(path, "history_segment", data), history_archive(account, one.segment.first)
