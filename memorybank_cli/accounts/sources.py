"""The ways to have an account's history, tried in turn: its files, the journal from the last seal on, all of it.

Files count where the journal recorded their digest; a history from the journal where the head rendered from it has
that digest. So a line that the journal lost, or a file that somebody changed, is never taken for a shorter history.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, NamedTuple

from memorybank_cli.accounts import replay
from memorybank_cli.accounts.history import History, Message
from memorybank_cli.accounts.shelf import FileShelf, Find, nowhere
from memorybank_cli.accounts.tiers import head, index_digest, render, sealed
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.framing import Line
from memorybank_cli.bank.layout import account_file, history_segment
from memorybank_cli.bank.rendering import Rendering
from memorybank_cli.base import digests
from memorybank_cli.base.errors import AccountDamaged
from memorybank_cli.base.exact_json import FlawedJSON, loads

RENDERED = "files.rendered"
TRIES = 3
WHOLE = "the journal holds every message"


class Base(NamedTuple):
    """What the line of a rendering remembers of the sealed part; see `History`."""

    line: int
    sealed: int
    digest: str
    created_at: str


class Record(NamedTuple):
    """What the journal says last of an account's head: its digest, in which line, and what it was made from."""

    sha: str
    seq: int
    after: int
    """The line from which on the journal is to be laid over the head."""
    base: Base | None
    rendered: bool
    """Whether it is a rendering of ours, so that its `seq` is a line of this journal."""
    proves: bool
    """Whether a history from the journal must give this very head: not where an older program rendered it."""


class Way(NamedTuple):
    """One way to have a history: what it begins with, the lines to be laid over it, and what proves it on the way."""

    history: History
    lines: Iterator[Line]
    proof: tuple[int, str] | None = None
    seals: bool = False
    """Whether what fills segments must be sealed on the way, because nobody can say how much it is."""
    unrecorded: bool = False
    """Whether segments stand in the index of which the journal may not tell."""
    why: str = "from the history's other files"
    """What is said of a file that was made again this way."""


def shown_by(bank: Bank, seq: int, account: str) -> int:
    """The line from which on the journal is to be laid over a head that line `seq` recorded."""
    core = _core(bank, seq)
    if core.get("txn", [""])[0]:  # fields of an act of several lines stand in its first one
        core = _core(bank, seq - int(core["txn"][1]))
    shown = core.get("shown")
    after = shown.get(account) if isinstance(shown, dict) else None
    return after if type(after) is int and 0 <= after < seq else seq


def record_of(bank: Bank, account: str) -> Record | None:
    """What the journal says of an account's head; None where it says nothing."""
    expected = bank.catalog.row(account_file(account, "whole_history")).expected
    if expected is None:
        return None
    core = _core(bank, expected.seq)
    after = expected.seq if core.get("op") == RENDERED else shown_by(bank, expected.seq, account)
    rendered = core.get("op") == RENDERED
    return Record(expected.sha, expected.seq, after, _base(core.get("base")), rendered, not rendered or "base" in core)


def _core(bank: Bank, seq: int) -> dict[str, Any]:
    line = next(bank.journal.lines(seq - 1), None)
    return line.core if line is not None and line.seq == seq else {}


def _base(value: Any) -> Base | None:
    if not isinstance(value, dict):
        return None
    parts: list[Any] = [value.get(name) for name in Base._fields]
    return Base(*parts) if [type(part) for part in parts] == [int, int, str, str] else None


def read_history(
    bank: Bank, account: str, upto: int | None = None, *, indexed: bool = False, find: Find = nowhere
) -> History:
    """An account's messages as of a journal line, by default the last one; the sealed ones are read when asked for.

    With `indexed` their index is read now. Raises AccountDamaged where they cannot be had whole.
    """
    for way in ways(bank, account, limit(bank, upto), find):
        try:
            for _ in followed(way, way.seals):
                pass
            if way.history.exists:
                _ = way.history.segments if indexed else None
                return way.history
        except AccountDamaged:
            continue
    raise replay.not_whole(account)


def renderings(bank: Bank, account: str, upto: int, find: Find = nowhere) -> Iterator[Rendering | dict[str, Any]]:
    """The account's files as of a line, of the sealed part what is new; last what the journal is to remember of it.

    Raises AccountDamaged, also after some were given: what was sealed is right then, but not all.
    """
    for way in ways(bank, account, upto, find):
        try:
            yield from followed(way, seals=True)
            if way.history.exists:
                if way.unrecorded:
                    yield from _unrecorded(bank, way.history)
                yield from render(way.history)
                yield {"base": _remembered(way.history)}
                return
        except AccountDamaged:
            continue
    raise replay.not_whole(account)


