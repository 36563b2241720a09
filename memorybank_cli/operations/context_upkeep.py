"""Keeping the contexts of accounts up to date: noticed at a write, done after it, said where it cannot be done."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from threading import Thread

from memorybank_cli.accounts.context_plan import Limits, due, is_possible
from memorybank_cli.accounts.contexts import NEVER, parsed
from memorybank_cli.accounts.history import History
from memorybank_cli.accounts.sources import read_history
from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.base import clock
from memorybank_cli.base.errors import MemorybankError
from memorybank_cli.base.records import Finding
from memorybank_cli.base.words import counted

AT_ONCE = 2_000
"""Messages that one refresh without being asked summarises at most; the next one goes on."""
PAUSE = 10
"""Seconds between two refreshes beside the writing, which they slow down."""
_KEY = "context "


class Upkeep:
    """What a process that writes messages remembers of one account's context; called when the bank is closed."""

    def __init__(self, bank: Bank, account: str) -> None:
        self.bank, self.account = bank, account
        self.said = False
        self.added = 0
        """Messages stored since it was last looked at."""
        self.thread: Thread | None = None
        self.ended = 0
        """When the thread ended last, in nanoseconds."""
        self.least, self.hours = int(bank.settings["context.messages"]), float(bank.settings["context.hours"])
        self._read()

    def _read(self) -> None:
        data = self.bank.root.content(layout.account_file(self.account, "history_context"))
        try:
            state = parsed(data or b"")
        except ValueError:
            state = NEVER
        self.covered, self.stale = state.covered, ""
        """From when on it is too old; '' for never."""
        if self.hours and state.moment:
            self.stale = clock.show(clock.parse(state.moment) + timedelta(hours=self.hours))

    def is_due(self, total: int) -> bool:
        """Whether so many messages, or the time since the last refresh, set one off; said once until it was done."""
        new = total - self.covered
        if self.said or not (0 < self.least <= new or (new > 0 and self.stale and self.stale <= clock.now())):
            return False
        if clock.now_ns() - self.ended < PAUSE * clock.SECOND_NS:
            return False
        self.said = True
        return is_possible()

    def start(self, another: Callable[[], Bank]) -> None:
        """Refresh it in a thread with a bank of its own; whoever closes the bank waits for it."""
        if self.thread is None:
            self.bank.before_close.callback(self._join)
        self.thread = Thread(target=self._aside, args=(another,), name="memorybank-context", daemon=True)
        self.thread.start()

    def _join(self) -> None:
        if self.thread is not None:
            self.thread.join()

    def _aside(self, another: Callable[[], Bank]) -> None:
        own = another()
        try:
            own.refresh()
            self(own)
        finally:
            own.abandon()
            self.ended = clock.now_ns()

    def __call__(self, through: Bank | None = None) -> None:
        """Refresh the context where it is due; what goes wrong is only said, for the messages are stored.

        `through` is another open bank at the same place, where a thread does it beside those who write.
        """
        self._refresh(through or self.bank)

    def _refresh(self, bank: Bank) -> None:
        try:
            _refresh_where_due(bank, self.account, closely=self.added > 1)
            self._read()
            self.said, self.added = False, 0
        except (MemorybankError, OSError, sqlite3.DatabaseError, ImportError) as error:
            self.said = isinstance(error, ImportError)  # that does not get better while this process lives
            self.bank.context.progress.note(f"the context of {self.account} could not be refreshed: {error}")


def noticed(bank: Bank, account: str, added: int, total: int) -> bool:
    """Let the context be looked at when the bank is closed: `added` messages were stored, `total` there are now.

    Whether they set off a refresh, which in a process that lives long begins at once, beside it. Costs nothing that
    grows.
    """
    upkeep = bank.afterwards.get(_KEY + account)
    if not isinstance(upkeep, Upkeep):
        upkeep = bank.afterwards[_KEY + account] = Upkeep(bank, account)
    upkeep.added += added
    due = upkeep.is_due(total)
    if due and bank.another is not None:
        upkeep.start(bank.another)
    return due


def refresh_due(bank: Bank, through: Bank | None = None) -> None:
    """Refresh the contexts that are due, of the accounts written to in this process; for processes that live long."""
    for call in list(bank.afterwards.values()):
        if isinstance(call, Upkeep):
            call(through)


def _refresh_where_due(bank: Bank, account: str, *, closely: bool) -> None:
    reason = due_in(bank, read_history(bank, account, indexed=True), closely=closely)
    if not reason:
        return
    if is_possible():
        from memorybank_cli.accounts.context_refresh import refresh

        refresh(bank, account, reason, most=AT_ONCE)


def due_in(bank: Bank, history: History, *, closely: bool = True) -> str:
    """Why an account's context is due: messages, age, topic; '' where it is not. Raises AccountDamaged."""
    limits = Limits(int(bank.settings["context.messages"]), float(bank.settings["context.hours"]))
    return due(history, limits, clock.now(), closely=closely)


def contexts(bank: Bank) -> Iterator[Finding]:
    """MB510: contexts that are due and cannot be made, because scikit-learn is not there."""
    if is_possible():
        return
    names = (layout.account_of(entry.name) for entry in bank.root.listing())
    yield from pending([one for one in names if one and _is_due(bank, one)])


def _is_due(bank: Bank, account: str) -> bool:
    try:
        return bool(due_in(bank, read_history(bank, account, indexed=True)))
    except MemorybankError:
        return False  # its own findings tell of it


def pending(accounts: Sequence[str]) -> Iterator[Finding]:
    """One finding for accounts whose context waits for scikit-learn; none where it is there."""
    if accounts and not is_possible():
        one = accounts[0] if len(accounts) == 1 else ""
        which = f"context of {one}" if one else f"contexts of {counted(len(accounts), 'account')}"
        message = f"the {which} cannot be refreshed: scikit-learn is not installed"
        path = layout.account_file(one, "history_context") if one else ""
        yield Finding("MB510", message, path, "pip install 'memorybank-cli[ml]', then memorybank context refresh")
