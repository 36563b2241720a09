"""An account as of an earlier line of the journal: its files, made again from the journal or a version of its head.

Nothing is held in memory but what one segment needs: who wants the files goes through them, and again to have them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import NamedTuple

from memorybank_cli.accounts import heads, replay
from memorybank_cli.accounts.history import History
from memorybank_cli.accounts.recorded import record_of, recorded_at
from memorybank_cli.accounts.replay import Edit
from memorybank_cli.accounts.segments import index_text
from memorybank_cli.accounts.shelf import FileShelf, Find, nowhere
from memorybank_cli.accounts.sources import WHOLE, Way, followed, read_history
from memorybank_cli.accounts.tiers import render, sealed
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.forgetting import Forgotten
from memorybank_cli.bank.framing import Line
from memorybank_cli.bank.layout import account_file, history_index, history_segment
from memorybank_cli.bank.rendering import Rendering
from memorybank_cli.base.errors import AccountDamaged

Make = Callable[[], Iterator[Rendering]]
"""Gives every file of an account, the head after the segments; each call goes through all of it again."""
Heads = Callable[[], Iterable[tuple[bytes, int]]]
"""Gives versions of an account's head, the newest first, each with the journal line as of which it is."""


class Past(NamedTuple):
    """One way to have an account's files as of a line; only going through it shows whether it leads there."""

    files: Make
    why: str


def existed(bank: Bank, account: str, seq: int) -> bool:
    """Whether the journal knows the account as of line `seq`."""
    if record_of(bank, account, seq) is not None:
        return True
    course = replay.course_of(bank, account, seq)
    lines = replay.lines_about(bank, course.names, 0, seq) if course else ()
    return course is not None and any(line.op == replay.CREATED and line in course for line in lines)


def ways(bank: Bank, account: str, seq: int, versions: Heads, find: Find) -> Iterator[Past]:
    """The ways to have the account's files as of line `seq`, the surest first.

    `find` gives the bytes that a path had under a digest. Each way raises AccountDamaged where it leads nowhere.
    """
    yield Past(lambda: _complete(_from_journal(bank, account, seq), bank, find), WHOLE)
    for data, shown in versions():
        yield Past(
            lambda data=data, shown=shown: _from_head(bank, account, seq, data, shown, find),  # type: ignore[misc]
            f"from the head as of line {shown}",
        )


def edited(bank: Bank, account: str, edit: Edit) -> Make:
    """The account's files as of now with single messages put back among the others, or taken out.

    Going through it raises AccountDamaged where neither the journal nor the files give the account as it is.
    """

    def from_journal() -> Iterator[Rendering]:
        for _ in followed(_from_journal(bank, account, bank.end.seq), seals=True):
            pass  # proves that the lines are all there
        yield from _complete(_from_journal(bank, account, bank.end.seq, edit), bank, nowhere)

    try:
        for _ in from_journal():
            pass
    except AccountDamaged:
        return lambda: _edited_files(bank, account, edit)
    return from_journal


def _edited_files(bank: Bank, account: str, edit: Edit) -> Iterator[Rendering]:
    """The same by the account's files, of whose messages the journal stored only the later ones."""
    course, history = replay.course_of(bank, account, bank.end.seq), read_history(bank, account, indexed=True)
    if course is None:
        raise replay.not_whole(account)
    stored = [line for line in replay.lines_about(bank, course.names, 0, bank.end.seq) if replay.is_message(line)]
    lines = [line.seq for line in stored if line in course]
    taken = [line for line in stored if line.seq in edit.taken]
    times = {line.seq: str(line.core["ts"]) for line in stored}
    first = history.total - len(lines)
    fresh = _like(history, bank, account, bank.end.seq)

    def merged() -> Iterator[Rendering]:
        position = 0
        for number, message in enumerate(history.messages):
            seq = lines[number - first] if number >= first else 0
            fresh.pass_over(message["seq"] - position - 1)
            position = message["seq"]
            while taken and taken[0].seq < seq:
                replay.follow(fresh, taken.pop(0))
                yield from sealed(fresh)
            if seq not in edit.dropped:
                moment = times.get(seq, history.last_update)
                fresh.add_again(message, seq or history.seq, moment, known_line=bool(seq))
                yield from sealed(fresh)
        fresh.pass_over(history.last - position)
        for line in taken:
            replay.follow(fresh, line)
            yield from sealed(fresh)

    yield from _complete(Way(fresh, iter(())), bank, nowhere, merged())


