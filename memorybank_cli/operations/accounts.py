"""Conversation accounts: making them, and what they hold."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any

from memorybank_cli.accounts.conditions import Condition, conditions
from memorybank_cli.accounts.history import MOST_MID_TERM, MOST_SHORT_TERM, USUAL, Capacity
from memorybank_cli.accounts.replay import CONFIGURED, CREATED
from memorybank_cli.accounts.sources import read_history
from memorybank_cli.accounts.tiers import FAILING, state
from memorybank_cli.bank import baseline, layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.journal import Entry
from memorybank_cli.base.errors import AccountDamaged, AccountNotFound, UsageError
from memorybank_cli.base.words import counted
from memorybank_cli.operations.options import Option
from memorybank_cli.operations.recovering import recover


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
    status: str = FAILING
    """active, failing or initializing, as its history is."""
    capacity: Capacity = USUAL
    components: tuple[Condition, ...] = ()
    """Each tier and the context, of an account that is shown alone."""

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON; `components` only where there are some."""
        told = {name: value for name, value in vars(self).items() if name != "components"}
        told["capacity"] = self.capacity._asdict()
        components = [{**one._asdict(), "issues": list(one.issues)} for one in self.components]
        return {**told, "components": components} if components else told


@dataclass(frozen=True)
class Accounts:
    """The accounts of a bank."""

    accounts: tuple[Account, ...]

    def as_dict(self) -> dict[str, Any]:
        """The contract's fields."""
        return {"accounts": [one.as_dict() for one in self.accounts]}

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
    configured: bool = False
    """Whether an account that was there got windows of other sizes."""
    capacity: Capacity = USUAL

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON."""
        return {**vars(self), "capacity": self.capacity._asdict()}

    def summary(self) -> str:
        """What to do next."""
        if self.configured:
            short, mid = self.capacity
            return f"Account {self.account} keeps {short:,} messages in short_term now, and {mid:,} in mid_term."
        done = "is there" if self.created else "was there already"
        return (
            f"Account {self.account} {done}. Next: memorybank message add --account {self.account} --role user 'text'"
        )


def create(
    bank: Bank,
    account: Annotated[str, "its id: 1 to 64 of A-Z a-z 0-9 . _ -"],
    *,
    short_term: Annotated[int | None, Option("messages that short_term.json holds; default: 50", metavar="N")] = None,
    mid_term: Annotated[
        int | None, Option("messages before those, that mid_term.json holds; default: 200", metavar="N")
    ] = None,
) -> CreatedAccount:
    """Make an account.

    Making one that is there already changes nothing, unless --short-term or --mid-term say other sizes than it
    has: then its windows have those from now on. A window is a view: no message is lost by making it smaller.

    Exit codes:
        0  the account is there
        2  the id cannot be one, or a window would be too small or too large

    Examples:
        memorybank account create alpha
        memorybank account create alpha --short-term 100 --mid-term 1000
    """
    section = layout.account_section(account)
    _check_sizes(short_term, mid_term)
    baseline.begin(bank)
    with bank.locked():
        if account not in account_ids(bank):
            entry = creation(bank, account, short_term, mid_term)
            bank.commit([entry])
            bank.render()
            return CreatedAccount(account, True, section, capacity=capacity_in(entry))
        before = read_history(bank, account).capacity
        wanted = Capacity(
            before.short_term if short_term is None else short_term, before.mid_term if mid_term is None else mid_term
        )
        if wanted != before:
            bank.commit([Entry(CONFIGURED, {"account": account, "capacity": list(wanted)})])
            bank.render()
    return CreatedAccount(account, False, section, wanted != before, wanted)


def _check_sizes(short_term: int | None, mid_term: int | None) -> None:
    if short_term is not None and not 1 <= short_term <= MOST_SHORT_TERM:
        raise UsageError(f"--short-term takes 1 to {MOST_SHORT_TERM:,} messages, not {short_term:,}")
    if mid_term is not None and not 0 <= mid_term <= MOST_MID_TERM:
        raise UsageError(f"--mid-term takes 0 to {MOST_MID_TERM:,} messages, not {mid_term:,}")


def creation(bank: Bank, account: str, short_term: int | None = None, mid_term: int | None = None) -> Entry:
    """The journal's entry for a new account: with the sizes of its windows where they are not the usual ones.

    Those that are not given are the settings'. They are recorded, so a later change of a setting changes no account.
    """
    sizes = [
        int(bank.settings[f"accounts.{name}"]) if one is None else one
        for name, one in (("short_term", short_term), ("mid_term", mid_term))
    ]
    capacity = Capacity(min(max(1, sizes[0]), MOST_SHORT_TERM), min(sizes[1], MOST_MID_TERM))
    fields: dict[str, Any] = {"account": account}
    return Entry(CREATED, fields if capacity == USUAL else {**fields, "capacity": list(capacity)})


def capacity_in(entry: Entry) -> Capacity:
    """The sizes of the windows that a new account's entry names."""
    return Capacity(*entry.fields.get("capacity", ()))


def create_account(bank: Bank, account: str) -> bool:
    """Make an account and its files unless it is there; says whether it was made."""
    return create(bank, account).created


def account_ids(bank: Bank) -> list[str]:
    """Accounts that the bank has: those with files, those whose files are lost, and those the journal knows already."""
    sections = {*(entry.name for entry in bank.root.listing()), *bank.catalog.directories()}
    there = filter(None, map(layout.account_of, sections))
    return sorted({one for one in there if _may_have_files(bank, one)} | set(bank.catalog.unrendered()))


def _may_have_files(bank: Bank, account: str) -> bool:
    try:
        return _has_files(bank, account)
    except PermissionError:
        return True  # who may not look cannot say that there are none


def _has_files(bank: Bank, account: str) -> bool:
    paths = [layout.account_file(account, kind) for kind in ("account", "whole_history")]
    return any(bank.root.stat(path) is not None or bank.catalog.row(path).expected is not None for path in paths)


def check_account(bank: Bank, account: str) -> str:
    """The id if the account exists; what is damaged of it is recovered. Raises AccountNotFound with near names."""
    layout.account_section(account)
    check_there(bank, account)
    recover(bank, account)
    return account


def check_there(bank: Bank, account: str) -> None:
    """Raise AccountNotFound with near names unless the account exists."""
    if not _has_files(bank, account) and bank.catalog.unrendered_since(account) is None:
        from memorybank_cli.base.suggestions import did_you_mean

        hint = did_you_mean(account, account_ids(bank), f"memorybank account create {account} makes it")
        raise AccountNotFound(f"there is no account '{account}'", hint=hint)


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
    except (AccountDamaged, OSError):
        return Account(account, "", 0, 0, 0, "", damaged=True)


def show(bank: Bank, account: Annotated[str, "its id"]) -> Account:
    """Show one account.

    What it holds, and of each tier and the context: whether it is initializing, active or failing, when it was
    last changed, how many messages it has, and what is wrong with it.

    Exit codes:
        0   done
        3   its history cannot be had whole
        10  there is no such account

    Examples:
        memorybank account show alpha
    """
    found = _account(bank, check_account(bank, account))
    return replace(found, components=tuple(conditions(bank, account)))


def _account(bank: Bank, account: str) -> Account:
    history = read_history(bank, account)
    sizes = history.capacity.sizes(history.total)
    status = state(history, history.total)
    return Account(
        account, history.created_at, history.total, *sizes, history.last_update, False, status, history.capacity
    )
