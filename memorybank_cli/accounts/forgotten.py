"""An account without what is to be forgotten: which lines of the journal tell of it, and its files made anew."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

from memorybank_cli.accounts import contexts, heads, past, replay
from memorybank_cli.accounts.replay import Edit
from memorybank_cli.accounts.sources import read_history
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.forgetting import Forgotten, Subject, needle
from memorybank_cli.bank.framing import Line
from memorybank_cli.bank.rendering import Rendering
from memorybank_cli.base.exact_json import dumps


class Held(NamedTuple):
    """What an account holds of messages that are named by their ids."""

    subject: Subject
    present: tuple[str, ...]
    """Those that are in its history now."""
    known: tuple[str, ...]
    """Those that are in its history or in the journal, or were forgotten before."""


def held(bank: Bank, account: str, ids: Collection[str]) -> Held:
    """Look for messages. Raises AccountDamaged where the account's history cannot be had whole."""
    names, wanted = _names(bank, account), frozenset(ids)
    positions = places(bank, account, wanted)
    first = min(positions.values(), default=0)
    quotes = [needle(one) for one in wanted]
    lines: set[int] = set()
    stored: set[str] = set()
    for line in _stored(bank, names):
        if replay.is_message(line) and line.core.get("record") in wanted:
            lines.add(line.seq)
            stored.add(str(line.core["record"]))
        elif replay.is_summary(line) and (
            (first and _last(line) >= first) or any(one.search(line.data or b"") for one in quotes)
        ):
            lines.add(line.seq)  # behind the first that goes the positions that it tells are others then
    before = Forgotten(bank)
    known = tuple(one for one in ids if one in positions or one in stored or before.knows(account, one))
    subject = Subject(account, names, tuple(dict.fromkeys(known)), frozenset(lines))
    return Held(subject, tuple(one for one in known if one in positions), known)


def places(bank: Bank, account: str, ids: Collection[str]) -> dict[str, int]:
    """The position at which each message stands in an account's history now, by its id. Raises AccountDamaged."""
    found: dict[str, int] = {}
    for one in read_history(bank, account).messages:
        if one["id"] in ids:
            found.setdefault(str(one["id"]), int(one["seq"]))
    return found


def whole(bank: Bank, account: str) -> Subject:
    """The account itself, with what it was called before."""
    return Subject(account, _names(bank, account))


def without(bank: Bank, subject: Subject, first: int) -> Iterator[Rendering]:
    """The account's files without the messages that go, of which the first one stands at position `first`.

    The lock is held. Raises AccountDamaged as `past.edited`.
    """
    for one in past.edited_once(bank, subject.account, edit_of(subject)):
        yield one._replace(data=_context(subject, first, one.data)) if one.kind == "history_context" else one


def edit_of(subject: Subject) -> Edit:
    """The edit of the account's history that leaves out what goes."""
    return Edit(frozenset(), subject.lines, frozenset(subject.records))


def _context(subject: Subject, first: int, data: bytes) -> bytes:
    """A context's file without the summaries that tell of what goes, or of positions that are others then."""
    state = contexts.parsed(data)
    kept = tuple(one for one in state.summaries if one["last"] < first)
    if len(kept) == len(state.summaries):
        return data
    created, _ = heads.described(data) or ("", None)
    return contexts.rendered(subject.account, created, state._replace(summaries=kept))


def _names(bank: Bank, account: str) -> dict[str, int]:
    """What an account was ever called, each with the last line that counts under that name."""
    course = replay.course_of(bank, account, bank.end.seq)
    return {account: bank.end.seq} if course is None else {**course.reach, account: bank.end.seq}


def _stored(bank: Bank, names: dict[str, int]) -> Iterator[Line]:
    """Every line that stored something in the account, also what was rolled back since."""
    for line in bank.journal.lines(0, tuple(b'"account":' + dumps(name) for name in names)):
        if line.op == replay.STORED and line.seq <= names.get(str(line.core.get("account")), 0):
            yield line


def _last(line: Line) -> int:
    """The position of the last message that a summary tells of, by its line."""
    span = line.core.get("span")
    return span[1] if isinstance(span, list) and len(span) == 2 and type(span[1]) is int else 1 << 60
