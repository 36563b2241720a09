"""A check of one account: its files as any others, then every message of it, held against each other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from memorybank_cli.accounts.auditing import Audit
from memorybank_cli.accounts.checks import broken
from memorybank_cli.accounts.conditions import Condition, conditions
from memorybank_cli.accounts.identities import NAME
from memorybank_cli.accounts.identity_check import Table, fits, mend, table_of
from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.base.records import Finding, at_least
from memorybank_cli.base.words import counted
from memorybank_cli.operations.accounts import account_ids, check_account
from memorybank_cli.operations.probes import look


@dataclass(frozen=True)
class AccountCheck:
    """What the check of accounts came to."""

    accounts: tuple[dict[str, Any], ...]
    findings: tuple[Finding, ...]
    seconds: float

    @property
    def ok(self) -> bool:
        """No error was found."""
        return not at_least(self.findings, "error")

    def as_dict(self) -> dict[str, Any]:
        """`ok`, `accounts` with their `components`, `findings`, `seconds`."""
        findings = [one.as_dict() for one in self.findings]
        return {
            "ok": self.ok,
            "accounts": list(self.accounts),
            "findings": findings,
            "seconds": round(self.seconds, 3),
        }

    def exit_code(self) -> int:
        """1 when something is wrong."""
        return 0 if self.ok else 1

    def summary(self) -> str:
        """How much was read, and what came of it."""
        messages = counted(sum(one["messages"] for one in self.accounts), "message")
        head = f"{counted(len(self.accounts), 'account')} with {messages} checked in {self.seconds:.2f} s: "
        errors = sum(at_least([one], "error") for one in self.findings)
        return f"{head}{counted(errors, 'error')}. Next: memorybank repair --dry-run" if errors else f"{head}all good"


def check(bank: Bank, account: Annotated[str | None, "its id; default: every account"] = None) -> AccountCheck:
    """Check an account by reading all of it.

    Its files against the journal, every sealed segment against the index, every message's position, that no id
    stands twice, that the windows are the newest messages, and that the table of ids knows these messages.

    Exit codes:
        0   all good
        1   findings
        10  there is no such account

    Examples:
        memorybank account check alpha
        memorybank account check --json
    """
    started = time.perf_counter()
    names = account_ids(bank) if account is None else [check_account(bank, account)]
    told: list[dict[str, Any]] = []
    findings: list[Finding] = []
    for name in names:
        files, found = _looked(bank, name)
        seen = {(one.rule, one.path) for one in found}
        table, audit = table_of(bank, name), Audit(bank, name)
        audited = [one for one in _audited(bank, name, audit) if (one.rule, one.path) not in seen]
        findings += _identities(bank, name, table, audit)
        damaged = {one.path for one in found if at_least([one], "error")}
        findings += [*found, *(one for one in audited if one.path not in damaged)]
        components = [_component(one, findings, name) for one in conditions(bank, name)]
        counts = {"messages": audit.messages, "archived": audit.archived, "late": audit.late, "files": files}
        told.append({"account": name, **counts, "components": components})
    return AccountCheck(tuple(told), tuple(findings), time.perf_counter() - started)


def _looked(bank: Bank, account: str) -> tuple[int, list[Finding]]:
    """How many files of an account were looked at, and what was found."""
    try:
        scan, found = look(bank, [layout.account_section(account)], bank.context.progress)
    except PermissionError:
        return 0, []  # the audit cannot read it either, and says so
    return scan.checked, found


def _audited(bank: Bank, account: str, audit: Audit) -> Iterator[Finding]:
    try:
        yield from broken(bank, account)
        yield from audit.findings()
    except OSError as error:
        what = (error.strerror or str(error)).lower()
        yield Finding("MB307", f"the account cannot be read: {what}", layout.account_section(account))


def _identities(bank: Bank, account: str, table: Table | None, audit: Audit) -> Iterator[Finding]:
    """MB122: where the table that keeps messages from being stored twice does not know those that the account has."""
    if table is None or not audit.upto or fits(bank, account, table, audit.tally, audit.upto):
        return
    done = "it was made again" if mend(bank, account) else "it cannot be made again now"
    message = f"the ids that it knows of {account} are not those of the account's messages; {done}"
    hint = f"memorybank account check {account} says whether a message was stored twice meanwhile"
    yield Finding("MB122", message, NAME, hint, level="warning")


def _component(one: Condition, findings: list[Finding], account: str) -> dict[str, Any]:
    """A part of the account with what was found of it; of the history also in its segments."""
    places = [layout.account_file(account, one.component)]
    if one.component == "whole_history":
        places.append(f"{layout.account_section(account)}/history/")
    issues = [
        f"{found.path}: {found.message}"
        for found in findings
        if at_least([found], "error") and any(found.path == place or found.path.startswith(place) for place in places)
    ]
    told = {**one._asdict(), "issues": issues or list(one.issues)}
    return {**told, "status": "failing"} if issues else told
