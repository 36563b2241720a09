"""Sending what waits: one message per channel at a time, each in a thread, so that no channel holds up another.

Where `findings.sqlite` cannot be written (a full disk is what alerts are for) it goes on from memory. A message may
then, or after a kill at the wrong moment, arrive twice, always under the same id; it is never left out.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from queue import SimpleQueue
from typing import Any

from memorybank_cli.alerts import waiting
from memorybank_cli.alerts.breaker import Breaker, Moment, State
from memorybank_cli.alerts.channels.values import Channel, Message, Undelivered
from memorybank_cli.alerts.waiting import Waiting
from memorybank_cli.bank.events import EventStore
from memorybank_cli.base.database import is_busy

SPARE = 30.0
"""Seconds past a channel's own limit after which whoever claimed it counts as dead."""


@dataclass(frozen=True)
class Attempt:
    """How one try ended."""

    channel: str
    notice: Mapping[str, Any]
    late: float
    """Seconds since the notice was made."""
    tries: int
    """Which try it was."""
    seconds: float
    reason: str = ""
    """Why it failed, '' where it did not."""
    hint: str = ""
    wait: float = 0.0
    refused: bool = False
    state: State = "closed"
    """Of the channel's circuit breaker after it."""
    news: bool = True
    """It arrived, or it is the first failure in a row, or the one that opened the breaker."""


@dataclass
class _Sending:
    one: Waiting
    begun: float
    limit: float
    error: Undelivered | None = None
    ended: bool = False
    seconds: float = 0.0


