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
from memorybank_cli.base.names import escape_text
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
_BLOCK = re.compile(
    rb"(<!-- memorybank: generated ?([a-z]*)(?:; edit outside these marks)? -->\r?\n)(.*?)(<!-- memorybank: end -->)",
    re.DOTALL,
)
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

    def block(found: re.Match[bytes]) -> bytes:
        begin, name, old, end = found.groups()
        if name and name.decode() not in BLOCKS:
            return found[0]
        new = _block(name.decode(), facts).encode()
        return found[0] if _says_the_same(old, new) else begin + new + end

    return _BLOCK.sub(block, text)


def by_hand(text: bytes) -> bytes:
    """A document without its generated blocks: what people wrote."""
    return _BLOCK.sub(b"", text)


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
    rows = [f"| `{escape_text(name)}/` | {count:,} |" for name, count in sorted(facts.files.items()) if name]
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
        where = f"`config/schemas/{kind}.schema.json`" if kind in facts.own else "built in"
        return f"| {escape_text(kind)} | {where} | {count:,} |"

    rows = [row(kind, count) for kind, count in sorted(facts.schemas.items()) if kind]
    without = [f"| (none) | | {facts.schemas['']:,} |"] if facts.schemas.get("") else []
    return "\n".join(["| kind of document | schema | files |", "|---|---|---|", *rows, *without, ""])


BLOCKS: dict[str, Callable[[Facts], str]] = {
    "about": _about,
    "counts": _counts,
    "check": _check,
    "schemas": _schemas,
}
"""What a generated block may tell, by the word in its mark."""
