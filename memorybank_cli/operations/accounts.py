"""Conversation accounts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from memorybank_cli.accounts.replay import CREATED
from memorybank_cli.accounts.sources import read_history
from memorybank_cli.accounts.tiers import window_sizes
from memorybank_cli.bank import baseline, layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.journal import Entry
from memorybank_cli.base.errors import AccountDamaged, AccountNotFound
from memorybank_cli.base.words import counted


@dataclass(frozen=True)
class Account:
    """One account and how much it holds."""

    account: str
    created_at: str
    messages: int
    short_term: int
    mid_term: int
    last_update: str
    damaged: bool = False
    """Its history cannot be had whole; `repair` may bring it back."""


@dataclass(frozen=True)
class Accounts:
    """The accounts of a bank."""

    accounts: tuple[Account, ...]

    def summary(self) -> str:
        """How many, and what they hold."""
        if not self.accounts:
            return "There is no account. Next: memorybank account create ID"
        messages = sum(one.messages for one in self.accounts)
        return f"{counted(len(self.accounts), 'account')}, {counted(messages, 'message')}"


@dataclass(frozen=True)
class CreatedAccount:
    """What `account create` did."""

    account: str
    created: bool
    path: str

    def summary(self) -> str:
        """What to do next."""
        done = "is there" if self.created else "was there already"
        return (
            f"Account {self.account} {done}. Next: memorybank message add --account {self.account} --role user 'text'"
        )


def create(bank: Bank, account: Annotated[str, "its id: 1 to 64 of A-Z a-z 0-9 . _ -"]) -> CreatedAccount:
    """Make an account.

    Making one that is there already changes nothing.

    Exit codes:
        0  the account is there
        2  the id cannot be one

    Examples:
        memorybank account create alpha
    """
    section = layout.account_section(account)
    return CreatedAccount(account, create_account(bank, account), section)


def create_account(bank: Bank, account: str) -> bool:
    """Make an account and its files unless it is there; says whether it was made."""
    layout.account_section(account)
    baseline.begin(bank)
    with bank.locked():
        if account in account_ids(bank):
            return False
        bank.commit([Entry(CREATED, {"account": account})])
        bank.render()
    return True


def account_ids(bank: Bank) -> list[str]:
    """Accounts that the bank has: those with files, and those the journal knows already."""
    directories = (layout.account_of(entry.name) for entry in bank.root.listing())
    return sorted({one for one in directories if one and _has_files(bank, one)} | set(bank.catalog.unrendered()))


def _has_files(bank: Bank, account: str) -> bool:
    paths = [layout.account_file(account, kind) for kind in ("account", "whole_history")]
    return any(bank.root.stat(path) is not None or bank.catalog.row(path).expected is not None for path in paths)


def check_account(bank: Bank, account: str) -> str:
    """The id if the account exists. Raises AccountNotFound with the nearest names."""
    layout.account_section(account)
    known = account_ids(bank)
    if account not in known:
        from memorybank_cli.base.suggestions import did_you_mean

        hint = did_you_mean(account, known, f"memorybank account create {account} makes it")
        raise AccountNotFound(f"there is no account '{account}'", hint=hint)
    return account


def list_(bank: Bank) -> Accounts:
    """List the accounts.

    Exit codes:
        0  done

    Examples:
        memorybank account list --json
    """
    return Accounts(tuple(_account_or_damage(bank, one) for one in account_ids(bank)))


def _account_or_damage(bank: Bank, account: str) -> Account:
    try:
        return _account(bank, account)
    except AccountDamaged:
        return Account(account, "", 0, 0, 0, "", damaged=True)


def show(bank: Bank, account: Annotated[str, "its id"]) -> Account:
    """Show one account.

    Exit codes:
        0   done
        10  there is no such account

    Examples:
        memorybank account show alpha
    """
    return _account(bank, check_account(bank, account))


def _account(bank: Bank, account: str) -> Account:
    history = read_history(bank, account)
    short, mid = window_sizes(history.total)
    return Account(account, history.created_at, history.total, short, mid, history.last_update)
