"""What is wrong with bytes that should be a JSON document: one rule of MB101 to MB108, in words.

The rules are tried in an order that names the cause, not the symptom: size and encoding first, then what
follows a complete document (MB102), then whether the text merely stops (MB103), then plain syntax.
"""

from __future__ import annotations

import codecs
import json
import re

from memorybank_cli.base.strict_json import (
    HARD_DEPTH,
    HARD_SIZE,
    MEMORY_BUDGET,
    Flaw,
    Unfit,
    decode,
    parse_cost,
    too_deep,
)

_MARKS = (
    (codecs.BOM_UTF8, "a UTF-8 byte order mark"),
    (codecs.BOM_UTF32_LE, "a UTF-32 byte order mark"),
    (codecs.BOM_UTF32_BE, "a UTF-32 byte order mark"),
    (codecs.BOM_UTF16_LE, "a UTF-16 byte order mark"),
    (codecs.BOM_UTF16_BE, "a UTF-16 byte order mark"),
)
_TOO_DEEP = Flaw("MB108", f"nested deeper than {HARD_DEPTH} levels", 0)
_PIECE = 1 << 20
_BLANK = b" \t\r\n"
# What a number, a literal or an escape may look like when the writer was stopped inside it.
_STOPPED = re.compile(r"-?|t(ru?)?|f(a(ls?)?)?|n(ul?)?|-?\d+(\.\d*)?([eE][+-]?)?|\.\d*([eE][+-]?\d*)?|[eE][+-]?\d*")


def too_large(size: int) -> Flaw | None:
    """The flaw of a file that is not even read."""
    if size <= HARD_SIZE:
        return None
    return Flaw("MB108", f"{size:,} bytes; a document of more than {HARD_SIZE >> 20} MiB is not parsed", 0)


def diagnose(data: bytes) -> Flaw:
    """Why `data` is not the JSON that a bank may hold; call it for bytes that failed `exact_json.loads`."""
    return too_large(len(data)) or _blank(data) or _encoding(data) or _too_heavy(data) or _content(data)


def _blank(data: bytes) -> Flaw | None:
    if data.strip(_BLANK + b"\0"):
        return None
    what = "the file is empty" if not data else f"only blanks and NULs in {len(data):,} bytes"
    return Flaw("MB104", what, 0)


def _encoding(data: bytes) -> Flaw | None:
    for mark, what in _MARKS:
        if data.startswith(mark):
            return Flaw("MB106", f"begins with {what}; JSON in a bank is UTF-8 without one", 0)
    found = _first_not_utf8(data.rstrip(b"\0"))
    return None if found is None else _not_utf8(data, *found)


def _first_not_utf8(data: bytes) -> tuple[int, str] | None:
    """The first byte that is not UTF-8, and why; piece by piece, so that the text is never there as a whole."""
    if data.isascii():
        return None
    view, start = memoryview(data), 0
    while start < len(data):
        last = start + _PIECE >= len(data)
        try:
            start += codecs.utf_8_decode(view[start : start + _PIECE], "strict", last)[1]
        except UnicodeDecodeError as error:
            return start + error.start, error.reason
    return None


def _not_utf8(data: bytes, start: int, reason: str) -> Flaw:
    before = data[:start]
    end = _leading_end(before.decode()) if parse_cost(before) <= MEMORY_BUDGET else None
    if end is not None:
        return _trailing(data, end)
    if reason == "unexpected end of data":
        return Flaw("MB103", f"the document stops inside a character at byte {start:,}", start)
    return Flaw("MB106", f"byte {start:,} (0x{data[start]:02x}) is not UTF-8", start)


def _leading_end(text: str) -> int | None:
    """The byte at which a complete object or array that the text begins with ends."""
    try:
        value, end = decode(text)
    except (ValueError, RecursionError):
        return None
    return len(text[:end].rstrip(" \t\r\n").encode()) if isinstance(value, dict | list) else None


def _too_heavy(data: bytes) -> Flaw | None:
    if parse_cost(data) > MEMORY_BUDGET:
        return Flaw("MB108", f"parsing its values may take more than {MEMORY_BUDGET >> 20} MiB of memory", 0)
    return None


def _content(data: bytes) -> Flaw:
    body = data.rstrip(b"\0")
    text = body.decode("utf-8")
    try:
        value, end = decode(text)
    except json.JSONDecodeError as error:
        return _syntax(text, error, len(data) - len(body))
    except Unfit as error:
        return Flaw(error.rule, str(error), 0)
    except RecursionError:
        return _TOO_DEEP
    if end is not None and not isinstance(value, dict | list):
        return Flaw("MB101", f"more follows the value that ends at byte {end:,}", end)
    if end is not None or len(body) < len(data):
        return _trailing(data, len(text[:end].rstrip(" \t\r\n").encode()))
    if too_deep(value):
        return _TOO_DEEP
    raise AssertionError("diagnose was called for a sound document")


def _trailing(data: bytes, end: int) -> Flaw:
    rest = data[end:]
    nuls = rest.count(b"\0")
    only = nuls == len(rest.strip(_BLANK))
    what = f"{nuls} NUL bytes follow" if only else f"{len(rest)} bytes that are no part of it follow"
    return Flaw("MB102", f"valid JSON ends at byte {end}; {what}", end, end)


def _syntax(text: str, error: json.JSONDecodeError, nuls: int) -> Flaw:
    offset = len(text[: error.pos].encode())
    if stops(text, error):
        tail = f"; {nuls:,} NUL bytes follow" if nuls else ""
        return Flaw("MB103", f"the document stops at byte {len(text.encode()):,}, before it is complete{tail}", offset)
    line = text.count("\n", 0, error.pos) + 1
    message = error.msg[0].lower() + error.msg[1:].removesuffix(" at").removesuffix(" starting")
    return Flaw("MB101", f"{message} at line {line}, byte {offset:,}", offset)


def stops(text: str, error: json.JSONDecodeError) -> bool:
    """Whether the text is the beginning of a document and nothing else is wrong with it."""
    if error.msg.startswith("Unterminated string"):
        return True
    rest = text[error.pos :].rstrip(" \t\r\n")
    if error.msg.startswith("Invalid \\uXXXX"):
        return len(rest) < 6 and re.fullmatch(r"\\?u?[0-9a-fA-F]*", rest) is not None
    return _STOPPED.fullmatch(rest) is not None if len(rest) < 400 else False
