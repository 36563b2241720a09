"""Text of unknown origin in a Markdown document: shown as it stands, and never markup, a link, HTML or a cell's end."""

from __future__ import annotations

import re

from memorybank_cli.base.names import escape_text

# Character references never begin markup (CommonMark 0.31, 2.5), and every renderer knows them.
_MARKUP = re.compile(
    r"[\\`*\[\]<>|~&$@{}#!]"
    r"|(?<![a-z0-9])_|_(?![a-z0-9])"  # between letters it is no emphasis
    r"|(?<=:)//|(?<=www)\."  # what some renderers make links of
    r"|^[-+=]|^[0-9](?=[0-9]{0,8}[.)])",  # what begins a list or underlines a heading
    re.IGNORECASE,
)
_RUN = re.compile(r"`+")


def plain(text: str) -> str:
    """One line of text, as words; for a paragraph, a list item or a cell of a table."""
    return _MARKUP.sub(lambda found: "".join(f"&#{ord(char)};" for char in found[0]), escape_text(text).strip())


def code(text: str) -> str:
    """One line of text as a code span; not for a cell of a table, where a `|` would end it."""
    line = escape_text(text)
    if not line.strip():
        return plain(line) or "(nothing)"
    fence = "`" * (max(map(len, _RUN.findall(line)), default=0) + 1)
    return f"{fence} {line} {fence}" if line[0] in "` " or line[-1] in "` " else f"{fence}{line}{fence}"
