"""The ways to have an account's history, tried in turn: its files, the journal from the last seal on, all of it.

Files count where the journal recorded their digest; a history from the journal where the head rendered from it has
that digest. So a line that the journal lost, or a file that somebody changed, is never taken for a shorter history.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from itertools import chain
from typing import Any, NamedTuple

from memorybank_cli.accounts import heads, replay
from memorybank_cli.accounts.history import History
from memorybank_cli.accounts.outliving import goes_on_from, known_before, outliving
from memorybank_cli.accounts.recorded import Base, Record, record_of
from memorybank_cli.accounts.shelf import FileShelf, Find, nowhere
from memorybank_cli.accounts.tiers import head, index_digest, render, sealed
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.forgetting import Forgotten
from memorybank_cli.bank.framing import Line
from memorybank_cli.bank.layout import account_file, history_segment
from memorybank_cli.bank.rendering import Rendering
from memorybank_cli.base import digests
from memorybank_cli.base.errors import AccountDamaged

TRIES = 3
WHOLE = "the journal holds every message"


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


def read_history(bank: Bank, account: str, *, indexed: bool = False) -> History:
    """An account's messages as of now; the sealed ones are read when they are asked for.

    Never past what was read of the journal: behind that an append may stand that was not finished. With `indexed`
    the index of the sealed ones is read now. Raises AccountDamaged where they cannot be had whole.
    """
    return current(bank, account, indexed).history


def current(bank: Bank, account: str, indexed: bool = False) -> Way:
    """The way by which `read_history` has an account's messages, gone to its end. Raises AccountDamaged."""
    for way in ways(bank, account, bank.end.seq):
        try:
            for _ in followed(way, way.seals):
                pass
            if way.history.exists:
                _ = way.history.segments if indexed else None
                return way
        except AccountDamaged:
            continue
    raise replay.not_whole(account)


def renderings(bank: Bank, account: str, upto: int) -> Generator[Rendering | dict[str, Any], None, History]:
    """The account's files as of a line, of the sealed part what is new; last what the journal is to remember of it.

    Returns the history that they show.

    Raises AccountDamaged, also after some were given: what was sealed is right then, but not all.
    """
    for way in ways(bank, account, upto):
        try:
            yield from followed(way, seals=True)
            if way.history.exists:
                if way.unrecorded:
                    yield from _unrecorded(bank, way.history)
                yield from rendering(way.history)
                return way.history
        except AccountDamaged:
            continue
    raise replay.not_whole(account)


def rendering(history: History) -> Iterator[Rendering | dict[str, Any]]:
    """`renderings` of a history that is in memory whole."""
    yield from render(history)
    yield {"base": remembered(history), "newest_time": history.newest_time}


def from_version(bank: Bank, account: str, whole: bytes, seq: int, upto: int, find: Find) -> Way:
    """A version of the head that line `seq` recorded, and what came later.

    Raises AccountDamaged for what is none, and for one that has what was forgotten since.
    """
    if Forgotten(bank).since((account,), seq):
        raise replay.not_whole(account)
    history = heads.parsed(FileShelf(bank, account, find), whole)
    history.upto = upto
    try:
        heads.describe(bank, history)
    except AccountDamaged:
        history.created_at = next(_times(history), "")
    record = record_of(bank, account)
    proof = (
        (record.after, record.sha) if record is not None and record.rendered and seq < record.after <= upto else None
    )
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


def remembered(history: History) -> dict[str, Any] | None:
    """What the line of a rendering is to remember of the sealed part; None where its last line is not known."""
    if history.sealed_line is None:
        return None
    known = history.created_at, history.capacity, history.failing, history.gone_sealed
    return Base(history.sealed_line, history.sealed, history.digest, *known).as_dict()


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
        if seals and history.is_full:
            yield from sealed(history)
    if proof is not None:
        _prove(history, proof[1])


def _prove(history: History, sha: str) -> None:
    index_digest(history)
    if digests.of(head(history).data) != sha:
        raise replay.not_whole(history.account)


# The ways


def ways(bank: Bank, account: str, upto: int, find: Find = nowhere) -> Iterator[Way]:
    """The ways that can be tried, the cheapest first; `find` is asked for what is damaged of the sealed part."""
    makers: tuple[Callable[[], Way], ...] = (
        lambda: _from_outliving_files(bank, account, upto, find),
        lambda: _from_files(bank, account, upto, find),
        lambda: _from_base(bank, account, upto, find),
        lambda: _from_journal(bank, account, upto, find),
        lambda: _from_newer_files(bank, account, upto, find),
    )
    for make in makers:
        try:
            way = make()
        except AccountDamaged:
            continue
        way.history.upto = upto
        yield way


