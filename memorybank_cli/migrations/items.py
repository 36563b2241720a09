"""What an importer yields: files, accounts and messages of the bank to be, what cannot be taken, what was assumed."""

from __future__ import annotations

from typing import Any, NamedTuple


class FileItem(NamedTuple):
    """A file of the bank."""

    path: str
    """Escaped, below the bank."""
    origin: str
    """The escaped path in the source."""
    data: bytes | None = None
    """None: the origin's bytes, unchanged; else converted bytes."""
    mtime_ns: int | None = None
    """None: the origin's."""
    references: int = 0
    """References that were updated in `data`."""


class MessageItem(NamedTuple):
    """A message of a conversation."""

    account: str
    role: str
    content: str
    id: str
    """Never '': a second run adds nothing."""
    timestamp: str
    """RFC 3339, '' where the source has none."""
    metadata: dict[str, Any]
    origin: str


class AccountItem(NamedTuple):
    """An account that must exist, also without messages."""

    account: str
    origin: str
    sizes: tuple[int, int] | None = None
    """How many messages its short_term and mid_term hold, where the source says so."""


class Rejected(NamedTuple):
    """What cannot be taken; it is kept in quarantine."""

    origin: str
    reason: str
    data: bytes | None = None
    """The bytes of the rejected record, None for the whole origin."""


class Assumption(NamedTuple):
    """What was taken for granted; told once for each text, with the sum of the counts."""

    text: str
    count: int = 1  # type: ignore[assignment]  # a tuple's method of that name is not used


Item = FileItem | MessageItem | AccountItem | Rejected | Assumption
