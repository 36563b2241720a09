"""`os` as `base.files` sees it in tests of faults: each call that changes the disk is counted and can fail or kill."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from memorybank_cli.base import files
from memorybank_cli.base.walk import Root

CHANGES = frozenset(
    {
        "open",
        "write",
        "fsync",
        "fdatasync",
        "rename",
        "link",
        "unlink",
        "mkdir",
        "rmdir",
        "ftruncate",
        "fchmod",
        "utime",
        "posix_fallocate",
    }
)
Fault = Callable[..., Any]


class BrokenOS:
    """The functions of `os`; `faults` stand in for some of them and get the real one as their first argument."""

    def __init__(self, before: Callable[[str], None] = lambda _: None, **faults: Fault) -> None:
        self.before, self.faults = before, faults
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        name = "write" if name == "pwrite" else name
        if name not in CHANGES:
            return real

        def call(*args: Any, **options: Any) -> Any:
            self.calls.append(name)
            self.before(name)
            fault = self.faults.get(name)
            return fault(real, *args, **options) if fault else real(*args, **options)

        return call


def failing(number: int, on: int = 1) -> Fault:
    """Fails with the error `number` at call `on`, and works before and after it."""
    count = 0

    def fault(real: Callable[..., Any], *args: Any, **options: Any) -> Any:
        nonlocal count
        count += 1
        if count == on:
            raise OSError(number, os.strerror(number))
        return real(*args, **options)

    return fault


def full_after(room: int) -> Fault:
    """A write of a disk on which `room` bytes are left: it writes what fits, then fails with ENOSPC."""
    left = room

    def fault(real: Callable[..., Any], fd: int, data: Any, *at: int) -> int:
        nonlocal left
        if left == 0:
            raise OSError(28, os.strerror(28))
        written: int = real(fd, bytes(data)[:left], *at)
        left -= written
        return written

    return fault


def one_byte(real: Callable[..., Any], fd: int, data: Any, *at: int) -> int:
    """A write that takes a single byte at a time."""
    return int(real(fd, bytes(data)[:1], *at))


def unsynced(_real: Callable[..., Any], _what: object) -> None:
    """A sync that costs nothing."""


@contextmanager
def broken(**faults: Fault) -> Iterator[BrokenOS]:
    """Let `base.files` work with these faults."""
    fake = BrokenOS(**faults)
    with mock.patch.object(files, "os", fake):
        yield fake


class Stopped(BaseException):
    """Somebody pressed Ctrl-C, at a given step."""


def stop(_step: str) -> None:
    """The step at which Ctrl-C comes."""
    raise Stopped


def die(_step: str) -> None:
    """The step at which kill -9 comes."""
    os._exit(9)


@contextmanager
def watched(before: Callable[[str], None], **faults: Fault) -> Iterator[BrokenOS]:
    """Call `before` with the name of each change of the disk, also of those that are no function of `os`."""
    real_exchange, real_sync = files._renameat2, files.sync_all

    def exchange(*args: Any) -> bool:
        before("renameat2")
        return real_exchange(*args)

    def sync_all(root: Root) -> None:
        before("syncfs")
        if "fsync" in faults:
            faults["fsync"](real_sync, root)
        else:
            real_sync(root)

    fake = BrokenOS(before, **faults)
    with (
        mock.patch.object(files, "os", fake),
        mock.patch.object(files, "_renameat2", exchange),
        mock.patch.object(files, "sync_all", sync_all),
    ):
        yield fake


def interrupted(work: Callable[[], object], step: int, how: Callable[[str], None]) -> bool:
    """Do `work` until change number `step` of the disk, where `how` happens; whether it got that far."""
    count = 0

    def before(name: str) -> None:
        nonlocal count
        count += 1
        if count == step:
            how(name)

    # A killed process loses nothing that it wrote, synced or not: not syncing makes the tests three times faster.
    with watched(before, fsync=unsynced, fdatasync=unsynced):
        try:
            work()
        except Stopped:
            return True
    return count >= step


def killed(work: Callable[[], object], step: int) -> bool:
    """Do `work` in a child that is killed before change number `step` of the disk; whether it got that far."""
    child = os.fork()
    if not child:
        try:
            interrupted(work, step, die)
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in {0, 9}, "the work failed by itself"
    return code == 9


def put_back(places: Mapping[Path, Path]) -> None:
    """Have each directory as its copy is. The directories themselves stay: a bank that moved has more calls to make."""
    for place, copy in places.items():
        for entry in place.iterdir():
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        shutil.copytree(copy, place, symlinks=True, dirs_exist_ok=True)