def rebuild_history(bank: Bank, account: str, upto: int | None = None) -> History | None:
    """An account's messages from the journal alone, None where it does not hold them all."""
    try:
        way = _from_journal(bank, account, limit(bank, upto))
        for _ in followed(way, seals=True):
            pass
    except AccountDamaged:
        return None
    return way.history


def history_from(bank: Bank, account: str, whole: bytes, seq: int, find: Find = nowhere) -> History | None:
    """An account's messages from a version of its whole_history.json, recorded in line `seq`, and what came later."""
    try:
        way = from_version(bank, account, whole, seq, bank.end.seq, find)
        for _ in followed(way, seals=False):
            pass
    except AccountDamaged:
        return None
    return way.history if way.history.exists else None


def from_version(bank: Bank, account: str, whole: bytes, seq: int, upto: int, find: Find) -> Way:
    """A version of the head that line `seq` recorded, and what came later. Raises AccountDamaged for what is none."""
    history = _parsed(FileShelf(bank, account, find), whole)
    try:
        history.created_at = _created_at(bank, account)
    except AccountDamaged:
        history.created_at = next(_times(history), "")
    record = record_of(bank, account)
    proof = (record.after, record.sha) if record is not None and record.rendered and seq < record.seq <= upto else None
    why = f"from the version of journal line {seq} and the messages recorded since"
    return Way(history, replay.lines_about(bank, account, seq, upto), proof, why=why)


def _times(history: History) -> Iterator[str]:
    return (str(message["timestamp"]) for message in history.messages)


def _unrecorded(bank: Bank, history: History) -> Iterator[Rendering]:
    """Segments that are sealed already, but not in the journal's words; the index is told of again, too."""
    for segment in history.segments:
        path = history_segment(history.account, segment.first)
        expected = bank.catalog.row(path).expected
        data = bank.root.content(path) if expected is None or expected.sha != segment.sha256 else None
        if data is not None and digests.of(data) == segment.sha256:
            history.index_changed = True
            yield Rendering(path, "history_segment", data)


def limit(bank: Bank, upto: int | None) -> int:
    """Never past what was read of the journal: behind it an append may stand that was not finished."""
    return bank.end.seq if upto is None else min(upto, bank.end.seq)


def _remembered(history: History) -> dict[str, Any] | None:
    if history.sealed_line is None:
        return None
    return Base(history.sealed_line, history.sealed, history.digest, history.created_at)._asdict()


def followed(way: Way, seals: bool) -> Iterator[Rendering]:
    """Lay the lines over the history; segments that become full on the way. Raises AccountDamaged for no proof."""
    history, proof = way.history, way.proof
    for line in way.lines:
        if proof is not None and line.seq > proof[0]:
            _prove(history, proof[1])
            proof = None
        if line.op == replay.RESTORED:
            raise replay.not_whole(history.account)
        replay.follow(history, line)
        if seals:
            yield from sealed(history)
    if proof is not None:
        _prove(history, proof[1])


def _prove(history: History, sha: str) -> None:
    index_digest(history)
    if digests.of(head(history).data) != sha:
        raise replay.not_whole(history.account)


# The ways


def ways(bank: Bank, account: str, upto: int, find: Find) -> Iterator[Way]:
    """The ways that can be tried, the cheapest first; `find` is asked for what is damaged of the sealed part."""
    makers: tuple[Callable[[], Way], ...] = (
        lambda: _from_files(bank, account, upto, find),
        lambda: _from_base(bank, account, upto, find),
        lambda: _from_journal(bank, account, upto),
        lambda: _from_newer_files(bank, account, upto, find),
    )
    for make in makers:
        try:
            yield make()
        except AccountDamaged:
            continue


def _from_files(bank: Bank, account: str, upto: int, find: Find) -> Way:
    """The files as they were recorded, and later lines. Tried again where another process is at work on them."""
    path = account_file(account, "whole_history")
    for _ in range(TRIES):
        record, data = record_of(bank, account), bank.root.content(path)
        if data is None and record is None:
            break
        if data is not None and (bank.is_empty if record is None else digests.of(data) == record.sha):
            history = _parsed(FileShelf(bank, account, find), data)
            if record is not None and upto < record.seq and not (record.rendered and history.seq <= upto):
                break
            history.created_at = record.base.created_at if record and record.base else _created_at(bank, account)
            if record and record.base:
                history.sealed_line = record.base.line
            return Way(history, _waiting(bank, account, record, upto))
        bank.refresh()
    raise replay.not_whole(account)