def _from_journal(bank: Bank, account: str, seq: int, edit: Edit | None = None) -> Way:
    record = record_of(bank, account, seq) if edit is None else None
    proof = (record.after, record.sha) if record is not None and record.proves else None
    gone = Forgotten(bank) if edit is None else None
    if gone is not None and gone.since(_names(bank, account, seq), seq):
        if gone.is_whole_since((account,), seq):
            raise replay.not_whole(account)
        replay.check_unbroken(bank, account, seq)
        proof = None  # the head had what was forgotten since
    history = History(account, shelf=FileShelf(bank, account))
    history.sealed_line = 0
    return Way(history, replay.whole(bank, account, seq, edit), proof, seals=True)


def _complete(way: Way, bank: Bank, find: Find, begun: Iterable[Rendering] = ()) -> Iterator[Rendering]:
    """Every file of the history that a way leads to; `begun` gives what is sealed before."""
    history, given = way.history, set()
    shelf = FileShelf(bank, history.account, find)
    for one in chain(begun, followed(way, seals=True), _finished(history)):
        given.add(one.path)
        yield shelf.stored(one)
    index = history_index(history.account)
    if history.segments and index not in given:
        yield Rendering(index, "history_index", index_text(history.account, history.segments))
    for segment in history.segments:
        path = history_segment(history.account, segment.first)
        if path not in given:
            yield shelf.stored(Rendering(path, "history_segment", shelf.data(segment) or shelf.again(segment)))


def _finished(history: History) -> Iterator[Rendering]:
    if not history.exists:
        raise replay.not_whole(history.account)
    yield from render(history)


def _from_head(bank: Bank, account: str, seq: int, data: bytes, shown: int, find: Find) -> Iterator[Rendering]:
    """A version of the head, with the lines that came between it and `seq` added or taken off."""
    gone = Forgotten(bank)
    between = list(replay.lines_about(bank, account, min(shown, seq), max(shown, seq)))
    if gone.is_whole_since((account,), shown) or any(line.op == replay.RESTORED for line in between):
        raise replay.not_whole(account)
    ids = gone.records_since((account,), shown)
    history = heads.parsed(FileShelf(bank, account, find), data)
    history.upto = seq
    _describe(bank, history, seq, find)
    if shown <= seq and not ids:
        yield from _complete(Way(history, iter(between)), bank, find)
        return
    later = between if shown <= seq else []
    beyond = [] if shown <= seq else [line for line in between if replay.is_message(line) or _record(line) in ids]
    count, last = history.total - len(beyond), None
    for line in replay.lines_about(bank, account, 0, min(shown, seq)):
        last = last if line.op == replay.RESTORED else line
    if count < 0:
        raise replay.not_whole(account)
    fresh = _like(history, bank, account, seq, find)

    def cut() -> Iterator[Rendering]:
        for message in islice(history.messages, count):
            fresh.pass_over(message["seq"] - fresh.last - 1)
            if message["id"] in ids:
                fresh.pass_over(1)
            else:
                fresh.add_again(message, 0, str(message["timestamp"]))
            yield from sealed(fresh)
        if last is not None:
            fresh.seq, fresh.last_update = last.seq, str(last.core["ts"])

    yield from _complete(Way(fresh, iter(later)), bank, find, cut())


def _record(line: Line) -> str:
    return str(line.core.get("record")) if line.op == replay.FORGOTTEN else ""


def _like(history: History, bank: Bank, account: str, seq: int, find: Find = nowhere) -> History:
    """An empty history of the same account, as of line `seq`."""
    fresh = History(account, history.created_at, FileShelf(bank, account, find))
    fresh.upto, fresh.capacity = seq, history.capacity
    return fresh


def _names(bank: Bank, account: str, seq: int) -> frozenset[str]:
    course = replay.course_of(bank, account, seq)
    return frozenset((account,)) if course is None else course.names


def _describe(bank: Bank, history: History, seq: int, find: Find) -> None:
    """Have a history know what the account's files said as of line `seq`; else what they say now, or its messages."""
    for kind in ("account", "history_context"):
        path = account_file(history.account, kind)
        sha, _ = recorded_at(bank, path, seq)
        data = None if sha is None else find(path, sha)
        if found := heads.described(data or b""):
            made, capacity = found
            history.describe(made, capacity or replay.configured(bank, history.account, seq))
            return
    try:
        heads.describe(bank, history)
    except AccountDamaged:
        history.created_at = next((str(message["timestamp"]) for message in history.messages), "")
