"""Building trees bottom-up from a stream of files, and cutting large directories into parts.

Where a directory is cut depends on the names in it alone, so one file more or less moves no other cut, and one
changed file among a thousand rewrites the dozen rows of its part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from typing import Any
from zlib import crc32

import orjson

from memorybank_cli.base.errors import OperationFailed
from memorybank_cli.base.names import escape
from memorybank_cli.snapshots import trees
from memorybank_cli.snapshots.trees import DEFAULT_MODE, MAX_DEPTH, Ids, normal_name

WHOLE = 32
"""A directory of at most so many entries is not cut."""
CUT = 16
"""A cut comes before a name whose CRC-32 is a multiple of this."""
MOST = 64
"""A part has at most so many rows."""
_NAMED = 3
"""JSON values that name a part in its directory's tree."""

Item = tuple[Any, ...]
FileItem = tuple[str, str, int, int, str, int]
"""The row of a sound file of one blob: "f", name, mode, mtime in nanoseconds, SHA-256, bytes."""


def file_item(
    name: str, mode: int, mtime_ns: int, good: Ids | None, size: int, found: Ids | None = None, rule: str = ""
) -> Item:
    """The row of a file in a tree; `found` is None for a sound one."""
    row = ("f", name, mode & 0o7777, mtime_ns, None if good is None else _joined(good), size)
    return row if found is None else (*row, {"found": _joined(found), "rule": rule})


def _joined(ids: Ids) -> str | Ids:
    return ids[0] if len(ids) == 1 else ids


def _parts(rows: list[Item]) -> Iterator[list[Item]]:
    start = 0
    for cut in [*(number for number, row in enumerate(rows) if crc32(row[1].encode()) % CUT == 0), len(rows)]:
        while cut - start > MOST:
            yield rows[start : start + MOST]
            start += MOST
        if cut > start:
            yield rows[start:cut]
            start = cut


def _dumped(rows: list[Item], path: str) -> Iterator[bytes]:
    """The parts of a large directory. Raises OperationFailed where nobody could read all of them again."""
    values = 0
    for part in _parts(rows):
        data = orjson.dumps(part)
        values += _NAMED + trees.values(data)
        if values >= trees.MAX_VALUES:
            raise OperationFailed(
                f"{path or 'the bank'} holds {len(rows):,} files and directories, more than a snapshot can list",
                hint="spread them over subdirectories",
                path=path,
            )
        yield data


def _nowhere(_path: str, _tree: str) -> None:
    """Nobody wants to know the trees of directories."""


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

    A list sorted by path is such a stream, and so is a walk. `store` keeps a tree and gives its id; `closed` hears the
    path and tree of each directory once it is known.
    """

    def __init__(self, store: Callable[[bytes], str], closed: Callable[[str, str], None] = _nowhere) -> None:
        self._store, self._closed = store, closed
        self._stack = [_Open("")]

    def directory(self, path: str, mode: int, mtime_ns: int) -> None:
        """A directory with its attributes, before what is in it; without this call a directory of files gets 0700."""
        parent, _, name = path.rpartition("/")
        level = self._move_to(parent)
        _check_name(name, path)
        level.attributes[name] = (mode & 0o7777, mtime_ns)

    def whole(self, path: str, mode: int, mtime_ns: int, tree: str) -> None:
        """A directory whose tree is stored already, with everything in it."""
        parent, _, name = path.rpartition("/")
        level = self._move_to(parent)
        _check_name(name, path)
        self._add(level, name, ("d", name, mode & 0o7777, mtime_ns, tree))

    def file(
        self, path: str, mode: int, mtime_ns: int, good: Ids | None, size: int, found: Ids | None = None, rule: str = ""
    ) -> None:
        """A file. Raises OperationFailed for a name that no tree may hold, ValueError for a stream out of order."""
        parent, _, name = path.rpartition("/")
        self.files(parent, [file_item(name, mode, mtime_ns, good, size, found, rule)])

    def files(self, directory: str, items: Sequence[Item]) -> None:
        """Files right in a directory, as `file_item` makes their rows; raises what `file` does."""
        level = self._stack[-1]
        if level.path != directory:
            level = self._move_to(directory)
        names = [item[1] for item in items]
        if not _are_plain(names):
            for name in names:
                _check_name(name, level.prefix + name)
        if len({*names}) == len(names) and level.items.keys().isdisjoint(names):
            level.items.update(zip(names, items, strict=True))
        else:
            for name, item in zip(names, items, strict=True):
                self._add(level, name, item)

    @staticmethod
    def _add(level: _Open, name: str, item: Item) -> None:
        if level.items.setdefault(name, item) is not item:
            raise ValueError(f"'{level.prefix}{name}' comes twice, or its directory is not in one piece")

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
        mode, mtime_ns = parent.attributes.pop(name, (DEFAULT_MODE, newest))
        parent.items[name] = ("d", name, mode, mtime_ns, self._stored(closed))

    def _stored(self, level: _Open) -> str:
        for name, (mode, mtime_ns) in level.attributes.items():
            tree = self._store(b"[]")
            self._closed(level.prefix + name, tree)
            self._add(level, name, ("d", name, mode, mtime_ns, tree))
        rows = sorted(level.items.values(), key=itemgetter(1))
        if len(rows) > WHOLE:
            rows = [("p", self._store(part)) for part in _dumped(rows, level.path)]
        tree = self._store(orjson.dumps(rows))
        self._closed(level.path, tree)
        return tree


def _are_plain(names: list[str]) -> bool:
    """Whether `_check_name` surely has nothing to say of these names; they are looked at all at once."""
    text = f"/{'/'.join(names)}/"
    return (
        text.isprintable()
        and "\\" not in text
        and "/." not in text
        and "//" not in text
        and text.count("/") == len(names) + 1
    )


def _check_name(name: str, path: str) -> None:
    try:
        normal_name(name)
    except ValueError as error:
        raise OperationFailed(f"'{escape(path)}' cannot stand in a snapshot: {error}", path=path) from None
