"""Slow probes run in a thread of their own, with a bank of its own: what hangs must not hold up watching.

A repository may lie on a medium that does not answer, and accounts may be many. One probe runs at a time.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from queue import Empty, SimpleQueue
from threading import Thread

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base.context import nobody_to_ask, nobody_to_see, nobody_to_tell
from memorybank_cli.base.errors import MemorybankError
from memorybank_cli.base.records import QUIET, Finding
from memorybank_cli.health.probing import Probe, Result, failed, run_all
from memorybank_cli.operations.opening import open_bank

ENDING = 2.0
"""Seconds to wait at the end for a probe that runs; one that hangs is left to the end of the process."""


class Beside:
    """The thread. `running` is the probe that it is at, `since` when that began, by `time.monotonic()`."""

    def __init__(self, bank: Bank) -> None:
        self.running: Probe | None = None
        self.since = 0.0
        self._context = replace(
            bank.context,
            bank=bank.root.path,
            interactive=False,
            progress=QUIET,
            confirm=nobody_to_ask,
            ask_secret=nobody_to_tell,
            preview=nobody_to_see,
        )
        self._asked: SimpleQueue[tuple[Probe, list[Finding]] | None] = SimpleQueue()
        self._done: SimpleQueue[Result | Exception] = SimpleQueue()
        self._thread: Thread | None = None

    def start(self, probe: Probe, known: Sequence[Finding]) -> None:
        """Have a probe run; none may be running."""
        if self._thread is None:
            self._thread = Thread(target=self._work, name="memorybank probes", daemon=True)
            self._thread.start()
        self.running, self.since = probe, time.monotonic()
        self._asked.put((probe, list(known)))

    def take(self) -> Result | None:
        """What the probe came to, None while it runs.

        Where the thread could not go on it is unknown, and `start` begins another. Raises what is a mistake of ours.
        """
        try:
            found = self._done.get_nowait()
        except Empty:
            return None
        probe, self.running = self.running, None
        if isinstance(found, Result):
            return found
        self._thread = None
        if probe is None or not isinstance(found, OSError | MemorybankError):
            raise found
        now = time.monotonic()
        return Result(probe, now, now - self.since, failed(probe, found))

    def close(self) -> None:
        """End the thread."""
        if self._thread is not None:
            self._asked.put(None)
            self._thread.join(ENDING)

    def _work(self) -> None:
        try:
            bank = open_bank(self._context)
            try:
                self._answer(bank)
            finally:
                bank.abandon()
        except Exception as error:  # noqa: BLE001 - `take` raises it where somebody can tell of it
            self._done.put(error)

    def _answer(self, bank: Bank) -> None:
        while (asked := self._asked.get()) is not None:
            probe, known = asked
            bank.refresh()
            self._done.put(run_all([probe], bank, known)[0])
