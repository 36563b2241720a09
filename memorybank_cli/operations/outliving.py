"""Accounts whose files outlived lines of the journal: `repair` records them as they stand, and nothing is cut back."""

from __future__ import annotations

from typing import NamedTuple

from memorybank_cli.accounts.outliving import outliving
from memorybank_cli.accounts.shelf import nowhere
from memorybank_cli.accounts.sources import read_history
from memorybank_cli.bank import layout
from memorybank_cli.bank.adopt import Adopter
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.scan import Scanner
from memorybank_cli.base.errors import AccountDamaged
from memorybank_cli.base.words import counted


class Outlived(NamedTuple):
    """What the files of an account hold that outlived lines of the journal."""

    messages: int
    seq: int
    """The line up to which they tell of what was stored."""


def outliving_accounts(bank: Bank) -> dict[str, Outlived]:
    """By account what its files hold, where they tell of more than a broken journal."""
    found: dict[str, Outlived] = {}
    there = (layout.account_of(entry.name) for entry in bank.root.listing())
    for account in filter(None, there) if bank.breaks() else ():
        try:
            history = outliving(bank, account, nowhere)
            if read_history(bank, account).total >= history.total:
                found[account] = Outlived(history.total, history.seq)
        except AccountDamaged:
            continue
    return found


def keep(bank: Bank, accounts: dict[str, Outlived]) -> None:
    """Record the files of such accounts as they stand, after the line that names the journal's gap."""
    for account, one in accounts.items():
        scan = Scanner(bank, bank.context.progress).run_on([layout.account_section(account)])
        changes = [
            change for change in (*scan.outside, *scan.changes) if change.seen is not None and change.pending != "found"
        ]
        reason = "the journal lost lines, these files did not"
        Adopter(bank).adopt(changes, "file.accepted", reason=reason, shown={account: one.seq})
        told = f"account {account}: its files hold {counted(one.messages, 'message')} and are kept as they are"
        bank.context.progress.note(told)
