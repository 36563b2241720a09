"""Account files that tell of more than the journal does: its end was lost after they had been written from it.

Something vouches for lines that are not there any more (else there is no break), and a head is never written before
its lines are durable. So a head of a later line, whose index agrees with it and which goes on from what the journal
still knows, is the newest state that there is. `repair` records it as such.
"""

from __future__ import annotations

from memorybank_cli.accounts import heads, replay
from memorybank_cli.accounts.history import History, Message
from memorybank_cli.accounts.shelf import FileShelf, Find
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.layout import account_file


def outliving(bank: Bank, account: str, find: Find) -> History:
    """The history of a head beyond the journal's end. Raises AccountDamaged where there is none."""
    data = bank.root.content(account_file(account, "whole_history")) if bank.breaks() else None
    if data is None:
        raise replay.not_whole(account)
    history = heads.parsed(FileShelf(bank, account, find), data)
    if history.seq <= bank.end.seq:
        raise replay.not_whole(account)
    _ = history.segments  # raises where the index is not the one that the head names
    for kind in ("account", "history_context"):
        found = heads.described(bank.root.content(account_file(account, kind)) or b"")
        if found is not None:
            made, capacity = found
            history.describe(made, capacity or replay.configured(bank, account, bank.end.seq))
            return history
    raise replay.not_whole(account)


def goes_on_from(history: History, known: History) -> bool:
    """Whether a history begins with what is known: as many messages at least, the last known one in its place."""
    return known.total <= history.total and (not known.total or _at(history, known.total) == _at(known, known.total))


def _at(history: History, position: int) -> tuple[str, str, str] | None:
    """Id, content and time of the message at a position. Raises AccountDamaged."""
    if position > history.sealed:
        return _said(history.open[position - history.sealed - 1].message)
    segment = next(one for one in history.segments if one.first <= position <= one.last)
    assert history.shelf is not None
    (part,) = history.shelf.forward([segment])
    return _said(part[position - segment.first])


def _said(message: Message) -> tuple[str, str, str]:
    return str(message["id"]), str(message["content"]), str(message["timestamp"])
