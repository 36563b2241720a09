"""The Python interface: one open bank that threads and tasks of a process share, and its accounts.

Every method runs an operation of this package: those that read one at a time for each bank, those that store together,
and what may take long (a search, a refresh of the context) in another opening of the bank, so that nobody waits for it.
The twin of a method for asyncio has its name with an `a` before it and runs it in a thread, so that a disk never stops
the event loop.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import datetime
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar
from weakref import WeakSet

from memorybank_cli.accounts.messages import Message
from memorybank_cli.bank import bank as core
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import NotOurs, UsageError, from_os_error
from memorybank_cli.base.names import escape
from memorybank_cli.operations import accounts, messages
from memorybank_cli.operations.finding import find_bank
from memorybank_cli.operations.messages import AddedMessages
from memorybank_cli.operations.opening import keep_rendered
from memorybank_cli.operations.opening import open_bank as open_core
from memorybank_cli.operations.python_messages import StoredMessage, message_of, moment_of, stored

if TYPE_CHECKING:
    from memorybank_cli.operations.contexts import HistoryContext, RefreshReport

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")
AT_ONCE = 500
"""Messages that are read at a time; between two times others get to the bank."""


def open_bank(
    path: str | os.PathLike[str] | None = None, *, lock_timeout: float | None = None, actor: str | None = None
) -> Bank:
    """Open the bank at `path`, or the one that a command would find here; close it, or use it in a `with`.

    `lock_timeout` is in seconds, `actor` goes into the journal as the author; None: the settings decide.
    Raises BankNotFound, and other MemorybankErrors. It never changes the user of the process: what root opens must
    be root's.
    """
    context = Context(bank=None if path is None else os.fspath(path), lock_timeout=lock_timeout, actor=actor)
    place = os.path.abspath(find_bank(context))
    owner = os.stat(place).st_uid
    if owner != os.geteuid() == 0:
        raise NotOurs(f"the bank at {escape(place)} belongs to uid {owner}", hint="run this as that user", path=place)
    opened = open_core(context, path=place)
    keep_rendered(opened)
    return Bank(opened)


class Bank:
    """An open bank. Threads and tasks may share it; a process that was forked opens its own."""

    def __init__(self, opened: core.Bank) -> None:
        self._opened: core.Bank | None = opened
        self._search = threading.Lock()
        self._searching: core.Bank | None = None
        self._why = ""
        """Why it cannot be used any more."""
        self._calls = threading.Condition()
        self._running: list[int] = []
        """The threads that are in a call."""
        self.path = opened.root.path
        self.id = opened.bank_id
        _ALL.add(self)

    def __repr__(self) -> str:
        return f"Bank({self.path!r})"

    def account(self, id: str) -> Account:
        """The account of this id. Raises AccountNotFound with the nearest names."""
        with self.using() as bank:
            return Account(self, accounts.check_account(bank, id))

    def create_account(self, id: str) -> Account:
        """The account of this id, made if it is not there. Raises UsageError for an id that cannot be one."""
        with self.using() as bank:
            accounts.create_account(bank, id)
        return Account(self, id)

    def account_ids(self) -> list[str]:
        """The ids of the accounts, sorted."""
        with self.using() as bank:
            bank.refresh()
            return accounts.account_ids(bank)

    def close(self) -> None:
        """Bring the files up to date and give everything back; what was added is durable before that.

        Calls that are under way in other threads are waited for. May be repeated.
        """
        with self._calls:
            if threading.get_ident() in self._running:
                raise UsageError("a bank cannot be closed by a call that uses it", hint="close it after the with block")
            bank, self._opened, self._why = self._opened, None, self._why or "was closed"
            try:
                self._calls.wait_for(lambda: not self._running)
            except BaseException:  # somebody was tired of waiting
                self._opened = bank
                raise
        with ExitStack() as stack:
            if bank is not None:
                stack.enter_context(_in_words(bank))
                stack.callback(bank.close)
            if self._searching is not None:
                stack.callback(self._searching.abandon)

    async def aclose(self) -> None:
        """`close` for asyncio."""
        await _in_thread(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @contextmanager
    def using(self) -> Iterator[core.Bank]:
        """The bank for an operation of `memorybank_cli.operations`, for this thread alone meanwhile.

        Raises UsageError when it is closed; failures of the disk come out as OperationFailed.
        """
        with self.sharing() as bank, bank.mutex:
            yield bank

    @contextmanager
    def searching(self) -> Iterator[core.Bank]:
        """Another opening of the bank, for what may read all of it: only those who search wait for each other."""
        with self.sharing() as bank, self._search:
            if self._searching is None:
                self._searching = _another(bank)
            yield self._searching

    @contextmanager
    def aside(self) -> Iterator[core.Bank]:
        """Another opening of the bank, for one call that takes long and writes."""
        with self.sharing() as bank:
            other = _another(bank)
            try:
                other.refresh()
                yield other
            finally:
                other.close()

    @contextmanager
    def sharing(self) -> Iterator[core.Bank]:
        """The bank for what takes its locks itself: threads that store at the same time share one wait for the disk."""
        me = threading.get_ident()
        with self._calls:
            bank = self._opened
            if bank is None:
                raise UsageError(f"the bank at {self.path} {self._why}", hint="open_bank(path) opens it again")
            self._running.append(me)
        try:
            with _in_words(bank):
                yield bank
        finally:
            with self._calls:
                self._running.remove(me)
                self._calls.notify_all()

    def _leave(self) -> None:
        """In a forked child: what was open stays as it is, since SQLite and the locks are the parent's."""
        _LEFT.extend(one for one in (self._opened, self._searching) if one is not None)
        self._why = self._why or "was opened before this process was forked"
        self._opened = self._searching = None
        self._calls, self._search = threading.Condition(), threading.Lock()
        self._running = [one for one in self._running if one == threading.get_ident()]


