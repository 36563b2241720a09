"""The bank's README, and the generated blocks in it and in docs/: the text between two marks is ours to keep true.

A block begins with `<!-- memorybank: generated WHAT; edit outside these marks -->`, where WHAT is one of `BLOCKS` or
left out for all of them, and ends with `<!-- memorybank: end -->`. Whatever stands outside is never touched, and a
document without marks gets none.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from memorybank_cli.base import clock
from memorybank_cli.base.markdown import plain
from memorybank_cli.base.words import counted

BEGIN = "<!-- memorybank: generated; edit outside these marks -->"
END = "<!-- memorybank: end -->"
STALE_NS = 24 * 3600 * clock.SECOND_NS
"""So old the time of the last check may be while nothing else in a block has changed."""

_ABOUT = """\
This directory is a memory bank: JSON files that agents write, kept by `memorybank`.

| where | what | who writes |
|---|---|---|
| `trades/` | one trade a file; recorded files are not changed any more | agents add files |
| `metrics/`, `metrics/historical/` | metrics; one sample set a file | agents |
| `state/` | state of the agents | agents |
| `account_<id>/` | conversations: short_term, mid_term, whole_history | `memorybank` only |
| `config/` | settings and schemas; a change is reported until it is accepted | you |
| `.memorybank/` | journal, catalog, quarantine: leave it alone | `memorybank` only |

`memorybank status` says how it is, `memorybank validate` checks every file, `memorybank repair` cures damage,
`memorybank backup` and `memorybank rollback` go back in time.
"""
_MARK = re.compile(rb"<!-- memorybank: generated ?([a-z]*)(?:; edit outside these marks)? -->\r?\n")
_MOST_BLOCKS = 100  # what stands behind so many is left alone: a document of marks would become a huge one
_PLAIN_PATH = re.compile(r"[A-Za-z0-9._/-]+")
_CHECKED = re.compile(rb"(?m)^Last check: (\S+?)[,.]")


class Facts(NamedTuple):
    """What the generated blocks tell of a bank."""

    files: dict[str, int]
    """Files by section."""
    checked_at: str
    """RFC 3339, to the second."""
    errors: int
    warnings: int
    schemas: dict[str, int]
    """Files by the kind of their document."""
    own: frozenset[str] = frozenset()
    """Kinds whose schema the bank brings itself."""


def render() -> bytes:
    """A README for a bank that has none; what it counts is filled in by the first `update`."""
    return f"# Memory bank\n\n{BEGIN}\n{_ABOUT}{END}\n".encode()


def update(text: bytes, facts: Facts) -> bytes:
    """A document with its generated blocks as they should be; the same bytes where nothing but a fresh time is new."""

    def block(mark: bytes, name: str, old: bytes) -> bytes:
        new = _block(name, facts).encode() if not name or name in BLOCKS else old
        return mark + (old if _says_the_same(old, new) else new) + END.encode()

    return _replaced(text, block)


def by_hand(text: bytes) -> bytes:
    """A document without its generated blocks: what people wrote."""
    return _replaced(text, lambda *_: b"")


def _replaced(text: bytes, block: Callable[[bytes, str, bytes], bytes]) -> bytes:
    """A document with each block as `block` gives it, asked with its first mark, its name and what stands in it."""
    parts: list[bytes] = []
    at, ending = 0, END.encode()
    while len(parts) < 2 * _MOST_BLOCKS and (mark := _MARK.search(text, at)) is not None:
        end = text.find(ending, mark.end())
        if end < 0:
            break
        parts += [text[at : mark.start()], block(mark[0], mark[1].decode(), text[mark.end() : end])]
        at = end + len(ending)
    return b"".join([*parts, text[at:]])


def _block(name: str, facts: Facts) -> str:
    names = [name] if name else list(BLOCKS)
    return "\n".join(BLOCKS[one](facts) for one in names)


def _says_the_same(old: bytes, new: bytes) -> bool:
    before, after = _CHECKED.search(old), _CHECKED.search(new)
    if before is None or after is None:
        return old == new
    if _CHECKED.sub(b"", old) != _CHECKED.sub(b"", new):
        return False
    try:
        age = clock.parse(after[1].decode()) - clock.parse(before[1].decode())
    except (ValueError, OverflowError):
        return False  # somebody wrote into the block
    return 0 <= age.total_seconds() < STALE_NS / clock.SECOND_NS


def _about(facts: Facts) -> str:
    del facts
    return _ABOUT


def _counts(facts: Facts) -> str:
    rows = [f"| {_path(f'{name}/')} | {count:,} |" for name, count in sorted(facts.files.items()) if name]
    return "\n".join(["| section | files |", "|---|---|", *rows, ""])


def _check(facts: Facts) -> str:
    found = (
        f"{counted(facts.errors, 'error')}, {counted(facts.warnings, 'warning')}"
        if facts.errors or facts.warnings
        else "all good"
    )
    return f"Last check: {facts.checked_at}, {found}. `memorybank validate` checks now.\n"


def _schemas(facts: Facts) -> str:
    def row(kind: str, count: int) -> str:
        where = _path(f"config/schemas/{kind}.schema.json") if kind in facts.own else "built in"
        return f"| {plain(kind)} | {where} | {count:,} |"

    rows = [row(kind, count) for kind, count in sorted(facts.schemas.items()) if kind]
    without = [f"| (none) | | {facts.schemas['']:,} |"] if facts.schemas.get("") else []
    return "\n".join(["| kind of document | schema | files |", "|---|---|---|", *rows, *without, ""])


def _path(path: str) -> str:
    """A path in a cell of a table: as code, where nothing in it ends that, or our block."""
    return f"`{path}`" if _PLAIN_PATH.fullmatch(path) else plain(path)


BLOCKS: dict[str, Callable[[Facts], str]] = {
    "about": _about,
    "counts": _counts,
    "check": _check,
    "schemas": _schemas,
}
"""What a generated block may tell, by the word in its mark."""
