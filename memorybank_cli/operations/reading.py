"""Reading files of a bank while others may write them, for a snapshot."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping

from memorybank_cli.accounts.shelf import packed, unpacked
from memorybank_cli.bank.examine import Changing
from memorybank_cli.bank.layout import history_first
from memorybank_cli.bank.rows import Row, Seen
from memorybank_cli.base import digests
from memorybank_cli.base.errors import OperationFailed
from memorybank_cli.base.names import unescape
from memorybank_cli.base.strict_json import HARD_SIZE
from memorybank_cli.base.walk import READ, READ_SIZE, Entry, Listing, Root, entry_of, read_all
from memorybank_cli.operations.holding import Held
from memorybank_cli.snapshots.packs import FILE_BLOB_SIZE


def reader(root: Root, listing: Listing, held: Held | None) -> Callable[[str], bytes]:
    """Reads files of a directory by name."""
    if held is not None:
        prefix = f"{listing.path}/" if listing.path else ""
        return lambda name: held.read(name) if name in held.contents else sealed(root, prefix + name, held.rows)
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


def sealed(root: Root, path: str, rows: Mapping[str, Row]) -> bytes:
    """A file of an account that is not held, for it never changes; also where it was archived, or put back, meanwhile.

    `rows` is what was recorded when the account was held. Raises OSError; OperationFailed where the file went with its
    account, which was renamed, rolled back or forgotten: what else is held of it is no whole account any more.
    """
    try:
        return root.read(path)
    except FileNotFoundError:
        expected = rows.get(path.rpartition("/")[2], Row(None, None)).expected
        if expected is None or history_first(path) is None:
            raise
    try:
        data = unpacked(root.read(f"{path}.zst")) if path.endswith(".json") else packed(root.read(path[:-4]))
    except FileNotFoundError:
        data = None
    if data is None or digests.of(data) != expected.sha:
        raise OperationFailed(
            f"{path} has gone while the account was being saved: it was renamed, rolled back or forgotten meanwhile",
            path=path,
            hint="nothing was saved; run the backup again",
        )
    return data


def pieces(root: Root, path: str) -> Iterator[bytes]:
    """A file that is too large to be held in memory. Raises OSError, Changing when it does not hold still.

    All pieces but the last one are full, also of a file system that gives less than it is asked for.
    """
    with open(root.open(path), "rb") as file:
        before = os.fstat(file.fileno())
        while piece := file.read(FILE_BLOB_SIZE):
            yield piece
        after = os.fstat(file.fileno())
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
