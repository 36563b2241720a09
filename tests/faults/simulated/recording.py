"""Recording: `os` as `base.files` sees it, which does everything and keeps a trace of what changed and what was synced.

What SQLite writes by itself is derived and stands in no trace; nor do the names of its files.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from types import FrameType
from typing import Any
from unittest import mock

from memorybank_cli.base import files
from tests.faults.simulated.disk import Disk, Node
from tests.faults.simulated.events import ROOT, Attributes, Data, Event, Frame, Names, Said, Sync

_PACKAGE = str(Path(files.__file__).parent.parent) + os.sep
_ALLOCATED = 4_096  # bytes that a reserve of any size gets here


def is_derived(name: str) -> bool:
    """Whether a file is a database that can be made again from the journal."""
    return ".sqlite" in name


def read_disk(place: Path) -> tuple[Disk, dict[int, int]]:
    """What stands below a directory, all of it durable, and the number in `Disk` of each inode."""
    disk, known = Disk(), {place.stat().st_ino: ROOT}

    def take(directory: Path, number: int) -> None:
        for entry in sorted(os.scandir(directory), key=lambda one: one.name):
            if is_derived(entry.name):
                continue
            info = entry.stat(follow_symlinks=False)
            inner = known.setdefault(info.st_ino, len(known))
            content = None if entry.is_dir() else Path(entry.path).read_bytes()
            disk.make(inner, Node(content, stat.S_IMODE(info.st_mode), info.st_mtime_ns))
            disk.names[number][entry.name] = inner
            if content is None:
                take(Path(entry.path), inner)

    take(place, ROOT)
    return disk, known


class Recorder:
    """Stands in for `os`; `events` is the trace, `disk` what was there before."""

    def __init__(self, place: Path) -> None:
        self.disk, self._known = read_disk(place)
        self.events: list[Event] = []
        self._names = {inode: dict(names) for inode, names in self.disk.names.items()}
        self._next, self._moves = len(self._known), 0
        self._lock = RLock()  # packs are written by a thread of their own
        self._renameat2 = files._renameat2

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def say(self, what: str) -> None:
        """Something was acknowledged."""
        self.events.append(Said(what))

    def _inode(self, fd: int) -> int:
        """The number of an open file or directory; -1 for what is no part of this."""
        return self._known.get(os.fstat(fd).st_ino, -1)

    def _set(self, *sets: tuple[int, str, int | None], move: int = 0) -> None:
        with self._lock:
            self._noted(*sets, move=move)

    def _noted(self, *sets: tuple[int, str, int | None], move: int) -> None:
        sets = tuple(one for one in sets if one[0] >= 0 and not is_derived(one[1]))
        for directory, name, inode in sets:
            if inode is None:
                self._names[directory].pop(name, None)
            else:
                self._names[directory][name] = inode
        if sets:
            self.events.append(Names(sets, _stack(3), move))

    def _new(self, real: int, node: Node) -> int:
        with self._lock:
            number = self._known[real] = self._next
            self._next += 1
            self.disk.make(number, node)
            self._names[number] = {}
            return number

    def open(self, name: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        parent = -1 if dir_fd is None else self._inode(dir_fd)
        fd = os.open(name, flags, mode, dir_fd=dir_fd)
        if flags & os.O_CREAT and parent >= 0 and name not in self._names[parent] and not is_derived(name):
            info = os.fstat(fd)
            inode = self._new(info.st_ino, Node(b"", stat.S_IMODE(info.st_mode), info.st_mtime_ns))
            self._set((parent, name, inode))
        return fd

    def mkdir(self, name: str, mode: int = 0o777, *, dir_fd: int) -> None:
        parent = self._inode(dir_fd)
        os.mkdir(name, mode, dir_fd=dir_fd)
        info = os.stat(name, dir_fd=dir_fd)
        self._set((parent, name, self._new(info.st_ino, Node(None, stat.S_IMODE(info.st_mode), info.st_mtime_ns))))

    def write(self, fd: int, data: Any) -> int:
        written = os.write(fd, data)
        offset = os.lseek(fd, 0, os.SEEK_CUR) - written
        self._change(Data(self._inode(fd), offset, bytes(data)[:written], False, _stack()))
        return written

    def pwrite(self, fd: int, data: Any, offset: int) -> int:
        written = os.pwrite(fd, data, offset)
        self._change(Data(self._inode(fd), offset, bytes(data)[:written], False, _stack()))
        return written

    def _change(self, event: Data | Attributes | Sync) -> None:
        if event.inode is None or event.inode >= 0:
            self.events.append(event)

    def ftruncate(self, fd: int, size: int) -> None:
        os.ftruncate(fd, size)
        self._change(Data(self._inode(fd), size, b"", True, _stack()))

    def posix_fallocate(self, fd: int, offset: int, size: int) -> None:
        os.posix_fallocate(fd, offset, min(size, _ALLOCATED))
        self._change(Data(self._inode(fd), os.fstat(fd).st_size, b"", True, _stack()))

    def fchmod(self, fd: int, mode: int) -> None:
        os.fchmod(fd, mode)
        self._change(Attributes(self._inode(fd), mode, None, _stack()))

    def utime(self, fd: int, *, ns: tuple[int, int]) -> None:
        os.utime(fd, ns=ns)
        self._change(Attributes(self._inode(fd), None, ns[1], _stack()))

    def link(self, source: str, name: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        os.link(source, name, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        inode = self._names[self._inode(src_dir_fd)][source]
        self._set((self._inode(dst_dir_fd), name, inode))

    def unlink(self, name: str, *, dir_fd: int) -> None:
        os.unlink(name, dir_fd=dir_fd)
        self._set((self._inode(dir_fd), name, None))

    def rmdir(self, name: str, *, dir_fd: int) -> None:
        os.rmdir(name, dir_fd=dir_fd)
        self._set((self._inode(dir_fd), name, None))

    def rename(self, source: str, name: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        os.rename(source, name, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        self._moved(self._inode(src_dir_fd), source, self._inode(dst_dir_fd), name)

    def _moved(self, source: int, name: str, target: int, target_name: str) -> None:
        inode = self._names[source][name]
        if source == target:
            self._set((target, target_name, inode), (source, name, None))
        else:
            self._moves += 1
            self._set((target, target_name, inode), move=self._moves)
            self._set((source, name, None), move=self._moves)

    def renameat2(self, one_fd: int, one: str, other_fd: int, other: str, how: int) -> bool:
        done = self._renameat2(one_fd, one, other_fd, other, how)
        here, there = self._inode(one_fd), self._inode(other_fd)
        if done and how == files._RENAME_EXCHANGE:
            first, second = self._names[here][one], self._names[there][other]
            self._set((here, one, second), (there, other, first))
        elif done:
            self._moved(here, one, there, other)
        return done

    def fsync(self, fd: int) -> None:
        self._change(Sync(self._inode(fd), False, _stack()))

    def fdatasync(self, fd: int) -> None:
        self._change(Sync(self._inode(fd), True, _stack()))

    def sync_all(self, _root: object) -> None:
        self._change(Sync(None, False, _stack()))


def _stack(depth: int = 2) -> tuple[Frame, ...]:
    """Who called, the innermost first."""
    found = []
    frame: FrameType | None = sys._getframe(depth)
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith(_PACKAGE):
            found.append(Frame(code.co_filename[len(_PACKAGE) :], code.co_name, frame.f_lineno))
        frame = frame.f_back
    return tuple(found)


@contextmanager
def recording(place: Path) -> Iterator[Recorder]:
    """Record what `base.files` does below a directory meanwhile."""
    recorder = Recorder(place)
    with (
        mock.patch.object(files, "os", recorder),
        mock.patch.object(files, "_renameat2", recorder.renameat2),
        mock.patch.object(files, "sync_all", recorder.sync_all),
        mock.patch.object(files, "overwrite", os.pwrite),  # what means nothing after a crash
    ):
        yield recorder
