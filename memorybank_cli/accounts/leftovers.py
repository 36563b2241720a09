"""What can still be had of an account whose history cannot be had whole: the messages of whatever is left, in order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from memorybank_cli.accounts import heads, replay
from memorybank_cli.accounts.history import History, Message
from memorybank_cli.accounts.segments import parse_index, parse_segment
from memorybank_cli.accounts.shelf import FileShelf, Find
from memorybank_cli.accounts.tiers import render, sealed
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.layout import account_file, account_section, history_first, history_index, history_segment
from memorybank_cli.bank.rendering import Rendering
from memorybank_cli.base import clock, digests
from memorybank_cli.base.errors import AccountDamaged
from memorybank_cli.base.exact_json import FlawedJSON, loads

_MEMBERS = {"id": str, "role": str, "content": str, "timestamp": str, "metadata": dict, "seq": int}


class Begun(NamedTuple):
    """An account begun anew: its files, how many messages they hold, and how many it is known to have had."""

    files: list[Rendering]
    kept: int
    had: int
    whole: bool
    """Whether it is sure that nothing is lost: they are as many as the head says, and all from what was recorded."""


def begun_anew(bank: Bank, account: str, find: Find) -> Begun:
    """The account with every message that any file or journal line still gives, numbered anew.

    Unless it is sure that nothing is lost it is failing. All of them are held in memory. `find` gives what is damaged
    of the files by its recorded digest.
    """
    left = _Leftovers(bank, account, find)
    for recorded in (True, False):  # first what is surely right
        left.take_segments(recorded=recorded)
        left.take_tiers(recorded=recorded)
        if recorded:
            left.take_lines()
    history = History(account)
    history.upto = bank.end.seq
    try:
        heads.describe(bank, history)
    except AccountDamaged:
        history.describe(clock.now(), replay.configured(bank, account, bank.end.seq))
    files: list[Rendering] = []
    for message in left.in_order():
        history.add_again(message, bank.end.seq, clock.now())
        files += sealed(history)
    had = max(left.had - left.gone, history.total)
    whole = left.is_counted and left.is_sure and had == history.total
    history.seq, history.last_update, history.failing = bank.end.seq, clock.now(), not whole
    return Begun([*files, *render(history)], history.total, had, whole)


class _Leftovers:
    """Messages by id; each has a place: its position, or for lines alone that of the message stored before it."""

    def __init__(self, bank: Bank, account: str, find: Find) -> None:
        self.bank, self.account, self.find = bank, account, find
        self.had = self.gone = 0
        """The last position that there was, and how many of the positions were forgotten."""
        self.is_counted = False
        """Whether a head that was recorded says how many messages there are."""
        self.is_sure = True
        """Whether everything is from what was recorded: content that somebody or something changed may be wrong."""
        self._listed = _listed(bank, account)
        self._found: dict[str, Message] = {}
        self._places: dict[str, tuple[int, int]] = {}

    def in_order(self) -> list[Message]:
        """Every message once."""
        return sorted(self._found.values(), key=lambda one: self._places[one["id"]])

    def take_segments(self, *, recorded: bool) -> None:
        """The sealed segments that can be read, in whatever form they are had: as they were recorded, or otherwise."""
        directory = f"{account_section(self.account)}/history"
        names = {*self.bank.catalog.rows(directory), *(one.name for one in self.bank.root.listing(directory))}
        shelf = FileShelf(self.bank, self.account)
        for first in sorted({first for name in names if (first := history_first(f"{directory}/{name}"))}):
            path = history_segment(self.account, first)
            for data in self._forms(path, recorded, shelf.archived(first)):
                try:
                    listed, messages = parse_segment(data)
                except ValueError:
                    continue
                self.had = max(self.had, listed.last)
                self._take(messages, recorded)
                break

    def take_tiers(self, *, recorded: bool) -> None:
        """What the head and the windows hold."""
        for kind in ("whole_history", "mid_term", "short_term"):
            for data in self._forms(account_file(self.account, kind), recorded):
                value = _value(data)
                if isinstance(value, dict) and isinstance(value.get("messages"), list):
                    if type(value.get("total")) is int:
                        gone = value.get("forgotten", 0)
                        self.gone = max(self.gone, gone if type(gone) is int else 0)
                        self.had = max(self.had, value["total"] + self.gone)
                        self.is_counted = self.is_counted or recorded
                    self._take(value["messages"], recorded)
                    break

    def _forms(self, path: str, recorded: bool, *others: bytes | None) -> Iterator[bytes]:
        """The bytes of a file that are what was recorded, or those that are not."""
        expected = self._sha(path)
        for data in (self.bank.root.content(path), *others):
            if data is not None and (digests.of(data) == expected) == recorded:
                yield data
        found = self.find(path, expected) if recorded and expected else None
        if found is not None:
            yield found

    def _sha(self, path: str) -> str:
        """The digest that was recorded of a file; of an archived segment that of its plain form is in the index."""
        expected = self.bank.catalog.row(path).expected
        return expected.sha if expected is not None else self._listed.get(path, "")

    def take_lines(self) -> None:
        """What the journal stored: each line beside the messages that it was stored with."""
        after, number = 0, 0
        for line in self._lines():
            number += 1
            value = line.value
            if not isinstance(value, dict) or not _is_message({**value, "seq": 0}):
                continue
            if value["id"] not in self._found:
                self._found[value["id"]] = value
                self._places[value["id"]] = (after, line.seq)
            after = self._places[value["id"]][0]
        self.had = max(self.had, number)

    def _lines(self) -> Iterator[Any]:
        """The lines of messages that count: where a restore led away from them, only those after it."""
        upto = self.bank.end.seq
        course, since = replay.course_of(self.bank, self.account, upto), 0
        names = (self.account,) if course is None else course.names
        lines = [
            line
            for line in replay.lines_about(self.bank, names, 0, upto)
            if line.op == replay.RESTORED or replay.is_message(line)
        ]
        if course is None:
            since = max((line.seq for line in lines if line.op == replay.RESTORED), default=0)
        return (
            line
            for line in lines
            if line.op != replay.RESTORED and line.seq > since and (course is None or line in course)
        )

    def _take(self, messages: list[Any], recorded: bool) -> None:
        for one in filter(_is_message, messages):
            self.had = max(self.had, one["seq"])
            if one["id"] not in self._found:
                self._found[one["id"]], self._places[one["id"]] = one, (one["seq"], 0)
                self.is_sure = self.is_sure and recorded


def _listed(bank: Bank, account: str) -> dict[str, str]:
    """The digests that the index gives of segments, where it is what was recorded."""
    data, expected = bank.root.content(history_index(account)), bank.catalog.row(history_index(account)).expected
    if data is None or expected is None or digests.of(data) != expected.sha:
        return {}
    try:
        return {history_segment(account, one.first): one.sha256 for one in parse_index(data)}
    except (ValueError, KeyError, TypeError):
        return {}


def _value(data: bytes | None) -> Any:
    try:
        return loads(data or b"")
    except FlawedJSON:
        return None


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and all(type(value.get(name)) is kind for name, kind in _MEMBERS.items())
