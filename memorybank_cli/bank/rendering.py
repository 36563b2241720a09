"""Putting renderings in place: what stood there and was not ours waits in quarantine, and nothing is written twice."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from typing import NamedTuple

from memorybank_cli.bank import layout
from memorybank_cli.bank.rows import Expected, FileRow
from memorybank_cli.base import clock, digests, files
from memorybank_cli.base.walk import Root


class Rendering(NamedTuple):
    """A file as the journal wants it."""

    path: str
    kind: str
    data: bytes


class Put(NamedTuple):
    """What came of one rendering: its row, None where the journal says that already; where what stood there is."""

    row: FileRow | None
    kept: str = ""
    foreign: bool = False
    """Whether what stood there was a file that somebody else had written."""


def put(
    root: Root, one: Rendering, expected: Expected | None, modes: tuple[int, int], is_ours: Callable[[str], bool]
) -> Put:
    """Put a rendering in place, durably. `modes` are those of a file and a directory.

    `is_ours` says whether bytes that are not `expected` are an earlier rendering; others are kept.
    """
    kept, found, foreign = make_way(root, one.path), root.content(one.path), False
    if found is None and root.stat(one.path) is not None:  # a directory, a link, or what may not be read
        kept = _aside(root, one.path)
    digest = digests.of(one.data)
    there = "" if found is None else digests.of(found)
    if there != digest:
        known = "" if expected is None else expected.sha
        if found is not None and there != known and not is_ours(one.path):
            kept, foreign = quarantine(root, found), True
        files.make_dirs(root, one.path.rpartition("/")[0], modes[1])
        files.replace(root, one.path, one.data, modes[0])
    elif expected is not None and expected.sha == digest:
        return Put(None, kept)
    before = expected.sha if expected else None
    return Put(FileRow(one.path, digest, len(one.data), modes[0], [], one.kind, before), kept, foreign)


def quarantine(root: Root, data: bytes) -> str:
    """Keep bytes that are about to be replaced or were refused; where they wait."""
    path = layout.quarantine_file(clock.now(), digests.of(data))
    files.make_dirs(root, layout.QUARANTINE)
    files.create(root, path, data)
    return path


def quarantine_file(root: Root, path: str, digest: str) -> str:
    """Move a file into quarantine as it is; where it waits."""
    target = layout.quarantine_file(clock.now(), digest)
    files.make_dirs(root, layout.QUARANTINE)
    files.rename(root, path, target)
    return target


def make_way(root: Root, path: str) -> str:
    """Move a file that stands where a directory above `path` must be into quarantine; where it waits, or ''."""
    parts = path.split("/")
    for depth in range(1, len(parts)):
        above = "/".join(parts[:depth])
        info = root.stat(above)
        if info is not None and not stat.S_ISDIR(info.st_mode):
            return _aside(root, above)
    return ""


def make_room(root: Root, path: str) -> str:
    """Move what stands at a path and is no file, or above it and is no directory, into quarantine; where, or ''."""
    if kept := make_way(root, path):
        return kept
    info = root.stat(path)
    return "" if info is None or stat.S_ISREG(info.st_mode) else _aside(root, path)


def _aside(root: Root, path: str) -> str:
    return quarantine_file(root, path, f"no-file-{os.urandom(4).hex()}")
