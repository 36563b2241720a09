"""Writing packs: blobs that the repository lacks are joined, compressed, sealed, proved and put there.

Reading files and compressing them take about as long, so compressing is done by a second thread as soon as there is
enough to do. It gets whole frames: a hand-over for each file would cost more than it brings.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING

import orjson

from memorybank_cli.base import digests
from memorybank_cli.base.errors import OperationFailed
from memorybank_cli.snapshots.backends import Backend
from memorybank_cli.snapshots.packs import (
    BLOB_LIMIT,
    END,
    FILE_BLOB_SIZE,
    FRAME_SIZE,
    HEAD_SIZE,
    LEVEL,
    MAGIC,
    PACK_BLOBS,
    PACK_SIZE,
    SALT_SIZE,
    Frame,
    Pack,
    compressor,
    decompress,
    footer_list,
)
from memorybank_cli.snapshots.repository import Repository, pack_path
from memorybank_cli.snapshots.sealing import FOOTER_NUMBER, PACK

if TYPE_CHECKING:
    from queue import Queue
    from threading import Thread

# Fewer frames than this are done before a second thread has begun.
WORTH_IT = 4
# Frames that may wait, of at most FILE_BLOB_SIZE each.
WAITING = 6

_Blobs = tuple[list[bytes], list[str], bool]
"""The blobs of a frame, their ids, and whether they are trees."""
_Ready = tuple[_Blobs, bytes | None]
"""A frame, and what it is compressed where that was done already."""


class PackWriter:
    """Writes blobs that the repository lacks into new packs; holds one pack and a few frames in memory.

    `known` maps the blob ids that need not be written to whatever the caller wants to know about
    their use: the values of those that were asked for are collected in `relied`. With `verify` each frame is
    decoded and compared before it is written, and each pack read back. End with `finish` or `give_up`.
    """

    def __init__(self, repo: Repository, known: Mapping[str, int], verify: bool = True) -> None:
        self._known = known
        self._seen: set[str] = set()
        self._files, self._trees = _Pending(trees=False), _Pending(trees=True)
        self._packer = _Packer(repo, verify)
        self._queue: Queue[_Ready | None] | None = None
        self._compress = _Compress()
        self._thread: Thread | None = None
        self._error: BaseException | None = None
        self._frames = 0
        self.relied: set[int] = set()
        self.new_blobs = 0
        self.added_bytes = 0
        """Bytes of the new blobs, before compression."""

    @property
    def new_bytes(self) -> int:
        """Bytes of the packs that were written."""
        return sum(pack.size for pack in self._packer.written)

    def has(self, name: str) -> bool:
        """Whether the blob is in the repository or was added in this run."""
        place = self._known.get(name)
        if place is None:
            return name in self._seen
        self.relied.add(place)
        return True

    def lacking(self, names: list[str]) -> set[str]:
        """Those of many blobs that `has` does not know."""
        places = [*map(self._known.get, names)]
        relied = {*places}
        self.relied.update(place for place in relied if place is not None)
        if None not in relied:
            return set()
        return {name for name, place in zip(names, places, strict=True) if place is None and name not in self._seen}

    def add(self, data: bytes) -> tuple[str, ...]:
        """Keep a file's bytes; its blob ids, one for every begun 4 MiB."""
        if len(data) <= FILE_BLOB_SIZE:
            return (self._store(data, self._files),)
        pieces = range(0, len(data), FILE_BLOB_SIZE)
        return tuple(self._store(data[start : start + FILE_BLOB_SIZE], self._files) for start in pieces)

    def add_new(self, name: str, data: bytes) -> None:
        """Keep a file's bytes, of at most 4 MiB, whose digest is known and which `has` does not know."""
        self._keep(name, data, self._files)

    def add_tree(self, data: bytes) -> str:
        """Keep a tree in frames that hold trees only, so that looking through a snapshot reads no data; its id."""
        if len(data) > BLOB_LIMIT:
            raise OperationFailed(
                "a directory holds more files than a snapshot can list", hint="spread them over subdirectories"
            )
        return self._store(data, self._trees)

    def finish(self) -> list[Pack]:
        """Write what is still in memory; every pack of this run. Raises OSError."""
        for pending in (self._files, self._trees):
            self._flush(pending)
        self._stop()
        if self._error is not None:
            raise self._error
        self._packer.finish()
        return self._packer.written

    def give_up(self) -> None:
        """Stop the second thread; what is in memory is lost. After `finish` this does nothing."""
        self._stop()

    def _store(self, blob: bytes, pending: _Pending) -> str:
        name = sha256(blob).hexdigest()
        if not self.has(name):
            self._keep(name, blob, pending)
        return name

    def _keep(self, name: str, blob: bytes, pending: _Pending) -> None:
        self._seen.add(name)
        size = len(blob)
        self.new_blobs += 1
        self.added_bytes += size
        if size >= FRAME_SIZE:
            self._frame(([blob], [name], pending.trees))
            return
        pending.blobs.append(blob)
        pending.ids.append(name)
        pending.size += size
        if pending.size >= FRAME_SIZE:
            self._flush(pending)

    def _flush(self, pending: _Pending) -> None:
        if pending.blobs:
            blobs = pending.blobs, pending.ids, pending.trees
            pending.blobs, pending.ids, pending.size = [], [], 0
            self._frame(blobs)

    # The second thread

    def _frame(self, blobs: _Blobs) -> None:
        self._frames += 1
        if self._frames <= WORTH_IT:
            self._packer.frame(blobs)
            return
        if self._queue is None:
            self._begin()
        assert self._queue is not None
        if self._error is not None:
            raise self._error
        # Where the second thread lags behind, the first one helps instead of waiting.
        ready = self._compress(b"".join(blobs[0]), blobs[2]) if self._queue.full() else None
        self._queue.put((blobs, ready))

    def _begin(self) -> None:
        from queue import Queue
        from threading import Thread

        self._queue = Queue(WAITING)
        self._thread = Thread(target=self._pack, args=(self._queue,), name="packs")
        self._thread.start()

    def _pack(self, queue: Queue[_Ready | None]) -> None:
        while (item := queue.get()) is not None:
            if self._error is None:
                try:
                    self._packer.frame(*item)
                except BaseException as error:  # noqa: BLE001 - raised by whoever adds the next frame, or finishes
                    self._error = error

    def _stop(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None and self._queue is not None:
            self._queue.put(None)
            thread.join()


class _Pending:
    """Blobs that wait for their frame."""

    def __init__(self, trees: bool) -> None:
        self.trees = trees
        self.blobs: list[bytes] = []
        self.ids: list[str] = []
        self.size = 0


class _Compress:
    """Compresses joined blobs; each thread has its own."""

    def __init__(self) -> None:
        self._files, self._lists = compressor(LEVEL), compressor()

    def __call__(self, data: bytes, trees: bool) -> bytes:
        """Trees and footers are compressed in another way than files."""
        return (self._lists if trees else self._files).compress(data)


class _Packer:
    """Makes packs of frames; one thread at a time may use it."""

    def __init__(self, repo: Repository, verify: bool) -> None:
        self._repo, self._verify = repo, verify
        self._compress = _Compress()
        self.written: list[Pack] = []
        self._begin()

    def _begin(self) -> None:
        self._salt = secrets.token_bytes(SALT_SIZE)
        self._parts = [MAGIC + self._salt]
        self._size = HEAD_SIZE
        self._frames: list[Frame] = []
        self._blobs = 0

    def frame(self, taken: _Blobs, ready: bytes | None = None) -> None:
        """Take a frame in, which may be compressed already; writes the pack when it is full. Raises OSError."""
        blobs, ids, trees = taken
        data = b"".join(blobs)
        sealed = self._sealed(data, len(self._frames), ready or self._compress(data, trees))
        self._frames.append(Frame(self._size, len(sealed), tuple(ids), tuple(map(len, blobs))))
        self._parts.append(sealed)
        self._size += len(sealed)
        self._blobs += len(ids)
        if self._size >= PACK_SIZE or self._blobs >= PACK_BLOBS:
            self.finish()

    def finish(self) -> None:
        """Write the pack, if there is anything in it. Raises OSError."""
        if not self._frames:
            return
        lists = orjson.dumps(footer_list(self._frames))
        footer = self._sealed(lists, FOOTER_NUMBER, self._compress(lists, trees=True))
        data = b"".join([*self._parts, footer, len(footer).to_bytes(4, "little"), END])
        pack = Pack(digests.of(data), len(data), tuple(self._frames))
        self._begin()
        _put(self._repo.backend, pack.name, data, self._verify)
        self.written.append(pack)

    def _sealed(self, data: bytes, number: int, compressed: bytes) -> bytes:
        seal = self._repo.seal
        sealed = seal.seal(PACK, self._salt, number, compressed)
        if self._verify and decompress(seal.open(PACK, self._salt, number, sealed), len(data)) != data:
            raise OperationFailed(
                "what was compressed does not unpack to the same bytes",
                hint="the memory or processor of this machine is failing; nothing of it was written",
            )
        return sealed


def _put(backend: Backend, name: str, data: bytes, verify: bool) -> None:
    path = pack_path(name)
    if backend.size(path) is None:
        backend.put(path, data)
    if verify and backend.digest(path)[0] != name:
        backend.remove(path)
        raise OperationFailed(
            f"the disk gave back other bytes than were written to {path}",
            hint="the disk is failing; make the backup to another one",
            path=f"{backend.place}/{path}",
        )
