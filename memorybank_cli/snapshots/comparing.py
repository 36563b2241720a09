"""What differs between two trees, file by file: directories that are the same blob are passed over unread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, NamedTuple

from memorybank_cli.base.errors import MemorybankError
from memorybank_cli.snapshots import trees
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.sealing import Damaged
from memorybank_cli.snapshots.trees import DirectoryEntry, FileEntry, Level

What = Literal["added", "removed", "changed", "mode", "damaged", "healed"]
Lost = Callable[[str, MemorybankError], None]
Wanted = Callable[[str], bool]
_ROOT = 0o700


class FileChange(NamedTuple):
    """One file that differs."""

    path: str
    what: What
    """`damaged`: it was sound before and is not now; `healed`: the other way round; `mode`: only its permissions."""
    before: FileEntry | None
    after: FileEntry | None

    def as_dict(self) -> dict[str, Any]:
        """Path, what happened, and size, mode and rule of both versions."""
        return {"path": self.path, "what": self.what, "before": _side(self.before), "after": _side(self.after)}


def _side(entry: FileEntry | None) -> dict[str, Any] | None:
    if entry is None:
        return None
    return {"size": entry.size, "mode": f"{entry.mode & 0o7777:04o}", "rule": entry.rule}


def change(path: str, before: FileEntry | None, after: FileEntry | None) -> FileChange | None:
    """What became of one file; None where only its times differ."""
    if before is None or after is None:
        return None if before is after else FileChange(path, "added" if before is None else "removed", before, after)
    what = _what(before, after)
    return None if what is None else FileChange(path, what, before, after)


def _what(before: FileEntry, after: FileEntry) -> What | None:
    sound, is_sound = before.found is None, after.found is None
    # What was found instead of a good version, and held back, stands there still.
    still_there = not sound and before.rule == after.rule and before.found == after.good
    if (before.good, before.found) != (after.good, after.found) and not still_there:
        if sound != is_sound and not (is_sound and after.rule):
            return "healed" if is_sound else "damaged"
        return "changed"
    return "mode" if before.mode & 0o7777 != after.mode & 0o7777 else None


def changes(old: Iterable[FileEntry], new: Iterable[FileEntry]) -> Iterator[FileChange]:
    """What differs between the files of one directory, by name."""
    was, now = ({entry.path: entry for entry in side} for side in (old, new))
    for path in sorted({*was, *now}):
        found = change(path, was.get(path), now.get(path))
        if found is not None:
            yield found


def between(blobs: Blobs, old: str, new: str, lost: Lost, wanted: Wanted) -> Iterator[FileChange]:
    """What differs between two trees of one repository, by their ids; directories that are not `wanted` stay unread.

    `lost(path, error)` hears of directories of which a side cannot be read; nothing is said of what is below them.
    """
    waiting: list[tuple[DirectoryEntry | None, DirectoryEntry | None]] = [(root(old), root(new))]
    seen = 0
    while waiting:
        before, after = waiting.pop()
        seen += 1
        trees.check_bounds(seen, "")
        if before is not None and after is not None and before.tree == after.tree:
            continue
        was, now = read(blobs, before, lost), read(blobs, after, lost)
        if was is None or now is None:
            continue
        yield from changes(was.files, now.files)
        inner, inner_now = ({one.path: one for one in level.directories} for level in (was, now))
        paths = sorted(filter(wanted, {*inner, *inner_now}), reverse=True)
        waiting += [(inner.get(path), inner_now.get(path)) for path in paths]


def below(blobs: Blobs, directory: DirectoryEntry, lost: Lost, wanted: Wanted) -> Iterator[FileEntry]:
    """Every file at or below a directory of a snapshot."""
    waiting, seen = [directory], 0
    while waiting:
        seen += 1
        trees.check_bounds(seen, "")
        level = read(blobs, waiting.pop(), lost)
        if level is not None:
            yield from level.files
            waiting += [inner for inner in reversed(level.directories) if wanted(inner.path)]


def root(tree: str) -> DirectoryEntry:
    """The topmost directory of a snapshot."""
    return DirectoryEntry("", _ROOT, 0, tree)


def read(blobs: Blobs, directory: DirectoryEntry | None, lost: Lost) -> Level | None:
    """What is in a directory, nothing where there is none; None where that cannot be read."""
    if directory is None:
        return Level(root(""), [], [])
    try:
        if directory.path.count("/") > trees.MAX_DEPTH:
            raise Damaged("the snapshot lists directories deeper than a bank can have")
        return trees.read(blobs, directory)
    except Damaged as error:
        lost(directory.path, error)
        return None
