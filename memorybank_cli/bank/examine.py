"""Looking at one file: its bytes, its digest, whether it is the JSON a bank may hold, and whether its schema fits.

Nothing here knows what the file should be; see `judge`. This is the hot path of every check: tuples, one read of
at most 64 KiB for a small file, no object per file beyond the result.
"""

from __future__ import annotations

import os
from functools import cached_property
from hashlib import sha256
from typing import Any, NamedTuple

from memorybank_cli.bank.annotations import VERSION, version_of
from memorybank_cli.bank.facts import Extractor, Ids
from memorybank_cli.bank.layout import AGENTS, Place, kind_of
from memorybank_cli.bank.measures import Aggregates
from memorybank_cli.bank.rows import Content, Seen
from memorybank_cli.bank.schemas import Registry
from memorybank_cli.base import clock, digests
from memorybank_cli.base.damage import too_large
from memorybank_cli.base.exact_json import FlawedJSON, loads
from memorybank_cli.base.strict_json import HARD_SIZE
from memorybank_cli.base.walk import MOST, READ_SIZE, fitting, open_with_stat, read_all

MISFIT, NEWER, OLDER = "MB201", "MB203", "MB209"
MISFITS_SHOWN = 5


class Changing(OSError):
    """The file changed while it was read."""


class Meaning(NamedTuple):
    """What bytes are: the members of `Seen` that follow from them alone."""

    kind: str
    content: tuple[Content, ...] = ()
    records: int = 0
    id: str = ""
    facts: str = ""


class Examiner:
    """Looks at files with one registry of schemas; facts are taken only with `aggregates`, and of a known path."""

    def __init__(self, registry: Registry, aggregates: Aggregates | None = None) -> None:
        self.registry = registry
        self.ids = Ids(registry)
        self.extractor = None if aggregates is None else Extractor(self.ids, aggregates)

    def file(self, name: str, dir_fd: int, place: Place, known: Seen | None = None, path: str = "") -> Seen:
        """What a regular file in an open directory is now. Raises OSError; `Changing` when it does not hold still.

        `known` is an earlier look at this place under the same schemas and rules: of the same bytes it holds again.
        """
        for _ in range(3):
            fd, before = open_with_stat(name, dir_fd)
            try:
                sha, found = self._look(fd, before, place, known, path)
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
            found.kind,
            found.content,
            clock.now_ns(),
            found.records,
            found.id,
            found.facts,
        )

    def memory(self, data: bytes, place: Place) -> Seen:
        """What bytes would be if they stood in the bank; their stat is not known yet."""
        found = self.content(data, place) if place.is_json else Meaning(place.kind)
        return Seen(digests.of(data), len(data), 0, 0, 0, 0, found.kind, found.content, 0, found.records)

    def _look(
        self, fd: int, before: os.stat_result, place: Place, known: Seen | None, path: str
    ) -> tuple[str, Meaning]:
        size = before.st_size
        if not place.is_json:
            return digests.of_fd(fd)[0], Meaning(place.kind)
        if size > HARD_SIZE:  # a sparse file costs its writer nothing, and whoever hashes it hours
            mark = digests.unread(os.read(fd, READ_SIZE), size, before.st_mtime_ns)
            return mark, Meaning(place.kind, _flaw(too_large(size)))
        # A file that fits into one read is at its end when the read came back short of what was asked for.
        data = os.read(fd, READ_SIZE) if size < READ_SIZE else read_all(fd, HARD_SIZE)
        sha = sha256(data).hexdigest()
        if known is not None and known.sha == sha:
            return sha, Meaning(known.kind, known.content, known.records, known.id, known.facts)
        return sha, self.content(data, place, path)

    def content(self, data: bytes, place: Place, path: str = "") -> Meaning:
        """The kind of a document, what is wrong with its bytes, shape or ids, its records, and its facts."""
        try:
            value = loads(data)
        except FlawedJSON as error:
            return Meaning(self._kind_of_damaged(data, error.flaw.end, place), _flaw(error.flaw))
        kind = self.kind(place, value)
        content = self._shape(kind, value, data)
        if kind.endswith("_list") or isinstance(value, list):
            content += self.ids.duplicates(kind, value)
        if self.extractor is None or not path:
            return Meaning(kind, content, _records(kind, value))
        return Meaning(kind, content, _records(kind, value), *self.extractor.facts(path, place, kind, value))

    def kind(self, place: Place, value: Any) -> str:
        """The kind of a document by its place and content; in agents' sections the bank's own schema takes the rest."""
        return kind_of(place, value) or (place.section if place.section in self._own else "")

    def _kind_of_damaged(self, data: bytes, end: int | None, place: Place) -> str:
        return place.kind if end is None else self.kind(place, loads(data[:end]))

    @cached_property
    def _own(self) -> frozenset[str]:
        own = self.registry.own & AGENTS
        return own - self.registry.unusable().keys() if own else own

    def _shape(self, kind: str, value: Any, data: bytes) -> tuple[Content, ...]:
        if not kind:
            return ()
        if (version := self.registry.annotations(kind).version) is not None:
            named = version_of(value)
            if named is not None and named != version:
                return (_other_version(kind, named, version, data),)
        if kind == "schema":
            misfits = self.registry.check(value) if isinstance(value, dict) else []
        elif self.registry.matches(kind, value):
            return ()
        else:
            misfits = self.registry.misfits(kind, value, MISFITS_SHOWN)
        return tuple(
            Content(MISFIT, one.message, one.pointer, _line(data, one.pointer), one.expected, one.found)
            for one in misfits
        )


def _other_version(kind: str, named: int, version: int, data: bytes) -> Content:
    """What is said instead of a judgement of the shape: a document of another version has another one."""
    place = f"/{VERSION}"
    line, found = _line(data, place), str(named)
    if named > version:
        message = f"{kind} has schema version {named}; it is known up to {version}"
        return Content(NEWER, message, place, line, f"at most {version}", found)
    return Content(
        OLDER, f"{kind} has schema version {named}; the present one is {version}", place, line, str(version), found
    )


def _records(kind: str, value: Any) -> int:
    if isinstance(value, dict):
        value = value.get("trades" if kind == "trade_list" else "messages")
    return len(value) if isinstance(value, list) else 1


def _flaw(flaw: Any) -> tuple[Content, ...]:
    return () if flaw is None else (Content(flaw.rule, flaw.message),)


def _line(data: bytes, pointer: str) -> int | None:
    """The line in which the value of a pointer begins; None for the whole document."""
    from memorybank_cli.base.positions import locate  # only what does not fit is looked for

    span = locate(data, pointer) if pointer else None
    return span.line if span else None
