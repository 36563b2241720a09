"""One document inside a zip archive, unpacked in memory a piece at a time and within bounds; no name is written to."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from lzma import LZMAError
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

MOST_MEMBERS = 1000
LARGEST = 256 << 20
"""Bytes that a document may have once it is unpacked."""
HIGHEST_RATIO = 200
"""How many times its packed size a document may have; JSON has 10 to 30 times."""
_PIECE = 1 << 16
# Of the other methods a few bytes become gigabytes before the first of them can be counted.
_METHODS = (ZIP_STORED, ZIP_DEFLATED)
_BEGINNING = b"PK\x03\x04"
# What zipfile raises for archives that are damaged, encrypted or packed in a way it does not know.
_BROKEN = (BadZipFile, EOFError, LZMAError, OSError, OverflowError, RuntimeError, ValueError, struct.error, zlib.error)
_MEMBER = b"PK\x01\x02"


class Unreadable(ValueError):
    """An archive that cannot be read, or not within the bounds."""


def is_archive(head: bytes) -> bool:
    """Whether a file begins as a zip archive does."""
    return head.startswith(_BEGINNING)


def unpacked(data: bytes, name: str) -> Iterator[bytes]:
    """The bytes of the member `name` in an archive, piece by piece. Raises Unreadable, also after some pieces."""
    if data.count(_MEMBER) > MOST_MEMBERS:
        raise Unreadable(f"an archive of more than {MOST_MEMBERS:,} files")
    try:
        with ZipFile(BytesIO(data)) as archive:
            yield from _member(archive, archive.getinfo(name))
    except KeyError:
        raise Unreadable(f"the archive holds no '{name}'") from None
    except Unreadable:
        raise
    except _BROKEN as error:
        raise Unreadable(f"the archive cannot be read: {error}") from None


def _member(archive: ZipFile, info: ZipInfo) -> Iterator[bytes]:
    if info.compress_type not in _METHODS:
        raise Unreadable("a document that is packed otherwise than by deflate: unpack it, and import the folder")
    most = min(LARGEST, HIGHEST_RATIO * max(info.compress_size, _PIECE))
    with archive.open(info) as member:
        while piece := member.read(_PIECE):
            most -= len(piece)
            if most < 0:
                raise Unreadable("a document that unpacks to more than it may: unpack it, and import the folder")
            yield piece
