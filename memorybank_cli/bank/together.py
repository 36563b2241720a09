"""Threads that write at the same time share one hold of the lock and one sync: one of them does it for all who wait.

One who comes alone leads at once. Others who come meanwhile wait; when the leader is done the first of them leads, and
takes along all who came until then. What each of them gets is what it would have got alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from memorybank_cli.bank.appending import Appending
from memorybank_cli.bank.writing import Appended
from memorybank_cli.base.errors import OperationFailed

Result = TypeVar("Result")
Begin = Callable[[], tuple[Result, Appended | None]]


class _Call(Generic[Result]):
    """What one thread wants written, and what came of it."""

    def __init__(self, begin: Begin[Result]) -> None:
        self.begin = begin
        self.turn: threading.Event | None = None
        """Is set when it was carried out, or is to lead; None for one that leads at once."""
        self.is_taken = self.is_durable = False
        self.results: list[Result] = []
        """One, once it was begun."""
        self.appended: Appended | None = None
        self.error: Exception | None = None

    def carry_out(self) -> None:
        """Append it. The lock is held."""
        try:
            result, self.appended = self.begin()
            self.results.append(result)
        except Exception as error:  # noqa: BLE001 - it is for the thread that wanted it
            self.error = error


class Together:
    """The writing threads of one open bank. None of them holds the bank's mutex when it comes here."""

    def __init__(self, bank: Appending) -> None:
        self.bank = bank
        self._guard = threading.Lock()
        self._waiting: list[_Call[object]] = []
        self._is_led = False

    def run(self, begin: Begin[Result]) -> Result:
        """What `begin` gives, once what it appended is durable; it is called with the lock held, perhaps by another.

        Raises what `begin` raises, Locked, OSError; OperationFailed where the thread that did it was interrupted.
        """
        call = _Call(begin)
        try:
            self._join(call)
            if call.turn is not None:
                call.turn.wait()
            if not call.is_taken:
                self._lead()
        except BaseException:  # Ctrl-C, in the main thread
            self._leave(call)
            raise
        if call.error is not None:
            raise call.error
        if not call.results:
            raise OperationFailed("the thread that wrote for several was interrupted", hint="repeat it")
        if call.appended is not None and not call.is_durable:
            self.bank.durable(call.appended)  # it failed for all together: each hears what that means for its own
        return call.results[0]

    def _join(self, call: _Call[Result]) -> None:
        with self._guard:
            self._waiting.append(call)  # type: ignore[arg-type]  # what they give is nothing to the others
            if self._is_led:
                call.turn = threading.Event()
            self._is_led = True

    def _leave(self, call: _Call[Result]) -> None:
        """Somebody does not wait any longer; who was to lead leaves that to the next."""
        with self._guard:
            if call in self._waiting:
                self._waiting.remove(call)  # type: ignore[arg-type]
                if call.turn is None or call.turn.is_set():
                    self._hand_over()

    def _lead(self) -> None:
        with self._guard:
            calls, self._waiting = self._waiting, []
            for one in calls:
                one.is_taken = True
        try:
            self._carry_out(calls)
        finally:
            with self._guard:
                self._hand_over()
            for one in calls:
                if one.turn is not None:
                    one.turn.set()

    def _hand_over(self) -> None:
        self._is_led = bool(self._waiting)
        for one in self._waiting[:1]:
            assert one.turn is not None  # who came while somebody led
            one.turn.set()

    def _carry_out(self, calls: list[_Call[object]]) -> None:
        try:
            with self.bank.appending():
                for one in calls:
                    one.carry_out()
        except Exception as error:  # noqa: BLE001 - the lock was not to be had: that is for all of them
            for one in calls:
                one.error = one.error or error
            return
        appended = [one for one in calls if one.appended is not None]
        try:
            if appended and appended[-1].appended is not None:
                self.bank.durable(appended[-1].appended)
            for one in calls:
                one.is_durable = True
        except OSError as error:
            appended[-1].error = error
