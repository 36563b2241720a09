"""Man pages as roff: text escaped for the man(7) macros that groff and mandoc both know."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

# A plain hyphen may be drawn as another character and cannot be copied then; so may the four others.
_SPECIAL = {"\\": "\\e", "-": "\\-", "'": "\\(aq", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti", '"': "\\(dq"}

Piece = str | tuple[str, str]
"""A paragraph; a heading, which begins with `## `; lines that stand as they are, each beginning with a blank; or a
term with what it means."""


def escape(text: str) -> str:
    """Text that roff prints as it is, in ASCII."""
    escaped = "".join(
        _SPECIAL.get(one) or (one if one.isascii() else f"\\[u{ord(one):04X}]") for one in text.expandtabs()
    )
    return re.sub(r"^(?=\.)", r"\\&", escaped, flags=re.MULTILINE)


def inline(text: str) -> str:
    """A paragraph's text; what stands between backquotes becomes bold, what stands between <> italic."""
    parts = re.split(r"(`[^`\n]+`|<[a-z_ ]+>)", text)
    drawn = "".join(
        f"\\fB{escape(part[1:-1])}\\fR"
        if part[:1] == "`"
        else f"\\fI{escape(part[1:-1])}\\fR"
        if part[:1] == "<"
        else escape(part)
        for part in parts
    )
    # An escaped dot is only wanted at the beginning of a line, which a part need not be.
    return re.sub(r"(?<!^)(?<!\n)\\&\.", ".", drawn)


def read(text: str) -> dict[str, list[Piece]]:
    """Sections from plain text: `# TITLE`, paragraphs, `term :: meaning`, and lines indented by four as they stand."""
    found: dict[str, list[Piece]] = {}
    pieces: list[Piece] = []
    for block in re.split(r"\n\n+", text.strip("\n")):
        joined = " ".join(block.split("\n"))
        term, mark, meaning = joined.partition(" :: ")
        if block.startswith("# "):
            pieces = found.setdefault(block.removeprefix("# "), [])
        elif block.startswith("    "):
            pieces.append("\n".join(line[3:] for line in block.split("\n")))
        else:
            pieces.append((term, meaning) if mark else joined)
    return found


def page(name: str, section: int, date: str, version: str, sections: Iterable[tuple[str, Iterable[Piece]]]) -> str:
    """A whole page. Sections without pieces are left out."""
    lines = [
        '.\\" Printed from the code by scripts/docs; change it there.',
        f'.TH "{escape(name.upper())}" "{section}" "{date}" "{escape(version)}" "memorybank"',
        ".nh",  # names broken in two cannot be copied
        ".ad l",
    ]
    for title, pieces in sections:
        drawn = [line for piece in pieces for line in _piece(piece)]
        if drawn:
            lines += [f'.SH "{escape(title)}"', *(drawn[1:] if drawn[0] == ".PP" else drawn)]
    return "\n".join(lines) + "\n"


def _piece(piece: Piece) -> Iterator[str]:
    if isinstance(piece, tuple):
        yield from (".TP", inline(piece[0]), inline(piece[1]))
    elif piece.startswith("## "):
        yield f'.SS "{escape(piece.removeprefix("## "))}"'
    elif piece.startswith(" "):
        yield from (".PP", ".RS 4", ".nf", escape("\n".join(line[1:] for line in piece.split("\n"))), ".fi", ".RE")
    else:
        yield from (".PP", inline(piece))
