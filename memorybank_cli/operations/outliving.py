"""Accounts whose files outlived the journal's end: `repair` records them as they stand, so that nothing is cut back."""

from __future__ import annotations

from memorybank_cli.accounts.outliving import outliving
from memorybank_cli.accounts.shelf import nowhere
from memorybank_cli.accounts.sources import read_history
from memorybank_cli.bank import layout
from memorybank_cli.bank.adopt import Adopter
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.scan import Scanner
from memorybank_cli.base.errors import AccountDamaged
from memorybank_cli.base.words import counted


def outliving_accounts(bank: Bank) -> dict[str, int]:
    """By account the messages that its files hold, where they tell of more than a broken journal."""
    found: dict[str, int] = {}
    there = (layout.account_of(entry.name) for entry in bank.root.listing())
    for account in filter(None, there) if bank.breaks() else ():
        try:
            total = outliving(bank, account, nowhere).total
            if read_history(bank, account).total == total:
                found[account] = total
        except AccountDamaged:
            continue
    return found


def keep(bank: Bank, accounts: dict[str, int]) -> None:
    """Record the files of such accounts as they stand, after the line that names the journal's gap."""
    for account, total in accounts.items():
        scan = Scanner(bank, bank.context.progress).run_on([layout.account_section(account)])
        changes = [one for one in (*scan.outside, *scan.changes) if one.seen is not None and one.pending != "found"]
        Adopter(bank).adopt(changes, "file.accepted", reason="the journal lost its end, these files did not")
        bank.context.progress.note(
            f"account {account}: its files hold {counted(total, 'message')} and are kept as they are"
        )
