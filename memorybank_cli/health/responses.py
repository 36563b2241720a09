"""How long reading and writing took of late, and how often it failed: a sample of the last calls of every process.

Kept in the catalog, which is derived: a lost one takes the samples along, and nothing else depends on them.
"""

from __future__ import annotations

import sqlite3
import time
from collections import deque
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base import clock
from memorybank_cli.base.errors import Locked, NotFound, UsageError

KEPT = 100
"""Calls of each kind that are remembered."""
EVERY = 60.0
"""Seconds after which a process that goes on tells of its calls."""
_META = "responses"
_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


class Responses(NamedTuple):
    """The last calls of one kind: seconds of those that succeeded, how many failed, and when the last was."""

    seconds: tuple[float, ...] = ()
    failed: int = 0
    last: str | None = None

    @property
    def error_rate(self) -> float:
        """The share of the calls that failed, 0 to 1."""
        calls = len(self.seconds) + self.failed
        return self.failed / calls if calls else 0.0

    def percentile(self, share: float) -> float | None:
        """The seconds within which this share of the calls succeeded, None where there was none."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else None


class _Calls:
    """What one open bank has not told yet: by kind microseconds, -1 for a failure."""

    def __init__(self, bank: Bank) -> None:
        self.calls: dict[str, deque[int]] = {}
        self.told = time.monotonic()
        bank.resources.callback(self.tell, bank)

    def note(self, bank: Bank, kind: str, microseconds: int) -> None:
        self.calls.setdefault(kind, deque(maxlen=KEPT)).append(microseconds)
        if time.monotonic() - self.told > EVERY:
            self.told = time.monotonic()
            try:
                with bank.locked(timeout=0):
                    self.tell(bank)
            except (Locked, OSError):
                return  # the next call, or the end, tells of it

    def tell(self, bank: Bank) -> None:
        if bank.catalog.in_memory or not self.calls:
            return
        calls, self.calls = self.calls, {}
        try:
            with bank.catalog.writing():
                kept = _kept(bank)
                for kind, new in calls.items():
                    kept[kind] = {"calls": [*_numbers(kept.get(kind)), *new][-KEPT:], "last": clock.now()}
                bank.catalog.set_meta(_META, kept)
        except sqlite3.DatabaseError:
            return  # busy, full or damaged: whoever needs the catalog says so, and a sample is lost


_OPEN: WeakKeyDictionary[Bank, _Calls] = WeakKeyDictionary()


def measured(
    kind: str,
) -> Callable[[Callable[Concatenate[Bank, _Given], _Result]], Callable[Concatenate[Bank, _Given], _Result]]:
    """Have the calls of a function that takes a bank first counted as `read` or `write`.

    What a caller did wrong is no failure of the bank.
    """

    def decorate(
        function: Callable[Concatenate[Bank, _Given], _Result],
    ) -> Callable[Concatenate[Bank, _Given], _Result]:
        @wraps(function)
        def call(bank: Bank, /, *given: _Given.args, **named: _Given.kwargs) -> _Result:
            started = time.perf_counter_ns()
            try:
                result = function(bank, *given, **named)
            except (UsageError, NotFound):
                raise
            except Exception:  # whatever it is, it is counted and goes on to the caller
                _note(bank, kind, -1)
                raise
            _note(bank, kind, (time.perf_counter_ns() - started) // 1_000)
            return result

        return call

    return decorate


def _note(bank: Bank, kind: str, microseconds: int) -> None:
    found = _OPEN.get(bank)
    if found is None:
        found = _OPEN[bank] = _Calls(bank)
    found.note(bank, kind, microseconds)


def responses(bank: Bank, kind: str) -> Responses:
    """The last calls of a kind, as far as processes told of them."""
    found = _kept(bank).get(kind)
    numbers = _numbers(found)
    last = found.get("last") if isinstance(found, dict) else None
    seconds = tuple(number / 1_000_000 for number in numbers if number >= 0)
    return Responses(seconds, len(numbers) - len(seconds), last if isinstance(last, str) else None)


def _kept(bank: Bank) -> dict[str, Any]:
    found = bank.catalog.meta(_META, {})
    return found if isinstance(found, dict) else {}


def _numbers(found: Any) -> list[int]:
    calls = found.get("calls") if isinstance(found, dict) else None
    return [one for one in calls if type(one) is int] if isinstance(calls, list) else []
