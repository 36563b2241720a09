"""An account's files under another name: the same messages, windows and context; only who they belong to differs."""

from __future__ import annotations

from collections.abc import Iterator

from memorybank_cli.accounts.history import History
from memorybank_cli.accounts.shelf import FileShelf, packed
from memorybank_cli.accounts.sources import read_history
from memorybank_cli.accounts.tiers import render, sealed
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.layout import ARCHIVED_KIND, history_archive, history_first
from memorybank_cli.bank.rendering import Rendering


def renamed(bank: Bank, account: str, name: str) -> Iterator[Rendering]:
    """Every file of an account as it is under the new name; what is archived stays so. Raises AccountDamaged.

    A segment in memory at a time. Where a history is cut does not depend on the account, so the cuts stay.
    """
    history = read_history(bank, account, indexed=True)
    shelf = FileShelf(bank, account)
    fresh = History(name, history.created_at, history.shelf)
    fresh.capacity, fresh.failing, fresh.laid, fresh.upto = (
        history.capacity,
        history.failing,
        history.laid,
        history.upto,
    )

    def files() -> Iterator[Rendering]:
        for message in history.messages:
            plain = {field: value for field, value in message.items() if field != "seq"}
            fresh.add(plain, 0, history.last_update, known_line=False)
            yield from sealed(fresh)
        fresh.seq, fresh.last_update = history.seq, history.last_update
        yield from render(fresh)

    for one in files():
        first = history_first(one.path) if one.kind == "history_segment" else None
        if first is None or shelf.archived(first) is None:
            yield one
        else:
            yield Rendering(history_archive(name, first), ARCHIVED_KIND, packed(one.data))
