"""Keeping the contexts of accounts up to date: noticed at a write, done after it, said where it cannot be done."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from functools import cached_property
from threading import Lock, Thread

from memorybank_cli.accounts.context_plan import Limits, due, is_possible
from memorybank_cli.accounts.contexts import LEAST, NEVER, parsed
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
_FAILURES = (MemorybankError, OSError, sqlite3.DatabaseError, ImportError)


class Upkeep:
    """What a process that writes messages remembers of one account's context; called when the bank is closed.

    Where the process lives long, what is due is done at once by a thread with a bank of its own, which also looks
    whether the topic changed.
    """

    def __init__(self, bank: Bank, account: str) -> None:
        self.bank, self.account = bank, account
        self.added = 0
        """Messages stored since it was last looked at."""
        self.is_set_off = False
        """Whether a refresh is under way, or waits for the bank to be closed."""
        self.ended = 0
        """When the thread ended last, in nanoseconds."""
        self.thread: Thread | None = None
        self._turn = Lock()
        self._least, self._hours = int(bank.settings["context.messages"]), float(bank.settings["context.hours"])
        self._read()

    def _read(self) -> None:
        data = self.bank.root.content(layout.account_file(self.account, "history_context"))
        try:
            state = parsed(data or b"")
        except ValueError:
            state = NEVER
        self.covered, self.stale = state.covered, ""
        """From when on it is too old; '' for never."""
        if self._hours and state.moment:
            self.stale = clock.show(clock.parse(state.moment) + timedelta(hours=self._hours))

    def notice(self, added: int, total: int) -> bool:
        """`added` messages were stored, `total` there are now: whether that sets off a refresh, by number or age."""
        with self._turn:
            self.added += added
            if self.is_set_off or clock.now_ns() - self.ended < PAUSE * clock.SECOND_NS:
                return False
            another = self.bank.another
            found = self._is_due(total)
            if not (found or (another is not None and self._least and self.added >= LEAST)) or not self._is_possible:
                return False
            self.is_set_off = True
            if another is not None:
                self._start(another)
            return found

    def _is_due(self, total: int) -> bool:
        new = total - self.covered
        return 0 < self._least <= new or (new > 0 and self.stale != "" and self.stale <= clock.now())

    @cached_property
    def _is_possible(self) -> bool:
        return is_possible()

    def _start(self, another: Callable[[], Bank]) -> None:
        if self.thread is None:
            self.bank.before_close.callback(self._join)
        thread = Thread(target=self._aside, args=(another,), name="memorybank-context", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more of them may be started, so it waits for the bank to be closed
            return
        self.thread = thread

    def _join(self) -> None:
        if self.thread is not None:
            self.thread.join()

    def _aside(self, another: Callable[[], Bank]) -> None:
        try:
            with closing(another()) as own:
                own.refresh()
                self._look(own, closely=True)
        except _FAILURES as error:
            self._say(error)
        finally:
            self.ended = clock.now_ns()
            self.is_set_off = False

    def __call__(self) -> None:
        """Refresh the context where it is due; what goes wrong is only said, for the messages are stored."""
        try:
            self._look(self.bank, closely=self.added > 1)
        except _FAILURES as error:
            self._say(error)

    def _look(self, bank: Bank, *, closely: bool) -> None:
        self.added = 0
        reason = due_in(bank, read_history(bank, self.account, indexed=True), closely=closely)
        if reason and self._is_possible:
            from memorybank_cli.accounts.context_refresh import refresh

            refresh(bank, self.account, reason, most=AT_ONCE)
        self._read()

    def _say(self, error: BaseException) -> None:
        if isinstance(error, ImportError):
            self._is_possible = False  # that does not get better while this process lives
        self.bank.context.progress.note(f"the context of {self.account} could not be refreshed: {error}")


def noticed(bank: Bank, account: str, added: int, total: int) -> bool:
    """Let the context be looked at when the bank is closed: `added` messages were stored, `total` there are now.

    Whether they set off a refresh, which in a process that lives long begins at once, beside it. Costs nothing that
    grows.
    """
    upkeep = bank.afterwards.get(_KEY + account)
    if upkeep is None:
        upkeep = bank.afterwards.setdefault(_KEY + account, Upkeep(bank, account))
    return isinstance(upkeep, Upkeep) and upkeep.notice(added, total)


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
        again = f"memorybank context refresh --account {one or 'ID'}"
        which = f"context of {one}" if one else f"contexts of {counted(len(accounts), 'account')}"
        message = f"the {which} cannot be refreshed: scikit-learn is not installed"
        path = layout.account_file(one, "history_context") if one else ""
        yield Finding("MB510", message, path, f"pip install 'memorybank-cli[ml]', then {again}")
