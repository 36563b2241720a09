"""The outbox: notices go in with the alerts that they tell of, and leave once their channel has taken them.

put (in the transaction that says what was told) → waiting in findings.sqlite → Deliverer → channel
hold (where nothing can be written)              → waiting in memory          ↗
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Mapping
from math import inf
from queue import SimpleQueue
from sqlite3 import Error
from typing import Any

from memorybank_cli.alerts import standing, waiting
from memorybank_cli.alerts.breaker import Breaker
from memorybank_cli.alerts.channels import table
from memorybank_cli.alerts.channels.values import Channel
from memorybank_cli.alerts.delivering import Attempt, Deliverer
from memorybank_cli.alerts.values import Notice
from memorybank_cli.alerts.waiting import Waiting
from memorybank_cli.bank.events import EventStore
from memorybank_cli.base import clock
from memorybank_cli.base.records import Finding
from memorybank_cli.base.walk import Root

LOOKS_EVERY = 30.0
"""Seconds between two looks for messages that other processes left."""
PATIENCE = 2.0
"""Seconds for which the thread waits for others who write; it comes back soon enough."""
Line = dict[str, Any]


class Outbox:
    """What waits for the channels of one bank. `definitions` are those of its owner's alerts.json."""

    def __init__(self, store: EventStore, definitions: Mapping[str, Any], root: Root, owner: int) -> None:
        self.store, self.root, self.owner = store, root, owner
        self.channels: dict[str, Channel] = {}
        self.unfit: dict[str, str] = {}
        self.readdressed: set[str] = set()
        self._held: SimpleQueue[Waiting] = SimpleQueue()
        self._lines: SimpleQueue[Line] = SimpleQueue()
        self._wake = threading.Event()
        self._breakers: dict[str, Breaker] = {}
        self._thread: threading.Thread | None = None
        self._deliverer: Deliverer | None = None
        self._stopping = False
        self._settled = True
        """Nothing is on its way, as of the thread's last round."""
        self.define(definitions)

    def define(self, definitions: Mapping[str, Any]) -> None:
        """Have other channels from now on; what waits goes on waiting, and what is on its way is tried anew."""
        former = self.channels
        self.channels, self.unfit = table.built(definitions, self.root, own=self.owner == os.geteuid())
        self.readdressed = set()
        if self._deliverer is not None:
            self._deliverer.channels = self.channels
        self._looked_after = False
        for channel in former.values():
            channel.close()
        self._wake.set()

    @property
    def names(self) -> frozenset[str]:
        """The channels that there are; what is put for another goes to `log`."""
        return frozenset(self.channels)

    def put(self, notice: Notice) -> None:
        """Let a notice wait for its channel, in a transaction of the caller's. Raises sqlite3.Error."""
        if self.store.in_memory:
            self.hold(notice)
        else:
            waiting.add(self.store.db, self._addressed(notice))

    def hold(self, notice: Notice) -> None:
        """The same where nothing can be written: from memory, and written as soon as that can be done."""
        self._held.put(self._addressed(notice))

    def _addressed(self, notice: Notice) -> Waiting:
        channel = notice.channel
        if channel not in self.channels and channel not in self.unfit:
            self.readdressed.add(channel)
            channel = table.LOG
        return Waiting(notice.id, channel, notice.as_dict(), notice.created_at)

    def deliver(self, seconds: float) -> list[Line]:
        """Try what is due, for at most so many seconds: lines about what arrived, and what newly does not."""
        worker = self._worker(self.store)
        end = time.monotonic() + seconds
        lines = []
        while True:
            self._wake.clear()
            attempts = worker.step()
            lines += [_line(one) for one in attempts if one.news]
            left = end - time.monotonic()
            if not worker.is_busy or left <= 0:
                return lines
            self._wake.wait(left)

    def _worker(self, store: EventStore) -> Deliverer:
        if self._deliverer is None:
            self._deliverer = Deliverer(store, self.channels, self._held, self._wake, breakers=self._breakers)
        if not self._looked_after:
            self._looked_after = True
            self._forsaken(store)
        return self._deliverer

    def _forsaken(self, store: EventStore) -> None:
        """What waits for channels that are defined no more goes to the log."""
        try:
            with store.writing() as db:
                for name in waiting.channels(db):
                    if name not in self.channels and name not in self.unfit:
                        self.readdressed.add(name)
                        waiting.readdress(db, name, table.LOG)
        except Error:
            return  # the next process that can write does it

    def start(self) -> None:
        """Deliver in a thread from now on, until `close`."""
        self._thread = threading.Thread(target=self._work, name="memorybank-outbox", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        store = None
        while not self._stopping:
            try:
                store = store or EventStore(self.root, PATIENCE)
            except (Error, OSError):
                self._wake.wait(1.0)
                continue
            self._settled = False
            self._wake.clear()
            worker = self._worker(store)
            worker.follow()
            for one in worker.step():
                if one.news:
                    self._lines.put(_line(one))
            self._settled = not worker.is_busy
            if not self._stopping:
                self._wake.wait(min(worker.due(), LOOKS_EVERY))
        if store is not None:
            store.close()

    @property
    def is_alive(self) -> bool:
        """Whether the thread delivers, where one was started."""
        return self._thread is None or self._thread.is_alive()

    def wake(self) -> None:
        """Something was put."""
        self._wake.set()

    def drain(self) -> list[Line]:
        """What the thread has to tell since the last call."""
        return [self._lines.get_nowait() for _ in range(self._lines.qsize())]

    def next_due(self) -> float:
        """When `deliver` wants to be called again, by `time.monotonic()`; infinite where a thread does it."""
        if self._thread is not None:
            return inf
        return time.monotonic() + self._worker(self.store).due()

    def findings(self, wanted: Iterable[str] = ()) -> list[Finding]:
        """What is wrong with the channels now; `wanted` are those that routes lead to."""
        found = [standing.unfit(name, why) for name, why in self.unfit.items()]
        missing = {*wanted} - {*self.channels, *self.unfit, table.TERMINAL}
        found += [standing.unknown(name) for name in sorted(self.readdressed | missing)]
        if not self.is_alive and not self._stopping:
            found.append(standing.stopped())
        known = dict(self._breakers)
        try:
            # Whoever delivers knows best; what it could not write is only there.
            known = known if self._deliverer is not None else waiting.breakers(self.store.db)
            return found + standing.of(self.store.db, self._there(known))
        except Error:
            return found + standing.failing(self._there(known))

    def _there(self, breakers: dict[str, Breaker]) -> dict[str, Breaker]:
        return {name: one for name, one in breakers.items() if name in self.channels}

    def close(self, seconds: float = 0.0) -> None:
        """End the thread once all is tried that is due, within `seconds`; what is then on its way may arrive twice."""
        if self._thread is not None:
            end = time.monotonic() + seconds
            self._wake.set()
            while time.monotonic() < end and (self._wake.is_set() or not self._settled):
                time.sleep(0.01)
            self._stopping = True
            self._wake.set()
            self._thread.join(1.0)
        for channel in self.channels.values():
            channel.close()


def _line(one: Attempt) -> Line:
    return {
        "type": "undelivered" if one.reason else "delivered",
        "ts": clock.now(),
        "channel": one.channel,
        "notice": one.notice["id"],
        "group": one.notice["group"],
        "seconds": round(one.seconds, 3),
        "try": one.tries,
        "late_seconds": round(one.late, 1),
        "reason": one.reason,
        "breaker": one.state,
    }
