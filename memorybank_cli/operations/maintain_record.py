"""What is remembered of maintenance runs in the state directory, and the guard that lets only one of them run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base import clock
from memorybank_cli.base.errors import Locked, from_os_error
from memorybank_cli.operations.schedule_times import last_before

LOCK = "maintain.lock"
_NAME = "maintain"
STILL_GOOD = timedelta(hours=20)
"""So long steps that an interrupted run had done are not done again by the next one, if its time did not come since."""


class Notebook:
    """What is remembered of runs, by name: `running`, `begun` (by job its steps that are done), `rehash`."""

    def __init__(self, bank: Bank) -> None:
        self.bank = bank
        self._fails = False

    def __getitem__(self, name: str) -> Any:
        return self.bank.home.derived(_NAME).get(name)

    def keep(self, **changed: Any) -> None:
        """Remember something. Where that fails only going on after an interruption is lost, and it is said once."""
        try:
            self.bank.home.keep_derived(_NAME, {**self.bank.home.derived(_NAME), **changed})
        except OSError as error:
            if not self._fails:
                words = from_os_error(error, "how far maintenance came is not kept")
                self.bank.context.progress.note(words.message)
            self._fails = True


@contextmanager
def alone(bank: Bank, what: str, wait: float) -> Iterator[Notebook]:
    """Keep every other maintenance run of this bank out. Raises Locked after so many seconds with another one.

    The lock lies in the state directory, where agents that write the bank cannot put a link in its place.
    """
    from filelock import FileLock, Timeout

    path, notes = bank.home.root.absolute(LOCK), Notebook(bank)
    lock = FileLock(path, timeout=wait, mode=0o600)
    try:
        lock.acquire()
    except Timeout:
        who = notes["running"]
        raise Locked(
            f"another maintenance run is under way{_told(who) if isinstance(who, dict) else ''}",
            hint="wait for it, or give --lock-timeout SECONDS; memorybank schedule show says how the runs went",
            path=path,
        ) from None
    try:
        notes.keep(running={"what": what, "pid": os.getpid(), "since": clock.now()})
        yield notes
        notes.keep(running=None)
    finally:
        lock.release()


def _told(who: dict[str, Any]) -> str:
    return f": {who.get('what')}, process {who.get('pid')}, since {str(who.get('since'))[:19]}Z"


class Record:
    """The steps of one run, kept so that a run after an interrupted one goes on where that ended."""

    def __init__(self, notes: Notebook, job: str) -> None:
        self._notes, self.job = notes, job
        self.done = self._left()
        """The steps that an interrupted run had done well, and when, RFC 3339."""

    def _left(self) -> dict[str, str]:
        now = datetime.now(UTC)
        oldest = max(now - STILL_GOOD, last_before(self.job, now))
        try:
            found = self._begun().get(self.job, {}).items()
            return {name: at for name, at in found if oldest < clock.parse(at) <= now}
        except (AttributeError, TypeError, ValueError):
            return {}

    def _begun(self) -> dict[str, Any]:
        found = self._notes["begun"]
        return found if isinstance(found, dict) else {}

    def note(self, step: str) -> None:
        """A step was done well."""
        self.done[step] = clock.now()
        self._notes.keep(begun={**self._begun(), self.job: self.done})

    def close(self) -> None:
        """The run came to its end: the next one begins anew."""
        self._notes.keep(begun={name: steps for name, steps in self._begun().items() if name != self.job})


def rehash_since(notes: Notebook) -> datetime:
    """When the reading of every file began that has not come to its end; now, and noted, where none is under way."""
    try:
        return clock.parse(notes["rehash"])
    except (TypeError, ValueError):
        now = clock.now()
        notes.keep(rehash=now)
        return clock.parse(now)
