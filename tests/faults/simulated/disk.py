"""A weak POSIX file system in memory: what is durable, and what a crash may keep of the rest.

Data of a file is durable by fsync or fdatasync of that file, its mode and times by fsync only, both by syncfs. An entry
of a directory (create, link, rename, unlink, mkdir, rmdir) is durable by fsync of the directory or syncfs; fsync of a
new file does not make its name durable. What is not durable may persist in any subset and without regard to the order
of data and names, so a rename may be there before the data of its file (ext4 without delayed-allocation heuristics
leaves such files empty). Three things no crash does, because no journaling file system does them: two changes of the
same name are never taken in another order; a rename within a directory and an exchange are there wholly or not at all;
a rename from one directory to another may leave the file in both, but never in neither.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from tests.faults.simulated.events import ROOT, Attributes, Change, Data, Event, Names, Said, Sync


class Node(NamedTuple):
    """A file (or a directory, whose content is None) as it is found after a crash."""

    content: bytes | None
    mode: int
    mtime_ns: int


Tree = dict[str, Node]
"""By path; directories before what is in them."""
Tear = Callable[[Data], tuple[bytes, bool]]
"""What is there of a write: the bytes at its offset, and whether the file has its full length all the same."""


class Disk:
    """Durable content and names, and what was changed since, in order."""

    def __init__(self) -> None:
        self.nodes: dict[int, Node] = {ROOT: Node(None, 0o700, 0)}
        self.names: dict[int, dict[str, int]] = {ROOT: {}}
        self.pending: list[Change] = []
        self.said: tuple[str, ...] = ()

    def copy(self) -> Disk:
        """Another one that is in the same state."""
        other = Disk()
        other.nodes, other.names = dict(self.nodes), {one: dict(names) for one, names in self.names.items()}
        other.pending, other.said = list(self.pending), self.said
        return other

    def make(self, inode: int, node: Node) -> None:
        """An inode that nothing names yet."""
        self.nodes[inode] = node
        if node.content is None:
            self.names[inode] = {}

    def take(self, event: Event) -> None:
        """One more event of the trace."""
        if isinstance(event, Said):
            self.said += (event.what,)
        elif isinstance(event, Sync):
            self._sync(event)
        else:
            self.pending.append(event)

    def _sync(self, event: Sync) -> None:
        kept = self.closed(index for index, one in enumerate(self.pending) if _covers(event, one))
        for index in sorted(kept):
            self._apply(self.pending[index])
        self.pending = [one for index, one in enumerate(self.pending) if index not in kept]

    def _apply(self, change: Change) -> None:
        if isinstance(change, Names):
            _rename(self.names, change)
        else:
            self.nodes[change.inode] = _changed(self.nodes[change.inode], change)

    def closed(self, wanted: Iterable[int]) -> set[int]:
        """Pending changes with all that they cannot be there without."""
        needs, kept, waiting = self._needs(), set[int](), list(wanted)
        while waiting:
            index = waiting.pop()
            if index not in kept:
                kept.add(index)
                waiting += needs[index]
        return kept

    def without(self, index: int) -> set[int]:
        """All pending changes but one, and what cannot be there without it."""
        lost = {index}
        for later, needed in enumerate(self._needs()):
            if not lost.isdisjoint(needed):
                lost.add(later)
        return set(range(len(self.pending))) - lost

    def _needs(self) -> list[list[int]]:
        """For each pending change those right before it that it cannot be there without."""
        last: dict[tuple[int, str], int] = {}
        moved: dict[int, int] = {}
        needs = []
        for index, change in enumerate(self.pending):
            needed = []
            if isinstance(change, Names):
                keys = [one[:2] for one in change.sets]
                needed = [last[key] for key in keys if key in last]
                if change.move in moved:
                    needed.append(moved[change.move])
                elif change.move:
                    moved[change.move] = index
                last.update(dict.fromkeys(keys, index))
            needs.append(needed)
        return needs

    def tree(self, kept: Collection[int], tear: Tear | None = None) -> Tree:
        """What is found after a crash that kept these pending changes; `tear` tells of each other write what is."""
        names = {inode: dict(held) for inode, held in self.names.items()}
        nodes = dict(self.nodes)
        for index, change in enumerate(self.pending):
            if isinstance(change, Names):
                if index in kept:
                    _rename(names, change)
            elif index in kept:
                nodes[change.inode] = _changed(nodes[change.inode], change)
            elif tear is not None and isinstance(change, Data):
                nodes[change.inode] = _torn(nodes[change.inode], change, tear)
        found: Tree = {}
        _collect(found, names, nodes, ROOT, "")
        return found


def _covers(sync: Sync, change: Change) -> bool:
    if sync.inode is None:
        return True
    if isinstance(change, Names):
        return any(directory == sync.inode for directory, _, _ in change.sets)
    return change.inode == sync.inode and not (sync.data_only and isinstance(change, Attributes))


def _rename(names: dict[int, dict[str, int]], change: Names) -> None:
    for directory, name, inode in change.sets:
        if inode is None:
            names[directory].pop(name, None)
        else:
            names[directory][name] = inode


def _changed(node: Node, change: Data | Attributes) -> Node:
    if isinstance(change, Attributes):
        mode = node.mode if change.mode is None else change.mode
        return node._replace(mode=mode, mtime_ns=node.mtime_ns if change.mtime_ns is None else change.mtime_ns)
    content = node.content or b""
    if change.cut:
        return node._replace(content=content[: change.offset].ljust(change.offset, b"\0"))
    before = content[: change.offset].ljust(change.offset, b"\0")
    return node._replace(content=before + change.data + content[change.offset + len(change.data) :])


def _torn(node: Node, change: Data, tear: Tear) -> Node:
    if change.cut:
        return node
    data, full = tear(change)
    end = change.offset + len(change.data)
    if not data and not full:
        return node
    node = _changed(node, change._replace(data=data))
    content = node.content or b""
    return node._replace(content=content.ljust(end, b"\0")) if full else node


def _collect(
    found: Tree, names: Mapping[int, Mapping[str, int]], nodes: Mapping[int, Node], inode: int, path: str
) -> None:
    for name, inner in sorted(names[inode].items()):
        here = f"{path}/{name}" if path else name
        found[here] = nodes[inner]
        if nodes[inner].content is None:
            _collect(found, names, nodes, inner, here)
