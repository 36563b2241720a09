"""The last resort for accounts whose messages cannot all be had: begun anew with those that can, and failing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from memorybank_cli.accounts.leftovers import Begun, begun_anew
from memorybank_cli.accounts.shelf import Find
from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.base import digests
from memorybank_cli.base.words import counted
from memorybank_cli.operations.cures import Cure, Incurable, Plan

RULE = "MB116"
_WHY = "asked for with --reinitialise: the account is begun anew with the messages that can still be had"
_WITH = "with its account"


class Fresh(NamedTuple):
    """One account begun anew: what is put in place, how many messages it holds, and how many it had."""

    account: str
    plans: list[Plan]
    kept: int
    had: int


def begin_anew(bank: Bank, incurable: Iterable[Incurable], find: Find) -> list[Fresh]:
    """The accounts of which a file is incurable, begun anew. Nothing is changed yet."""
    accounts = {layout.account_of(one.path.partition("/")[0]) for one in incurable}
    return [_fresh(bank, account, find) for account in sorted(filter(None, accounts))]


def instead(fresh: list[Fresh], plans: list[Plan], incurable: list[Incurable]) -> tuple[list[Plan], list[Incurable]]:
    """What is done when these accounts are begun anew, and what stays incurable: of them nothing else counts."""
    sections = tuple(f"{layout.account_section(one.account)}/" for one in fresh)
    others = [plan for plan in plans if not plan.cure.path.startswith(sections)]
    left = [one for one in incurable if not one.path.startswith(sections)]
    return [*others, *(plan for one in fresh for plan in one.plans)], left


def _fresh(bank: Bank, account: str, find: Find) -> Fresh:
    begun, seq = begun_anew(bank, account, find), bank.end.seq
    head = layout.account_file(account, "whole_history")
    plans = []
    for one in begun.files:
        if one.path == head:
            plans.append(Plan(Cure(head, RULE, "reinitialised", lost=_lost(begun), why=_WHY), one.data, seq))
        elif not _stands(bank, one.path, one.data):
            plans.append(Plan(Cure(one.path, RULE, "reinitialised", why=_WITH), one.data))
    older = set(_sealed(bank, account)) - {one.path for one in begun.files}
    plans += [Plan(Cure(path, RULE, "reinitialised", why=_WITH), None) for path in sorted(older)]
    return Fresh(account, plans, begun.kept, begun.had)


def _lost(begun: Begun) -> str:
    if begun.whole:
        return ""
    count = begun.had - begun.kept
    if not count:
        return "perhaps; not all of it is what was recorded"
    return f"at least {count:,} of {counted(begun.had, 'message')}"


def _stands(bank: Bank, path: str, data: bytes) -> bool:
    expected = bank.catalog.row(path).expected
    return expected is not None and expected.sha == digests.of(data) and bank.root.content(path) == data


def _sealed(bank: Bank, account: str) -> Iterator[str]:
    """What stands in the directory of the sealed part, or should."""
    directory = f"{layout.account_section(account)}/history"
    names = {*bank.catalog.rows(directory), *(entry.name for entry in bank.root.listing(directory))}
    return (f"{directory}/{name}" for name in names)
