r"""Names: ids that may become part of a path, and how odd file names are written down.

In the journal, the catalog, JSON and messages a path is *escaped*: control characters and bytes that
are not UTF-8 stand as `\xNN`, a backslash as `\\`. `unescape` gives back what the system calls want.
"""

from __future__ import annotations

import os
import re
import time

from memorybank_cli.base.chance import random_bytes
from memorybank_cli.base.errors import UsageError

LONGEST_ROLE = 64
"""Characters that may name who speaks in a message."""
LONGEST_MESSAGE_ID = 256
"""Characters that a message's own id may have; it never becomes part of a path."""
ID_PATTERN = r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}"
_ID = re.compile(ID_PATTERN)
_VERSION = 7 << 76 | 2 << 62  # and variant
_CHANCE = 0xFFF << 64 | (1 << 62) - 1
_ESCAPED = re.compile(rb"\\x([0-9a-fA-F]{2})|\\\\")


def is_id(text: str) -> bool:
    """Whether `text` may name an account, agent or trade: 1 to 64 of `A-Z a-z 0-9 . _ -`, no leading dot."""
    return _ID.fullmatch(text) is not None


def check_id(text: str, what: str) -> str:
    """`text` if it is a good id, else a UsageError that says what an id looks like."""
    if not is_id(text):
        raise UsageError(
            f"'{escape(text)[:80]}' is not a good {what} id",
            hint="an id has 1 to 64 of A-Z a-z 0-9 . _ - and does not start with a dot",
        )
    return text


def escape(name: str) -> str:
    """A name or path as people and JSON may see it; printable names without a backslash are themselves."""
    if name.isprintable() and "\\" not in name:
        return name
    return "".join(_escape_char(char) for char in name)


def _escape_char(char: str) -> str:
    if char == "\\":
        return "\\\\"
    if char.isprintable():
        return char
    # U+DC80 to U+DCFF carry an undecodable byte of a name; other lone surrogates come from JSON escapes.
    errors = "surrogateescape" if "\udc80" <= char <= "\udcff" else "surrogatepass"
    return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", errors))


def unescape(path: str) -> str:
    """The name that the operating system knows for an escaped one."""
    if "\\" not in path:
        return path
    raw = _ESCAPED.sub(lambda m: bytes([int(m[1], 16)]) if m[1] else b"\\", os.fsencode(path))
    return os.fsdecode(raw)


def quoted(path: str) -> str:
    """An escaped path as it stands in a command that people may copy: agents choose names, and shells obey them."""
    from shlex import quote

    return quote(path)


def printable(text: str) -> str:
    """Text of unknown origin made safe for a terminal: line breaks stay, other control characters are escaped."""
    return "\n".join(escape_text(line) for line in text.split("\n"))


def escape_text(line: str) -> str:
    r"""One line of unknown text with control characters written as `\xNN`."""
    if line.isprintable():
        return line
    return "".join(char if char.isprintable() else _escape_char(char) for char in line)


def is_text(given: str) -> bool:
    """Whether a text can stand in a document: what a shell gives may hold bytes that are no UTF-8."""
    return given.encode(errors="ignore").decode() == given


def uuid7() -> str:
    """A new RFC 9562 version 7 UUID: it sorts by the time it was made."""
    chance = int.from_bytes(random_bytes()) & _CHANCE
    digits = f"{(time.time_ns() // 1_000_000) << 80 | _VERSION | chance:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
