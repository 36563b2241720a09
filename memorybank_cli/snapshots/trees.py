"""Trees: one blob a directory, from the files to the root, so that an unchanged directory is the same blob.

A tree is a JSON list, sorted by the bytes of the names, of
`["f", name, mode, mtime_ns, sha256 or list, size]`,
`["f", name, mode, mtime_ns, good or null, size, {"found": sha256 or list, "rule": "MB102"}]` and
`["d", name, mode, mtime_ns, tree sha256]`; of a large directory it lists parts instead, `["p", sha256]`, each a
blob with such rows and no parts. Names are escaped (`base.names`), and none begins with a dot. See `building`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple

import orjson

from memorybank_cli.base.errors import MemorybankError
from memorybank_cli.base.names import escape, unescape
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.packs import FILE_BLOB_SIZE
from memorybank_cli.snapshots.repository import is_digest
from memorybank_cli.snapshots.sealing import Damaged

MAX_DEPTH = 512
MAX_DIRECTORIES = 1_000_000
# What parsing one tree, or all parts of one, may cost, in JSON values; half a million files have about 4 million.
MAX_VALUES = 8_000_000
DEFAULT_MODE = 0o700
_NS_LIMIT = 1 << 63
_RULE = re.compile(r"MB\d{3}")

Ids = tuple[str, ...]


class FileEntry(NamedTuple):
    """One file of a snapshot."""

    path: str
    """Relative to the bank, escaped."""
    mode: int
    mtime_ns: int
    good: Ids | None
    """The blobs of the last good version; None when there never was one."""
    size: int
    found: Ids | None = None
    """The blobs of what was found damaged instead."""
    rule: str = ""
    """The rule that `found` breaks."""


class DirectoryEntry(NamedTuple):
    """One directory of a snapshot; the root has an empty path, and no mode and time of its own."""

    path: str
    mode: int
    mtime_ns: int
    tree: str


class Level(NamedTuple):
    """One directory with what is directly in it."""

    directory: DirectoryEntry
    files: list[FileEntry]
    directories: list[DirectoryEntry]
    parts: Ids = ()
    """The blobs that a large directory is cut into, beside its tree."""


def normal_name(name: str) -> str:
    """The escaped form of a name that may stand in a directory of a snapshot. Raises ValueError for any other.

    What counts as printable differs between versions of Python, so a name is not refused for its form.
    """
    if "\\" in name or not name.isprintable():
        system = unescape(name)
        if "/" in system or "\0" in system:
            raise ValueError("a name that leads elsewhere")
        name = escape(system)
    if not name or name[0] == "." or "/" in name:
        raise ValueError("a name that is empty, begins with a dot or leads elsewhere")
    return name


def values(data: bytes) -> int:
    """How many JSON values a tree or a part of one has at most."""
    return data.count(b",") + data.count(b"[") + data.count(b"{")


class _Parser:
    """The entries of one directory, from its tree or from the parts of it."""

    def __init__(self, path: str) -> None:
        self._prefix, self._last, self._values = path + "/" if path else "", "", 0
        self.files: list[FileEntry] = []
        self.directories: list[DirectoryEntry] = []

    def rows(self, data: bytes) -> list[Any]:
        """The rows of a tree or part."""
        self._values += values(data)
        if self._values > MAX_VALUES:
            raise Damaged("a tree has more values than a directory can have entries")
        rows = orjson.loads(data)
        if type(rows) is not list:
            raise ValueError("no list")
        return rows

    def take(self, rows: list[Any]) -> None:
        """Take entries in."""
        files = self.files
        for kind, name, mode, mtime_ns, *rest in rows:
            if type(name) is not str or name <= self._last:
                raise Damaged("a tree holds names out of order")
            if not (
                type(mode) is int
                and 0 <= mode <= 0o7777
                and type(mtime_ns) is int
                and -_NS_LIMIT <= mtime_ns < _NS_LIMIT
            ):
                raise Damaged("a tree holds an impossible mode or time")
            self._last = name
            place = self._prefix + normal_name(name)
            if kind == "f" and len(rest) == 2 and type(rest[0]) is str and type(rest[1]) is int and rest[1] >= 0:
                if not is_digest(rest[0]):
                    raise ValueError("blob ids are no digests")
                files.append(FileEntry(place, mode, mtime_ns, (rest[0],), rest[1]))
            elif kind == "f":
                self.files.append(_parse_file(place, mode, mtime_ns, *rest))
            elif kind == "d":
                self.directories.append(DirectoryEntry(place, mode, mtime_ns, _parse_tree(*rest)))
            else:
                raise Damaged("a tree holds something that is neither file nor directory")


def parse(data: bytes, path: str = "", part: Callable[[str], bytes] | None = None) -> Level:
    """What a tree that stands at `path` lists, each sorted; its own entry has no mode, time and id. Raises Damaged.

    `part` reads the parts of a large directory; without it they are only named.
    """
    parser = _Parser(path)
    parts: Ids = ()
    try:
        rows = parser.rows(data)
        if rows and rows[0][0] == "p":
            parts = tuple(_parse_part(*row) for row in rows)
            for inner in map(parser.rows, map(part, parts)) if part is not None else ():
                if not inner:
                    raise Damaged("a part of a tree is empty")
                parser.take(inner)
        else:
            parser.take(rows)
    except (TypeError, ValueError, LookupError) as error:
        raise Damaged(f"a tree is not a list of entries ({error})") from None
    return Level(DirectoryEntry(path, DEFAULT_MODE, 0, ""), parser.files, parser.directories, parts)


def read(blobs: Blobs, directory: DirectoryEntry) -> Level:
    """A directory of a snapshot with what is directly in it. Raises Damaged."""
    return parse(blobs.get(directory.tree), directory.path, blobs.get)._replace(directory=directory)


def _parse_part(kind: Any, name: Any) -> str:
    if kind != "p":
        raise ValueError("parts beside entries")
    return _parse_tree(name)


def _parse_tree(tree: Any) -> str:
    if type(tree) is not str or not is_digest(tree):
        raise ValueError("a tree's id is no digest")
    return tree


def _parse_file(path: str, mode: int, mtime_ns: int, good: Any, size: Any, damage: Any = None) -> FileEntry:
    if type(size) is not int or size < 0:
        raise ValueError("an impossible size")
    if damage is None:
        return FileEntry(path, mode, mtime_ns, _parse_ids(good), size)
    rule = damage["rule"]
    if type(rule) is not str or not _RULE.fullmatch(rule):
        raise ValueError("an unknown rule")
    return FileEntry(
        path, mode, mtime_ns, None if good is None else _parse_ids(good), size, _parse_ids(damage["found"]), rule
    )


def _parse_ids(ids: Any) -> Ids:
    if type(ids) is str:
        ids = (ids,)
    if type(ids) not in (list, tuple) or not ids or not all(type(name) is str and is_digest(name) for name in ids):
        raise ValueError("blob ids are no digests")
    return tuple(ids)


def _no_damage(_path: str, error: MemorybankError) -> None:
    raise error


def _everything(_path: str) -> bool:
    return True


def walk(
    blobs: Blobs,
    root: str,
    damaged: Callable[[str, MemorybankError], None] = _no_damage,
    wanted: Callable[[str], bool] = _everything,
) -> Iterator[Level]:
    """Every directory of a snapshot, parents first, names sorted; directories that are not `wanted` stay unread.

    `damaged(path, error)` hears of directories whose tree cannot be read; without it that is raised (Damaged).
    """
    waiting = [DirectoryEntry("", DEFAULT_MODE, 0, root)]
    seen = 0
    while waiting:
        directory = waiting.pop()
        seen += 1
        check_bounds(seen, directory.path)
        try:
            level = read(blobs, directory)
        except Damaged as error:
            damaged(directory.path, error)
            continue
        yield level
        waiting += [inner for inner in reversed(level.directories) if wanted(inner.path)]


def check_bounds(seen: int, path: str) -> None:
    """Raises Damaged for more or deeper directories than a bank can have: few small trees can unfold to any number."""
    if seen > MAX_DIRECTORIES or path.count("/") > MAX_DEPTH:
        raise Damaged("the snapshot lists more directories than a bank can have")


def files(blobs: Blobs, root: str, damaged: Callable[[str, MemorybankError], None] = _no_damage) -> Iterator[FileEntry]:
    """Every file of a snapshot, directory by directory; see `walk` for `damaged`."""
    for level in walk(blobs, root, damaged):
        yield from level.files


def find(blobs: Blobs, root: str, path: str) -> FileEntry | DirectoryEntry | None:
    """What stands at `path` in a snapshot, None when nothing does. Raises Damaged when a tree on the way is."""
    here = DirectoryEntry("", DEFAULT_MODE, 0, root)
    parts = path.split("/") if path else []
    for depth in range(len(parts)):
        step = "/".join(parts[: depth + 1])
        entries: Collection[FileEntry | DirectoryEntry]
        level = read(blobs, here)
        entries = level.directories if depth < len(parts) - 1 else [*level.files, *level.directories]
        entry = next((entry for entry in entries if entry.path == step), None)
        if not isinstance(entry, DirectoryEntry):
            return entry
        here = entry
    return here


def chunks(blobs: Blobs, entry: FileEntry) -> Iterator[bytes]:
    """The best known bytes of a file, a verified blob at a time: the good ones, else those found. Raises Damaged."""
    ids = entry.good or entry.found or ()
    if len(ids) > 1 and entry.good and len(ids) != -(-entry.size // FILE_BLOB_SIZE):
        raise Damaged(f"{len(ids)} blobs do not make a file of {entry.size:,} bytes")
    for name in ids:
        yield blobs.get(name)


def read_file(blobs: Blobs, entry: FileEntry) -> bytes:
    """The best known bytes of a file in one piece, verified by digest. Raises Damaged."""
    return b"".join(chunks(blobs, entry))
