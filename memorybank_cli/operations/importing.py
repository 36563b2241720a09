"""Bringing a copy of a bank's content into another directory; the source stays as it is."""

from __future__ import annotations

import os
from typing import Any

from memorybank_cli.bank import layout
from memorybank_cli.base import digests, files
from memorybank_cli.base.errors import Refused, UsageError, from_os_error
from memorybank_cli.base.names import escape, unescape
from memorybank_cli.base.records import Progress
from memorybank_cli.base.walk import Entry, Listing, Root, open_regular, read_all

_OURS = frozenset({layout.BANK, layout.README})


def import_tree(source: str, target: str, progress: Progress) -> dict[str, Any]:
    """Copy every file below `source` byte for byte; what is there already with the same bytes is left as it is.

    Raises Refused before anything is written when a file of another content stands in the way. Links, special files
    and dot names stay behind and are listed. A run that was killed is run again.
    """
    if not os.path.isdir(source):
        raise UsageError(f"{escape(source)} is no directory", path=source, hint="--from takes the directory to import")
    if os.path.realpath(target).startswith(os.path.realpath(source) + os.sep) or os.path.realpath(
        target
    ) == os.path.realpath(source):
        raise Refused(
            f"{escape(target)} lies in {escape(source)}",
            hint="choose a target outside, or run init there without --from",
        )
    root = Root(source)
    try:
        into = files.make_root(target)
        try:
            return _import(root, into, progress)
        finally:
            into.close()
    finally:
        root.close()


def _import(root: Root, into: Root, progress: Progress) -> dict[str, Any]:
    skipped: list[dict[str, str]] = []
    count = size = present = 0
    progress.start("importing")
    for listing in root.walk():
        prefix = f"{listing.path}/" if listing.path else ""
        skipped += [{"path": prefix + one.name, "reason": "not a plain file"} for one in listing.others]
        for entry in listing.files:
            path = prefix + entry.name
            if path in _OURS:
                skipped.append({"path": path, "reason": "the new bank has its own"})
                continue
            data = _read(listing, entry, skipped, path)
            if data is None:
                continue
            if _put(into, path, data, entry):
                count, size = count + 1, size + len(data)
            else:
                present += 1
            progress.advance()
    progress.finish()
    return {"from": root.path, "files": count, "bytes": size, "present": present, "skipped": skipped}


def _read(listing: Listing, entry: Entry, skipped: list[dict[str, str]], path: str) -> bytes | None:
    try:
        fd = open_regular(unescape(entry.name), listing.fd)
    except OSError as error:
        skipped.append({"path": path, "reason": from_os_error(error).message})
        return None
    try:
        return read_all(fd)
    finally:
        os.close(fd)


def _put(into: Root, path: str, data: bytes, entry: Entry) -> bool:
    there = into.stat(path)
    if there is not None:
        present = into.read_if_there(path)
        if present is not None and digests.of(present) == digests.of(data):
            return False
        raise Refused(
            f"{path} stands in the target already, with other content", path=path, hint="import into an empty directory"
        )
    files.make_dirs(into, path.rpartition("/")[0])
    files.replace(into, path, data, entry.mode & 0o777, entry.mtime_ns)
    return True