_ALL: WeakSet[Bank] = WeakSet()
_LEFT: list[core.Bank] = []
"""Never closed and never collected, which would close them, too."""


def _leave_all() -> None:
    for bank in list(_ALL):
        bank._leave()  # noqa: SLF001 - of this module


os.register_at_fork(after_in_child=_leave_all)


def _another(bank: core.Bank) -> core.Bank:
    assert bank.another is not None  # `keep_rendered` set it
    return bank.another()


@contextmanager
def _in_words(bank: core.Bank) -> Iterator[None]:
    """Failures of the disk as OperationFailed."""
    try:
        yield
    except OSError as error:
        raise from_os_error(error) from error
    except sqlite3.DatabaseError as error:
        bank.explain(error)
        raise


class Account:
    """One account of an open bank; `Bank.account` gives it."""

    def __init__(self, bank: Bank, id: str) -> None:
        self._bank, self.id = bank, id

    def __repr__(self) -> str:
        return f"Account({self.id!r})"

    def add(
        self,
        *,
        role: str,
        content: str,
        timestamp: datetime | str | None = None,
        id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> AddedMessages:
        """Store one message; when this returns it is on the disk.

        The same id, or without one the same role, content and timestamp, is a duplicate and is not stored again.
        `timestamp` is a datetime with a zone or RFC 3339. Raises UsageError for what is no message, Locked, and
        OperationFailed where the disk fails; then nothing was stored.
        """
        given = {"role": role, "content": content, "timestamp": timestamp, "id": id, "metadata": metadata}
        return self._store([message_of(given, "the message")])

    def add_many(self, messages: Iterable[Mapping[str, Any]]) -> AddedMessages:
        """Store messages, mappings with the names that `add` takes, in one durable batch: all of them or none."""
        return self._store([message_of(one, f"message {number}") for number, one in enumerate(messages, 1)])

    def _store(self, given: list[Message]) -> AddedMessages:
        with self._bank.sharing() as bank:
            return messages.store(bank, self.id, given)

    def messages(
        self,
        *,
        last: int | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        role: str | None = None,
        grep: str | None = None,
    ) -> Iterator[StoredMessage]:
        """The messages as of now, oldest first, in bounded memory; filters as of `memorybank message list`.

        Raises UsageError for a filter that is none, AccountDamaged where a part cannot be had.
        """
        return chain.from_iterable(self._pages(last, since, until, role, grep))

    def _pages(
        self,
        last: int | None,
        since: datetime | str | None,
        until: datetime | str | None,
        role: str | None,
        grep: str | None,
    ) -> Iterator[list[StoredMessage]]:
        entered = self._bank.searching if since or until or role or grep else self._bank.using
        with entered() as bank:
            bank.refresh()
            found = messages.list_(
                bank, account=self.id, last=last, since=moment_of(since), until=moment_of(until), role=role, grep=grep
            )
        return _paged(found, entered)

    def context(self) -> HistoryContext:
        """The analysed summaries of the account, as they were made last."""
        from memorybank_cli.operations import contexts

        with self._bank.using() as bank:
            bank.refresh()
            return contexts.show(bank, account=self.id)

    def refresh_context(self, *, all: bool = False) -> RefreshReport:
        """Summarise what came since, or everything anew; needs scikit-learn (the extra `ml`).

        Without it nothing is changed, and the report's finding says so.
        """
        from memorybank_cli.operations import contexts

        with self._bank.aside() as bank:
            return contexts.refresh(bank, account=self.id, all=all)

    # For asyncio

    async def aadd(
        self,
        *,
        role: str,
        content: str,
        timestamp: datetime | str | None = None,
        id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> AddedMessages:
        """`add` for asyncio. A task that is cancelled meanwhile cannot tell whether the message was stored."""
        given = {"role": role, "content": content, "timestamp": timestamp, "id": id, "metadata": metadata}
        return await _in_thread(self._store, [message_of(given, "the message")])

    async def aadd_many(self, messages: Iterable[Mapping[str, Any]]) -> AddedMessages:
        """`add_many` for asyncio."""
        return await _in_thread(self.add_many, messages)

    async def amessages(
        self,
        *,
        last: int | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        role: str | None = None,
        grep: str | None = None,
    ) -> AsyncIterator[StoredMessage]:
        """`messages` for asyncio: `async for message in account.amessages(last=10)`."""
        pages = await _in_thread(self._pages, last, since, until, role, grep)
        while page := await _in_thread(next, pages, None):
            for one in page:
                yield one

    async def acontext(self) -> HistoryContext:
        """`context` for asyncio."""
        return await _in_thread(self.context)

    async def arefresh_context(self, *, all: bool = False) -> RefreshReport:
        """`refresh_context` for asyncio."""
        return await _in_thread(self.refresh_context, all=all)


def _paged(
    found: Iterator[dict[str, Any]], entered: Callable[[], AbstractContextManager[core.Bank]]
) -> Iterator[list[StoredMessage]]:
    while True:
        with entered():
            page = [stored(one) for one in islice(found, AT_ONCE)]
        if not page:
            return
        yield page


async def _in_thread(function: Callable[_Given, _Result], *given: _Given.args, **named: _Given.kwargs) -> _Result:
    import asyncio

    return await asyncio.to_thread(function, *given, **named)
