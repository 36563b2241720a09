"""Replacing files as one journaled act: staged, begun, swapped, ended; what a kill interrupts is finished later.

Used by rollback, restore in place and repair. Directories are never replaced: agents and watchers hold them open.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from typing import NamedTuple

from memorybank_cli.bank import layout, versions
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.journal import Entry
from memorybank_cli.bank.rows import FileRow
from memorybank_cli.base import digests, files
from memorybank_cli.base.names import uuid7

BEGIN = "restore.begin"
END = "restore.end"


class Replacement(NamedTuple):
    """One file to put in place: its content (None removes it), mode, time of change, kind and rules."""

    path: str
    content: bytes | None
    mode: int = files.FILE_MODE
    mtime_ns: int | None = None
    kind: str = ""
    rules: tuple[str, ...] = ()


class Replaced(NamedTuple):
    """What came of it: paths put in place, paths removed, and where the bytes that stood there are kept."""

    restored: list[str]
    removed: list[str]
    kept: dict[str, str]


def replace_files(
    bank: Bank, wanted: Iterable[Replacement], reason: str, keep: bool = True, **fields: object
) -> Replaced:
    """Put files in place under the bank's lock. With `keep` what stood there goes to quarantine first.

    Raises OSError before anything is swapped when staging fails; the bank is then as it was.
    """
    with bank.locked():
        bank.check_writable()
        transaction = uuid7()
        stage = f"{layout.SCRATCH}/{transaction}"
        try:
            rows, contents = _staged(bank, wanted, stage)
            if not rows:
                files.remove_tree(bank.root, stage)
                return Replaced([], [], {})
            head = {"id": transaction, "reason": reason, "files": [list(row) for row in rows], **fields}
            bank.commit([Entry(BEGIN, head)])
        except BaseException:
            files.remove_tree(bank.root, stage)
            raise
        # From here on a failure leaves the stage: the next opening goes on with it.
        kept = swap(bank, rows, stage, keep)
        bank.commit([Entry(END, {**head, "kept": kept}, versions.pack(contents))])
        files.remove_tree(bank.root, stage)
    restored = [row.path for row in rows if row.after is not None]
    return Replaced(restored, [row.path for row in rows if row.after is None], kept)


def _staged(bank: Bank, wanted: Iterable[Replacement], stage: str) -> tuple[list[FileRow], list[bytes | None]]:
    files.make_dirs(bank.root, stage)
    rows: list[FileRow] = []
    contents: list[bytes | None] = []
    for index, one in enumerate(wanted):
        before = digest_there(bank, one.path)
        if one.content is None:
            rows.append(FileRow(one.path, None, 0, 0, [], one.kind, before))
            contents.append(None)
            continue
        files.replace(bank.root, f"{stage}/{index}", one.content, one.mode, one.mtime_ns)
        digest = digests.of(one.content)
        rows.append(FileRow(one.path, digest, len(one.content), one.mode & 0o7777, list(one.rules), one.kind, before))
        contents.append(one.content if len(one.content) <= versions.LARGEST else None)
    return rows, contents


def digest_there(bank: Bank, path: str) -> str | None:
    """The digest of what stands at `path` now, None where no file stands."""
    try:
        fd = bank.root.open(path)
    except OSError:
        return None
    try:
        return digests.of_fd(fd)[0]
    finally:
        os.close(fd)


def swap(bank: Bank, rows: list[FileRow], stage: str, keep: bool) -> dict[str, str]:
    """Exchange what is staged with what stands there; also for a swap that a kill interrupted. Kept bytes by path."""
    kept: dict[str, str] = {}
    for index, row in enumerate(rows):
        place = swap_one(bank, row, f"{stage}/{index}", keep)
        if place:
            kept[row.path] = place
    return kept


def swap_one(bank: Bank, row: FileRow, staged: str, keep: bool) -> str:
    """Put one file in place; where the bytes that came out are kept, '' when they were known or none."""
    there = bank.root.stat(row.path)
    if row.after is None:  # a directory there now was made for files of this very replacement
        return "" if there is None or stat.S_ISDIR(there.st_mode) else put_away(bank, row.path, row, keep)
    place = bank.make_way(row.path)
    files.make_dirs(bank.root, row.path.rpartition("/")[0])
    if there is None:
        files.rename(bank.root, staged, row.path)
        return place
    if files.exchange(bank.root, staged, row.path):
        return put_away(bank, staged, row, keep)
    place = put_away(bank, row.path, row, keep)
    files.rename(bank.root, staged, row.path)
    return place


def put_away(bank: Bank, path: str, row: FileRow, keep: bool) -> str:
    """Move what came out into quarantine when the caller wants that, or when it is no version that was recorded."""
    digest, expected = digest_there(bank, path), bank.catalog.row(row.path).expected
    if not keep and digest is not None and expected is not None and digest == row.before == expected.sha:
        files.remove(bank.root, path)
        return ""
    return bank.quarantine_file(path, digest or f"no-file-{os.urandom(4).hex()}")
