"""What a terminal sends for keys: characters as they are, other keys by name."""

from __future__ import annotations

import re
from codecs import getincrementaldecoder
from collections.abc import Iterator

_NAMES = {
    "\x1b[A": "up",
    "\x1bOA": "up",
    "\x1b[B": "down",
    "\x1bOB": "down",
    "\x1b[5~": "page up",
    "\x1b[6~": "page down",
    "\x1b[H": "home",
    "\x1bOH": "home",
    "\x1b[1~": "home",
    "\x1b[F": "end",
    "\x1bOF": "end",
    "\x1b[4~": "end",
    "\r": "enter",
    "\n": "enter",
    "\x7f": "backspace",
    "\x08": "backspace",
    "\x15": "erase",
    "\x0c": "redraw",
}
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O[ -~])")
_BEGUN = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|O)?")


class Keys:
    """Reads keys out of bytes, which may be cut anywhere. Unknown sequences are no keys."""

    def __init__(self) -> None:
        self._text = ""
        self._decode = getincrementaldecoder("utf-8")("ignore").decode

    @property
    def waits(self) -> bool:
        """Whether a sequence has begun: a slow line may bring the rest, and a person pressed Escape else."""
        return bool(self._text)

    def feed(self, data: bytes) -> list[str]:
        """The keys that are complete with these bytes."""
        self._text += self._decode(data)
        return list(self._taken())

    def idle(self) -> list[str]:
        """Nothing followed: what has begun is the key Escape, or nothing known."""
        found = ["escape"] if self._text == "\x1b" else []
        self._text = ""
        return found

    def _taken(self) -> Iterator[str]:
        while self._text:
            if _BEGUN.fullmatch(self._text):
                return
            sequence = _SEQUENCE.match(self._text)
            key = sequence[0] if sequence else self._text[0]
            self._text = self._text[len(key) :]
            if key == "\x1b":
                yield "escape"
            elif key in _NAMES:
                yield _NAMES[key]
            elif key.isprintable():
                yield key
