"""A whole account read and held against itself: every segment, every position, every id, and both windows."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from memorybank_cli.accounts.history import History, Message
from memorybank_cli.accounts.identities import key_of
from memorybank_cli.accounts.identity_check import Tally, number_of
from memorybank_cli.accounts.shelf import FileShelf
from memorybank_cli.accounts.sources import read_history
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.layout import account_file, history_archive, history_segment
from memorybank_cli.base import digests
from memorybank_cli.base.errors import AccountDamaged
from memorybank_cli.base.exact_json import FlawedJSON, loads
from memorybank_cli.base.names import escape_text
from memorybank_cli.base.records import Finding

BROKEN, DOUBLED = "MB114", "MB208"
SHOWN = 5  # ids that stand twice are named up to this many
PARTS = 64  # keys are sorted a part at a time
_MOST = (1 << 64) - 1


class Audit:
    """One look at an account. Memory: a segment at a time, and 8 bytes for each message."""

    def __init__(self, bank: Bank, account: str) -> None:
        self.bank, self.account = bank, account
        self.messages = self.late = self.archived = 0
        self.tally = Tally()
        """Of the identities of all messages."""
        self.upto = 0
        """The journal line as of which all of it was read; 0 where that could not be had, or an id is doubled."""
        self._key, self._keys = key_of(bank), [array("Q") for _ in range(PARTS)]

    def findings(self) -> Iterator[Finding]:
        """What does not fit. What a check of the files tells of (their bytes, their shape) is not told again."""
        try:
            history = read_history(self.bank, self.account, indexed=True)
        except AccountDamaged as error:
            yield Finding(BROKEN, error.message, error.path, error.hint)
            return
        yield from self._sealed(history)
        self._count([one.message for one in history.open])
        if self.messages == history.total:
            doubled = list(self._doubled(history))
            self.upto = 0 if doubled else history.upto
            yield from doubled
        if self.bank.catalog.unrendered_since(self.account) is None:
            yield from self._windows(history)

    def _sealed(self, history: History) -> Iterator[Finding]:
        shelf, progress = FileShelf(self.bank, self.account), self.bank.context.progress
        progress.start("reading messages", history.total)
        for segment in history.segments:
            progress.advance(segment.length)
            plain, archive = history_segment(self.account, segment.first), history_archive(self.account, segment.first)
            data = shelf.data(segment)
            if data is None:
                path = plain if self.bank.root.stat(archive) is None else archive
                hint = f"memorybank repair {path}"
                yield Finding(BROKEN, "it is not the segment that the index lists", path, hint)
                continue
            self.archived += segment.length if self.bank.root.stat(plain) is None else 0
            self._count(loads(data)["messages"])
        progress.finish()

    def _count(self, messages: list[Message]) -> None:
        self.messages += len(messages)
        self.late += sum(one.get("late") is True for one in messages)
        numbers = [number_of(self._key, one["id"]) for one in messages]
        self.tally = self.tally.plus(numbers)
        for number in numbers:
            self._keys[number % PARTS].append(number & _MOST)

    def _doubled(self, history: History) -> Iterator[Finding]:
        """Ids that more than one message has. What has the same key is looked at again, so it is no guess."""
        same: set[int] = set()
        for part in self._keys:
            ordered = sorted(part)
            same.update(one for one, after in pairwise(ordered) if one == after)
        places: dict[str, list[int]] = {}
        for message in history.messages if same else ():
            if number_of(self._key, message["id"]) & _MOST in same:
                places.setdefault(str(message["id"]), []).append(message["seq"])
        doubled = [(name, seqs) for name, seqs in places.items() if len(seqs) > 1]
        for name, seqs in doubled[:SHOWN]:
            told = f"the id {escape_text(name)} is that of messages {', '.join(map(str, seqs[:SHOWN]))}"
            yield Finding(DOUBLED, told, account_file(self.account, "whole_history"))

    def _windows(self, history: History) -> Iterator[Finding]:
        short = history.capacity.short_term
        try:
            newest = history.newest(history.capacity.both)
        except AccountDamaged:
            return  # of which a segment told already
        for tier, wanted in (("short_term", newest[-short:]), ("mid_term", newest[:-short])):
            path = account_file(self.account, tier)
            data, expected = self.bank.root.content(path), self.bank.catalog.row(path).expected
            if data is None or (expected is not None and digests.of(data) != expected.sha):
                continue  # its own check says that
            found = _messages_in(data)
            if found is not None and found != wanted:
                message = f"it is not the window of {len(wanted):,} messages that the history gives"
                yield Finding(BROKEN, message, path, f"memorybank repair {path}")


def _messages_in(data: bytes) -> list[Any] | None:
    try:
        found = loads(data)["messages"]
    except (FlawedJSON, KeyError, TypeError):
        return None
    return found if isinstance(found, list) else None
