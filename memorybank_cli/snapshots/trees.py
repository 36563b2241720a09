"""Trees: one blob a directory, from the files to the root, so that an unchanged directory is the same blob.

A tree is a JSON list, sorted by the bytes of the names, of
`["f", name, mode, mtime_ns, sha256 or list, size]`,
`["f", name, mode, mtime_ns, good or null, size, {"found": sha256 or list, "rule": "MB102"}]` and
`["d", name, mode, mtime_ns, tree sha256]`. Names are escaped (`base.names`), and none begins with a dot.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from operator import itemgetter
from typing import Any, NamedTuple

import orjson

from memorybank_cli.base.errors import MemorybankError, OperationFailed
from memorybank_cli.base.names import escape, unescape
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.packs import FILE_BLOB_SIZE
from memorybank_cli.snapshots.repository import is_digest
from memorybank_cli.snapshots.sealing import Damaged

MAX_DEPTH = 512
MAX_DIRECTORIES = 1_000_000
# What parsing one tree may cost, in JSON values; half a million files have about 4 million.
MAX_VALUES = 8_000_000
_DEFAULT_MODE = 0o700
_NS_LIMIT = 1 << 63
_RULE = re.compile(r"MB\d{3}")

Ids = tuple[str, ...]
Item = tuple[Any, ...]


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


def file_item(name: str, mode: int, mtime_ns: int, good: Ids | None, size: int, found: Ids | None, rule: str) -> Item:
    """The row of a file in a tree; `found` is None for a sound one."""
    row = ("f", name, mode & 0o7777, mtime_ns, None if good is None else _joined(good), size)
    return row if found is None else (*row, {"found": _joined(found), "rule": rule})


def _joined(ids: Ids) -> str | Ids:
    return ids[0] if len(ids) == 1 else ids


class _Open:
    """A directory that still gets entries."""

    __slots__ = ("attributes", "items", "path", "prefix")

    def __init__(self, path: str) -> None:
        self.path = path
        self.prefix = path + "/" if path else ""
        self.items: dict[str, Item] = {}
        self.attributes: dict[str, tuple[int, int]] = {}


class TreeBuilder:
    """Builds trees bottom-up from a stream in which everything below a directory stands together.

    A list sorted by path is such a stream, and so is a walk. `store` keeps a tree and gives its id.
    """

    def __init__(self, store: Callable[[bytes], str]) -> None:
        self._store = store
        self._stack = [_Open("")]

    def directory(self, path: str, mode: int, mtime_ns: int) -> None:
        """A directory with its attributes, before what is in it; without this call a directory of files gets 0700."""
        parent, _, name = path.rpartition("/")
        level = self._move_to(parent)
        _check_name(name, path)
        level.attributes[name] = (mode & 0o7777, mtime_ns)

    def file(
        self, path: str, mode: int, mtime_ns: int, good: Ids | None, size: int, found: Ids | None = None, rule: str = ""
    ) -> None:
        """A file. Raises OperationFailed for a name that no tree may hold, ValueError for a stream out of order."""
        parent, _, name = path.rpartition("/")
        level = self._stack[-1]
        if level.path != parent:
            level = self._move_to(parent)
        _check_name(name, path)
        if name in level.items:
            raise ValueError(f"'{path}' comes twice, or its directory is not in one piece")
        level.items[name] = file_item(name, mode, mtime_ns, good, size, found, rule)

    def finish(self) -> str:
        """The id of the root."""
        self._move_to("")
        return self._stored(self._stack[0])

    def _move_to(self, path: str) -> _Open:
        stack = self._stack
        while stack[-1].path != path and not path.startswith(stack[-1].prefix):
            self._close()
        while stack[-1].path != path:
            level = stack[-1]
            name = path[len(level.prefix) :].partition("/")[0]
            _check_name(name, path)
            if name in level.items:
                raise ValueError(f"'{level.prefix}{name}' comes twice, or is not in one piece")
            if len(stack) > MAX_DEPTH:
                raise OperationFailed(f"directories are nested deeper than {MAX_DEPTH} levels", path=path)
            stack.append(_Open(level.prefix + name))
        return stack[-1]

    def _close(self) -> None:
        closed = self._stack.pop()
        parent = self._stack[-1]
        name = closed.path[len(parent.prefix) :]
        newest = max((item[3] for item in closed.items.values()), default=0)
        mode, mtime_ns = parent.attributes.pop(name, (_DEFAULT_MODE, newest))
        parent.items[name] = ("d", name, mode, mtime_ns, self._stored(closed))

    def _stored(self, level: _Open) -> str:
        for name, (mode, mtime_ns) in level.attributes.items():
            if name in level.items:
                raise ValueError(f"'{level.prefix}{name}' comes twice, or its directory is not in one piece")
            level.items[name] = ("d", name, mode, mtime_ns, self._store(b"[]"))
        return self._store(orjson.dumps(sorted(level.items.values(), key=itemgetter(1))))


def _check_name(name: str, path: str) -> None:
    try:
        normal_name(name)
    except ValueError as error:
        raise OperationFailed(f"'{escape(path)}' cannot stand in a snapshot: {error}", path=path) from None


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


def parse(data: bytes, path: str = "") -> tuple[list[FileEntry], list[DirectoryEntry]]:
    """The files and directories of a tree that stands at `path`, each sorted. Raises Damaged."""
    if data.count(b",") + data.count(b"[") + data.count(b"{") > MAX_VALUES:
        raise Damaged("a tree has more values than a directory can have entries")
    files: list[FileEntry] = []
    directories: list[DirectoryEntry] = []
    prefix, last = path + "/" if path else "", ""
    try:
        for kind, name, mode, mtime_ns, *rest in orjson.loads(data):
            if type(name) is not str or name <= last:
                raise Damaged("a tree holds names out of order")
            if not (
                type(mode) is int
                and 0 <= mode <= 0o7777
                and type(mtime_ns) is int
                and -_NS_LIMIT <= mtime_ns < _NS_LIMIT
            ):
                raise Damaged("a tree holds an impossible mode or time")
            last = name
            place = prefix + normal_name(name)
            if kind == "f":
                files.append(_parse_file(place, mode, mtime_ns, *rest))
            elif kind == "d":
                directories.append(DirectoryEntry(place, mode, mtime_ns, _parse_tree(*rest)))
            else:
                raise Damaged("a tree holds something that is neither file nor directory")
    except (TypeError, ValueError, LookupError) as error:
        raise Damaged(f"a tree is not a list of entries ({error})") from None
    return files, directories


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
    waiting = [DirectoryEntry("", _DEFAULT_MODE, 0, root)]
    seen = 0
    while waiting:
        directory = waiting.pop()
        seen += 1
        if seen > MAX_DIRECTORIES or directory.path.count("/") > MAX_DEPTH:
            raise Damaged("the snapshot lists more directories than a bank can have")
        try:
            files, directories = parse(blobs.get(directory.tree), directory.path)
        except Damaged as error:
            damaged(directory.path, error)
            continue
        yield Level(directory, files, directories)
        waiting += [inner for inner in reversed(directories) if wanted(inner.path)]


def files(blobs: Blobs, root: str, damaged: Callable[[str, MemorybankError], None] = _no_damage) -> Iterator[FileEntry]:
    """Every file of a snapshot, directory by directory; see `walk` for `damaged`."""
    for level in walk(blobs, root, damaged):
        yield from level.files


def find(blobs: Blobs, root: str, path: str) -> FileEntry | DirectoryEntry | None:
    """What stands at `path` in a snapshot, None when nothing does. Raises Damaged when a tree on the way is."""
    here = DirectoryEntry("", _DEFAULT_MODE, 0, root)
    parts = path.split("/") if path else []
    for depth in range(len(parts)):
        step = "/".join(parts[: depth + 1])
        entries: Collection[FileEntry | DirectoryEntry]
        found, directories = parse(blobs.get(here.tree), here.path)
        entries = directories if depth < len(parts) - 1 else [*found, *directories]
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
