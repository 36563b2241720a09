"""Disks without room: a repository, or the bank itself, on a small file system in memory that is filled up."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from tests.faults.lab import Lab, memory, no_crash
from tests.faults.stories import FORGET, repaired

SIZE = 24 << 20
"""Of the file system: the reserve, and room for some snapshots."""
NEW = 400_000
"""Bytes that each snapshot adds, which nothing compresses."""
ROOMS = tuple(int(NEW * percent / 100) for percent in (0, 1, 10, 30, 60, 95, 105, 130))
"""Bytes left when a backup begins."""


@cache
def can_mount() -> bool:
    """Whether this process may make file systems."""
    if os.geteuid() != 0:
        return False
    try:
        with tempfile.TemporaryDirectory() as place, small_disk(Path(place), 1 << 20):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


@contextmanager
def small_disk(place: Path, size: int = SIZE) -> Iterator[Path]:
    """An empty file system of `size` bytes at a directory."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], check=True, capture_output=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True, capture_output=True)


def fill(disk: Path, left: int = 0) -> None:
    """Leave only so many bytes."""
    with open(disk / "filler", "ab", buffering=0) as file:
        info = os.statvfs(disk)
        missing = info.f_bavail * info.f_frsize - left
        try:
            while missing > 0:
                missing -= file.write(bytes(min(missing, 1 << 20)))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


@contextmanager
def lab(on_disk: str) -> Iterator[tuple[Lab, Path]]:
    """A bank with five snapshots, two of them forgotten long ago; its `repository` or the `bank` on a small disk."""
    with tempfile.TemporaryDirectory(dir=memory()) as directory:
        place = Path(directory)
        (place / "disk").mkdir()
        with small_disk(place / "disk") as disk:
            found = Lab(disk if on_disk == "bank" else place / "lab", 3)
            found.env["MEMORYBANK_STATE_HOME"] = str(place / "home")
            found.env["MEMORYBANK_REPOSITORY"] = str((disk if on_disk == "repository" else place) / "repo")
            found.build()
            repaired(found)
            for number in range(5):
                change(found, number)
                found.run("backup")
            found.run(*FORGET)
            for pack in found.repository.glob("packs/*/*"):
                os.utime(pack, (1_700_000_000, 1_700_000_000))
            found.known = found.contents()
            yield found, disk


def change(found: Lab, number: int) -> None:
    """Other bytes in the large file of the bank."""
    (found.bank / "metrics/noise.bin").write_bytes(random.Random(number).randbytes(NEW))


def backup_and_prune(room: int) -> None:
    """A backup with `room` bytes left, then none left at all: pruning makes room, and then a backup is made."""
    with lab("repository") as (found, disk):
        fill(disk, room)
        change(found, 5)
        done = found.call("backup", "--bank", str(found.bank))
        no_crash(done)
        assert done.code in (0, 3), done
        assert done.code == 0 or "disk is full" in done.err, done
        assert len(found.contents()) == len(found.known) + (done.code == 0)
        assert not found.temporaries()
        found.check_snapshots()
        fill(disk)
        assert free(disk) == 0
        found.run("snapshot", "prune", "--now", "--yes")
        assert free(disk) > NEW
        found.check_snapshots()
        (found.bank / "metrics/small.json").write_bytes(b"{}")
        os.unlink(found.bank / "metrics/noise.bin")
        found.run("backup")
        found.check_whole()


def free(disk: Path) -> int:
    """Bytes that are left."""
    info = os.statvfs(disk)
    return info.f_bavail * info.f_frsize


def bank_without_room(room: int) -> None:
    """Each operation on a bank with `room` bytes left; the repository is elsewhere. Then there is room again."""
    with lab("bank") as (found, disk):
        found.run("account", "create", "a")
        found.run("message", "add", "first", "--account", "a", "--role", "user", "--id", "first")
        fill(disk, room)
        acknowledged: set[str] = set()
        for words in (
            ["message", "add", "x" * 5_000, "--account", "a", "--role", "user", "--id", "second"],
            ["backup"],
            ["rollback", min(found.known), "--path", "metrics", "--yes"],
            ["snapshot", "restore", "latest", "--to", str(disk / "out")],
            ["snapshot", "verify", "--read-data"],
        ):
            done = found.call(*words, "--bank", str(found.bank))
            no_crash(done)
            assert done.code in (0, 1, 3), (words, done)
            acknowledged |= {words[0]} if done.code in (0, 1) else set()
            found.check_snapshots()
        os.unlink(disk / "filler")
        found.check_whole()
        added = found.run("message", "list", "--account", "a", "--json").count('"id":"second"')
        assert added == 1 or (added == 0 and "message" not in acknowledged)  # it may be stored, and not rendered
        found.run("backup")
        found.run("snapshot", "verify", "--read-data")
        found.check_whole()


def campaign(rounds: int, seed: int) -> Iterator[str]:
    """`rounds` amounts of room from none to more than enough, for a repository and for a bank; one line each."""
    del seed  # nothing is left to chance
    if not can_mount():
        yield "skipped: only root can mount a small file system"
        return
    for name, scenario in (("repository", backup_and_prune), ("bank", bank_without_room)):
        for number in range(rounds):
            scenario(int(1.3 * NEW * number / max(rounds - 1, 1)))
        yield f"{name:10} on a disk with {rounds} amounts of room left: nothing lost, and pruning makes room with none"
