"""What a trace consists of: changes of names, of bytes and of attributes, syncs, and acknowledgements."""

from __future__ import annotations

from typing import NamedTuple

ROOT = 0  # the number of the directory in which all stands


class Frame(NamedTuple):
    """One call on the way to a change of the disk: module, function, line."""

    module: str
    function: str
    line: int


class Names(NamedTuple):
    """Entries of directories that change together: (directory, name, inode or None where it goes)."""

    sets: tuple[tuple[int, str, int | None], ...]
    stack: tuple[Frame, ...] = ()
    move: int = 0
    """The same for the two halves of a rename across directories: the old name goes only where the new one is."""


class Data(NamedTuple):
    """Bytes written at an offset; with `cut` the file ends there."""

    inode: int
    offset: int
    data: bytes
    cut: bool = False
    stack: tuple[Frame, ...] = ()


class Attributes(NamedTuple):
    """A mode or a time of modification; None leaves it as it is."""

    inode: int
    mode: int | None
    mtime_ns: int | None
    stack: tuple[Frame, ...] = ()


class Sync(NamedTuple):
    """What became durable: an inode (with `data_only` without its attributes), or everything where it is None."""

    inode: int | None
    data_only: bool
    stack: tuple[Frame, ...] = ()


class Said(NamedTuple):
    """Something was acknowledged to the outside."""

    what: str
    stack: tuple[Frame, ...] = ()


Change = Names | Data | Attributes
Event = Change | Sync | Said
