"""What is known of one file: the journal's row about it, what it should be, and what it was when last looked at."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class FileRow(NamedTuple):
    """One file as the journal tells it: the element of `core.files`. `after` None: the file is gone."""

    path: str
    after: str | None
    size: int
    mode: int
    rules: list[str]
    kind: str
    before: str | None


class Expected(NamedTuple):
    """What a file should be, by the journal's line `seq`; `rules` holds MB1 rules for a file that was found damaged."""

    sha: str
    size: int
    mode: int
    seq: int
    rules: tuple[str, ...]
    kind: str

    @property
    def good(self) -> bool:
        """Whether this is a well-formed version, not merely what was found."""
        return is_good(self.rules)

    @property
    def fits(self) -> bool:
        """Whether the built-in schema of its kind fitted this version."""
        return self.good and "MB202" not in self.rules


def is_good(rules: Iterable[str]) -> bool:
    """Whether a version with these rules beside it is well-formed, and not bit-rotten."""
    return not any(rule.startswith("MB10") or rule == "MB115" for rule in rules)


class Seen(NamedTuple):
    """What a file was when it was last read.

    `content` has (rule, message, pointer, line) for each flaw or misfit, `records` how many records it holds.
    """

    sha: str
    size: int
    mtime: int
    ctime: int
    inode: int
    mode: int
    kind: str
    content: tuple[tuple[str, str, str, int | None], ...]
    hashed: int
    records: int


class Row(NamedTuple):
    """Both halves of a file's row."""

    expected: Expected | None
    seen: Seen | None
