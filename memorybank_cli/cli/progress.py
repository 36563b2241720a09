"""Progress for people: a bar on a terminal once work takes longer than a second, notes as lines on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from memorybank_cli.base.names import escape_text
from memorybank_cli.base.records import Progress
from memorybank_cli.cli import terminal

PATIENCE = 1.0
WORK = "working"


class Notes(Progress):
    """Writes notes to stderr, and nothing about progress: for pipes."""

    def __init__(self, words: Callable[[str], str] = str) -> None:
        self.words = words
        """Makes of a note what is written."""

    def note(self, text: str) -> None:
        """One line, or several; where stderr takes none the work goes on."""
        with suppress(OSError):
            terminal.write_line("stderr", self.words(text))


class Bar(Notes):
    """A bar per step on the terminal's stderr, drawn when the step has lasted a second."""

    def __init__(self, words: Callable[[str], str] = str) -> None:
        super().__init__(words)
        self._what, self._total, self._done = "", None, 0  # type: tuple[str, int | None, int]
        self._begun = time.monotonic()
        self._drawn: Any = None
        self._task: Any = None

    def start(self, what: str, total: int | None = None) -> None:
        """A step begins; one that was not finished is."""
        self.finish()
        self._what, self._total, self._done = what, total, 0
        self._begun = time.monotonic()

    def advance(self, count: int = 1) -> None:
        """Counts, and draws when it is time."""
        self._done += count
        if self._drawn is not None:
            self._drawn.update(self._task, completed=self._done)
        elif time.monotonic() - self._begun > PATIENCE:
            self._draw()

    def finish(self) -> None:
        """Takes the bar away."""
        if self._drawn is not None:
            self._drawn.stop()
            self._drawn = None
        self._begun = time.monotonic()

    def note(self, text: str) -> None:
        """A line above the bar."""
        if self._drawn is None:
            super().note(text)
        else:
            self._drawn.console.print(escape_text(self.words(text)), soft_wrap=True)

    def _draw(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Drawn

        known = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        unknown = (TextColumn("{task.completed:,}"),)
        self._drawn = Drawn(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            *(unknown if self._total is None else known),
            console=terminal.console("stderr"),
            transient=True,
        )
        self._task = self._drawn.add_task(escape_text(self._what or WORK), total=self._total, completed=self._done)
        self._drawn.start()
