"""The analysed summaries of an account: shown, and made again."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Annotated, Any

from memorybank_cli.accounts.context_plan import is_possible, missing, summarised
from memorybank_cli.accounts.sources import read_history
from memorybank_cli.bank import baseline
from memorybank_cli.bank.bank import Bank
from memorybank_cli.base.records import Finding
from memorybank_cli.base.words import counted
from memorybank_cli.operations.accounts import check_account
from memorybank_cli.operations.context_upkeep import due_in, pending

TRIES = 3
"""How often in a row a refresh begins in vain, because somebody else changed the context meanwhile."""


@dataclass(frozen=True)
class HistoryContext:
    """An account's context as it is."""

    account: str
    status: str
    """`initializing` while there is no summary, `active`, `failing` where summaries were lost."""
    last_update: str
    reason: str
    """Why it was made last: messages, age, topic or request; '' for the baseline."""
    messages: int
    """Messages of the account."""
    summarised: int
    """Those that a summary stands for."""
    due: str
    """Why it should be made again: messages, age or topic; '' where it need not."""
    summaries: tuple[dict[str, Any], ...]
    """Oldest first."""
    findings: tuple[Finding, ...] = ()

    def summary(self) -> str:
        """What it covers and what to do next."""
        told = f"{counted(self.summarised, 'message')} of {self.messages:,} in {_told(len(self.summaries))}"
        hint = f" Next: memorybank context refresh --account {self.account}"
        return f"{self.account}: {told}." + (hint if self.due or (self.messages and not self.summaries) else "")


@dataclass(frozen=True)
class RefreshReport:
    """What `context refresh` did."""

    account: str
    refreshed: bool
    written: int
    """Summaries that were written."""
    messages: int
    summarised: int
    summaries: int
    pending: bool
    """Whether messages are left that no summary stands for."""
    findings: tuple[Finding, ...] = ()

    def summary(self) -> str:
        """What was done, and what is left."""
        covered = f"{self.summarised:,} of {counted(self.messages, 'message')} summarised in {_told(self.summaries)}"
        if self.refreshed:
            return f"{self.account}: {_told(self.written)} written; {covered}."
        if self.pending:
            why = "nothing was changed" if self.findings else "it was changed meanwhile; run it again"
            return f"{self.account}: {why}; {covered}."
        return f"{self.account}: nothing new; {covered}."


def _told(summaries: int) -> str:
    return counted(summaries, "summary", "summaries")


def show(bank: Bank, *, account: Annotated[str, "the account's id"]) -> HistoryContext:
    """Show the summaries of an account's conversation.

    Exit codes:
        0   done
        10  there is no such account

    Examples:
        memorybank context show --account alpha
        memorybank context show --account alpha --json
    """
    check_account(bank, account)
    history = read_history(bank, account, indexed=True)
    state, reason = history.context, due_in(bank, history)
    return HistoryContext(
        account,
        state.status,
        state.moment or history.created_at,
        state.reason,
        history.total,
        summarised(history),
        reason,
        state.summaries,
        tuple(pending([account] if reason else [])),
    )


def refresh(
    bank: Bank,
    *,
    account: Annotated[str, "the account's id"],
    all: Annotated[bool, "summarise everything anew, not only what came since"] = False,
) -> RefreshReport:
    """Summarise what came since, and the newest topic anew.

    Needs scikit-learn; without it nothing is changed, and a finding says so.

    Exit codes:
        0   done, or nothing to do, or scikit-learn is missing
        3   the account cannot be read
        10  there is no such account

    Examples:
        memorybank context refresh --account alpha
        memorybank context refresh --account alpha --all
    """
    from memorybank_cli.accounts import context_refresh

    check_account(bank, account)
    baseline.begin(bank)
    possible = is_possible()
    written, upto, tries = 0, 0, TRIES if possible else 0
    while tries:
        done = context_refresh.refresh(bank, account, "request", again=all, after=upto, progress=bank.context.progress)
        written, upto = written + done.summaries, max(upto, done.upto)
        if done.finished:
            break
        tries = TRIES if done.summaries else tries - 1
    with bank.locked() if written else nullcontext():  # nobody renders meanwhile
        history = read_history(bank, account)
        state = history.context
    left = bool(missing(history))
    return RefreshReport(
        account,
        written > 0,
        written,
        history.total,
        summarised(history),
        len(state.summaries),
        left,
        tuple(pending([account] if left and not possible else [])),
    )
