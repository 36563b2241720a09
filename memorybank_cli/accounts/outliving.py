"""Account files that tell of more than the journal does: lines were lost after the files had been written from them.

Something vouches for lines that are not there any more (else there is no break), and a head is never written before
its lines are durable. So a head of a later line than one that was lost, which no line records, whose index agrees with
it and which goes on from what the journal knows for sure, is the newest state that there is. `repair` records it.
"""

from __future__ import annotations

from memorybank_cli.accounts import heads, replay
from memorybank_cli.accounts.history import History, Message
from memorybank_cli.accounts.recorded import record_of
from memorybank_cli.accounts.shelf import FileShelf, Find
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.layout import account_file
from memorybank_cli.base import digests


def outliving(bank: Bank, account: str, find: Find) -> History:
    """The history of a head that outlived lines of the journal. Raises AccountDamaged where there is none."""
    data = bank.root.content(account_file(account, "whole_history")) if bank.breaks() else None
    if data is None:
        raise replay.not_whole(account)
    record = record_of(bank, account)
    if record is not None and digests.of(data) == record.sha:
        raise replay.not_whole(account)
    history = heads.parsed(FileShelf(bank, account, find), data)
    if known_before(bank, history) is None or (record is not None and history.seq <= record.after):
        raise replay.not_whole(account)
    _ = history.segments  # raises where the index is not the one that the head names
    for kind in ("account", "history_context"):
        found = heads.described(bank.root.content(account_file(account, kind)) or b"")
        if found is not None:
            made, capacity = found
            history.describe(made, capacity or replay.configured(bank, account, bank.end.seq))
            return history
    raise replay.not_whole(account)


def known_before(bank: Bank, history: History) -> int | None:
    """The last line before the first that was lost of those behind a history; None where none was."""
    return min((one.after for one in bank.breaks() if one.after < history.seq), default=None)


def goes_on_from(history: History, known: History) -> bool:
    """Whether a history begins with what is known: as many messages at least, the last known one in its place."""
    newest = known.newest(1)
    there = [message for one in newest for message in history.stretch(one["seq"], one["seq"])]
    return known.total <= history.total and list(map(_said, there)) == list(map(_said, newest))


def _said(message: Message) -> tuple[str, str, str]:
    return str(message["id"]), str(message["content"]), str(message["timestamp"])
