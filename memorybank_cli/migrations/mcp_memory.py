"""The knowledge graph of the MCP memory server: `memory.jsonl`, one entity or relation a line.

The server's own races leave torn and doubled lines in it (two documents in a line, half of one behind another):
what is whole in a line comes in, the rest is rejected. The first version of the server called the file `memory.json`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from posixpath import splitext
from typing import Any, NamedTuple

from memorybank_cli.base.exact_json import dumps
from memorybank_cli.base.names import escape_text
from memorybank_cli.migrations.items import Assumption, FileItem, Item, Rejected
from memorybank_cli.migrations.json_lines import documents
from memorybank_cli.migrations.naming import Names, safe_path
from memorybank_cli.migrations.source import LONGEST_LINE, Source

NAME = "mcp_memory"
TITLE = "knowledge graph of the MCP memory server"

RECORDS = 1000
"""Records in one file of the bank."""
LARGEST_FILE = 4 << 20
"""Bytes of records after which a file of the bank is full before that."""
MOST_JOINED = 32 << 20
"""Bytes of lines that repeat an entity which are kept in memory to be joined."""
_SAMPLE = 50
_NAME = re.compile(r"\.(?:jsonl|ndjson)$|memory[^/]*$")
_ENDINGS = (".jsonl", ".json", ".ndjson")
# The server writes the type first; other members before it are short texts.
_LINE = re.compile(
    rb'^(?:\xef\xbb\xbf)?[ \t]*\{[ \t]*(?:"(?!type")\w+"[ \t]*:[ \t]*"(?:[^"\\\n]|\\.)*+"[ \t]*,[ \t]*)*+'
    rb'"type"[ \t]*:[ \t]*"(?:entity|relation)"',
    re.MULTILINE,
)
_DANGLING = "relations name an entity that is not there: they were taken as they are"
_JOINED = "entities that stand several times were joined: the members of the first, the observations of all"


def score(source: Source) -> int:
    """How sure it is that there is a knowledge graph."""
    named = (path for path in source.paths if path.endswith(_ENDINGS) and _NAME.search(path))
    return 95 if any(takes(source, path) for path in islice(named, _SAMPLE)) else 0


def takes(source: Source, path: str) -> bool:
    """Whether a file has an entity or relation on one of its first lines."""
    return path.endswith(_ENDINGS) and _LINE.search(source.head(path)) is not None


def read(source: Source, paths: Sequence[str]) -> Iterator[Item]:
    """The entities and relations of all files in their order, a thousand a file."""
    names = Names()
    for path in paths:
        name = names.fresh(safe_path(splitext(path)[0]))
        try:
            yield from _Graph(path, name, _survey(source, path)).items(source)
        except OSError as error:
            yield Rejected(path, error.strerror or str(error))


class _Survey(NamedTuple):
    """What has to be known of a whole file before its first record is written."""

    written: dict[str, bool]
    """Each entity's name, and whether the entity has been written."""
    repeated: dict[str, list[Any]]
    """Observations that stand under an entity's name again."""
    joined: int
    """How many of the entities that repeat a name, from the beginning of the file, are among them."""


def _survey(source: Source, path: str) -> _Survey:
    written: dict[str, bool] = {}
    repeated: dict[str, list[Any]] = {}
    joined, room = 0, MOST_JOINED
    for size, record in _records(source, path):
        if isinstance(record, Rejected) or record["type"] != "entity":
            continue
        if record["name"] not in written:
            written[record["name"]] = False
        elif room >= 0:
            repeated.setdefault(record["name"], []).extend(record["observations"])
            room -= size
            joined += 1
    return _Survey(written, repeated, joined)


def _records(source: Source, path: str) -> Iterator[tuple[int, dict[str, Any] | Rejected]]:
    """The records of a file and their size, and what is none."""
    for number, line in source.lines(path):
        if len(line) > LONGEST_LINE:
            yield (
                0,
                Rejected(path, f"line {number:,}: longer than {LONGEST_LINE >> 20} MiB; its beginning is kept", line),
            )
            continue
        for found in documents(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line):
            wrong = found.wrong or _misfit(found.value)
            rejected = Rejected(path, f"line {number:,}: {wrong}", found.data) if wrong else None
            yield len(found.data), rejected or found.value


def _misfit(record: Any) -> str:
    """Why a document is no record of the server; '' for one that is."""
    kind = record.get("type") if isinstance(record, dict) else None
    if kind == "entity":
        named = isinstance(record.get("name"), str) and record["name"]
        return (
            "" if named and isinstance(record.get("observations"), list) else "an entity without name or observations"
        )
    if kind == "relation":
        parts = (record.get(one) for one in ("from", "to", "relationType"))
        return (
            "" if all(isinstance(one, str) and one for one in parts) else "a relation without from, to or relationType"
        )
    return "neither an entity nor a relation"


class _Graph:
    """One file of the server while it is read for the second time."""

    def __init__(self, origin: str, name: str, survey: _Survey) -> None:
        self._origin, self._survey = origin, survey
        self._entities = _Lists("entities", origin, name)
        self._relations = _Lists("relations", origin, name)
        self._repeats = self._dangling = 0

    def items(self, source: Source) -> Iterator[Item]:
        for size, record in _records(source, self._origin):
            if isinstance(record, Rejected):
                yield record
            elif record.pop("type") == "relation":
                written = self._survey.written
                self._dangling += record["from"] not in written or record["to"] not in written
                yield from self._relations.add(record, size)
            else:
                yield from self._entity(record, size)
        yield from self._entities.end()
        yield from self._relations.end()
        # Of a file that changed between the survey and now nothing may be left to be joined.
        if joined := min(self._repeats, self._survey.joined):
            yield Assumption(_JOINED, joined)
        if self._dangling:
            yield Assumption(_DANGLING, self._dangling)

    def _entity(self, record: dict[str, Any], size: int) -> Iterator[Item]:
        name = record["name"]
        if not self._survey.written.get(name, False):
            self._survey.written[name] = True
            if more := self._survey.repeated.pop(name, []):
                record["observations"] = _joined(record["observations"], more)
                size = len(dumps(record))
            yield from self._entities.add(record, size)
            return
        self._repeats += 1
        if self._repeats > self._survey.joined:
            reason = f"repeats the entity '{escape_text(name[:60])}'; too many are repeated to join all"
            yield Rejected(self._origin, reason, dumps(record))


def _joined(first: list[Any], more: list[Any]) -> list[Any]:
    """Observations without those that stood there before."""
    seen = {dumps(one) for one in first}
    return first + [one for one in more if (key := dumps(one)) not in seen and not seen.add(key)]  # type: ignore[func-returns-value]


class _Lists:
    """Files of the bank that hold a list of records each."""

    def __init__(self, member: str, origin: str, name: str) -> None:
        self._member, self._origin, self._name = member, origin, name
        self._records: list[dict[str, Any]] = []
        self._size = self._files = 0

    def add(self, record: dict[str, Any], size: int) -> Iterator[FileItem]:
        """Keep a record of so many bytes; the file that is full with it."""
        self._records.append(record)
        self._size += size
        if len(self._records) == RECORDS or self._size >= LARGEST_FILE:
            yield from self.end()

    def end(self) -> Iterator[FileItem]:
        """The file with what was kept, if anything was."""
        if self._records:
            self._files += 1
            path = f"shared/{self._member}/{self._name}/{self._files:04d}.json"
            yield FileItem(path, self._origin, dumps({self._member: self._records}, indent=True) + b"\n")
        self._records, self._size = [], 0
