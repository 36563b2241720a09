"""Breaking the program's promises on purpose: a trace without one of its syncs, or with two of its steps swapped.

What is left out is found by the place in the code that asked for it, so a new sync is a new case by itself.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from memorybank_cli.base import files
from tests.faults.simulated.events import Event, Frame, Names, Sync

PACKAGE = Path(files.__file__).parent.parent
FILES = "base/files.py"
SYNCS = {"sync", "sync_data", "sync_all"}
ORDERING = {"files.sync_paths", "files.sync_all", "files.sync_data", "repo.backend.settle"}
"""Syncs that other modules ask for by themselves, not as a part of one change."""


class Site(NamedTuple):
    """A call that makes something durable."""

    module: str
    function: str
    text: str
    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.module} {self.function}: {self.text}"

    def asked(self, event: Event) -> bool:
        """Whether this call asked for a sync."""
        if not isinstance(event, Sync):
            return False
        if (self.module, self.function) == (FILES, "sync_all"):  # the recorder stands in for all of it
            return event.inode is None
        return any(one.module == self.module and self.first <= one.line <= self.last for one in event.stack)


def sync_sites() -> list[Site]:
    """Every sync in base/files.py, and every one that orders the changes of another module; macOS has its own."""
    found = list(_sites(FILES, _is_sync))
    for path in sorted(PACKAGE.rglob("*.py")):
        module = str(path.relative_to(PACKAGE))
        if module != FILES and any(name in path.read_text() for name in ORDERING):  # to parse them all takes seconds
            found += _sites(module, _is_ordering)
    return found


def _sites(module: str, wanted: Callable[[ast.Call], bool]) -> Iterator[Site]:
    text = (PACKAGE / module).read_text()
    tree = ast.parse(text)
    elsewhere = {id(inner) for node in ast.walk(tree) if _is_other_system(node) for inner in _taken(node)}
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and wanted(node) and id(node) not in elsewhere:
                    called = ast.get_source_segment(text, node) or ""
                    yield Site(module, function.name, called, node.lineno, node.end_lineno or node.lineno)


def _is_other_system(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "darwin" in ast.unparse(node.test)


def _taken(node: ast.AST) -> Iterator[ast.AST]:
    assert isinstance(node, ast.If)
    for statement in node.body:
        yield from ast.walk(statement)


def _is_sync(node: ast.Call) -> bool:
    return ast.unparse(node.func) in SYNCS | {"os.fsync", "os.fdatasync", "libc.syncfs"}


def _is_ordering(node: ast.Call) -> bool:
    return ast.unparse(node.func) in ORDERING


def without(events: Sequence[Event], site: Site) -> list[Event]:
    """A trace in which a call made nothing durable."""
    return [event for event in events if not site.asked(event)]


class Order(NamedTuple):
    """Two steps whose order matters, each by a function through which its changes go; and why."""

    earlier: tuple[str, str]
    later: tuple[str, str]
    why: str

    def __str__(self) -> str:
        return f"{self.earlier[1]} before {self.later[1]}"


def swapped(events: Sequence[Event], order: Order) -> list[Event]:
    """A trace in which, wherever the one step follows the other, it comes before it, with its syncs."""
    found, waiting = list(events), 0
    for _ in events:
        start = next((at for at in range(waiting, len(found)) if _through(found[at], order.earlier)), None)
        if start is None:
            break
        first = next((at for at in range(start, len(found)) if _through(found[at], order.later)), None)
        if first is None:
            break
        last = next((at for at in range(first, len(found)) if not _through(found[at], order.later)), len(found))
        found[start:last] = [*found[first:last], *found[start:first]]
        waiting = last
    return found


def _through(event: Event, place: tuple[str, str]) -> bool:
    return any((one.module, one.function) == place for one in event.stack)


MAKING = ("write_new", "_write_temporary", "make_dirs")
RENAMES = ("replace", "create", "rename", "move_in", "exchange")
"""Functions of base/files.py that give a written file its name."""


def named_first(events: Sequence[Event], function: str) -> list[Event]:
    """A trace in which a function gives files their names before it, or its caller, has written what is in them."""
    found = list(events)
    for event in events:
        if isinstance(event, Names) and _by(event, function):
            inodes = {inode for _, _, inode in event.sets if inode is not None}
            here = found.index(event)
            made = [at for at in range(here) if _makes(found[at], inodes)]
            if made:  # of two files that are exchanged the one that was made last is the new one
                found.insert(made[-1] + 1, found.pop(here))
    return found


def _by(event: Names, function: str) -> bool:
    return bool(event.stack) and event.stack[0] == Frame(FILES, function, event.stack[0].line)


def _makes(event: Event, inodes: set[int]) -> bool:
    """Whether an event gives one of these inodes its first name."""
    if not isinstance(event, Names) or not event.stack or event.stack[0].function not in MAKING:
        return False
    return any(inode in inodes for _, _, inode in event.sets)
