"""A snapshot as a tar archive, made as a stream: the same snapshot gives the same bytes, whoever makes it and when.

memorybank-<id>/snapshot.json   the snapshot's document
memorybank-<id>/bank/...        every directory and file, at its best known version
memorybank-<id>/SHA256SUMS      for `sha256sum -c SHA256SUMS`, run beside it; last, for digests are taken on the way
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from typing import Any, Literal

from memorybank_cli.base import clock, digests
from memorybank_cli.base.errors import MemorybankError
from memorybank_cli.base.names import unescape
from memorybank_cli.snapshots import documents, trees
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.documents import Document
from memorybank_cli.snapshots.sealing import Damaged
from memorybank_cli.snapshots.trees import FileEntry

Packing = Literal["", "gz", "zst"]
SUFFIXES: dict[str, Packing] = {".tar": "", ".tar.gz": "gz", ".tgz": "gz", ".tar.zst": "zst"}
MANIFEST = "SHA256SUMS"
_BLOCK = 512
_RECORD = 20 * _BLOCK
_NS = 1_000_000_000
_GZIP = 31  # for zlib: with a header of gzip, which has no name and no time in it


class Archive:
    """One archive under way; `files` and `bytes` count what went into it."""

    def __init__(
        self,
        blobs: Blobs,
        document: Document,
        line: Callable[[str, str], bytes],
        lost: Callable[[str, MemorybankError], None],
    ) -> None:
        """`line` makes a line of the manifest of an escaped path and a digest; `lost` hears what cannot be read."""
        self._blobs, self._document, self._line, self._lost = blobs, document, line, lost
        self.files = self.bytes = 0
        self._top = f"memorybank-{document.id}"
        self._seconds = int(clock.parse(document.time).timestamp())

    def pieces(self) -> Iterator[bytes]:
        """The archive's bytes. Raises Damaged when the root cannot be read."""
        total = 0
        for piece in self._members():
            total += len(piece)
            yield piece
        yield bytes(2 * _BLOCK + -(total + 2 * _BLOCK) % _RECORD)

    def _members(self) -> Iterator[bytes]:
        lines: list[bytes] = []
        yield from self._small("snapshot.json", documents.encode(self._document), lines)
        for level in trees.walk(self._blobs, self._document.root, self._unreadable):
            here = level.directory
            place = f"bank/{here.path}" if here.path else "bank"
            mtime = here.mtime_ns // _NS if here.path else self._seconds
            yield self._header(place, here.mode & 0o777 or 0o700, mtime, 0, tarfile.DIRTYPE)
            for entry in level.files:
                yield from self._file(entry, lines)
        yield from self._small(MANIFEST, b"".join(lines), [])

    def _unreadable(self, path: str, error: MemorybankError) -> None:
        if not path:
            raise error
        self._lost(path, error)

    def _file(self, entry: FileEntry, lines: list[bytes]) -> Iterator[bytes]:
        ids = entry.good or entry.found or ()
        try:
            if len(ids) > 1:  # its size stands before it: what cannot be read must be known by then
                size = sum(map(len, trees.chunks(self._blobs, entry)))
                pieces = trees.chunks(self._blobs, entry)
            else:
                data = trees.read_file(self._blobs, entry)
                size, pieces = len(data), iter((data,))
        except Damaged as error:
            self._lost(entry.path, error)
            return
        yield self._header(f"bank/{entry.path}", entry.mode & 0o777, entry.mtime_ns // _NS, size)
        digest = sha256()
        for piece in pieces:
            digest.update(piece)
            yield piece
        yield bytes(-size % _BLOCK)
        lines.append(self._line(f"bank/{entry.path}", digest.hexdigest()))
        self.files += 1
        self.bytes += size

    def _small(self, name: str, data: bytes, lines: list[bytes]) -> Iterator[bytes]:
        yield self._header(name, 0o600, self._seconds, len(data))
        yield data + bytes(-len(data) % _BLOCK)
        lines.append(self._line(name, digests.of(data)))

    def _header(self, path: str, mode: int, mtime: int, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
        info = tarfile.TarInfo(f"{self._top}/{unescape(path)}")
        info.mode, info.mtime, info.size, info.type = mode, max(mtime, 0), size, kind
        return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def packed(pieces: Iterable[bytes], packing: Packing) -> Iterator[bytes]:
    """A stream compressed, or as it is for ''."""
    if not packing:
        yield from pieces
        return
    if packing == "gz":
        import zlib

        packer: Any = zlib.compressobj(6, zlib.DEFLATED, _GZIP)
    else:
        import zstandard

        packer = zstandard.ZstdCompressor(level=3, write_checksum=True).compressobj()
    for piece in pieces:
        if part := packer.compress(piece):
            yield part
    yield packer.flush()
