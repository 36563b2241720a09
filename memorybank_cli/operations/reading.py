"""Reading files of a bank while others may write them, for a snapshot."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from memorybank_cli.bank.examine import Changing
from memorybank_cli.bank.rows import Seen
from memorybank_cli.base.names import unescape
from memorybank_cli.base.strict_json import HARD_SIZE
from memorybank_cli.base.walk import READ, READ_SIZE, Entry, Listing, Root, entry_of, read_all
from memorybank_cli.operations.holding import Held
from memorybank_cli.snapshots.packs import FILE_BLOB_SIZE


def reader(root: Root, listing: Listing, held: Held | None) -> Callable[[str], bytes]:
    """Reads files of a directory by name."""
    if held is not None:
        prefix = f"{listing.path}/" if listing.path else ""
        return lambda name: held.read(name) if name in held.contents else root.read(prefix + name)
    directory = listing.fd

    def read(name: str) -> bytes:
        # No stat and no second read to find the end: whoever reads so compares digests.
        fd = os.open(unescape(name) if "\\" in name else name, READ, dir_fd=directory)
        try:
            data = os.read(fd, READ_SIZE)
            return data if len(data) < READ_SIZE else data + read_all(fd, HARD_SIZE)
        finally:
            os.close(fd)

    return read


def pieces(root: Root, path: str) -> Iterator[bytes]:
    """A file that is too large to be held in memory. Raises OSError, Changing when it does not hold still."""
    fd = root.open(path)
    try:
        before = os.fstat(fd)
        while piece := os.read(fd, FILE_BLOB_SIZE):
            yield piece
        after = os.fstat(fd)
    finally:
        os.close(fd)
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise Changing("it changed while it was read")


def is_same(entry: Entry, seen: Seen) -> bool:
    """Whether a file is as it was when it was seen, by its stat."""
    now = entry.mtime_ns, entry.size, entry.inode, entry.ctime_ns
    return now == (seen.mtime, seen.size, seen.inode, seen.ctime)


def entry_now(listing: Listing, name: str) -> Entry | None:
    """What stands in an open directory now."""
    try:
        return entry_of(name, os.stat(unescape(name), dir_fd=listing.fd, follow_symlinks=False))
    except FileNotFoundError:
        return None
