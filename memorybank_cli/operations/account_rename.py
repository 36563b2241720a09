"""Renaming an account: all of its files under the new name, as one act; the journal knows both names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from memorybank_cli.accounts.renaming import renamed
from memorybank_cli.accounts.sources import read_history
from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.replacing import Act, Replacement, digest_there, replacing
from memorybank_cli.base.errors import Refused
from memorybank_cli.base.words import counted
from memorybank_cli.operations.accounts import account_ids, check_account

REASON = "rename"


@dataclass(frozen=True)
class RenamedAccount:
    """What `account rename` did."""

    account: str
    """What it is called now."""
    former: str
    messages: int
    path: str

    def summary(self) -> str:
        """What it is called now, and the way back."""
        return (
            f"Account {self.former} with {counted(self.messages, 'message')} is {self.account} now; "
            f"to undo: memorybank account rename {self.account} {self.former}"
        )


def rename(
    bank: Bank, account: Annotated[str, "its id"], name: Annotated[str, "the id that it is to have"]
) -> RenamedAccount:
    """Give an account another id.

    Its messages, windows and context stay as they are, and so does where each message stands in the journal:
    what was said under the old id belongs to the new one. Snapshots made before hold it under the old id.

    Exit codes:
        0   done
        2   the id cannot be one
        3   its history cannot be had whole
        10  there is no such account
        13  there is an account of the new id already

    Examples:
        memorybank account rename alpha trading
    """
    section = layout.account_section(name)
    check_account(bank, account)
    bank.render()
    with bank.locked():
        if name in account_ids(bank):
            raise Refused(
                f"there is an account '{name}' already", hint="give another id; nothing was changed", path=section
            )
        total = read_history(bank, account).total
        lines = {name: bank.end.seq, account: 0}
        with replacing(bank, REASON, keep=False, accounts=lines, renamed={name: account}) as act:
            _stage(bank, act, account, name)
            act.carry_out()
    return RenamedAccount(name, account, total, section)


def _stage(bank: Bank, act: Act, account: str, name: str) -> None:
    given = set()
    for one in renamed(bank, account, name):
        given.add(one.path)
        act.put(Replacement(one.path, one.data, bank.modes[0], None, one.kind), digest_there(bank, one.path))
    former, section = layout.account_section(account), layout.account_section(name)
    for path in list(_files(bank, former)):
        moved = section + path.removeprefix(former)
        if moved not in given and not _is_ours(path):  # what an agent put beside the account's files goes with them
            info = bank.root.stat(path)
            mode = info.st_mode & 0o777 if info else bank.modes[0]
            act.put(Replacement(moved, bank.root.read(path), mode), digest_there(bank, moved))
        act.put(Replacement(path, None), digest_there(bank, path))


def _files(bank: Bank, section: str) -> Iterator[str]:
    for listing in bank.root.walk(section):
        for entry in listing.files:
            yield f"{listing.path}/{entry.name}"


def _is_ours(path: str) -> bool:
    return bool(layout.place(path).kind)
