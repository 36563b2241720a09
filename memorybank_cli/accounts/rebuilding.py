"""Damaged files of an account made again, as they were recorded: from its other files, the journal, an older head."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from memorybank_cli.accounts.recorded import record_of
from memorybank_cli.accounts.segments import index_text
from memorybank_cli.accounts.shelf import FileShelf, Find, packed
from memorybank_cli.accounts.sources import Way, followed, from_version, ways
from memorybank_cli.accounts.tiers import render
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.layout import account_file, history_archive, history_index, history_segment
from memorybank_cli.bank.rendering import Rendering
from memorybank_cli.base import digests
from memorybank_cli.base.errors import AccountDamaged

Heads = Callable[[], Iterable[tuple[bytes, int]]]
"""Gives versions of whole_history.json, each with the line from which on the journal is to be laid over it."""


class Rebuilt(NamedTuple):
    """Files of one account by path, why it is these bytes, and the journal line as of which they are."""

    files: dict[str, bytes]
    why: str
    after: int
    proved: bool = True
    """Whether they are what was recorded; else the journal lost messages that no file holds."""


def rebuild(bank: Bank, account: str, wanted: set[str], heads: Heads, find: Find) -> Rebuilt:
    """As many of the wanted files as can be had, in one pass; what is not recorded yet is left to the next rendering.

    A head comes with the segments and the index that it names, where those are not what was recorded.
    `heads` gives older heads, newest first; `find` gives what is damaged of the sealed part, by digest.
    """
    record = record_of(bank, account)
    upto = bank.end.seq if record is None else record.holds_from
    after = upto if record is None else record.after
    for proved in (True, False):
        for way in chain(ways(bank, account, upto, find), _from_versions(bank, account, heads, upto, find)):
            try:
                tried = way if proved else way._replace(proof=None)
                return Rebuilt(_files(bank, tried, wanted, find), way.why, after, proved)
            except AccountDamaged:
                continue
    return Rebuilt({}, "", after)


def _from_versions(bank: Bank, account: str, heads: Heads, upto: int, find: Find) -> Iterator[Way]:
    for data, seq in heads():
        if seq > upto:
            continue  # of a line that is not believed
        try:
            yield from_version(bank, account, data, seq, upto, find)
        except AccountDamaged:
            continue


def _files(bank: Bank, way: Way, wanted: set[str], find: Find) -> dict[str, bytes]:
    history = way.history
    with_sealed = account_file(history.account, "whole_history") in wanted

    def is_wanted(one: Rendering) -> bool:
        if one.path in wanted or not (with_sealed and one.kind in ("history_segment", "history_index")):
            return one.path in wanted
        expected = bank.catalog.row(one.path).expected
        return expected is None or expected.sha != digests.of(one.data)

    files = {one.path: one.data for one in chain(followed(way, seals=True), render(history)) if is_wanted(one)}
    index = history_index(history.account)
    if index in wanted and history.segments:
        files[index] = index_text(history.account, history.segments)
    shelf = FileShelf(bank, history.account, find)
    for segment in history.segments if any("/history/" in path for path in wanted) else ():
        path, archive = history_segment(history.account, segment.first), history_archive(history.account, segment.first)
        try:
            if path in wanted and path not in files:
                files[path] = shelf.again(segment)
            if archive in wanted:
                files[archive] = packed(files.get(path) or shelf.data(segment) or shelf.again(segment))
        except AccountDamaged:
            continue  # the others can be had all the same
    return files
