"""Looking for files, records and text in all snapshots."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import islice
from typing import Annotated, Any, NamedTuple

from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.base.errors import MemorybankError, UsageError
from memorybank_cli.base.exact_json import FlawedJSON
from memorybank_cli.base.records import Finding
from memorybank_cli.base.strict_json import HARD_SIZE
from memorybank_cli.base.words import counted
from memorybank_cli.meaning.records import Reader, Record
from memorybank_cli.operations.options import Option, RepoOption
from memorybank_cli.operations.ownership import shown, to_look_at
from memorybank_cli.operations.repositories import open_repository
from memorybank_cli.snapshots import documents, finding
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.documents import Document
from memorybank_cli.snapshots.finding import Version
from memorybank_cli.snapshots.repository import explained
from memorybank_cli.snapshots.sealing import Damaged
from memorybank_cli.snapshots.trees import Ids

RECORDS = 20
"""So many of the records that are found in one version are told."""
_AROUND = 60


class Match(NamedTuple):
    """What was found in one version of a file."""

    records: tuple[Record, ...] = ()
    line: int | None = None
    """Of the first place where the text stands, from 1."""
    excerpt: str = ""
    """What stands around it."""


@dataclass(frozen=True)
class Found:
    """One version in which everything that was asked for is."""

    version: Version
    match: Match

    def as_dict(self) -> dict[str, Any]:
        """Path, size, first and last snapshot, and what was found in it."""
        one = self.version
        told: dict[str, Any] = {
            "path": one.path,
            "size": one.entry.size if not one.rule else None,
            "sha256": one.ids[0] if len(one.ids) == 1 else None,
            "rule": one.rule,
            "first": {"id": one.first.id, "time": one.first.time},
            "last": {"id": one.last.id, "time": one.last.time},
        }
        if self.match.records:
            told["records"] = [
                {"kind": record.kind, "id": record.id, "pointer": record.pointer, "value": record.value}
                for record in self.match.records
            ]
        if self.match.line is not None:
            told |= {"line": self.match.line, "text": self.match.excerpt}
        return told


@dataclass(frozen=True)
class FindReport:
    """All that was found."""

    versions: tuple[Found, ...]
    snapshots: int
    findings: tuple[Finding, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The versions in the order of their paths, oldest first."""
        return {
            "versions": [one.as_dict() for one in self.versions],
            "snapshots": self.snapshots,
            "findings": [one.as_dict() for one in self.findings],
        }

    def exit_code(self) -> int:
        """10 when there is nothing, 1 when a part of the snapshots could not be read."""
        return 1 if self.findings else 0 if self.versions else 10

    def summary(self) -> str:
        """How much was found in how many snapshots."""
        files = len({one.version.path for one in self.versions})
        where = f"in {counted(self.snapshots, 'snapshot')}"
        if not files:
            return f"Nothing found {where}{', of which a part cannot be read' if self.findings else ''}."
        return f"{counted(len(self.versions), 'version')} of {counted(files, 'file')} {where}"


def find(
    bank: Bank,
    *pattern: Annotated[str, "a path, a directory, a file's name, or a pattern with * ? [ ]"],
    id: Annotated[tuple[str, ...], Option("files that hold the record of this id", metavar="ID")] = (),
    text: Annotated[tuple[str, ...], Option("files in which this text stands", metavar="TEXT")] = (),
    snapshot: Annotated[
        tuple[str, ...], Option("only in this snapshot; default: in all of the bank", metavar="ID")
    ] = (),
    newest: Annotated[bool, "only the newest good version of each file"] = False,
    repo: RepoOption = None,
) -> FindReport:
    """Find files in snapshots by path, record or text.

    Each distinct version of a file is told once, with the first and the last snapshot that has it. A file
    is told when it fits one of the patterns, one of the ids and one of the texts. What was found of a
    damaged file stands beside its last good version, with the rule that it breaks.

    Exit codes:
        0   found
        1   done, but a part of the snapshots cannot be read; the findings name it
        2   nothing was asked for
        10  nothing found, or there is no such snapshot

    Examples:
        memorybank snapshot find 'trades/trade_17433*' --newest
        memorybank snapshot find --id 0x98c312dd --text 'WETH'
    """
    if not (pattern or id or text):
        raise UsageError("nothing to look for", hint="give a path or pattern, --id ID or --text TEXT")
    with open_repository(bank, repo) as repository, explained("cannot search"), repository.reading(bank.lock_timeout):
        listing = documents.listing(repository)
        meant = [to_look_at(bank, repository, one).id for one in snapshot]
        chosen = [one for one in listing.documents if one.id in meant] if meant else shown(bank, listing).documents
        run = _Run(Blobs(repository), Reader(bank.registry), id, text)
        found = finding.versions(run.blobs, chosen, _by_path(pattern), run.lost)
        if id or text:
            found = [one for one in found if layout.place(one.path).is_json or text]
            bank.context.progress.start("reading versions", len(found))
            matches = run.matches(found, bank.context.progress.advance)
            bank.context.progress.finish()
            told = [Found(one, match) for one in found if (match := matches.get((one.path, one.ids))) is not None]
        else:
            told = [Found(one, Match()) for one in found]
        if newest:
            told = list(_newest(told, chosen))
        packs = run.blobs.findings if run.findings or not told else ()  # harmless where everything was found
        return FindReport(tuple(told), len(chosen), (*listing.findings, *packs, *run.findings))


