"""What stands in the catalog's columns, there and back. What memorybank did not write raises sqlite3.DatabaseError."""

from __future__ import annotations

import sqlite3
from typing import Any

from memorybank_cli.bank.chain import Position
from memorybank_cli.bank.rows import Content, Expected, Row, Seen
from memorybank_cli.base.exact_json import FlawedJSON, dumps, loads
from memorybank_cli.base.names import is_id


def value(text: Any) -> Any:
    """A value from its JSON."""
    try:
        return loads(text.encode())
    except (FlawedJSON, AttributeError):
        raise _foreign() from None


def content(parts: tuple[Content, ...]) -> str:
    """What is known of a document's content, as JSON; '' for nothing."""
    return dumps([tuple(one) for one in parts]).decode() if parts else ""


def contents(text: str) -> tuple[Content, ...]:
    """`content` back."""
    try:
        return tuple(Content(*one) for one in value(text))
    except TypeError:
        raise _foreign() from None


def position(found: Any) -> Position:
    """A position in the journal."""
    if not isinstance(found, list | tuple) or [type(part) for part in found] != [int, str, int, int]:
        raise _foreign()
    return Position(*found)


def place(found: Any) -> tuple[str, str]:
    """The directory and the name of a file."""
    if not isinstance(found, list) or [type(part) for part in found] != [str, str]:
        raise _foreign()
    return found[0], found[1]


def account(found: Any) -> str:
    """An account's id."""
    if not isinstance(found, str) or not is_id(found):
        raise _foreign()
    return found


def _foreign() -> sqlite3.DatabaseError:
    return sqlite3.DatabaseError("it holds what memorybank did not write")


_COLUMNS = (str, int, int, int)


def expected(parts: tuple[Any, ...]) -> Expected:
    """What a file should be, from its columns."""
    sha, size, mode, seq, rules, kind = parts
    if (type(sha), type(size), type(mode), type(seq)) != _COLUMNS:
        raise _foreign()
    return Expected(sha, size, mode, seq, tuple(value(rules)) if rules != "[]" else (), kind)


def row(found: tuple[Any, ...]) -> Row:
    """Both halves of a row, from all its columns."""
    wanted = None if found[2] is None else expected(found[2:8])
    seen = None
    if found[8] is not None:
        parts = contents(found[15]) if found[15] else ()
        sha, size, mtime, ctime, inode, mode, kind = found[8:15]
        seen = Seen(sha, size, mtime, ctime, inode, mode, kind, parts, *found[16:20])
    return Row(wanted, seen)
