"""A directory, or one file, that is only read: by descriptors, links not followed, what changes meanwhile noticed."""

from __future__ import annotations

import errno
import os
import stat
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Any

from memorybank_cli.bank.layout import is_secret
from memorybank_cli.base import walk
from memorybank_cli.base.errors import UsageError
from memorybank_cli.base.exact_json import loads
from memorybank_cli.base.names import escape
from memorybank_cli.base.strict_json import HARD_SIZE

HEAD = 4096
LONGEST_LINE = 16 << 20
_HEADS = 256
_TRIES = 3


class SourceChanged(OSError):
    """A file of the source changed or vanished while it was read."""

    def __str__(self) -> str:
        return "it changed or vanished while it was read"


class Source:
    """What is to be imported. Paths are escaped and relative to `root.path`."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        real = os.path.realpath(os.fspath(path))
        self.skipped: list[tuple[str, str]] = []
        """What stays behind, and why."""
        self.is_file = os.path.isfile(real)
        if not self.is_file and not os.path.isdir(real):
            raise UsageError(
                f"{escape(os.fspath(path))} is no directory and no file",
                path=os.fspath(path),
                hint="--from takes what is to be imported",
            )
        self.name = escape(os.path.basename(real))
        """What the directory or file is called."""
        self.root = walk.Root(os.path.dirname(real) if self.is_file else real)
        self._directory: tuple[str, int] = ("", -1)
        self._heads: dict[str, bytes] = {}
        self.paths = [self.name] if self.is_file else sorted(self._walk())
        """Every plain file that may be read."""
        self.places: dict[str, str] = {}
        """Where files come to stand that are taken as they are; importers note it for the links of documents."""
        self.staying: Sequence[str] = ()
        """Files that keep their path in the bank, sorted; noted likewise."""

    def close(self) -> None:
        """Give the descriptors back."""
        self._leave()
        self.root.close()

    def _leave(self) -> None:
        if self._directory[1] >= 0:
            os.close(self._directory[1])
        self._directory = ("", -1)

    def _walk(self) -> Iterator[str]:
        for listing in self.root.walk():
            prefix = f"{listing.path}/" if listing.path else ""
            self.skipped += [(prefix + name, "its name begins with a dot") for name in sorted(listing.hidden)]
            self.skipped += [(prefix + entry.name, _why(entry)) for entry in listing.others]
            for entry in listing.files:
                if is_secret(entry.name):
                    self.skip(prefix + entry.name, "its name says that it holds a key or a password")
                elif not walk.may(walk.component(entry.name), os.R_OK, listing.fd):
                    self.skip(prefix + entry.name, "it cannot be read")
                else:
                    yield prefix + entry.name

    def skip(self, path: str, reason: str) -> None:
        """Note what stays behind, and why."""
        self.skipped.append((path, reason))

    def __contains__(self, path: str) -> bool:
        at = bisect_left(self.paths, path)
        return at < len(self.paths) and self.paths[at] == path

    def below(self, directory: str) -> list[str]:
        """The paths of all files below a directory of the source ('' for every file), sorted."""
        if not directory:
            return self.paths
        return self.paths[bisect_left(self.paths, f"{directory}/") : bisect_left(self.paths, f"{directory}0")]

    def place(self, path: str) -> str:
        """Where a file comes to stand in the bank as it is; '' where none does, or that is not known yet."""
        at = bisect_left(self.staying, path)
        stays = at < len(self.staying) and self.staying[at] == path
        return path if stays else self.places.get(path, "")

    def _stat(self, path: str) -> os.stat_result:
        """Lstat of a file. Raises SourceChanged where it has gone."""
        fd, name = self._parent(path)
        try:
            return os.stat(name, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            raise SourceChanged from None

    def size(self, path: str) -> int:
        """Bytes of a file, 0 for one that has gone."""
        try:
            return self._stat(path).st_size
        except OSError:
            return 0

    def mode(self, path: str) -> int:
        """The permission bits of a file. Raises SourceChanged, OSError."""
        return stat.S_IMODE(self._stat(path).st_mode)

    def mtime_ns(self, path: str) -> int:
        """When a file was changed last. Raises SourceChanged, OSError."""
        return walk.fitting(self._stat(path).st_mtime_ns)

    def _parent(self, path: str) -> tuple[int, str]:
        """A descriptor of a file's directory, which stays open for the next file, and the file's name."""
        head, _, name = path.rpartition("/")
        if self._directory[1] < 0 or self._directory[0] != head:
            self._leave()
            try:
                with self.root.directory(head) as fd:
                    self._directory = (head, os.dup(fd))
            except (FileNotFoundError, NotADirectoryError):
                raise SourceChanged from None
        return self._directory[1], walk.component(name)

    def open(self, path: str) -> int:
        """A descriptor of a file. Raises SourceChanged where no plain file stands any more, else OSError."""
        fd, name = self._parent(path)
        try:
            return walk.open_regular(name, fd)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ELOOP, errno.EINVAL):
                raise SourceChanged from None
            raise

    def head(self, path: str) -> bytes:
        """The first 4 KiB of a file; nothing of one that cannot be read."""
        if path not in self._heads:
            if len(self._heads) >= _HEADS:
                self._heads.clear()
            self._heads[path] = self._beginning(path)
        return self._heads[path]

    def _beginning(self, path: str) -> bytes:
        try:
            fd = self.open(path)
        except OSError:
            return b""
        try:
            return os.read(fd, HEAD)
        except OSError:
            return b""
        finally:
            os.close(fd)

    def read(self, path: str, limit: int | None = HARD_SIZE) -> bytes:
        """The bytes of a file. Raises SourceChanged, and OSError: EFBIG for more than `limit` bytes."""
        return self.read_with_stat(path, limit)[0]

    def read_with_stat(self, path: str, limit: int | None = HARD_SIZE) -> tuple[bytes, os.stat_result]:
        """`read`, and what the file was just then."""
        for _ in range(_TRIES):
            fd = self.open(path)
            try:
                before = os.fstat(fd)
                if limit is not None and before.st_size > limit:
                    raise OSError(errno.EFBIG, f"larger than {limit >> 20} MiB")
                data = walk.read_all(fd, limit)
                if _same(before, os.fstat(fd)) and len(data) == before.st_size:
                    return data, before
            finally:
                os.close(fd)
        raise SourceChanged

    def json(self, path: str) -> Any:
        """The value of a JSON file. Raises FlawedJSON, SourceChanged, OSError."""
        return loads(self.read(path))

    def chunks(self, path: str) -> Iterator[bytes]:
        """The bytes of a file of any size, a piece at a time. Raises SourceChanged, also after the last piece."""
        fd = self.open(path)
        try:
            before, size = os.fstat(fd), 0
            for piece in walk.chunks(fd):
                size += len(piece)
                yield piece
            if not _same(before, os.fstat(fd)) or size != before.st_size:
                raise SourceChanged
        finally:
            os.close(fd)

    def unpacked(self, path: str) -> Iterator[bytes]:
        """`chunks`, of a file named *.zst those of what is compressed in it. Raises OSError for a damaged one, too."""
        if not path.endswith(".zst"):
            return self.chunks(path)
        return _decompressed(self.chunks(path))

    def lines(self, path: str, longest: int = LONGEST_LINE) -> Iterator[tuple[int, bytes]]:
        """The lines of a file with their numbers from 1, without line feeds. Raises SourceChanged, also after the last.

        Of a line of more than `longest` bytes the first `longest` + 1 come.
        """
        number, begun = 1, bytearray()
        for piece in self.chunks(path):
            *ended, rest = piece.split(b"\n")
            for part in ended:
                yield number, bytes(begun + part[: longest + 1 - len(begun)])
                number += 1
                begun.clear()
            begun += rest[: longest + 1 - len(begun)]
        if begun:
            yield number, bytes(begun)


def _decompressed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    import zstandard

    reader, size = zstandard.ZstdDecompressor(max_window_size=HARD_SIZE).decompressobj(), 0
    for piece in pieces:
        try:
            found = b"" if reader.eof else reader.decompress(piece)
        except zstandard.ZstdError:
            raise OSError(errno.EIO, "its compressed content is damaged") from None
        size += len(found)
        if size > HARD_SIZE:
            raise OSError(errno.EFBIG, f"larger than {HARD_SIZE >> 20} MiB")
        yield found
    if not reader.eof:
        raise OSError(errno.EIO, "its compressed content is cut short")


def _same(before: os.stat_result, after: os.stat_result) -> bool:
    return (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)


def _why(entry: walk.Entry) -> str:
    if stat.S_ISLNK(entry.mode):
        return "a link; links are not followed"
    if stat.S_ISDIR(entry.mode):
        return "a directory that cannot be read, or nested too deeply"
    return "not a plain file"
