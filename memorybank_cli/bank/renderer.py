"""Rendering in processes that live long: a thread with a bank of its own, so that nobody who writes waits for files."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import ExitStack

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base.errors import MemorybankError
from memorybank_cli.base.records import Progress

PAUSE = 0.03
"""Seconds between a commit and its rendering, in which more may come: with the rendering less than 0.05."""


class Renderer:
    """Renders what is committed into a bank; `opened` gives it another one at the same place."""

    def __init__(self, opened: Callable[[], Bank], progress: Progress) -> None:
        self._opened, self._progress = opened, progress
        self._news, self._end = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="memorybank-renderer", daemon=True)
        self._thread.start()

    def nudge(self) -> None:
        """There is something to be rendered."""
        if not self._news.is_set():
            self._news.set()

    def close(self) -> None:
        """End it once it is done with what it is at; what is left is rendered by whoever closes the bank."""
        self._end.set()
        self._news.set()
        self._thread.join()

    def _run(self) -> None:
        with ExitStack() as stack:
            bank: Bank | None = None
            while True:
                self._news.wait()
                if self._end.wait(PAUSE):
                    return
                self._news.clear()
                if self._end.is_set():  # set after the look above, and its news is cleared now
                    return
                try:
                    if bank is None:
                        bank = self._opened()
                        stack.callback(bank.abandon)
                    if not bank.render(rounds=1):  # after a pause: rendering takes time from those who write
                        self._news.set()
                except (MemorybankError, OSError, sqlite3.DatabaseError) as error:
                    self._progress.note(f"files wait to be rendered: {error}")
