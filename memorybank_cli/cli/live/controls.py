"""What the person at the terminal has chosen: the filter, the pause, the finding; and what each key does next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from memorybank_cli.cli.blocks import Style

Row = tuple[tuple[str, Style], ...]
"""One row of a screen: pieces of text with their styles."""
Mode = Literal["watching", "filtering", "reading", "asked", "telling"]
Wish = Literal["", "quit", "accept", "roll back", "details", "redraw", "answered"]
"""What a key asks for besides what is chosen here."""

HELP: tuple[tuple[str, str], ...] = (
    ("f", "filter findings and events by a text; Enter keeps it, Escape drops it"),
    ("p", "pause the events, and go on"),
    ("up, down, k, j", "choose a finding"),
    ("Enter", "tell all about it"),
    ("a", "accept the change: record the file as it is as wanted"),
    ("r", "roll back the file: shows what would change, then asks"),
    ("?", "this help; Escape leaves it"),
    ("Ctrl-L", "draw everything again"),
    ("q, Ctrl-C", "quit; what runs is finished first"),
)


@dataclass
class Controls:
    """The choices, and the page or the question that is open."""

    filter: str = ""
    paused_at: int | None = None
    """The number of the last event that is shown."""
    selected: int = 0
    """The finding that is chosen, counted from 0 in the order in which they are shown."""
    moved: bool = False
    """A key chose one; before that it is the first one."""
    chosen: str = ""
    """Its fingerprint, '' when it was not looked up since a key moved on."""
    mode: Mode = "watching"
    typed: str = ""
    title: str = ""
    page: list[Row] = field(default_factory=list)
    """What is read in place of the panels."""
    offset: int = 0
    question: str = ""
    drawn: bool = True
    """The question stands on the screen; a key that was pressed before that is no answer to it."""
    answer: Any = None
    """Of the last question, once a key gave it."""
    message: str = ""
    busy: str = ""
    """What is being done."""

    def read(self, title: str, page: list[Row]) -> None:
        """Open a page."""
        self.mode, self.title, self.page, self.offset = "reading", title, page, 0

    def ask(self, question: str) -> None:
        """Ask for yes or no, below the page that is open or none."""
        self.mode, self.question, self.answer, self.drawn = "asked", question, None, False

    def ask_secret(self, question: str) -> None:
        """Ask for a passphrase."""
        self.mode, self.question, self.answer, self.drawn = "telling", question, None, False
        self.typed = ""

    def press(self, key: str, count: int) -> Wish:
        """A key was pressed, `count` events having come so far."""
        self.message = ""
        if key == "redraw":
            return "redraw"
        if self.mode == "filtering":
            self._filtering(key)
        elif self.mode == "reading":
            self._reading(key)
        elif self.mode in ("asked", "telling"):
            answer = self._asked if self.mode == "asked" else self._telling
            return answer(key) if self.drawn else ""
        else:
            return self._watching(key, count)
        return ""

    def place(self, findings: Sequence[Mapping[str, Any]]) -> int:
        """Where the chosen one stands among findings: it stays the same one while others come and go."""
        if not self.moved:
            self.selected = 0
            return 0
        names = [str(one["fingerprint"]) for one in findings]
        if self.chosen in names:
            self.selected = names.index(self.chosen)
        self.selected = max(min(self.selected, len(names) - 1), 0)
        self.chosen = names[self.selected] if names else ""
        return self.selected

    def close(self) -> None:
        """Back to watching."""
        self.mode, self.title, self.question, self.typed = "watching", "", "", ""
        self.page = []

    def _watching(self, key: str, count: int) -> Wish:
        if key == "f":
            self.mode, self.typed = "filtering", self.filter
        elif key == "p":
            self.paused_at = count if self.paused_at is None else None
        elif key == "?":
            width = max(len(name) for name, _ in HELP)
            self.read("Keys", [((f"{name:<{width}}  ", "strong"), (what, "")) for name, what in HELP])
        elif key in ("up", "k"):
            self.selected, self.chosen, self.moved = max(self.selected - 1, 0), "", True
        elif key in ("down", "j"):
            self.selected, self.chosen, self.moved = self.selected + 1, "", True
        elif key == "escape":
            self.filter, self.paused_at = "", None
        wishes: dict[str, Wish] = {"q": "quit", "a": "accept", "r": "roll back", "enter": "details"}
        return wishes.get(key, "")

    def _filtering(self, key: str) -> None:
        if key == "escape":
            self.filter = ""
            self.close()
        elif key == "enter":
            self.close()
        else:
            self._type(key)
            self.filter = self.typed
            self.selected, self.chosen, self.moved = 0, "", False

    def _reading(self, key: str) -> None:
        if not self._scroll(key):
            self.close()

    def _asked(self, key: str) -> Wish:
        if self._scroll(key):
            return ""
        self.answer = key in ("y", "Y")
        self.close()
        return "answered"

    def _telling(self, key: str) -> Wish:
        if key not in ("enter", "escape"):
            self._type(key)
            return ""
        self.answer = self.typed if key == "enter" else ""
        self.close()
        return "answered"

    def _type(self, key: str) -> None:
        if key == "backspace":
            self.typed = self.typed[:-1]
        elif key == "erase":
            self.typed = ""
        elif len(key) == 1:
            self.typed += key

    def _scroll(self, key: str) -> bool:
        """Whether the key moves the page; how far it goes is known when it is drawn."""
        by = {
            "up": -1,
            "k": -1,
            "down": 1,
            "j": 1,
            " ": 10,
            "page up": -10,
            "page down": 10,
            "home": -1 << 30,
            "end": 1 << 30,
        }
        if key in by:
            self.offset = max(self.offset + by[key], 0)
        return key in by
