"""A terminal that is taken over for a while: rows for lines, keys at once, and all given back at the end."""

from __future__ import annotations

import os
import sys
import termios
from collections.abc import Sequence
from typing import Any

from memorybank_cli.base.names import escape_text
from memorybank_cli.cli import terminal
from memorybank_cli.cli.blocks import Style
from memorybank_cli.cli.live.controls import Row

# The alternate screen, no cursor, no wrapping at the margin.
_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l"
_LEAVE = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"
_CODES: dict[Style, str] = {
    "": "",
    "strong": "1",
    "good": "32",
    "warning": "33",
    "bad": "31",
    "dim": "2",
    "strong good": "1;32",
    "strong warning": "1;33",
    "strong bad": "1;31",
}
_LOCAL, _INPUT, _CONTROL = 3, 0, 6
"""Where termios keeps its local modes, its input modes and its control characters."""


def is_before_us() -> bool:
    """Whether keys come to us, and not to the shell that put us behind it."""
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except OSError:
        return True  # it is not the terminal of a session, so nobody shares it


class Screen:
    """Stdin and stdout as a screen with keys. One thread uses it."""

    def __init__(self, *, colour: bool) -> None:
        self.colour = colour
        self.keyboard = sys.stdin.fileno()
        self._modes: list[Any] | None = None
        self._shown: list[str] = []

    @property
    def plain(self) -> bool:
        """Whether only ASCII can be shown."""
        return (sys.stdout.encoding or "").lower().replace("-", "") not in ("utf8", "utf16", "utf32")

    def enter(self) -> None:
        """Take the terminal over; Ctrl-C and Ctrl-Z go on being signals. Raises termios.error, OSError."""
        if self._modes is None:
            self._modes = termios.tcgetattr(self.keyboard)
        modes = termios.tcgetattr(self.keyboard)
        modes[_LOCAL] &= ~(termios.ICANON | termios.ECHO)
        modes[_INPUT] &= ~termios.IXON  # a Ctrl-S by mistake would stop the screen, and so everything
        modes[_CONTROL][termios.VMIN], modes[_CONTROL][termios.VTIME] = 1, 0
        termios.tcsetattr(self.keyboard, termios.TCSADRAIN, modes)
        self._write(_ENTER)
        self._shown = []

    def leave(self) -> None:
        """Give the terminal back as it was; a second call does nothing."""
        if self._modes is not None:
            try:
                self._write(_LEAVE)
            finally:
                termios.tcsetattr(self.keyboard, termios.TCSANOW, self._modes)
                self._modes = None

    def hide(self) -> None:
        """The terminal belongs to somebody else, who set its modes: only what was drawn is taken away."""
        if self._modes is not None:
            self._modes = None
            self._write(_LEAVE)

    @property
    def hidden(self) -> bool:
        """Whether the terminal is not taken over now."""
        return self._modes is None

    def drop(self) -> None:
        """Throw away what the terminal did not take yet, so that whoever waits for it goes on."""
        termios.tcflush(self.keyboard, termios.TCOFLUSH)

    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        found = os.get_terminal_size(sys.stdout.fileno())
        return found.columns or 80, found.lines or 24

    def read(self) -> bytes:
        """What was typed; b"" when the terminal is gone."""
        try:
            return os.read(self.keyboard, 1 << 12)
        except OSError:
            return b""

    def show(self, rows: Sequence[Row]) -> None:
        """Have these rows, each as wide as the screen, on it; only what differs from before is written."""
        drawn = ["".join(map(self._drawn, row)) for row in rows]
        afresh = len(drawn) != len(self._shown)
        out = ["\x1b[0m\x1b[2J"] if afresh else []
        for number, text in enumerate(drawn):
            if afresh or self._shown[number] != text:
                out.append(f"\x1b[{number + 1};1H{text}")
        self._shown = drawn
        if out:
            self._write("".join(out))

    def forget(self) -> None:
        """The next rows are all written: nobody knows what stands there now."""
        self._shown = []

    def _drawn(self, piece: tuple[str, Style]) -> str:
        text, style = piece
        code = _CODES[style] if self.colour else ""
        return f"\x1b[{code}m{escape_text(text)}\x1b[0m" if code else escape_text(text)

    @staticmethod
    def _write(text: str) -> None:
        terminal.write_raw(text.encode(sys.stdout.encoding or "ascii", "backslashreplace"))
