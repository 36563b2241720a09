"""JSON read piece by piece: documents of any size, in the memory of their largest piece.

A damaged document gives what its sound beginning holds, and then says what is wrong.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from memorybank_cli.base.damage import stops
from memorybank_cli.base.exact_json import FlawedJSON
from memorybank_cli.base.strict_json import MEMORY_BUDGET, Flaw, Unfit, decode, parse_cost, too_deep

LARGEST = 16 << 20
"""Characters that one piece may have."""
MOST_KEYS = 100_000
"""Members that an object may have which is not read as a whole: their names are remembered, to find one that stands
twice."""

Path = tuple[str | int, ...]
Enter = Callable[[Path], bool]

_BLANK = " \t\r\n"
_WORTH_A_LOOK = 1 << 20
_LENIENT = json.JSONDecoder(parse_int=len, parse_float=len, parse_constant=len)
_SPACE = re.compile(r"[ \t\r\n]*")
_CUT = re.compile(r"\.|[eE][+-]?")  # of a number, behind its last whole digit
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


class Piece(NamedTuple):
    """One value of a document: where it stands, and what it is; or why it is no good, and how it is written."""

    path: Path
    value: Any
    size: int
    flaw: Flaw | None = None
    data: bytes = b""


def encoding(head: bytes) -> tuple[str, int]:
    """The encoding that a byte order mark names, and the bytes of the mark: UTF-8 and 0 where there is none."""
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name, len(mark)
    return "utf-8", 0


def pieces(chunks: Iterable[bytes], enter: Enter) -> Iterator[Piece]:
    """The values of a document in their order; the containers at the paths that `enter` names are gone into.

    A value that a bank may not hold (NaN, a key that stands twice) comes with its flaw, and the next ones follow.
    Raises FlawedJSON where the document itself is broken or something follows it, after all that stands before.
    """
    window = _Window(iter(chunks))
    if not window.peek():
        raise FlawedJSON(window.flaw or Flaw("MB104", "the file is empty", 0))
    yield from _value(window, (), enter)
    if follows := window.peek():
        raise FlawedJSON(
            Flaw("MB102", f"valid JSON ends at byte {window.offset():,}; {_rest(follows)}", window.offset())
        )
    if window.flaw:
        raise FlawedJSON(window.flaw)


def _rest(first: str) -> str:
    return "NUL bytes follow" if first == "\0" else "bytes that are no part of it follow"


def _value(window: _Window, path: Path, enter: Enter) -> Iterator[Piece]:
    first = window.peek()
    if first and first in "[{" and enter(path):
        window.at += 1
        yield from (_members if first == "{" else _elements)(window, path, enter)
    else:
        yield window.take(path)


def _elements(window: _Window, path: Path, enter: Enter) -> Iterator[Piece]:
    number = 0
    while window.goes_on("]", number == 0):
        yield from _value(window, (*path, number), enter)
        number += 1


def _members(window: _Window, path: Path, enter: Enter) -> Iterator[Piece]:
    seen: set[str] = set()
    while window.goes_on("}", not seen):
        if window.peek() != '"':
            raise window.broken("a name in quotes is expected")
        key = window.take(path)
        if key.flaw:
            raise FlawedJSON(key.flaw)
        name = str(key.value)
        if name in seen or len(seen) == MOST_KEYS:
            raise FlawedJSON(_twice(name, window.offset()) if name in seen else _TOO_MANY)
        seen.add(name)
        if window.peek() != ":":
            raise window.broken("':' is expected")
        window.at += 1
        yield from _value(window, (*path, name), enter)


def _twice(name: str, offset: int) -> Flaw:
    return Flaw("MB105", f"the key {json.dumps(name[:60])} stands twice in one object", offset)


_TOO_MANY = Flaw("MB108", f"an object of more than {MOST_KEYS:,} members", 0)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class _Window:
    """The part of the text that is in memory: `at` is where we are in it."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        first = next(chunks, b"")
        name, mark = encoding(first)
        self._chunks, self._pending = chunks, first[mark:]
        self._decoder = codecs.getincrementaldecoder(name)()
        self._ended = False
        self._before = self._counted = 0
        self._fits = False
        self.flaw: Flaw | None = None
        self.text, self.at = "", 0

    def offset(self) -> int:
        """The byte of the UTF-8 text where we are."""
        self._before += len(self.text[self._counted : self.at].encode())  # each character is counted once
        self._counted = self.at
        return self._before

    def peek(self) -> str:
        """The next character that is no blank; '' at the end."""
        while True:
            self.at = _SPACE.match(self.text, self.at).end()  # type: ignore[union-attr]  # it matches everywhere
            if self.at < len(self.text):
                return self.text[self.at]
            if not self._grow():
                return ""

    def goes_on(self, closing: str, first: bool) -> bool:
        """Whether another element follows in the container that `closing` ends; goes behind what separates them."""
        found = self.peek()
        if found == closing:
            self.at += 1
            return False
        if first:
            return True
        if found != ",":
            raise self.broken(f"',' or '{closing}' is expected")
        self.at += 1
        return True

    def take(self, path: Path) -> Piece:
        """The value that begins here, as a whole. Raises FlawedJSON where that is none."""
        self.peek()
        while True:
            self._measure()
            try:
                value, end, flaw = self._decoded()
                if not _is_number(value) or len(self.text) - end > 2 or not self._grow():
                    break  # a number may go on in what is not yet read: 1e+ is followed by its exponent
            except json.JSONDecodeError as error:
                if not self._may_go_on(error) or not self._grow():
                    stopped = stops(self.text.rstrip("\0"), error)
                    self.at = min(error.pos, len(self.text))
                    raise self.broken(error.msg[0].lower() + error.msg[1:], stopped) from None
            except RecursionError:
                raise FlawedJSON(Flaw("MB108", "nested too deeply", self.offset())) from None
        if path and _is_number(value) and self.text[end - 1] not in _BLANK:
            after = self.text[end : end + 1]
            if not after or after not in ",]}" + _BLANK:  # digits may be missing
                self.at = end
                stopped = _CUT.fullmatch(self.text, end, len(self.text.rstrip("\0"))) is not None
                raise self.broken("',' or a closing bracket is expected", stopped)
        written = self.text[self.at : end]
        self.at = end
        return Piece(path, value, len(written), flaw, written.encode() if flaw else b"")

    def _may_go_on(self, error: json.JSONDecodeError) -> bool:
        """Whether what is not yet read may make a value of what is no value so far (NaN is cut as well)."""
        return stops(self.text, error) or len(self.text) - error.pos < 10

    def _decoded(self) -> tuple[Any, int, Flaw | None]:
        try:
            value, end = decode(self.text, self.at)
        except Unfit as error:
            end = _LENIENT.raw_decode(self.text, self.at)[1]
            return None, end, Flaw(error.rule, str(error), self.offset())
        flaw = Flaw("MB108", "nested too deeply", self.offset()) if too_deep(value) else None
        return value, len(self.text) if end is None else end, flaw

    def broken(self, what: str, stopped: bool = False) -> FlawedJSON:
        """The error for a document that is wrong from here on, or stops here."""
        if self.flaw:
            return FlawedJSON(self.flaw)
        rest, offset = self.text[self.at :].strip(_BLANK), self.offset()
        if stopped or not rest.strip("\0"):
            nuls = "; NUL bytes follow" if rest.startswith("\0") else ""
            return FlawedJSON(
                Flaw("MB103", f"the document stops at byte {offset:,}, before it is complete{nuls}", offset)
            )
        return FlawedJSON(Flaw("MB101", f"{what} at byte {offset:,}", offset))

    def _measure(self) -> None:
        ahead = len(self.text) - self.at
        if ahead < _WORTH_A_LOOK or self._fits:
            return
        if ahead > LARGEST or parse_cost(self.text[self.at :].encode()) > MEMORY_BUDGET:
            raise FlawedJSON(
                Flaw("MB108", f"a value of more than {ahead >> 20} MiB, or of too many parts", self.offset())
            )
        self._fits = True  # until more is read: what lies behind the next value is a part of this

    def _grow(self) -> bool:
        """Read on until twice as much lies ahead, and let go what lies behind; False at the end."""
        ahead = self.text[self.at :]
        parts, wanted = [ahead], 2 * len(ahead) + 1
        size = len(ahead)
        while size < wanted and not self._ended:
            parts.append(self._next())
            size += len(parts[-1])
        if size == len(ahead):
            return False
        self.offset()
        self.text, self.at, self._counted, self._fits = "".join(parts), 0, 0, False
        return True

    def _next(self) -> str:
        data = self._pending or next(self._chunks, b"")
        self._pending = b""
        self._ended = not data
        try:
            return self._decoder.decode(data, final=self._ended)
        except UnicodeDecodeError as error:
            self._ended = True
            self.flaw = Flaw("MB106", f"bytes that are not {error.encoding.upper()}: {error.reason}", 0)
            return bytes(error.object[: error.start]).decode(error.encoding)
