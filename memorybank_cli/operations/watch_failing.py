"""What a watch does when it cannot look: it says so (MB526), goes on, and looks at everything again soon."""

from __future__ import annotations

import math
import os
import sqlite3
import time
from collections.abc import Callable, Iterator

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base.database import is_busy
from memorybank_cli.base.errors import BankNotFound, Locked, from_os_error
from memorybank_cli.base.records import Finding
from memorybank_cli.base.walk import may
from memorybank_cli.operations.finding import is_bank
from memorybank_cli.operations.watch_telling import Line, line

AGAIN = 5.0
"""Seconds after a look that failed."""
HINT = "free some space, or end the process that keeps the catalog"
Hear = Callable[[list[Finding], list[Finding]], None]


class Failing:
    """Looks that fail. `hear` is told of the finding that begins and of the one that is gone."""

    def __init__(self, bank: Bank, hear: Hear) -> None:
        self.bank, self.hear = bank, hear
        self.finding: Finding | None = None
        """MB526, while no look succeeds."""
        self.again_at = math.inf
        """When everything is to be looked at again, by `time.monotonic()`."""

    def enduring(self, lines: Iterator[Line]) -> Iterator[Line]:
        """Go on where the system, the disk or another process keeps us from looking. Raises BankNotFound."""
        try:
            yield from self.unless_gone(lines)
        except (Locked, OSError, sqlite3.DatabaseError) as error:
            yield from self._failed(error)

    def unless_gone(self, lines: Iterator[Line]) -> Iterator[Line]:
        """What fails because the bank went away while it was looked at is told as that."""
        try:
            yield from lines
        except OSError:
            if is_bank(self.bank.root.path):
                raise
            yield from self.gone()

    def gone(self) -> Iterator[Line]:
        """MB118, and the end."""
        where = self.bank.root.path
        what = "is another directory now" if is_bank(where) else "went away"
        hint = "mount it, or put it back, and start watch again"
        if os.path.isdir(where) and not may(where, os.R_OK | os.X_OK):
            what, hint = "may not be read any more", "check the owner and the mode of the directory"
        found = Finding("MB118", f"the bank at {where} {what}", "", hint)
        yield line("finding", path="", finding=found.as_dict())
        self.hear([found], [])
        raise BankNotFound(f"the bank at {where} {what}", path=where, hint=hint)

    def over(self) -> Iterator[Line]:
        """A look at everything succeeded."""
        failing, self.finding = self.finding, None
        if failing is not None:
            yield line("resolved", path="", rule=failing.rule, fingerprint=failing.fingerprint)
            self.hear([], [failing])

    def soon(self) -> None:
        """Have everything looked at again."""
        self.again_at = min(self.again_at, time.monotonic() + AGAIN)

    def _failed(self, error: Exception) -> Iterator[Line]:
        self.soon()
        words, hint = self._words(error)
        if self.finding is None:
            self.bank.context.progress.note(f"{words}; everything is looked at again every {AGAIN:g} s")
            self.finding = Finding("MB526", words, "", hint)
            yield line("finding", path="", finding=self.finding.as_dict())
            self.hear([self.finding], [])

    def _words(self, error: Exception) -> tuple[str, str]:
        if isinstance(error, OSError):
            known = from_os_error(error)
            return known.message, known.hint or HINT
        if isinstance(error, sqlite3.DatabaseError):
            if not is_busy(error) and "full" not in str(error):
                self._make_catalog_again()
            return f"the catalog cannot be written: {error}", HINT
        return getattr(error, "message", ""), HINT

    def _make_catalog_again(self) -> None:
        try:
            self.bank.rebuild_catalog()
        except (Locked, OSError, sqlite3.DatabaseError):
            return  # the next look that fails tries again; the finding stands
