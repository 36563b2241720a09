"""What is known of one file: the journal's row about it, what it should be, and what it was when last looked at."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from memorybank_cli.base import clock
from memorybank_cli.base.records import Finding

SETTLED_NS = 60 * clock.SECOND_NS
"""A file that was hashed so long after its mtime need not be read again while its stat stays."""
SHAPE = frozenset({"MB201", "MB203", "MB209"})
"""Rules about the shape of well-formed documents."""
SOUND = SHAPE | {"MB208"}
"""Rules about what well-formed documents are and say; every other rule of a file's content is damage."""


class Content(NamedTuple):
    """One flaw of a file's bytes, or one place where its document does not fit."""

    rule: str
    message: str
    pointer: str = ""
    line: int | None = None
    expected: str = ""
    found: str = ""

    def at(self, path: str, hint: str = "") -> Finding:
        """The finding that this is in the file at `path`."""
        return Finding(
            self.rule, self.message, path, hint, self.pointer, self.line, expected=self.expected, found=self.found
        )


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

    `content` has each flaw or misfit, `records` says how many records it holds; `id` names a single record, and
    `facts` is what the document contributes to rules between files; see `facts`.
    """

    sha: str
    size: int
    mtime: int
    ctime: int
    inode: int
    mode: int
    kind: str
    content: tuple[Content, ...]
    hashed: int
    records: int
    id: str = ""
    facts: str = ""


class Known(NamedTuple):
    """What a file was when it was last seen, in short; all but the name may be None where it was not.

    The first five are those of a directory's entry.
    """

    name: str
    size: int
    mtime: int
    ctime: int
    inode: int
    sha: str
    records: int
    sound: bool
    """Whether it was flawless and what the journal says."""
    plain: bool = False
    """Whether it was sound, settled, of a known kind and without facts: while its stat stays, nothing is said of it."""
    kind: str = ""
    id: str = ""


class Row(NamedTuple):
    """Both halves of a file's row."""

    expected: Expected | None
    seen: Seen | None
