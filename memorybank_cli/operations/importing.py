"""Bringing a copy of a bank's content into another directory; the source stays as it is."""

from __future__ import annotations

import os
from typing import Any

from memorybank_cli.bank import layout
from memorybank_cli.base import digests, files
from memorybank_cli.base.errors import Refused, UsageError, from_os_error
from memorybank_cli.base.names import escape, unescape
from memorybank_cli.base.records import Progress
from memorybank_cli.base.walk import Entry, Listing, Root, chunks, open_regular

_OURS = frozenset({layout.BANK, layout.README})


def import_tree(source: str, target: str, progress: Progress) -> dict[str, Any]:
    """Copy every file below `source` byte for byte; what is there already with the same bytes is left as it is.

    Raises Refused at a file of another content that stands in the way; nothing is overwritten. Links, special files
    and what a new bank has of its own stay behind and are listed. A run that was killed is run again.
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
    _check(root, into)
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
            outcome = _copy(into, listing, entry, path, skipped)
            count, size = count + (outcome == "copied"), size + (entry.size if outcome == "copied" else 0)
            present += outcome == "present"
            progress.advance()
    progress.finish()
    return {"from": root.path, "files": count, "bytes": size, "present": present, "skipped": skipped}


def _check(root: Root, into: Root) -> None:
    """Look at every file that stands in the target already, before anything is written."""
    for listing in root.walk():
        prefix = f"{listing.path}/" if listing.path else ""
        for entry in listing.files:
            path = prefix + entry.name
            if path not in _OURS and into.stat(path) is not None:
                _copy(into, listing, entry, path, [])


def _copy(into: Root, listing: Listing, entry: Entry, path: str, skipped: list[dict[str, str]]) -> str:
    """Copy one file; `copied`, `present` or `skipped`. Raises Refused for another content in its place."""
    try:
        fd = open_regular(unescape(entry.name), listing.fd)
    except OSError as error:
        skipped.append({"path": path, "reason": from_os_error(error).message})
        return "skipped"
    try:
        if into.stat(path) is not None:
            _check_same(into, path, fd)
            return "present"
        files.make_dirs(into, path.rpartition("/")[0])
        files.replace(into, path, chunks(fd), entry.mode & 0o777, entry.mtime_ns)
        return "copied"
    finally:
        os.close(fd)


def _check_same(into: Root, path: str, fd: int) -> None:
    try:
        there = into.open(path)
    except OSError:
        there = -1
    try:
        if there < 0 or digests.of_fd(there) != digests.of_fd(fd):
            raise Refused(
                f"{path} stands in the target already, with other content",
                path=path,
                hint="import into an empty directory",
            )
    finally:
        if there >= 0:
            os.close(there)
