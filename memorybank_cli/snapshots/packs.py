"""The bytes of a pack: blobs joined into compressed frames between a head and a footer that lists them.

    magic 8 | salt 32 | frame … | footer | u32 LE length of the footer | end magic 8

Everything read from a pack is untrusted: lengths, offsets and sizes are checked before they are used.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from memorybank_cli.base import digests, files
from memorybank_cli.base.errors import OperationFailed
from memorybank_cli.base.walk import Root
from memorybank_cli.snapshots.repository import Repository, pack_path
from memorybank_cli.snapshots.sealing import FOOTER_NUMBER, PACK, Damaged

if TYPE_CHECKING:
    import zstandard

MAGIC = b"MBPACK1\n"
END = b"MBEND1\n\n"
SALT_SIZE = 32
HEAD_SIZE = len(MAGIC) + SALT_SIZE
TAIL_SIZE = 4 + len(END)
LEVEL = 3
FRAME_SIZE = 128 << 10
PACK_SIZE = 16 << 20
PACK_BLOBS = 1 << 16
FILE_BLOB_SIZE = 4 << 20
# The largest blob that is read: the tree of a directory with half a million files.
BLOB_LIMIT = 64 << 20
FOOTER_LIMIT = 16 << 20


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


def compressor() -> zstandard.ZstdCompressor:
    """What frames, footers and the index are compressed with; the checksum tells damage in a footer."""
    import zstandard

    return zstandard.ZstdCompressor(level=LEVEL, write_checksum=True, write_content_size=True)


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
    if size < HEAD_SIZE + TAIL_SIZE:
        raise Damaged(f"it has only {size} bytes")
    fd = repo.root.open(pack_path(name))
    try:
        head, tail = os.pread(fd, HEAD_SIZE, 0), os.pread(fd, TAIL_SIZE, size - TAIL_SIZE)
        length = int.from_bytes(tail[:4], "little")
        start = size - TAIL_SIZE - length
        if not head.startswith(MAGIC) or tail[4:] != END:
            raise Damaged("it does not begin or end like a pack")
        if start < HEAD_SIZE or length > FOOTER_LIMIT:
            raise Damaged("its footer is longer than itself")
        sealed = os.pread(fd, length, start)
    finally:
        os.close(fd)
    opened = repo.seal.open(PACK, head[len(MAGIC) :], FOOTER_NUMBER, sealed)
    try:
        footer = orjson.loads(decompress(opened, FOOTER_LIMIT))
    except orjson.JSONDecodeError as error:
        raise Damaged(f"its footer is not JSON ({error})") from None
    return Pack(name, size, parse_footer(footer, start))


def read_frame(repo: Repository, name: str, number: int, frame: Frame) -> bytes:
    """The joined blobs of a frame, of the length that the footer claims. Raises Damaged or OSError."""
    fd = repo.root.open(pack_path(name))
    try:
        salt = os.pread(fd, SALT_SIZE, len(MAGIC))
        sealed = os.pread(fd, frame.length, frame.offset)
    finally:
        os.close(fd)
    expected = sum(frame.sizes)
    data = decompress(repo.seal.open(PACK, salt, number, sealed), expected)
    if len(data) != expected:
        raise Damaged(f"a frame has {len(data):,} bytes instead of {expected:,}")
    return data


def digest_of(root: Root, path: str) -> str:
    """The SHA-256 of a file as the disk gives it back, not as the page cache remembers it. Raises OSError."""
    fd = root.open(path)
    try:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        return digests.of_fd(fd)[0]
    finally:
        os.close(fd)


class _Pending:
    """Blobs that wait for their frame."""

    def __init__(self) -> None:
        self.blobs: list[bytes] = []
        self.ids: list[str] = []
        self.size = 0


class PackWriter:
    """Writes blobs that the repository lacks into new packs; holds one pack in memory.

    `known` maps the blob ids that need not be written to whatever the caller wants to know about
    their use: the values of those that were asked for are collected in `relied`.
    """

    def __init__(self, repo: Repository, known: Mapping[str, int]) -> None:
        self._repo, self._known = repo, known
        self._seen: set[str] = set()
        self._files, self._trees = _Pending(), _Pending()
        self._compress = compressor().compress
        self._begin()
        self.relied: set[int] = set()
        self.written: list[Pack] = []
        self.new_bytes = 0

    def has(self, name: str) -> bool:
        """Whether the blob is in the repository or was added in this run."""
        place = self._known.get(name)
        if place is None:
            return name in self._seen
        self.relied.add(place)
        return True

    def add(self, data: bytes) -> tuple[str, ...]:
        """Keep a file's bytes; its blob ids, one for every begun 4 MiB."""
        if len(data) <= FILE_BLOB_SIZE:
            return (self._store(data, self._files),)
        pieces = range(0, len(data), FILE_BLOB_SIZE)
        return tuple(self._store(data[start : start + FILE_BLOB_SIZE], self._files) for start in pieces)

    def add_tree(self, data: bytes) -> str:
        """Keep a tree in frames that hold trees only, so that looking through a snapshot reads no data; its id."""
        if len(data) > BLOB_LIMIT:
            raise OperationFailed(
                "a directory holds more files than a snapshot can list", hint="spread them over subdirectories"
            )
        return self._store(data, self._trees)

    def finish(self) -> list[Pack]:
        """Write what is still in memory; every pack of this run, each read back from the disk. Raises OSError."""
        for pending in (self._files, self._trees):
            self._flush(pending)
        if self._frames:
            self._write_pack()
        return self.written

    def _store(self, blob: bytes, pending: _Pending) -> str:
        name = sha256(blob).hexdigest()
        if self.has(name):
            return name
        self._seen.add(name)
        if len(blob) >= FRAME_SIZE:
            self._write_frame([blob], [name])
            return name
        pending.blobs.append(blob)
        pending.ids.append(name)
        pending.size += len(blob)
        if pending.size >= FRAME_SIZE:
            self._flush(pending)
        return name

    def _flush(self, pending: _Pending) -> None:
        if pending.blobs:
            self._write_frame(pending.blobs, pending.ids)
            pending.blobs, pending.ids, pending.size = [], [], 0

    def _begin(self) -> None:
        self._salt = secrets.token_bytes(SALT_SIZE)
        self._parts = [MAGIC + self._salt]
        self._size = HEAD_SIZE
        self._frames: list[Frame] = []
        self._blobs = 0

    def _write_frame(self, blobs: list[bytes], ids: list[str]) -> None:
        sealed = self._sealed(b"".join(blobs), len(self._frames))
        self._frames.append(Frame(self._size, len(sealed), tuple(ids), tuple(map(len, blobs))))
        self._parts.append(sealed)
        self._size += len(sealed)
        self._blobs += len(ids)
        if self._size >= PACK_SIZE or self._blobs >= PACK_BLOBS:
            self._write_pack()

    def _sealed(self, data: bytes, number: int) -> bytes:
        seal = self._repo.seal
        sealed = seal.seal(PACK, self._salt, number, self._compress(data))
        if decompress(seal.open(PACK, self._salt, number, sealed), len(data)) != data:
            raise OperationFailed(
                "what was compressed does not unpack to the same bytes",
                hint="the memory or processor of this machine is failing; nothing of it was written",
            )
        return sealed

    def _write_pack(self) -> None:
        footer = self._sealed(orjson.dumps(footer_list(self._frames)), FOOTER_NUMBER)
        data = b"".join([*self._parts, footer, len(footer).to_bytes(4, "little"), END])
        name = digests.of(data)
        pack = Pack(name, len(data), tuple(self._frames))
        self._begin()
        _put(self._repo.root, name, data)
        self.written.append(pack)
        self.new_bytes += pack.size


def _put(root: Root, name: str, data: bytes) -> None:
    path = pack_path(name)
    if root.stat(path) is None:
        files.make_dirs(root, f"packs/{name[:2]}")
        files.replace(root, path, data)
    if digest_of(root, path) != name:
        files.remove(root, path)
        raise OperationFailed(
            f"the disk gave back other bytes than were written to {path}",
            hint="the disk is failing; make the backup to another one",
            path=root.absolute(path),
        )
