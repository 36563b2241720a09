"""Looking at one file: its bytes, its digest, whether it is the JSON a bank may hold, and whether its schema fits.

Nothing here knows what the file should be; see `judge`. This is the hot path of every check: tuples, one read of
at most 64 KiB for a small file, no object per file beyond the result.
"""

from __future__ import annotations

import os
from hashlib import sha256
from typing import Any

from memorybank_cli.bank.layout import Place, kind_of
from memorybank_cli.bank.rows import Seen
from memorybank_cli.bank.schemas import Registry
from memorybank_cli.base import clock, digests
from memorybank_cli.base.damage import too_large
from memorybank_cli.base.exact_json import FlawedJSON, loads
from memorybank_cli.base.strict_json import HARD_SIZE
from memorybank_cli.base.walk import MOST, READ_SIZE, fitting, open_with_stat, read_all

Content = tuple[str, str, str, int | None]
MISFIT = "MB201"
MISFITS_SHOWN = 5


class Changing(OSError):
    """The file changed while it was read."""


class Examiner:
    """Looks at files with one registry of schemas."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry

    def file(self, name: str, dir_fd: int, place: Place, known: Seen | None = None) -> Seen:
        """What a regular file in an open directory is now. Raises OSError; `Changing` when it does not hold still.

        `known` is an earlier look at this place under the same schemas: of the same bytes it holds again.
        """
        for _ in range(3):
            fd, before = open_with_stat(name, dir_fd)
            try:
                sha, kind, content, records = self._look(fd, before, place, known)
                after = os.fstat(fd)
            finally:
                os.close(fd)
            if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
                break
        else:
            raise Changing(f"{name} keeps changing while it is read")
        return Seen(
            sha,
            after.st_size,
            fitting(after.st_mtime_ns),
            fitting(after.st_ctime_ns),
            after.st_ino & MOST,
            after.st_mode,
            kind,
            content,
            clock.now_ns(),
            records,
        )

    def memory(self, data: bytes, place: Place) -> Seen:
        """What bytes would be if they stood in the bank; their stat is not known yet."""
        kind, content, records = self.content(data, place) if place.is_json else (place.kind, (), 0)
        return Seen(digests.of(data), len(data), 0, 0, 0, 0, kind, content, 0, records)

    def _look(
        self, fd: int, before: os.stat_result, place: Place, known: Seen | None
    ) -> tuple[str, str, tuple[Content, ...], int]:
        size = before.st_size
        if not place.is_json:
            return digests.of_fd(fd)[0], place.kind, (), 0
        if size > HARD_SIZE:  # a sparse file costs its writer nothing, and whoever hashes it hours
            mark = digests.unread(os.read(fd, READ_SIZE), size, before.st_mtime_ns)
            return mark, place.kind, _flaw(too_large(size)), 0
        # A file that fits into one read is at its end when the read came back short of what was asked for.
        data = os.read(fd, READ_SIZE) if size < READ_SIZE else read_all(fd, HARD_SIZE)
        sha = sha256(data).hexdigest()
        if known is not None and known.sha == sha:
            return sha, known.kind, known.content, known.records
        return sha, *self.content(data, place)

    def content(self, data: bytes, place: Place) -> tuple[str, tuple[Content, ...], int]:
        """The kind of a document, what is wrong with its bytes or its shape, and how many records it holds."""
        try:
            value = loads(data)
        except FlawedJSON as error:
            return _kind_of_damaged(data, error.flaw.end, place), _flaw(error.flaw), 0
        kind = kind_of(place, value)
        return kind, self._shape(kind, value, data), _records(kind, value)

    def _shape(self, kind: str, value: Any, data: bytes) -> tuple[Content, ...]:
        if not kind:
            return ()
        if kind == "schema":
            misfits = self.registry.check(value) if isinstance(value, dict) else []
        elif self.registry.matches(kind, value):
            return ()
        else:
            misfits = self.registry.misfits(kind, value, MISFITS_SHOWN)
        return tuple((MISFIT, one.message, one.pointer, line_of(data, one.pointer)) for one in misfits)


def _records(kind: str, value: Any) -> int:
    if isinstance(value, dict):
        value = value.get("trades" if kind == "trade_list" else "messages")
    return len(value) if isinstance(value, list) else 1


def _flaw(flaw: Any) -> tuple[Content, ...]:
    return () if flaw is None else ((flaw.rule, flaw.message, "", None),)


def _kind_of_damaged(data: bytes, end: int | None, place: Place) -> str:
    if end is None:
        return place.kind
    return kind_of(place, loads(data[:end]))


def line_of(data: bytes, pointer: str) -> int | None:
    """The line, from 1, at which the last key of a JSON Pointer first stands in a text; None where there is none."""
    keys = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:] if not part.isdecimal()]
    offset = 0
    for key in keys:
        offset = data.find(f'"{key}"'.encode(), offset)
        if offset < 0:
            return None
    return data.count(b"\n", 0, offset) + 1 if keys else None
