"""What every channel shares: the message that it sends, how it says that it could not, and the protocol."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from memorybank_cli.base.names import escape_text
from memorybank_cli.base.words import counted

SHOWN = 10
"""Alerts that a message in words names one by one."""
LATE = 60.0
"""Seconds after which a message says how late it comes."""


class Undelivered(Exception):
    """A channel did not take a message. The reason is one sentence without query, argument, header or secret."""

    def __init__(self, reason: str, *, wait: float = 0.0, refused: bool = False, hint: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait = wait
        """Seconds that the receiver asked to be left alone for, 0 where it did not."""
        self.refused = refused
        """It is this message that the receiver does not want, perhaps it is too long; others may pass."""
        self.hint = hint


@dataclass(frozen=True)
class Message:
    """A notice as it is sent."""

    notice: Mapping[str, Any]
    """The fields of `values.Notice`; `test` where it only proves that the channel works."""
    late: float = 0.0
    """Seconds since it was made."""
    tries: int = 1
    """Which try this is."""
    stands_for: int = 1
    """Messages that it stands for: where too many wait, the oldest become one."""

    @property
    def id(self) -> str:
        """The same in every try, so that receivers can leave out what they have."""
        return str(self.notice["id"])

    def body(self) -> bytes:
        """The JSON document that receivers get: ASCII, so that no terminal obeys what agents wrote."""
        delivery = {"try": self.tries, "late_seconds": round(self.late, 1), "stands_for": self.stands_for}
        return json.dumps({**self.notice, "delivery": delivery}, allow_nan=False).encode("ascii")

    def text(self) -> str:
        """The message in words, with a line feed at its end; what agents wrote is escaped."""
        lines = [title(self.notice)]
        if self.late > LATE:
            lines.append(f"Late by {span(self.late)}: it could not be delivered before.")
        if self.stands_for > 1:
            lines.append(f"It stands for {self.stands_for:,} messages that waited for too long.")
        alerts = self.notice.get("alerts") or ()
        for one in alerts[:SHOWN]:
            lines += alert_lines(one)
        told = int(self.notice.get("firing", 0)) + int(self.notice.get("resolved", 0))
        if told > len(alerts[:SHOWN]):
            lines.append(f"... and {told - len(alerts[:SHOWN]):,} more: memorybank alert list")
        return "".join(f"{escape_text(line)}\n" for line in lines)


def title(notice: Mapping[str, Any]) -> str:
    """What a notice says in one line."""
    bank, group = notice.get("bank", ""), notice.get("group", "")
    if notice.get("test"):
        return f"memorybank {bank}: a test. Who reads this is told of alerts."
    firing, resolved = int(notice.get("firing", 0)), int(notice.get("resolved", 0))
    counts = [counted(firing, "alert")] if firing or not resolved else []
    counts += [f"{resolved:,} resolved"] if resolved else []
    return f"memorybank {bank}: {', '.join(counts)} ({group})"


def alert_lines(alert: Mapping[str, Any]) -> list[str]:
    """An alert in a line, and its cure in one below it."""
    word = "resolved" if alert.get("state") == "resolved" else alert.get("severity", "")
    head = " ".join(str(part) for part in (word, alert.get("rule"), alert.get("path")) if part)
    hint = alert.get("hint") if word != "resolved" else ""
    return [f"{head}: {alert.get('message', '')}", *([f"    {hint}"] if hint else [])]


def span(seconds: float) -> str:
    """A length of time in its largest unit: `3 hours`."""
    for length, word in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= length:
            return counted(int(seconds // length), word)
    return counted(int(seconds), "second")


class Channel(Protocol):
    """One way to reach somebody. `send` is called by one thread at a time."""

    @property
    def limit(self) -> float:
        """Seconds within which `send` ends."""

    def send(self, message: Message) -> None:
        """Deliver a message. Raises Undelivered."""

    def close(self) -> None:
        """End what still runs."""
