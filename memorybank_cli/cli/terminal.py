"""The two streams: what each can show, and the one rich Console of each, made when something is drawn on it."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from functools import cache
from typing import IO, TYPE_CHECKING, Literal

from memorybank_cli.base.names import printable

if TYPE_CHECKING:
    from rich.console import Console

# DEL, U+0080 to U+009F, U+2028 and U+2029 in UTF-8; outside a string valid JSON has none of them.
_UNSAFE = re.compile(rb"\x7f|\xc2[\x80-\x9f]|\xe2\x80[\xa8\xa9]")

Stream = Literal["stdout", "stderr"]


def stream(name: Stream) -> IO[str]:
    """The stream as it is now."""
    found: IO[str] = getattr(sys, name)
    return found


def is_terminal(name: Stream) -> bool:
    """Whether the stream is a terminal that understands more than lines of text."""
    return stream(name).isatty() and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


def is_colourful(name: Stream, no_color: bool) -> bool:
    """Whether the stream is a terminal on which colour is wanted."""
    return is_terminal(name) and not no_color and not os.environ.get("NO_COLOR")


@cache
def console(name: Stream) -> Console:
    """The console of a stream; importing rich costs 35 ms, so only what draws asks for it."""
    from rich.console import Console

    return Console(file=stream(name), highlight=False, markup=False, emoji=False, soft_wrap=False)


def write_line(name: Stream, text: str) -> None:
    """Write text of any origin as lines, control characters escaped."""
    out = stream(name)
    out.write(printable(text) + "\n")
    out.flush()


def write_raw(data: bytes) -> None:
    """Write bytes to stdout as they are, and at once."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def write_json(data: bytes) -> None:
    r"""Write a line of JSON to stdout; what a terminal would obey (DEL, C1) and breaks of lines stand as `\uXXXX`."""
    if any(first in data for first in (b"\x7f", b"\xc2", b"\xe2\x80")):  # finding one byte costs next to nothing
        data = _UNSAFE.sub(_escaped, data)
    write_raw(data + b"\n")


def _escaped(found: re.Match[bytes]) -> bytes:
    return b"\\u%04x" % ord(found[0].decode())


def write_pieces(pieces: Iterable[bytes]) -> None:
    """Write bytes of any origin to stdout: as they are, on a terminal as text with control characters escaped."""
    if not stream("stdout").isatty():
        for piece in pieces:
            write_raw(piece)
        return
    from codecs import getincrementaldecoder

    decoder = getincrementaldecoder("utf-8")("backslashreplace")
    for piece in pieces:
        stream("stdout").write(printable(decoder.decode(piece)))
    stream("stdout").write(printable(decoder.decode(b"", final=True)) + "\n")
    stream("stdout").flush()