def _from_outliving_files(bank: Bank, account: str, upto: int, find: Find) -> Way:
    """Files that outlived lines which a broken journal lost, and that begin with what it knows; then later lines."""
    if upto < bank.end.seq:
        raise replay.not_whole(account)
    history = outliving(bank, account, find)
    before = known_before(bank, history) or 0
    for make in (_from_base, _from_journal):
        try:
            known = make(bank, account, before, find)._replace(proof=None)
            for _ in followed(known, known.seals):
                pass
        except AccountDamaged:
            continue
        if known.history.exists and not goes_on_from(history, known.history):
            raise replay.not_whole(account)
        break
    later = replay.lines_about(bank, account, history.seq, upto)
    return Way(history, later, why="from the account's other files, which outlived lines of the journal")


def _from_files(bank: Bank, account: str, upto: int, find: Find) -> Way:
    """The files as they were recorded, and later lines. Tried again where another process is at work on them."""
    path = account_file(account, "whole_history")
    for _ in range(TRIES):
        since = bank.catalog.unrendered_since(account)  # first: who renders meanwhile would take it away
        record, data = record_of(bank, account), bank.root.content(path)
        if data is None and record is None:
            break
        if data is not None and (bank.is_empty if record is None else digests.of(data) == record.sha):
            history = heads.parsed(FileShelf(bank, account, find), data)
            if record is not None and upto < record.holds_from and not (record.rendered and history.seq <= upto):
                break
            if record and record.base:
                history.describe(record.base.created_at, record.base.capacity)
                history.sealed_line = record.base.line
            else:
                heads.describe(bank, history)
            history.note_time(record.newest_time if record else None)
            return Way(history, _waiting(bank, account, record, since, upto))
        bank.refresh()
    raise replay.not_whole(account)


def _waiting(bank: Bank, account: str, record: Record | None, since: int | None, upto: int) -> Iterator[Line]:
    """The lines that the files do not tell of, from `since` on, where the catalog knows of any."""
    if record is None:
        after = 0
    elif record.after < record.seq and not record.rendered:
        after = record.after
    elif since is None:
        return iter(())
    else:
        after = max(record.after, since - 1)
    return replay.lines_about(bank, account, after, upto)


def _from_base(bank: Bank, account: str, upto: int, find: Find) -> Way:
    """The sealed segments, and the journal from the last sealed message on; proved by the recorded head."""
    record = record_of(bank, account)
    if record is None or record.base is None or upto < record.holds_from:
        raise replay.not_whole(account)
    base = record.base
    history = History(account, base.created_at if base.line else "", FileShelf(bank, account, find))
    if base.line:
        line = next(bank.journal.lines(base.line - 1), None)
        if line is None or line.seq != base.line:
            raise replay.not_whole(account)
        history.stand_on(base.sealed, base.digest, base.line, base.gone)
        history.describe(base.created_at, base.capacity)
        history.note_time(record.newest_time)
        history.failing = base.failing
        history.seq, history.last_update = line.seq, str(line.core["ts"])
        _ = history.segments
    else:
        history.sealed_line = 0
    why = "from the sealed segments and the journal" if base.line else WHOLE
    return Way(history, replay.lines_about(bank, account, base.line, upto), (record.after, record.sha), why=why)


def _from_journal(bank: Bank, account: str, upto: int, find: Find) -> Way:
    """The journal from the account's beginning on; proved by the recorded head, where there is one."""
    record = record_of(bank, account)
    history = History(account, shelf=FileShelf(bank, account, find))
    history.sealed_line = 0
    lines = replay.whole(bank, account, upto)
    first = next(lines)
    proof = (record.after, record.sha) if record is not None and record.proves and record.holds_from <= upto else None
    return Way(history, chain((first,), lines), proof, seals=True, why=WHOLE)


def _from_newer_files(bank: Bank, account: str, upto: int, find: Find) -> Way:
    """Files whose rendering was not recorded any more: they must end with what the journal stored since."""
    record, data = record_of(bank, account), bank.root.content(account_file(account, "whole_history"))
    if record is None or data is None or upto < record.holds_from:
        raise replay.not_whole(account)
    history = heads.parsed(FileShelf(bank, account, find), data)
    lines = list(replay.lines_about(bank, account, record.after, history.seq))
    since = [line.value for line in lines if replay.is_message(line)]
    if any(value is None for value in since):
        raise replay.not_whole(account)
    newest = [{name: value for name, value in one.items() if name != "seq"} for one in history.newest(len(since))]
    if not since or history.seq > upto or newest != since:
        raise replay.not_whole(account)
    heads.describe(bank, history)
    for line in filter(replay.is_summary, lines):
        history.laid.lay(line)
    return Way(history, replay.lines_about(bank, account, history.seq, upto), unrecorded=True)
