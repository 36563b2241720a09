"""A closed segment of the journal in zstd: frames of whole lines, each behind a skippable frame that says what it is.

`zstd -d` gives the very bytes that the segment had. A place in it is found without unpacking what is before: the
skippable frame (magic 0x184D2A5D) holds the first line's seq, the packed and the unpacked length of the frame.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from memorybank_cli.base.walk import Root

PIECE_BYTES = 1 << 20
LONGEST = 1 << 30  # bytes that a piece may say it has; a group's line is far shorter
_HEAD = struct.Struct("<IIQII")
_MAGIC, _LENGTH = 0x184D2A5D, 16
_LEVEL = 6


class Piece(NamedTuple):
    """One frame: the seq of its first line (0 where that is none), and where it is, unpacked and packed."""

    seq: int
    start: int
    length: int
    place: int
    size: int


def pack(lines: Iterable[tuple[int, bytes]]) -> Iterator[bytes]:
    """Lines, each with its seq, as the bytes of a packed segment, a piece at a time."""
    import zstandard

    packer = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
    waiting: list[bytes] = []
    first = size = 0
    for seq, line in lines:
        if waiting and size + len(line) > PIECE_BYTES:
            yield _framed(packer.compress(b"".join(waiting)), first, size)
            waiting, size = [], 0
        first = first if waiting else seq
        waiting.append(line)
        size += len(line)
    if waiting:
        yield _framed(packer.compress(b"".join(waiting)), first, size)


def _framed(frame: bytes, first: int, size: int) -> bytes:
    return _HEAD.pack(_MAGIC, _LENGTH, first, len(frame), size) + frame


def pieces(fd: int) -> list[Piece]:
    """Where the frames of an open file are; bytes that are none are one piece of length 0 that goes to the end."""
    found: list[Piece] = []
    place = start = 0
    end = os.fstat(fd).st_size
    while place < end:
        head = os.pread(fd, _HEAD.size, place)
        magic, length, seq, size, whole = _HEAD.unpack(head) if len(head) == _HEAD.size else (0, 0, 0, 0, 0)
        place += _HEAD.size
        if (magic, length) != (_MAGIC, _LENGTH) or not size or place + size > end or not 0 < whole <= LONGEST:
            return [*found, Piece(0, start, 0, place, end - place)]
        found.append(Piece(seq, start, whole, place, size))
        place, start = place + size, start + whole
    return found


def unpack(fd: int, piece: Piece) -> bytes | None:
    """The bytes of a piece, None where they are not what was packed."""
    import zstandard

    try:
        data = zstandard.ZstdDecompressor().decompress(
            os.pread(fd, piece.size, piece.place), max_output_size=piece.length
        )
    except zstandard.ZstdError:
        return None
    return data if len(data) == piece.length else None


def blocks(root: Root, path: str, offset: int) -> Iterator[bytes]:
    """The lines of a packed segment from an unpacked offset on, many at a time; nothing where there is none.

    A piece that is damaged is one line of NULs, as long as what stood there: it is no line, and what follows keeps
    its place.
    """
    fd = _opened(root, path)
    if fd is None:
        return
    try:
        for piece in pieces(fd):
            if piece.length and piece.start + piece.length <= offset:
                continue
            data = unpack(fd, piece)
            if data is None:
                yield bytes(max(piece.length - 1, 1)) + b"\n"
            else:
                yield data[max(0, offset - piece.start) :]
    finally:
        os.close(fd)


def size(root: Root, path: str) -> int | None:
    """How many bytes a packed segment has, unpacked; None where there is none."""
    fd = _opened(root, path)
    if fd is None:
        return None
    try:
        return sum(piece.length for piece in pieces(fd))
    finally:
        os.close(fd)


def before(root: Root, path: str, seq: int) -> int:
    """An unpacked offset at which a line begins and before which no line has a seq above `seq`."""
    fd = _opened(root, path)
    if fd is None:
        return 0
    try:
        return max((piece.start for piece in pieces(fd) if 0 < piece.seq <= seq), default=0)
    finally:
        os.close(fd)


def ending(root: Root, path: str, start: int, stop: int) -> bytes:
    """The bytes from one unpacked offset to another; b'' where there is no such segment."""
    fd = _opened(root, path)
    if fd is None:
        return b""
    try:
        parts = [piece for piece in pieces(fd) if piece.start < stop and piece.start + piece.length > start]
        data = b"".join(unpack(fd, piece) or bytes(piece.length) for piece in parts)
        first = parts[0].start if parts else 0
        return data[start - first : stop - first]
    finally:
        os.close(fd)


def _opened(root: Root, path: str) -> int | None:
    try:
        return root.open(path)
    except PermissionError:
        raise
    except OSError:
        return None
