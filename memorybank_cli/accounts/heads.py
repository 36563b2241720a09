"""An account's head, read: whole_history.json, and when the account was made."""

from __future__ import annotations

from typing import Any

from memorybank_cli.accounts import replay
from memorybank_cli.accounts.history import Capacity, History, Message, capacity_of
from memorybank_cli.accounts.shelf import FileShelf
from memorybank_cli.accounts.tiers import FAILING
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.layout import account_file
from memorybank_cli.base import digests
from memorybank_cli.base.exact_json import FlawedJSON, loads


def parsed(shelf: FileShelf, whole: bytes) -> History:
    """A history as a head tells it; its `created_at` is not there. Raises AccountDamaged for what is no head."""
    history = History(shelf.account, shelf=shelf)
    try:
        value = loads(whole)
        messages, digest = value["messages"], value["index"]
        total, gone = int(value["total"]), int(value.get("forgotten", 0))
        if digest is not None or gone:
            sealed = _sealed(value, total, gone)
            history.stand_on(sealed, str(digest or ""), None, sealed - total + len(messages))
        elif total != len(messages):
            raise ValueError("it names no index for the messages that it lacks")
        for message in messages:
            _take(history, message, renumber=digest is None and not gone)
        left = total + gone - history.last
        history.pass_over(left)
        if left < 0 or not 0 <= history.gone_sealed <= history.gone == gone:
            raise ValueError("its messages are not as many as it says")
        history.seq, history.last_update = int(value["seq"]), str(value["status"]["last_update"])
        history.failing = value["status"].get("status") == FAILING
    except (FlawedJSON, KeyError, TypeError, ValueError, AttributeError):
        raise replay.not_whole(shelf.account) from None
    return history


def _sealed(value: dict[str, Any], total: int, gone: int) -> int:
    """The position up to which the messages of a head are sealed. Its `first` counts where some were forgotten."""
    if not gone:
        return total - len(value["messages"])
    return int(value["first"]) - 1 if value["first"] else total + gone


def _take(history: History, message: Message, renumber: bool) -> None:
    """One message of a head. Before anything is sealed positions are only counted; later they are what was sealed."""
    if not isinstance(message["id"], str) or not isinstance(message["timestamp"], str):
        raise TypeError("a message has an id and a time")
    if not renumber:
        skipped = message["seq"] - history.last - 1
        if skipped < 0:
            raise ValueError("the order is broken")
        history.pass_over(skipped)
    history.add_again(message, 0, "")


def describe(bank: Bank, history: History) -> None:
    """Have a history know when its account was made, and the sizes of its windows. Raises AccountDamaged.

    By the files that say so and are what was recorded; sizes also by the journal.
    """
    for kind in ("account", "history_context"):
        path = account_file(history.account, kind)
        data, expected = bank.root.content(path), bank.catalog.row(path).expected
        if data is None or not (bank.is_empty if expected is None else digests.of(data) == expected.sha):
            continue
        if found := described(data):
            made, capacity = found
            if capacity is None:
                capacity = replay.configured(bank, history.account, bank.end.seq)
            history.describe(made, capacity)
            return
    raise replay.not_whole(history.account)


def described(data: bytes) -> tuple[str, Capacity | None] | None:
    """When an account was made, and the sizes of its windows where they are said, by one of its files."""
    try:
        value = loads(data)
        made, sizes = str(value["created_at"]), value.get("capacity")
    except (FlawedJSON, KeyError, TypeError, AttributeError):
        return None
    if not isinstance(sizes, dict):
        return made, None
    return made, capacity_of([sizes.get(name) for name in Capacity._fields])