def _waiting(bank: Bank, account: str, record: Record | None, upto: int) -> Iterator[Line]:
    """The lines that the files do not tell of. The catalog knows where they begin, and that there are none."""
    since = bank.catalog.unrendered_since(account)
    if record is None:
        after = 0
    elif record.after < record.seq:
        after = record.after
    elif since is None:
        return iter(())
    else:
        after = max(record.after, since - 1)
    return replay.lines_about(bank, account, after, upto)


def _from_base(bank: Bank, account: str, upto: int, find: Find) -> Way:
    """The sealed segments, and the journal from the last sealed message on; proved by the recorded head."""
    record = record_of(bank, account)
    if record is None or record.base is None or upto < record.seq:
        raise replay.not_whole(account)
    base = record.base
    history = History(account, base.created_at if base.line else "", FileShelf(bank, account, find))
    if base.line:
        line = next(bank.journal.lines(base.line - 1), None)
        if line is None or line.seq != base.line:
            raise replay.not_whole(account)
        history.stand_on(base.sealed, base.digest, base.line)
        history.seq, history.last_update = line.seq, str(line.core["ts"])
        _ = history.segments
    else:
        history.sealed_line = 0
    why = "from the sealed segments and the journal" if base.line else WHOLE
    return Way(history, replay.lines_about(bank, account, base.line, upto), (record.after, record.sha), why=why)


def _from_journal(bank: Bank, account: str, upto: int) -> Way:
    """The journal from the account's beginning on; proved by the recorded head, where there is one."""
    record = record_of(bank, account)
    history = History(account, shelf=FileShelf(bank, account))
    history.sealed_line = 0
    lines = replay.whole(bank, account, upto)
    first = next(lines)
    proof = (record.after, record.sha) if record is not None and record.proves and record.seq <= upto else None
    return Way(history, chain((first,), lines), proof, seals=True, why=WHOLE)


def _from_newer_files(bank: Bank, account: str, upto: int, find: Find) -> Way:
    """Files whose rendering was not recorded any more: they must end with what the journal stored since."""
    record, data = record_of(bank, account), bank.root.content(account_file(account, "whole_history"))
    if record is None or data is None or upto < record.seq:
        raise replay.not_whole(account)
    history = _parsed(FileShelf(bank, account, find), data)
    since = [line.value for line in replay.lines_about(bank, account, record.after, history.seq) if line.data]
    kept = [{**one, "seq": history.total - len(since) + number} for number, one in enumerate(since, 1)]
    if not since or history.seq > upto or history.newest(len(since)) != kept:
        raise replay.not_whole(account)
    history.created_at = _created_at(bank, account)
    return Way(history, replay.lines_about(bank, account, history.seq, upto), unrecorded=True)


# Files


def _parsed(shelf: FileShelf, whole: bytes) -> History:
    """A history as a head tells it; its `created_at` is not there. Raises AccountDamaged for what is no head."""
    history = History(shelf.account, shelf=shelf)
    try:
        value = loads(whole)
        messages, digest = value["messages"], value["index"]
        if digest is not None:
            history.stand_on(int(value["total"]) - len(messages), str(digest), None)
        elif value["total"] != len(messages):
            raise ValueError("it names no index for the messages that it lacks")
        for message in messages:
            _take(history, message, renumber=digest is None)
        history.seq, history.last_update = int(value["seq"]), str(value["status"]["last_update"])
    except (FlawedJSON, KeyError, TypeError, ValueError, AttributeError):
        raise replay.not_whole(shelf.account) from None
    return history


def _take(history: History, message: Message, renumber: bool) -> None:
    """One message of a head. Before anything is sealed positions are only counted; later they are what was sealed."""
    if not isinstance(message["id"], str) or not isinstance(message["timestamp"], str):
        raise TypeError("a message has an id and a time")
    if not renumber and message["seq"] != history.total + 1:
        raise ValueError("the order is broken")
    history.add(message, 0, "", known_line=False)


def _created_at(bank: Bank, account: str) -> str:
    """When the account was made, by the files that say so and are what was recorded. Raises AccountDamaged."""
    for kind in ("account", "history_context"):
        path = account_file(account, kind)
        data, expected = bank.root.content(path), bank.catalog.row(path).expected
        if data is None or not (bank.is_empty if expected is None else digests.of(data) == expected.sha):
            continue
        try:
            return str(loads(data)["created_at"])
        except (FlawedJSON, KeyError, TypeError):
            continue
    raise replay.not_whole(account)