@dataclass
class Deliverer:
    """Works on one store, in one thread; `wake` is set when a try has ended."""

    store: EventStore
    channels: Mapping[str, Channel]
    held: SimpleQueue[Waiting] = field(default_factory=SimpleQueue)
    """Messages that could not be written."""
    wake: threading.Event = field(default_factory=threading.Event)
    now: Callable[[], Moment] = Moment.now
    breakers: dict[str, Breaker] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._who = f"{os.getpid()}-{os.urandom(4).hex()}"
        self._sending: dict[str, _Sending] = {}
        self._unsaved: dict[str, list[Waiting]] = {}
        self._unrecorded: list[Callable[[sqlite3.Connection], None]] = []
        self._done: set[tuple[str, str]] = set()
        self._busy_since = inf

    @property
    def is_busy(self) -> bool:
        """Whether something is on its way."""
        return bool(self._sending)

    def step(self) -> list[Attempt]:
        """Take note of what ended, and begin what is due. Never blocks for longer than the database does."""
        ended = [self._ended(name, one) for name, one in list(self._sending.items()) if self._is_over(one)]
        self._save()
        for name in self._waiting():
            if name not in self._sending and not self.breakers.get(name, Breaker()).left(self.now()):
                self._begin(name)
        return ended

    def follow(self) -> None:
        """Use the file that is there, once it can be written again or where it is another than the one that is open.

        What waits in the one that somebody removed comes along.
        """
        if self.store.in_memory:
            self.store.return_to_disk()
        elif not self.store.is_current:
            with suppress(sqlite3.Error):
                for name in waiting.channels(self.store.db):
                    unsaved = self._unsaved.get(name, [])
                    known = [one.id for one in unsaved] + [id for id, channel in self._done if channel == name]
                    self._unsaved[name] = [*waiting.oldest(self.store.db, name, waiting.MOST, known), *unsaved]
            self.store.leave_disk()
            self.store.return_to_disk()

    def due(self) -> float:
        """Seconds until something may be tried again; what is on its way sets `wake`. Infinite where nothing waits."""
        idle = [name for name in self._waiting() if name not in self._sending]
        # What another process has claimed is looked after once more, in case that one dies.
        return min((max(1.0, self.breakers.get(name, Breaker()).left(self.now())) for name in idle), default=inf)

    def _waiting(self) -> list[str]:
        """The channels for which something waits; how they have done is read anew, others may have tried them."""
        names = [name for name, many in self._unsaved.items() if many]
        with suppress(sqlite3.Error):
            if not self._unrecorded:
                self.breakers.update(waiting.breakers(self.store.db))
            names += waiting.channels(self.store.db)
        return [name for name in dict.fromkeys(names) if name in self.channels and self._oldest(name) is not None]

    def _oldest(self, name: str) -> Waiting | None:
        with suppress(sqlite3.Error):
            skipped = [id for id, channel in self._done if channel == name]
            if found := waiting.oldest(self.store.db, name, 1, skipped):
                return found[0]
        return next(iter(self._unsaved.get(name, ())), None)

    def _begin(self, name: str) -> None:
        channel = self.channels.get(name)  # it may have been taken away a moment ago
        one = None if channel is None else self._claimed(name, channel.limit + SPARE)
        if channel is None or one is None:
            return
        sending = self._sending[name] = _Sending(one, time.monotonic(), channel.limit + SPARE)
        message = Message(one.notice, waiting.age(one.created_at).total_seconds(), one.tries + 1, one.stands_for)

        def send() -> None:
            try:
                channel.send(message)
            except Undelivered as error:
                sending.error = error
            except Exception as error:  # noqa: BLE001 - a defect in a channel must not end alerting: it is told as a failure
                sending.error = Undelivered(f"it failed inside ({type(error).__name__})")
            sending.seconds = time.monotonic() - sending.begun
            sending.ended = True
            self.wake.set()

        threading.Thread(target=send, name=f"memorybank-channel-{name}", daemon=True).start()

    def _claimed(self, name: str, seconds: float) -> Waiting | None:
        """The next message of a channel, None while another process sends there.

        Where the database cannot be written, or somebody keeps it to himself, nobody can tell, and it is sent.
        """
        try:
            with self.store.writing() as db:
                self._busy_since = inf
                one = self._oldest(name)
                return one if one and waiting.claim(db, name, self._who, self.now(), seconds) else None
        except sqlite3.Error as error:
            if is_busy(error):
                self._busy_since = min(self._busy_since, time.monotonic())
                if time.monotonic() - self._busy_since < SPARE:
                    return None
            return self._oldest(name)

    def _is_over(self, sending: _Sending) -> bool:
        """Whether a try has ended, or is given up: no time-out reaches a file system that hangs."""
        passed = time.monotonic() - sending.begun
        if not sending.ended and passed > sending.limit:
            sending.error = Undelivered(f"no end within {sending.limit:g} seconds")
            sending.seconds, sending.ended = passed, True
        return sending.ended

    def _ended(self, name: str, sending: _Sending) -> Attempt:
        del self._sending[name]
        one, error = sending.one, sending.error
        before, tries = self.breakers.get(name, Breaker()), one.tries + 1
        late = waiting.age(one.created_at).total_seconds()
        if error is None:
            self.breakers[name] = Breaker()
            self._done.add((one.id, name))
            self._drop_unsaved(one)
            self._record(lambda db: waiting.add(db, one), lambda db: waiting.delivered(db, name, one.id), name=name)
            return Attempt(name, one.notice, late, tries, sending.seconds)
        after = self.breakers[name] = before.failed(self.now(), error.reason, error.hint, error.wait)
        shorter = {**one.notice, "alerts": []} if error.refused and one.notice.get("alerts") else None
        self._record(lambda db: waiting.failed(db, name, one.id, error.reason, shorter), name=name)
        self._retry_unsaved(one, shorter)
        state = after.state(self.now())
        news = before.failures == 0 or (state == "open" and before.state(self.now()) == "closed")
        return Attempt(
            name,
            one.notice,
            late,
            tries,
            sending.seconds,
            error.reason,
            error.hint,
            after.wait,
            error.refused,
            state,
            news,
        )

    def _record(self, *changes: Callable[[sqlite3.Connection], None], name: str) -> None:
        breaker = self.breakers[name]
        self._unrecorded += [*changes, lambda db: waiting.keep_breaker(db, name, breaker)]

    def _save(self) -> None:
        """Write what is only in memory, all or nothing; what cannot be written now is tried with each step."""
        while not self.held.empty():
            one = self.held.get_nowait()
            self._unsaved.setdefault(one.channel, []).append(one)
        if not self._unrecorded and not any(self._unsaved.values()):
            return
        try:
            if self.store.in_memory:
                raise sqlite3.OperationalError("what is kept in memory is not written")
            with self.store.writing() as db:
                for many in self._unsaved.values():
                    for one in many:
                        waiting.add(db, one)
                for change in self._unrecorded:
                    change(db)
        except sqlite3.Error:
            self._bound()
            return
        self._unsaved.clear()
        self._unrecorded.clear()
        self._done.clear()

    def _bound(self) -> None:
        """Keep memory small too: of too many the older half become one, as on disk."""
        for name, many in self._unsaved.items():
            if len(many) > waiting.MOST:
                half = waiting.MOST // 2
                self._unsaved[name] = [waiting.merged(many[:half]), *many[half:]]

    def _drop_unsaved(self, one: Waiting) -> None:
        many = self._unsaved.get(one.channel, [])
        self._unsaved[one.channel] = [each for each in many if each.id != one.id]

    def _retry_unsaved(self, one: Waiting, shorter: Mapping[str, Any] | None) -> None:
        many = self._unsaved.get(one.channel, [])
        notice = dict(shorter) if shorter is not None else one.notice
        again = one._replace(tries=one.tries + 1, notice=notice)
        self._unsaved[one.channel] = [again if each.id == one.id else each for each in many]
