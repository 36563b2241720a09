"""A whole account read and held against itself: every segment, every position, every id, and both windows."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

from memorybank_cli.accounts.history import History, Message
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


class Audit:
    """One look at an account. Memory: a segment at a time, and 8 bytes for each message."""

    def __init__(self, bank: Bank, account: str) -> None:
        self.bank, self.account = bank, account
        self.messages = self.late = self.archived = 0
        self._keys = array("Q")

    def findings(self) -> Iterator[Finding]:
        """What does not fit. What a check of the files tells of (their bytes, their shape) is not told again."""
        try:
            history = read_history(self.bank, self.account, indexed=True)
        except AccountDamaged as error:
            yield Finding(BROKEN, error.message, error.path, error.hint)
            return
        yield from self._sealed(history)
        for one in history.open:
            self._count(one.message)
        if self.messages == history.total:
            yield from self._doubled(history)
        if self.bank.catalog.unrendered_since(self.account) is None:
            yield from self._windows(history)

    def _sealed(self, history: History) -> Iterator[Finding]:
        shelf = FileShelf(self.bank, self.account)
        for segment in history.segments:
            plain, archive = history_segment(self.account, segment.first), history_archive(self.account, segment.first)
            data = shelf.data(segment)
            if data is None:
                path = plain if self.bank.root.stat(archive) is None else archive
                hint = f"memorybank repair {path}"
                yield Finding(BROKEN, "it is not the segment that the index lists", path, hint)
                continue
            self.archived += segment.length if self.bank.root.stat(plain) is None else 0
            for message in loads(data)["messages"]:
                self._count(message)

    def _count(self, message: Message) -> None:
        self.messages += 1
        self.late += message.get("late") is True
        self._keys.append(_key(message))

    def _doubled(self, history: History) -> Iterator[Finding]:
        """Ids that more than one message has. What has the same key is looked at again, so it is no guess."""
        ordered = sorted(self._keys)
        same = {one for one, next_one in zip(ordered, ordered[1:], strict=False) if one == next_one}
        places: dict[str, list[int]] = {}
        for message in history.messages if same else ():
            if _key(message) in same:
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


def _key(message: Message) -> int:
    return int.from_bytes(blake2b(str(message["id"]).encode(errors="surrogatepass"), digest_size=8).digest(), "big")


def _messages_in(data: bytes) -> list[Any] | None:
    try:
        found = loads(data)["messages"]
    except (FlawedJSON, KeyError, TypeError):
        return None
    return found if isinstance(found, list) else None
