"""An account without messages that are to be forgotten: which lines of the journal tell of them, and what stays.

Their positions stay empty, so only the segments that hold them are written again, however long the history is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from memorybank_cli.accounts import replay
from memorybank_cli.accounts.history import History, Message, weight
from memorybank_cli.accounts.segments import Segment, without
from memorybank_cli.accounts.shelf import FileShelf, packed
from memorybank_cli.accounts.sources import read_history, remembered
from memorybank_cli.accounts.tiers import index_digest, render
from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.forgetting import Forgotten, Subject, naming
from memorybank_cli.bank.framing import Line
from memorybank_cli.bank.rendering import Rendering
from memorybank_cli.base.exact_json import dumps, loads
from memorybank_cli.base.names import is_text

FEW = 200  # ids that are looked for as texts; of more each segment is parsed


class Held(NamedTuple):
    """What an account holds of messages that are named by their ids."""

    subject: Subject
    present: tuple[str, ...]
    """Those that are in its history now."""
    known: tuple[str, ...]
    """Those that are in its history or in the journal, or were forgotten before."""


def held(bank: Bank, account: str, ids: Collection[str]) -> Held:
    """Look for messages. Raises AccountDamaged where the account's history cannot be had whole."""
    names, wanted = _names(bank, account), frozenset(filter(is_text, ids))
    history = read_history(bank, account, indexed=True)
    present = {str(one.message["id"]) for one in history.open}
    for _, messages in _segments_with(bank, history, wanted):
        present.update(str(one["id"]) for one in messages)
    quotes = naming(wanted)
    lines: set[int] = set()
    stored: set[str] = set()
    for line in _stored(bank, names, wanted):
        if replay.is_summary(line):
            if quotes(line.data or b""):
                lines.add(line.seq)
        elif found := wanted & _ids_of(line):
            lines.add(line.seq)
            stored |= found
    before = Forgotten(bank)
    known = tuple(one for one in ids if one in present or one in stored or before.knows(account, one))
    subject = Subject(account, names, tuple(dict.fromkeys(known)), frozenset(lines))
    return Held(subject, tuple(one for one in known if one in present), known)


def _ids_of(line: Line) -> set[str]:
    """What a stored line calls its record, in both places: in a damaged one, left out of the chain, they may differ."""
    value = line.value
    return {str(line.core.get("record")), str(value.get("id")) if isinstance(value, dict) else ""}


def whole(bank: Bank, account: str) -> Subject:
    """The account itself, with what it was called before."""
    return Subject(account, _names(bank, account))


class Without:
    """An account's history without what goes; nothing is written. Raises AccountDamaged where it cannot be had."""

    def __init__(self, bank: Bank, subject: Subject) -> None:
        self.bank, self.subject = bank, subject
        self.history = read_history(bank, subject.account, indexed=True)
        self.sizes: dict[str, int] = {}
        """By id the sealed messages that go, with the part of a segment that each took."""
        self._ids = frozenset(subject.records)
        self._shelf = FileShelf(bank, subject.account)
        self._changed = {segment.first: segment for segment, _ in _segments_with(bank, self.history, self._ids)}
        self.changes = bool(self._changed) or any(map(self._goes, (one.message for one in self.history.open)))

    def _goes(self, message: Message) -> bool:
        return message["id"] in self._ids

    def fields(self) -> dict[str, Any]:
        """What the journal is to say of it: how large what goes was, and what a rendering would have it remember."""
        history, account, left = self.history, self.subject.account, {}
        newest = max((str(one.message["timestamp"]) for one in history.open if self._goes(one.message)), default="")
        for segment in self._changed.values():
            messages = _messages(self._shelf, segment)
            gone = [one for one in messages if self._goes(one)]
            newest = max(newest, *(str(one["timestamp"]) for one in gone))
            self.sizes.update((one["id"], weight(dumps(one))) for one in gone)
            kept = [one for one in messages if not self._goes(one)]
            left[segment.first] = [without(account, segment, kept)[0]] if kept else []
        latest = history.newest_time if history.total else ""
        history.leave_out(self._ids, [new for one in history.segments for new in left.get(one.first, [one])])
        if newest >= latest:  # else what comes now would be late
            history.note_time(max((one.last_time for one in history.segments), default=""))
        index_digest(history)
        self._forget_summaries()
        return {"sizes": self.sizes, "base": remembered(history), "newest_time": history.newest_time}

    def _forget_summaries(self) -> None:
        quotes, state = naming(self._ids), self.history.context
        kept = tuple(one for one in state.summaries if not quotes(dumps(one)))
        self.history.laid.settle(state._replace(summaries=kept))

    def files(self) -> Iterator[Rendering]:
        """The files that are to be written, after `fields`: changed segments in the form that they have, the others."""
        account = self.subject.account
        for segment in self._changed.values():
            kept = [one for one in _messages(self._shelf, segment) if not self._goes(one)]
            if not kept:
                continue
            data = without(account, segment, kept)[1]
            path = layout.history_segment(account, segment.first)
            if self.bank.root.stat(path) is None and self._shelf.archived(segment.first) is not None:
                archive = layout.history_archive(account, segment.first)
                yield Rendering(archive, layout.ARCHIVED_KIND, packed(data))
            else:
                yield Rendering(path, "history_segment", data)
        yield from render(self.history)

    def others(self) -> set[str]:
        """Files that stay as they are."""
        account = self.subject.account
        firsts = [one.first for one in self.history.segments if one.first not in self._changed]
        plain = {layout.history_segment(account, first) for first in firsts}
        return plain | {layout.history_archive(account, first) for first in firsts} | {layout.history_index(account)}


def _segments_with(bank: Bank, history: History, ids: Collection[str]) -> Iterator[tuple[Segment, list[Message]]]:
    """The sealed segments that hold one of these messages, each with its messages; the others are not parsed."""
    shelf = FileShelf(bank, history.account)
    texts = [dumps(one) for one in ids] if len(ids) <= FEW else []
    for segment in history.segments:
        data = shelf.data(segment)
        if texts and data is not None and b"\\u" not in data and not any(text in data for text in texts):
            continue
        messages = _messages(shelf, segment) if data is None else loads(data)["messages"]
        if any(one["id"] in ids for one in messages):
            yield segment, messages


def _messages(shelf: FileShelf, segment: Segment) -> list[Message]:
    (part,) = shelf.forward([segment])
    return part


def _names(bank: Bank, account: str) -> dict[str, int]:
    """What an account was ever called, each with the last line that counts under that name."""
    course = replay.course_of(bank, account, bank.end.seq)
    return {account: bank.end.seq} if course is None else {**course.reach, account: bank.end.seq}


def _stored(bank: Bank, names: dict[str, int], ids: Collection[str]) -> Iterator[Line]:
    """The lines that stored one of these messages in the account, or a summary; also what was rolled back since."""
    texts = tuple(map(dumps, ids)) if len(ids) <= FEW else (b'"kind":"message"',)
    for line in bank.journal.lines(0, (*texts, b'"kind":"summary"')):
        if line.op == replay.STORED and line.seq <= names.get(str(line.core.get("account")), 0):
            yield line
