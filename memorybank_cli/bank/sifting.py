"""Which files of a directory need not be gone into: most of a directory in which a few files changed."""

from __future__ import annotations

from collections.abc import Collection

from memorybank_cli.bank.catalog import Catalog
from memorybank_cli.bank.rows import SETTLED_NS, Known, Row, Seen
from memorybank_cli.base.walk import Entry, Listing

FEW = 4  # one row by its name costs as much as some rows of a whole directory


def plain(
    listing: Listing, known: dict[str, Known], limits: dict[str, int], fresh: Collection[str] = ()
) -> dict[str, Known]:
    """The files of which nothing is to be said: their stat is that of a look that settled and was good.

    `limits` are in bytes; the files at the paths in `fresh` are to be looked at in any case.
    """
    limit, prefix = min(limits.values(), default=0), f"{listing.path}/"
    return {
        name: one
        for name, size, mtime_ns, ctime_ns, inode, _, links, _ in listing.files
        if (one := known.get(name)) is not None
        and one.plain
        and one[:5] == (name, size, mtime_ns, ctime_ns, inode)
        and links == 1
        and size <= limit
        and not (fresh and prefix + name in fresh)
    }


def rows(catalog: Catalog, directory: str, known: dict[str, Known], without: dict[str, Known]) -> dict[str, Row]:
    """The rows of the files in a directory, but for some; `known` has all of them."""
    names = known.keys() - without.keys()
    if FEW * len(names) > len(known):
        return {name: row for name, row in catalog.rows(directory).items() if name in names}
    prefix = f"{directory}/" if directory else ""
    return {name: catalog.row(prefix + name) for name in names}


def same(entry: Entry, seen: Seen, settled: int = SETTLED_NS) -> bool:
    """Whether a file need not be read again: its stat stayed, and it was hashed `settled` ns after its mtime."""
    return (
        entry.mtime_ns == seen.mtime
        and entry.size == seen.size
        and entry.inode == seen.inode
        and entry.ctime_ns == seen.ctime
        and seen.hashed - seen.mtime >= settled
    )
