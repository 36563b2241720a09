"""Forgetting whole accounts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from memorybank_cli.accounts import forgotten
from memorybank_cli.bank import forgetting
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.forgetting import Traces
from memorybank_cli.base.words import counted
from memorybank_cli.operations.accounts import check_account
from memorybank_cli.operations.erasing import Erased, erase
from memorybank_cli.operations.holders import Holders, holders
from memorybank_cli.operations.message_forget import where_left
from memorybank_cli.operations.options import Option, RepoOption


@dataclass(frozen=True)
class ForgetAccountReport:
    """What was forgotten, and where it still is."""

    account: str
    files: tuple[str, ...]
    """Files that were removed; empty in a rehearsal."""
    lines: int
    """Lines of the journal whose data went."""
    quarantine: tuple[str, ...]
    snapshots: Holders
    dry_run: bool

    def as_dict(self) -> dict[str, Any]:
        """Everything, the snapshots that still hold it last."""
        return {
            "account": self.account,
            "files": list(self.files),
            "lines": self.lines,
            "quarantine": list(self.quarantine),
            "snapshots": [one._asdict() for one in self.snapshots.snapshots],
            "trouble": self.snapshots.trouble,
            "dry_run": self.dry_run,
        }

    def summary(self) -> str:
        """What was done, and what is left to do."""
        verb = "would be forgotten" if self.dry_run else "is forgotten"
        lines = counted(self.lines, "journal line")
        return f"Account {self.account} {verb}, with the data of {lines}. {where_left(self.snapshots)}"


def forget(
    bank: Bank,
    account: Annotated[str, "its id"],
    *,
    dry_run: Annotated[bool, Option("show what would be forgotten, change nothing", short="-n")] = False,
    yes: Annotated[bool, "do not ask"] = False,
    repo: RepoOption = None,
) -> ForgetAccountReport:
    """Forget an account with all its messages for good.

    Its files, its messages in the journal and what waits in quarantine go. The journal keeps that there were
    messages of these ids, when, and their digests, so its chain still holds. Snapshots stay as they are:
    those that hold it are listed, and no rollback brings it back. An account of this id can be made anew.

    Exit codes:
        0   forgotten
        2   it needs a yes, and nobody can be asked
        3   the journal is damaged; nothing was changed
        10  there is no such account

    Examples:
        memorybank account forget alpha --dry-run
        memorybank account forget alpha --yes
    """
    check_account(bank, account)
    if bank.catalog.unrendered_since(account) is not None:
        bank.render()
    subject = forgotten.whole(bank, account)
    traces = Traces(subject)
    in_snapshots = holders(bank, repo, traces)
    there = Erased([], forgetting.lines_with(bank, traces), forgetting.quarantined(bank, traces))
    foreseen = _report(account, there, in_snapshots, dry_run=True)
    if dry_run:
        return foreseen
    bank.context.ensure(f"Forget account {account} and all its messages for good?", yes=yes, preview=foreseen)
    with bank.locked():
        check_account(bank, account)  # it may have been forgotten meanwhile
        done = erase(bank, forgotten.whole(bank, account))
    return _report(account, done, in_snapshots, dry_run=False)


def _report(account: str, done: Erased, in_snapshots: Holders, *, dry_run: bool) -> ForgetAccountReport:
    return ForgetAccountReport(account, tuple(done.files), done.lines, tuple(done.quarantine), in_snapshots, dry_run)
