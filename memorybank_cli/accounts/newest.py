"""The newest messages of an account: by its windows' files alone where those have them, however long the history is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from memorybank_cli.accounts.history import History, Message
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.layout import account_file
from memorybank_cli.base import digests
from memorybank_cli.base.exact_json import FlawedJSON, loads

AT_ONCE = 1_000
"""Messages that are held together; of more the places are found first and then read again."""


def in_windows(bank: Bank, account: str, count: int) -> list[Message] | None:
    """The newest messages, oldest first, by short_term.json and mid_term.json; None where those do not tell.

    They tell where they are what the journal says, and nothing waits to be rendered.
    """
    if bank.catalog.unrendered_since(account) is not None:
        return None
    found: list[Message] = []
    for tier in ("short_term", "mid_term"):
        part = _window(bank, account_file(account, tier))
        if part is None:
            return None
        found = [*part, *found]
        if len(found) >= count or not found or found[0]["seq"] == 1:
            return found[len(found) - count :] if len(found) > count else found
    return None


def _window(bank: Bank, path: str) -> list[Message] | None:
    data, expected = bank.root.content(path), bank.catalog.row(path).expected
    if data is None or expected is None or digests.of(data) != expected.sha:
        return None
    try:
        found: list[Message] = loads(data)["messages"]
        first = found[0]["seq"] if found else 0
    except (FlawedJSON, KeyError, TypeError, IndexError):
        return None  # an account that somebody made by hand, and that was adopted
    return found if type(first) is int else None


def newest(history: History, count: int, wanted: Callable[[Message], bool] | None) -> Iterable[Message]:
    """The newest messages that are wanted, oldest first. Raises AccountDamaged, also on the way.

    Memory: a segment, and at most a thousand messages.
    """
    if wanted is None:
        return history.latest(count)
    if count <= AT_ONCE:
        return reversed(list(islice(filter(wanted, history.backwards()), count)))
    return _found_again(history, count, wanted)


def _found_again(history: History, count: int, wanted: Callable[[Message], bool]) -> Iterator[Message]:
    first = None
    for message in islice(filter(wanted, history.backwards()), count):
        first = message["seq"]
    return filter(wanted, history.after(first - 1)) if first is not None else iter(())
