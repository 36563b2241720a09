"""A terminal for tests: as much of one as the live view uses, so that what stands on the screen can be read."""

from __future__ import annotations

import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.cells import cell_len

PATIENCE = 30.0
_TOKEN = re.compile(r"\x1b\[(\??)([\d;]*)([A-Za-z])|\x1b[^\[]?|[\x00-\x1f]|[^\x00-\x1f\x1b]")
# Makes the terminal that stdin is the one of the session, as a login does.
_LOGIN = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"


class Display:
    """What a terminal shows after some bytes: `text()`, and its modes."""

    def __init__(self, columns: int = 80, rows: int = 24) -> None:
        self.alternate, self.cursor, self.wraps = False, True, True
        self.raw = b""
        self.unknown: list[str] = []
        self._rest = ""
        self.resize(columns, rows)

    def resize(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self._screens = {one: self._blank() for one in (False, True)}
        self._row = self._column = 0
        self._saved = (0, 0)

    def _blank(self) -> list[list[str]]:
        return [[" "] * self.columns for _ in range(self.rows)]

    def text(self) -> str:
        """The rows that are shown, without blanks at their ends."""
        return "\n".join("".join(row).rstrip() for row in self._screens[self.alternate])

    def feed(self, data: bytes) -> None:
        self.raw += data
        text = self._rest + data.decode("utf-8", "replace")
        cut = text.rfind("\x1b")
        whole = cut < 0 or re.match(r"\x1b\[\??[\d;]*[A-Za-z]", text[cut:])
        text, self._rest = (text, "") if whole else (text[:cut], text[cut:])
        for found in _TOKEN.finditer(text):
            self._take(found)

    def _take(self, found: re.Match[str]) -> None:
        private, numbers, letter = found[1], found[2], found[3]
        if letter == "H":
            row, _, column = numbers.partition(";")
            self._row, self._column = int(row or 1) - 1, int(column or 1) - 1
        elif letter == "J":
            self._screens[self.alternate] = self._blank()
        elif private and letter in "hl":
            name = {"1049": "alternate", "25": "cursor", "7": "wraps"}[numbers]
            setattr(self, name, letter == "h")
            if name == "alternate":
                if letter == "h":
                    self._saved = (self._row, self._column)
                else:
                    self._row, self._column = self._saved
        elif letter == "m":
            return
        elif found[0] == "\r":
            self._column = 0
        elif found[0] == "\n":
            self._row = min(self._row + 1, self.rows - 1)
        elif found[0][0] < " ":
            self.unknown.append(found[0])
        else:
            self._write(found[0])

    def _write(self, character: str) -> None:
        width = cell_len(character)
        screen = self._screens[self.alternate]
        if self._row < self.rows and self._column + width <= self.columns:
            screen[self._row][self._column : self._column + width] = [character, *[""] * (width - 1)]
            self._column += width


class Session:
    """A program on a terminal of its own, with somebody at the keys."""

    def __init__(self, *words: str, columns: int = 80, rows: int = 24, env: dict[str, str] | None = None) -> None:
        self.ours, theirs = os.openpty()
        self.display = Display(columns, rows)
        self._set_size(columns, rows)
        self.modes = termios.tcgetattr(theirs)
        self.process = subprocess.Popen(
            [sys.executable, "-c", _LOGIN, sys.executable, *words],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "TERM": "xterm-256color", "NO_COLOR": "", **(env or {})},
            start_new_session=True,
        )
        self.theirs = theirs  # open, so that the modes can be looked at when the program has ended

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.ours)
        os.close(self.theirs)

    def press(self, keys: str) -> None:
        os.write(self.ours, keys.encode())

    def resize(self, columns: int, rows: int) -> None:
        self.display.resize(columns, rows)
        self._set_size(columns, rows)

    def _set_size(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def pump(self, seconds: float = 0.05) -> None:
        """Show what has been written."""
        if select.select([self.ours], [], [], seconds)[0]:
            self.display.feed(os.read(self.ours, 1 << 16))

    def drain(self) -> None:
        """Show all that has been written."""
        while select.select([self.ours], [], [], 0)[0]:
            self.pump(0)

    def until(self, found: str | Callable[[str], object], gone: str = "") -> str:
        """What the screen shows once a text stands there, and another one does not."""
        end = time.monotonic() + PATIENCE
        while True:
            text = self.display.text()
            if (found in text if isinstance(found, str) else found(text)) and not (gone and gone in text):
                return text
            assert time.monotonic() < end, f"not there: {found}\n{text}"
            assert self.process.poll() is None or select.select([self.ours], [], [], 0)[0], f"it ended:\n{text}"
            self.pump()

    def ended(self) -> int:
        """The exit code; the terminal has to be as it was before."""
        end = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            assert time.monotonic() < end, f"it does not end:\n{self.display.text()}"
            self.pump()
        self.drain()
        return self.process.returncode

    def is_given_back(self) -> bool:
        shown = self.display
        return (
            termios.tcgetattr(self.theirs) == self.modes
            and shown.cursor
            and shown.wraps
            and not shown.alternate
            and not shown.unknown
        )

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)


@contextmanager
def watching(path: object, *options: str, script: str = "", **more: object) -> Iterator[Session]:
    """`memorybank watch` on a terminal; `script` is run before it in the same process."""
    code = f"import sys\n{script}\nfrom memorybank_cli.main import run\nrun()"
    words = ["-c", code, "watch", "--bank", str(path), *options]
    with Session(*words, **more) as session:  # type: ignore[arg-type]  # what Session takes
        yield session
