"""What a scan saw of every directory, kept for the backup that follows it: so that it need not look twice."""

from __future__ import annotations

import stat
from collections.abc import Collection
from hashlib import sha256
from typing import NamedTuple

import orjson

from memorybank_cli.bank import layout
from memorybank_cli.bank.rows import Known
from memorybank_cli.bank.settled import Sifted, stats
from memorybank_cli.base import files
from memorybank_cli.base.walk import Entry, Listing
from memorybank_cli.snapshots.building import FileItem
from memorybank_cli.snapshots.packs import FILE_BLOB_SIZE


class _Look(NamedTuple):
    signature: str
    """'' where something in it is not settled."""
    directories: list[Entry]
    others: list[Entry]
    excluded: list[str]
    stats: bytes
    """Of its files, but for those that are sure; a third of what they take as tuples."""
    sure: bytes
    """The fields of `Sorted` but `others` as JSON, where the scan has sifted the files."""


class Sorted(NamedTuple):
    """The files right in a directory, as a backup has to deal with them."""

    batch: list[FileItem]
    """The rows in a tree of those that are sound and as they were seen."""
    records: int
    """How many these hold."""
    gone: Collection[str]
    """The names of files that were known, and do not stand there."""
    others: list[Entry]
    """Files that are to be judged."""


class Looks:
    """What a scan saw of every directory; called with each listing, its stats and its signature, see `settled.Look`."""

    def __init__(self) -> None:
        self._looks: dict[str, _Look] = {}
        self.files = 0
        """How many files were seen."""

    def __call__(self, listing: Listing, looked: bytes, signature: str, sifted: Sifted | None = None) -> None:
        """Take a directory in, or take it in anew."""
        self.files += len(listing.files) if listing.path not in self._looks else 0
        unsure = any(stat.S_ISDIR(entry.mode) for entry in listing.others)  # a directory that cannot be read
        sure = "" if unsure else signature
        rows = b""
        if sifted is not None and sifted.plain:
            looked, rows = _compact(listing, sifted)
        self._looks[listing.path] = _Look(sure, listing.directories, listing.others, excluded(listing), looked, rows)

    def sure(self, path: str) -> Sorted | None:
        """What the scan sorted out of a directory, whose listing lacks these files; without `others`."""
        look = self._looks[path]
        return _sorted(look.sure) if look.sure else None

    def listing(self, path: str, fd: int) -> Listing:
        """What was seen in a directory, which is open as `fd`; without hidden names, and files that are `sure`."""
        look = self._looks[path]
        found = [Entry(*row) for row in orjson.loads(look.stats)]
        return Listing(path, fd, found, list(look.directories), look.others, [])

    def excluded(self, path: str) -> list[str]:
        """What a snapshot leaves out of a directory, without what is below it."""
        return self._looks[path].excluded

    def directories(self, path: str) -> list[str]:
        """The paths of the directories right in a directory."""
        prefix = f"{path}/" if path else ""
        return [prefix + one.name for one in self._looks[path].directories]

    def __contains__(self, path: str) -> bool:
        return path in self._looks

    def signature(self, path: str) -> str:
        """The signature of a settled directory, '' for any other."""
        look = self._looks.get(path)
        return look.signature if look else ""

    def doubt(self, path: str) -> None:
        """Something in a directory was not as it had looked."""
        look = self._looks.get(path)
        if look is not None:
            self._looks[path] = look._replace(signature="")

    def keys(self) -> dict[str, str]:
        """The key of each directory in which, and below which, everything is settled."""
        keys: dict[str, str] = {}
        for path in sorted(self._looks, key=lambda one: one.count("/") if one else -1, reverse=True):
            look = self._looks[path]
            prefix = f"{path}/" if path else ""
            inner = [
                (one.name, one.mode & 0o7777, one.mtime_ns, keys.get(prefix + one.name, "")) for one in look.directories
            ]
            if look.signature and all(one[3] for one in inner):
                keys[path] = sha256(look.signature.encode() + orjson.dumps(inner)).hexdigest()
        return keys

    def excluded_below(self, path: str) -> list[str]:
        """What a snapshot leaves out of a directory and everything below it."""
        found: list[str] = []
        waiting = [path]
        while waiting:
            here = waiting.pop()
            look = self._looks[here]
            found += look.excluded
            waiting += self.directories(here)
        return found


def _sorted(sure: bytes) -> Sorted:
    batch, records, gone = orjson.loads(sure)
    return Sorted(batch, records, gone, [])


def _compact(listing: Listing, sifted: Sifted) -> tuple[bytes, bytes]:
    """The stats of the files that are not sure, and those that are."""
    plain = sifted.plain
    secret = layout.secrets(plain)
    if secret or max(one.size for one in plain.values()) > FILE_BLOB_SIZE:
        plain = {name: one for name, one in plain.items() if one.size <= FILE_BLOB_SIZE and name not in secret}
    batch = [
        ("f", name, mode & 0o7777, mtime_ns, plain[name].sha, size)
        for name, size, mtime_ns, _, _, mode, _, _ in listing.files
        if name in plain
    ]
    records = sum(one.records for one in plain.values())
    others = [one for one in listing.files if one[0] not in plain]
    return stats(listing._replace(files=others)), orjson.dumps((batch, records, sifted.gone))


def sort_out(listing: Listing, known: dict[str, Known], without: Collection[str] = ()) -> Sorted:
    """Sort the files of a listing by what is known of them; those `without` are left out."""
    batch: list[FileItem] = []
    others: list[Entry] = []
    left_out = {*without, *layout.secrets([one[0] for one in listing.files])}
    for entry in listing.files:
        name, size, mtime_ns, _, _, mode, *_ = entry
        if name in left_out:
            continue
        seen = known.get(name)
        if seen is None or not seen.sound or size > FILE_BLOB_SIZE or entry[:5] != seen[:5]:
            others.append(entry)
        else:
            batch.append(("f", name, mode & 0o7777, mtime_ns, seen.sha, size))
    records = sum(known[one[1]].records for one in batch)
    return Sorted(batch, records, known.keys() - {one.name for one in listing.files}, others)


def excluded(listing: Listing) -> list[str]:
    """What a snapshot leaves out of a directory: links, special files, secrets, names with a dot."""
    prefix = f"{listing.path}/" if listing.path else ""
    names = [one.name for one in listing.others] + layout.secrets([one[0] for one in listing.files])
    names += [name for name in listing.hidden if not name.startswith(files.TEMPORARY)]
    return [prefix + name for name in names if prefix + name != layout.PRIVATE]
