"""Versions of small files, kept in the journal's data so that they can be had back without a snapshot.

The data of a line whose core lists `files` is `{"kept": [i, …], "zstd": "<base64>"}`: the contents of those files,
one after the other, compressed together (4 times smaller than each alone).
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any

from memorybank_cli.bank import layout
from memorybank_cli.bank.catalog import Catalog
from memorybank_cli.bank.framing import Line
from memorybank_cli.bank.journal import Journal
from memorybank_cli.bank.rows import Expected, FileRow
from memorybank_cli.base import digests
from memorybank_cli.base.settings import Settings
from memorybank_cli.base.walk import Root

LARGEST = 16 << 10
OPENED = 4  # lines whose contents are remembered: files are asked for in the order in which they were recorded


def room(root: Root, settings: Settings) -> int:
    """Bytes that the journal may still grow by versions of files; without room none are kept."""
    size = sum(entry.size for entry in root.listing(layout.JOURNAL))
    return (int(settings["undo_budget_mib"]) << 20) - size


def pack(contents: Sequence[bytes | None]) -> dict[str, Any] | None:
    """Contents as a line's data, in the order of its `files`; None stands for one that is not kept."""
    kept = [index for index, content in enumerate(contents) if content is not None and len(content) <= LARGEST]
    if not kept:
        return None
    import zstandard

    joined = b"".join(contents[index] or b"" for index in kept)
    return {"kept": kept, "zstd": b64encode(zstandard.compress(joined, 3)).decode()}


def unpack(line: Line) -> dict[str, bytes]:
    """The contents that a line keeps, by path; those whose digest does not fit are left out."""
    value = line.value
    if not isinstance(value, dict) or "zstd" not in value:
        return {}
    import zstandard

    rows = [FileRow(*row) for row in line.core["files"]]
    limit = len(rows) * LARGEST
    joined = zstandard.ZstdDecompressor().decompress(b64decode(value["zstd"]), max_output_size=limit)
    found, start = {}, 0
    for index in value["kept"]:
        content = joined[start : start + rows[index].size]
        start += rows[index].size
        if digests.of(content) == rows[index].after:
            found[rows[index].path] = content
    return found


def at(journal: Journal, seq: int) -> dict[str, bytes]:
    """The contents that line `seq` keeps, by path; {} where there is no such line. The last few are remembered."""
    if seq not in journal.opened:
        line = next(journal.lines(seq - 1), None)
        while len(journal.opened) >= OPENED:
            journal.opened.pop(next(iter(journal.opened)))
        journal.opened[seq] = unpack(line) if line is not None and line.seq == seq else {}
    return journal.opened[seq]


def find(journal: Journal, path: str, sha: str, seq: int | None = None) -> bytes | None:
    """The content of `path` with this digest, if the journal keeps it; `seq` is the line to look at first."""
    if seq is not None:
        content = at(journal, seq).get(path)
        if content is not None and digests.of(content) == sha:
            return content
    for line in journal.lines_about(path):
        if (content := _content(line, path, sha)) is not None:
            return content
    return None


def recorded(journal: Journal, path: str, expected: Expected | None, there: bytes | None) -> bytes | None:
    """The recorded version of a small file: what stands there if it is that, else what the journal keeps of it."""
    if expected is None:
        return None
    if there is not None and digests.of(there) == expected.sha:
        return there
    return find(journal, path, expected.sha, expected.seq)


def _content(line: Line, path: str, sha: str) -> bytes | None:
    if not any(row[0] == path and row[1] == sha for row in line.core.get("files", ())):
        return None
    return unpack(line).get(path)


def history(journal: Journal, path: str) -> list[tuple[Line, FileRow]]:
    """Every recorded version of a file, newest first."""
    found = []
    for line in journal.lines_about(path):
        found += [(line, FileRow(*row)) for row in line.core.get("files", ()) if row[0] == path]
    return found


def superseded(catalog: Catalog, line: Line) -> bool:
    """Whether none of the contents that a line keeps is what its file should be now."""
    if "files" not in line.core or line.data is None:
        return False
    for path, content in unpack(line).items():
        expected = catalog.row(path).expected
        if expected is not None and expected.sha == digests.of(content):
            return False
    return True