def _by_path(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Whether a path is one of those meant: a pattern fits the whole path, or the name of a file anywhere."""
    cleaned = [one.removeprefix("./").rstrip("/") for one in patterns]

    def fits(path: str) -> bool:
        name = path.rpartition("/")[2]
        return any(
            path == one or path.startswith(f"{one}/") or fnmatchcase(path, one) or fnmatchcase(name, one)
            for one in cleaned
        )

    return fits if cleaned else bool


def _newest(found: Iterable[Found], chosen: Sequence[Document]) -> Iterator[Found]:
    """Of each file what the newest snapshot has; what was found damaged only where nothing else is."""
    number = {document.id: index for index, document in enumerate(chosen)}
    newest: dict[str, Found] = {}
    for one in found:
        known = newest.setdefault(one.version.path, one)
        if _rank(one, number) > _rank(known, number):
            newest[one.version.path] = one
    return iter(newest.values())


def _rank(one: Found, number: dict[str, int]) -> tuple[bool, int]:
    return not one.version.rule, number[one.version.last.id]


class _Run:
    """One search under way: each distinct content is read once."""

    def __init__(self, blobs: Blobs, reader: Reader, ids: Sequence[str], texts: Sequence[str]) -> None:
        self.blobs, self._reader, self._ids = blobs, reader, frozenset(ids)
        self._hints = [needle for one in ids for needle in _written(one)]
        self._texts = [needle for one in texts for needle in _written(one)]
        self.findings: list[Finding] = []

    def lost(self, path: str, error: MemorybankError) -> None:
        """A directory, or a version of a file, that cannot be read."""
        self.findings.append(Finding("MB130", f"it cannot be read of the snapshots: {error.message}", path))

    def matches(self, found: Sequence[Version], advance: Callable[[int], None]) -> dict[tuple[str, Ids], Match]:
        """What was found, by path and content, where everything that was asked for is."""
        paths: dict[Ids, dict[str, None]] = {}
        for one in found:
            paths.setdefault(one.ids, {})[one.path] = None
        matches: dict[tuple[str, Ids], Match] = {}
        for ids in finding.in_order(self.blobs, paths):
            advance(len(paths[ids]))
            try:
                data = b"".join(map(self.blobs.get, ids))
            except Damaged as error:
                self.lost(next(iter(paths[ids])), error)
                continue
            place = self._place(data)
            if place is None:
                continue
            for path in paths[ids]:
                records = self._records(path, data)
                if records or not self._ids:
                    matches[path, ids] = place._replace(records=records)
        return matches

    def _place(self, data: bytes) -> Match | None:
        """Where the first of the texts stands; None where none does."""
        if not self._texts:
            return Match()
        places = [(at, len(one)) for one in self._texts if (at := data.find(one)) >= 0]
        if not places:
            return None
        at, length = min(places)
        start = max(data.rfind(b"\n", 0, at) + 1, at - _AROUND)
        line = data[start : at + length + _AROUND].partition(b"\n")[0]
        return Match((), data.count(b"\n", 0, at) + 1, line.decode(errors="replace").strip())

    def _records(self, path: str, data: bytes) -> tuple[Record, ...]:
        if not self._ids or not layout.place(path).is_json or len(data) > HARD_SIZE:
            return ()
        if b"\\" not in data and not any(one in data for one in self._hints):
            return ()
        try:
            records = self._reader.records(path, data)
        except FlawedJSON:
            return ()
        return tuple(islice((one for one in records if one.id in self._ids), RECORDS))


def _written(text: str) -> list[bytes]:
    """How a text may stand in a file: as it is, and as JSON escapes it, with other letters or without."""
    ways = (text, json.dumps(text, ensure_ascii=False)[1:-1], json.dumps(text)[1:-1])
    return list(dict.fromkeys(way.encode(errors="surrogateescape") for way in ways))
