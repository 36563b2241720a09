"""Hints from looking again and again: slower than events, but it works on every file system."""

from __future__ import annotations

import os
import time
from typing import NamedTuple

from memorybank_cli.base.walk import Entry, Listing, Root
from memorybank_cli.integrity.hints import LOST, Hint, wait

INTERVAL = 1.0
SHARE = 20
# Their changes can be made elsewhere, and then this machine's kernel sends no event.
REMOTE = frozenset(
    (
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "9p",
        "ceph",
        "afs",
        "glusterfs",
        "lustre",
        "ocfs2",
        "gfs2",
        "vboxsf",
        "virtiofs",
        "fuse",
    )
)
LOCAL_FUSE = "fuse.fuse-overlayfs"


class Look(NamedTuple):
    """What a tree held at one moment."""

    files: dict[str, Entry]
    directories: dict[str, tuple[int, int]]
    """Inode and mode: the times of a directory change with every file in it."""


class Polling:
    """A `Source` that compares stats every `interval` seconds, less often where that would take over 5 % of a core."""

    def __init__(self, root: Root, skip: frozenset[str] = frozenset(), interval: float = INTERVAL) -> None:
        self._root, self._skip, self._interval = root, skip, interval
        self._seen = Look({}, {})
        self._next = 0.0

    def arm(self) -> None:
        """Take the first look. Raises OSError where the tree cannot be read."""
        self._seen = self._look()

    def read(self, timeout: float, wake: int) -> list[Hint]:
        """Hints from a new look, if it is time for one; see `Source`."""
        wait(min(timeout, self._next - time.monotonic()), wake)
        if time.monotonic() < self._next:
            return []
        try:
            look = self._look()
        except OSError:
            # A network file system may come back; until then the view is blind, and that is what is said.
            self._next = time.monotonic() + self._interval
            return [LOST]
        before, self._seen = self._seen, look
        return differences(before, look)

    def watched(self) -> int:
        """The number of directories in the last look."""
        return len(self._seen.directories) + 1

    def unwatched(self) -> frozenset[str]:
        """Nothing: every directory is looked at."""
        return frozenset()

    def queued(self) -> int:
        """Nothing waits: every look finds all there is."""
        return 0

    def close(self) -> None:
        """Forget what was seen."""
        self._seen = Look({}, {})

    def _look(self) -> Look:
        started = time.monotonic()
        look = Look({}, {})
        for listing in self._root.walk(shape=self._without_skipped):
            start = f"{listing.path}/" if listing.path else ""
            look.files.update((start + entry.name, entry) for entry in listing.files + listing.others)
            look.directories.update((start + entry.name, (entry.inode, entry.mode)) for entry in listing.directories)
        now = time.monotonic()
        self._next = now + max(self._interval, (now - started) * SHARE)
        return look

    def _without_skipped(self, listing: Listing) -> Listing:
        if listing.path:
            return listing
        return listing._replace(directories=[entry for entry in listing.directories if entry.name not in self._skip])


def differences(before: Look, after: Look) -> list[Hint]:
    """The hints that lead from one look to the next."""
    hints = [
        Hint("directory", path)
        for path in before.directories.keys() | after.directories.keys()
        if before.directories.get(path) != after.directories.get(path)
    ]
    for path, entry in after.files.items():
        old = before.files.get(path)
        if old is None or (old != entry and old.inode == entry.inode):
            hints.append(Hint("changed", path))
        elif old != entry:
            hints.append(Hint("complete", path))
    hints += [Hint("changed", path) for path in before.files.keys() - after.files.keys()]
    return hints


def is_remote(root: Root) -> bool:
    """Whether the root lies on a network or FUSE file system, as far as the system tells (Linux)."""
    kind = kind_of(root)
    return kind in REMOTE or (kind.startswith("fuse.") and kind != LOCAL_FUSE)


def kind_of(root: Root) -> str:
    """The type of the file system on which the root lies; '' where the system does not tell."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
            return file_system(table.read(), os.fstat(root.fd).st_dev)
    except OSError:
        return ""  # no such table here: another system, where nothing can be told


def file_system(mountinfo: str, device: int) -> str:
    """The type of the mounted file system with this device number, per proc(5); '' where it is not listed."""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in mountinfo.splitlines():
        mount, _, source = line.partition(" - ")
        if mount.split(" ")[2:3] == [wanted]:
            return source.split(" ")[0]
    return ""
