"""The bytes of a pack: blobs joined into compressed frames between a head and a footer that lists them.

    magic 8 | salt 32 | frame … | footer | u32 LE length of the footer | end magic 8

Everything read from a pack is untrusted: lengths, offsets and sizes are checked before they are used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from memorybank_cli.snapshots.repository import Repository, pack_path
from memorybank_cli.snapshots.sealing import FOOTER_NUMBER, PACK, Damaged, Seal

if TYPE_CHECKING:
    import zstandard

MAGIC = b"MBPACK1\n"
END = b"MBEND1\n\n"
SALT_SIZE = 32
HEAD_SIZE = len(MAGIC) + SALT_SIZE
TAIL_SIZE = 4 + len(END)
LEVEL = 5
# Trees and footers are digests for the most part; to look for matches in them makes them larger.
LIST_LEVEL = 1
FRAME_SIZE = 256 << 10
PACK_SIZE = 16 << 20
PACK_BLOBS = 1 << 16
FILE_BLOB_SIZE = 4 << 20
# The largest blob that is read: the tree of a directory with half a million files.
BLOB_LIMIT = 64 << 20
FOOTER_LIMIT = 16 << 20
# What the largest pack that is ever written can have: what stays below PACK_SIZE, one more frame, the footer.
PACK_LIMIT = PACK_SIZE + BLOB_LIMIT + 2 * FRAME_SIZE + FOOTER_LIMIT

Part = Callable[[int, int], bytes]
"""Bytes of a pack by offset and length; shorter where it ends."""


class Frame(NamedTuple):
    """One compressed frame: where it stands in its pack, and the blobs in it, in their order."""

    offset: int
    length: int
    ids: tuple[str, ...]
    sizes: tuple[int, ...]


class Pack(NamedTuple):
    """What the index knows of a pack."""

    name: str
    size: int
    frames: tuple[Frame, ...]

    def as_list(self) -> list[Any]:
        """The row of the index, `[name, size, footer]`."""
        return [self.name, self.size, footer_list(self.frames)]


def footer_list(frames: Iterable[Frame]) -> list[Any]:
    """The footer as JSON: `[[offset, length, [[sha256, size], …]], …]`."""
    return [[frame.offset, frame.length, list(zip(frame.ids, frame.sizes, strict=True))] for frame in frames]


def parse_footer(footer: Any, end: int) -> tuple[Frame, ...]:
    """The frames of a footer whose pack has room for them up to byte `end`. Raises Damaged."""
    if type(footer) is not list:
        raise Damaged("the footer is not a list")
    try:
        return tuple(_parse_frame(row, end) for row in footer)
    except (TypeError, ValueError) as error:
        raise Damaged(f"the footer is not a list of frames ({error})") from None


def _parse_frame(row: Any, end: int) -> Frame:
    offset, length, blobs = row
    ids, sizes = zip(*blobs, strict=True)
    if type(offset) is not int or type(length) is not int or offset < HEAD_SIZE or length <= 0 or offset + length > end:
        raise ValueError("a frame outside its pack")
    if (
        set(map(type, ids)) != {str}
        or set(map(type, sizes)) != {int}
        or min(sizes) < 0
        or sum(sizes) > BLOB_LIMIT + FRAME_SIZE
    ):
        raise ValueError("a frame with impossible blobs")
    return Frame(offset, length, ids, sizes)


def compressor(level: int = LIST_LEVEL) -> zstandard.ZstdCompressor:
    """What frames, footers and the index are compressed with; the checksum tells damage in a footer."""
    import zstandard

    return zstandard.ZstdCompressor(level=level, write_checksum=True, write_content_size=True)


def decompress(data: bytes, limit: int) -> bytes:
    """The content of one zstd frame that says it has at most `limit` bytes. Raises Damaged."""
    import zstandard

    try:
        # The library allocates what the head of the frame claims, whatever limit it is given.
        size = zstandard.frame_content_size(data)
        if not 0 <= size <= limit:
            raise Damaged(f"a compressed part claims {size:,} bytes; at most {limit:,} can be right")
        return zstandard.ZstdDecompressor().decompress(data, allow_extra_data=False) if size else b""
    except zstandard.ZstdError as error:
        raise Damaged(f"a compressed part cannot be unpacked ({error})") from None


def read_pack(repo: Repository, name: str, size: int) -> Pack:
    """What a pack's own footer says is in it. Raises Damaged or OSError."""
    footer, end = read_footer(repo.seal, size, partial(repo.backend.read_part, pack_path(name)))
    try:
        rows = orjson.loads(footer)
    except orjson.JSONDecodeError as error:
        raise Damaged(f"its footer is not JSON ({error})") from None
    return Pack(name, size, parse_footer(rows, end))


def read_footer(seal: Seal, size: int, part: Part) -> tuple[bytes, int]:
    """The footer of a pack of `size` bytes, as JSON, and where it begins. Raises Damaged, and what `part` raises."""
    if size < HEAD_SIZE + TAIL_SIZE:
        raise Damaged(f"it has only {size} bytes")
    head, tail = part(0, HEAD_SIZE), part(size - TAIL_SIZE, TAIL_SIZE)
    length = int.from_bytes(tail[:4], "little")
    start = size - TAIL_SIZE - length
    if not head.startswith(MAGIC) or tail[4:] != END:
        raise Damaged("it does not begin or end like a pack")
    if start < HEAD_SIZE or length > FOOTER_LIMIT:
        raise Damaged("its footer is longer than itself")
    opened = seal.open(PACK, head[len(MAGIC) :], FOOTER_NUMBER, part(start, length))
    return decompress(opened, FOOTER_LIMIT), start


def read_frame(repo: Repository, name: str, number: int, frame: Frame) -> bytes:
    """The joined blobs of a frame, of the length that the footer claims. Raises Damaged or OSError."""
    return open_frame(repo.seal, number, frame, partial(repo.backend.read_part, pack_path(name)))


def open_frame(seal: Seal, number: int, frame: Frame, part: Part) -> bytes:
    """Like `read_frame`, of a pack of which `part` gives bytes by offset and length."""
    salt, sealed = part(len(MAGIC), SALT_SIZE), part(frame.offset, frame.length)
    expected = sum(frame.sizes)
    data = decompress(seal.open(PACK, salt, number, sealed), expected)
    if len(data) != expected:
        raise Damaged(f"a frame has {len(data):,} bytes instead of {expected:,}")
    return data
