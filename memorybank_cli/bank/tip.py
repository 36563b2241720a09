"""The segment that is written to: its open file, and the room behind its last line."""

from __future__ import annotations

import os

from memorybank_cli.bank import layout
from memorybank_cli.bank.chain import Position
from memorybank_cli.base import files
from memorybank_cli.base.walk import Root, is_named

KEPT_OPEN = 2
ROOM = bytes(1 << 16)
"""NULs behind the last line of the open segment: lines that overwrite them do not change the file's size, so their
fdatasync writes no metadata and takes little more than half as long (the log of etcd does the same)."""
ROOM_AFTER = 8  # appends of a process: one that lives shortly makes no room
ROOMY = len(ROOM) // 16  # bytes of a larger append, which gains nothing by it


class Tip:
    """The newest segment of one journal, open from the first append on."""

    def __init__(self, root: Root) -> None:
        self.root = root
        self.has_room = False
        """Whether there were NULs behind what was appended here last."""
        self._appends = 0
        self._open: list[tuple[int, int]] = []

    def descriptor(self, first: int, create: bool = True) -> int:
        """A segment's file, open to be appended to; it stays open until another segment is.

        The one before stays open as long again: a thread may be syncing it.
        """
        path = layout.segment_file(first)
        if self._open and self._open[-1][0] == first:
            fd = self._open[-1][1]
            if is_named(fd, self.root, path):
                return fd
        self._open.append((first, files.open_to_write(self.root, path, create)))
        if len(self._open) > KEPT_OPEN:
            os.close(self._open.pop(0)[1])
        return self._open[-1][1]

    def current(self, first: int) -> int:
        """The descriptor of a segment that is open to be appended to; it is opened where it is not."""
        return self._open[-1][1] if self._open and self._open[-1][0] == first else self.descriptor(first)

    def close(self) -> None:
        """Give the descriptors back."""
        while self._open:
            os.close(self._open.pop()[1])

    def put(self, fd: int, text: bytes, offset: int) -> None:
        """Write lines at their place, unsynced, all or nothing, and room behind them. Raises OSError."""
        room = self._room(fd, offset + len(text), len(text))
        files.put(fd, text, offset)
        if room:
            try:
                files.put(fd, room, offset + len(text))
            except OSError:  # a disk that has no place for it may have some for the next line
                self.has_room = False

    def _room(self, fd: int, offset: int, size: int) -> bytes:
        """What is written behind the `size` bytes that end at `offset`: room for more, where there will be more."""
        self._appends += 1
        if os.lseek(fd, 0, os.SEEK_END) > offset:  # no fstat: see `is_named`
            self.has_room = True
            return b""
        self.has_room = self._appends >= ROOM_AFTER and size <= ROOMY
        return ROOM if self.has_room else b""

    def give_room_back(self) -> None:
        """Take the NULs off the end of the open segment. The lock is held."""
        fd, lines = self._open[-1][1], b""
        size = os.fstat(fd).st_size
        while size and not lines:
            start = max(0, size - len(ROOM))
            lines = os.pread(fd, size - start, start).rstrip(b"\0")
            size = start + len(lines)
        files.truncate(fd, size)
        self.has_room = False

    def is_open_at(self, end: Position) -> bool:
        """Whether the open segment is the one of `end`, still has its name, and its last line ends there."""
        if not self._open or self._open[-1][0] != end.segment:
            return False
        fd = self._open[-1][1]
        around = os.pread(fd, 2, max(0, end.offset - 1))
        return around in (b"\n", b"\n\0") and is_named(fd, self.root, layout.segment_file(end.segment))
