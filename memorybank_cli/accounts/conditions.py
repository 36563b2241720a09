"""How each part of an account is now, by what its files are and what the journal says they should be (spec 002, 4)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from memorybank_cli.accounts.heads import describe, parsed
from memorybank_cli.accounts.history import History
from memorybank_cli.accounts.shelf import FileShelf, nowhere
from memorybank_cli.accounts.sources import read_history
from memorybank_cli.accounts.tiers import FAILING, TIERS, state
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.layout import account_file, account_section, history_first
from memorybank_cli.bank.rows import Seen
from memorybank_cli.base import clock, digests
from memorybank_cli.base.errors import AccountDamaged
from memorybank_cli.base.exact_json import FlawedJSON, loads
from memorybank_cli.base.walk import Entry


class Condition(NamedTuple):
    """One part of an account: a tier, or its context."""

    component: str
    status: str
    """active, failing or initializing."""
    last_update: str | None
    """When a message last changed it; None where that cannot be had."""
    message_count: int | None
    health_check: str
    """When it was last looked at, which is now."""
    issues: tuple[str, ...] = ()
    """What is wrong with it, in words."""


def conditions(bank: Bank, account: str) -> list[Condition]:
    """Each part of an account, in the order of `TIERS`. A part is failing where its file or the history is.

    Reads the account's small files; of the sealed part only the index, and what was last seen of the others.
    """
    try:
        history = _as_recorded(bank, account) or read_history(bank, account, indexed=True)
    except (AccountDamaged, OSError) as error:
        why = _unreadable(account_section(account), error) if isinstance(error, OSError) else error.message
        return [_unknown(bank, account, tier, why) for tier in TIERS]
    short, mid = history.capacity.sizes(history.total)
    counts = {"short_term": short, "mid_term": mid, "whole_history": history.total}
    return [*(_tier(bank, history, tier, count) for tier, count in counts.items()), _context(bank, history)]


def _as_recorded(bank: Bank, account: str) -> History | None:
    """The history by its files alone, where they are what was recorded and nothing waits to be rendered.

    Many accounts are looked at each minute, and the journal's lines about each lie apart from each other.
    """
    if bank.catalog.unrendered_since(account) is not None:
        return None
    path = account_file(account, "whole_history")
    data, expected = bank.root.content(path), bank.catalog.row(path).expected
    if data is None or expected is None or digests.of(data) != expected.sha:
        return None
    try:
        history = parsed(FileShelf(bank, account, nowhere), data)
        describe(bank, history)
        _ = history.segments
    except AccountDamaged:
        return None
    history.upto = bank.end.seq
    return history


def _unknown(bank: Bank, account: str, tier: str, message: str) -> Condition:
    return Condition(tier, FAILING, None, None, clock.now(), (message, *_issues(bank, account, tier)))


def _tier(bank: Bank, history: History, tier: str, count: int) -> Condition:
    issues = [*_given_up(history), *_issues(bank, history.account, tier)]
    issues += _sealed_issues(bank, history.account) if tier == "whole_history" else ()
    status = FAILING if issues else state(history, count)
    return Condition(tier, status, history.last_update, count, clock.now(), tuple(issues))


def _context(bank: Bank, history: History) -> Condition:
    issues = tuple(_issues(bank, history.account, "history_context"))
    found = history.context
    status = FAILING if issues else found.status
    return Condition("history_context", status, found.moment or None, found.covered, clock.now(), issues)


def _unreadable(path: str, error: OSError) -> str:
    return f"{path} cannot be read: {(error.strerror or str(error)).lower()}"


def _given_up(history: History) -> Iterator[str]:
    if history.failing:
        yield "the account was begun anew, because nothing gave its messages any more"


def _sealed_issues(bank: Bank, account: str) -> Iterator[str]:
    """What is wrong with the sealed files, by their stats and what was last seen of them; they are not read."""
    directory = f"{account_section(account)}/history"
    rows = bank.catalog.rows(directory)
    try:
        there = {entry.name: entry for entry in bank.root.listing(directory)}
    except OSError as error:
        yield _unreadable(directory, error)
        return
    firsts = {history_first(f"{directory}/{name}") for name in there}
    for name, row in rows.items():
        entry, seen = there.get(name), row.seen
        if row.expected is None:
            continue
        if entry is None and history_first(f"{directory}/{name}") not in firsts:  # else it is being archived
            yield f"{directory}/{name} is missing"
        elif entry is not None and seen is not None and seen.sha != row.expected.sha and _is_same(entry, seen):
            yield f"{directory}/{name} is not what was recorded"


def _is_same(entry: Entry, seen: Seen) -> bool:
    """Whether a file is the one that was seen, by its stat."""
    return (entry.size, entry.mtime_ns, entry.inode) == (seen.size, seen.mtime, seen.inode)


def _issues(bank: Bank, account: str, tier: str) -> Iterator[str]:
    """What is wrong with one file: gone, damaged, or not what memorybank wrote."""
    path = account_file(account, tier)
    try:
        data, expected = bank.root.content(path), bank.catalog.row(path).expected
        is_there = data is not None or bank.root.stat(path) is not None
    except OSError as error:
        yield _unreadable(path, error)
        return
    if data is None:
        if expected is not None:
            yield f"{path} cannot be read" if is_there else f"{path} is missing"
        return
    if expected is None or digests.of(data) == expected.sha or bank.is_rendering(path):
        return
    try:
        loads(data)
        yield f"{path} was changed outside memorybank"
    except FlawedJSON as error:
        yield f"{path} is damaged: {error}"
