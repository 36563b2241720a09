"""Forgetting single messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from memorybank_cli.accounts import forgotten
from memorybank_cli.accounts.forgotten import Held
from memorybank_cli.bank import forgetting
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.forgetting import Traces
from memorybank_cli.base.errors import MessageNotFound, UsageError
from memorybank_cli.base.names import escape_text
from memorybank_cli.base.words import counted
from memorybank_cli.operations.accounts import check_account
from memorybank_cli.operations.erasing import Erased, erase
from memorybank_cli.operations.holders import Holders, holders
from memorybank_cli.operations.options import Option, RepoOption


@dataclass(frozen=True)
class ForgetMessagesReport:
    """What was forgotten, and where it still is."""

    account: str
    forgotten: tuple[str, ...]
    """The ids, as they were given."""
    messages: int
    """How many of them the history held."""
    files: tuple[str, ...]
    """Files of the account that were written anew or removed; empty in a rehearsal."""
    lines: int
    """Lines of the journal whose data went."""
    quarantine: tuple[str, ...]
    snapshots: Holders
    dry_run: bool

    def as_dict(self) -> dict[str, Any]:
        """Everything, the snapshots that still hold it last."""
        return {
            "account": self.account,
            "forgotten": list(self.forgotten),
            "messages": self.messages,
            "files": list(self.files),
            "lines": self.lines,
            "quarantine": list(self.quarantine),
            "snapshots": [one._asdict() for one in self.snapshots.snapshots],
            "trouble": self.snapshots.trouble,
            "dry_run": self.dry_run,
        }

    def summary(self) -> str:
        """What was done, and what is left to do."""
        verb = "would be forgotten" if self.dry_run else "forgotten"
        return f"{counted(len(self.forgotten), 'message')} {verb}. {where_left(self.snapshots)}"


def where_left(found: Holders) -> str:
    """Whether snapshots still hold it, in words."""
    if found.trouble:
        return f"Whether snapshots hold it is not known: {found.trouble}"
    if not found.snapshots:
        return "No snapshot of this bank holds it."
    many = counted(len(found.snapshots), "snapshot")
    return f"{many} still hold{'s' if len(found.snapshots) == 1 else ''} it; next: memorybank snapshot forget ID"


def forget(
    bank: Bank,
    *id: Annotated[str, "the ids of the messages"],
    account: Annotated[str, "the account's id"],
    dry_run: Annotated[bool, Option("show what would be forgotten, change nothing", short="-n")] = False,
    yes: Annotated[bool, "do not ask"] = False,
    repo: RepoOption = None,
) -> ForgetMessagesReport:
    """Forget messages for good.

    They leave the account's files, the journal's data, the quarantine, and the summaries that quote them.
    Their positions stay empty. The journal keeps that there was a message of this id, when, and its digest, so
    its chain still holds.
    Snapshots stay as they are: those that hold them are listed. No rollback brings them back.

    Exit codes:
        0   forgotten, now or before
        2   it needs a yes, and nobody can be asked
        3   the account or the journal is damaged; nothing was changed
        10  there is no such account or message

    Examples:
        memorybank message forget m-17 --account alpha --yes
        memorybank message forget m-17 m-18 --account alpha --dry-run
    """
    if not id:
        raise UsageError("no message is named", hint="memorybank message list --json shows their ids")
    check_account(bank, account)
    if bank.catalog.unrendered_since(account) is not None:
        bank.render()
    found, seen = _held(bank, account, id), bank.end.seq
    traces = Traces(found.subject)
    in_snapshots = holders(bank, repo, traces)
    foreseen = _foreseen(bank, found, traces, in_snapshots)
    if dry_run or not (found.present or foreseen.lines or foreseen.quarantine):
        return foreseen if dry_run else _report(found, Erased([], 0, []), in_snapshots)
    question = f"Forget {counted(len(found.known), 'message')} of {account} for good?"
    bank.context.ensure(question, yes=yes, preview=foreseen)
    with bank.locked():
        now = found if bank.end.seq == seen else _held(bank, account, id)
        return _report(now, erase(bank, now.subject), in_snapshots)


def _held(bank: Bank, account: str, ids: tuple[str, ...]) -> Held:
    """What the account holds of the messages. Raises MessageNotFound for one that it never had."""
    found = forgotten.held(bank, account, tuple(dict.fromkeys(ids)))
    missing = [one for one in ids if one not in found.known]
    if missing:
        raise MessageNotFound(
            f"account {account} has no message '{escape_text(missing[0])}'",
            hint=f"memorybank message list --account {account} --json shows their ids",
        )
    return found


def _foreseen(bank: Bank, found: Held, traces: Traces, in_snapshots: Holders) -> ForgetMessagesReport:
    quarantine = tuple(forgetting.quarantined(bank, traces))
    lines = forgetting.lines_with(bank, traces)
    return ForgetMessagesReport(
        found.subject.account, found.known, len(found.present), (), lines, quarantine, in_snapshots, dry_run=True
    )


def _report(found: Held, done: Erased, in_snapshots: Holders) -> ForgetMessagesReport:
    return ForgetMessagesReport(
        found.subject.account,
        found.known,
        len(found.present),
        tuple(done.files),
        done.lines,
        tuple(done.quarantine),
        in_snapshots,
        dry_run=False,
    )
