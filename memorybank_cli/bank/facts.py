"""What one parsed document contributes to rules that hold between files.

That is its record id, and a short JSON text, '' for many, with any of: `naive` [count, pointer, text] times without a
zone; `zones` what epochs say of that zone; `apart` how far epochs and texts of one moment differ; `claims` totals that
it states; `count` `sum` `times` `numbers` what it adds to measures; `refs` the first ten thousand ids
of other records; `listed` that several ids are in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import islice
from typing import Any, NamedTuple

import orjson

from memorybank_cli.bank import adding, times
from memorybank_cli.bank.claims import of_document as claims_of
from memorybank_cli.bank.layout import AGENTS, SECTIONS, Place
from memorybank_cli.bank.measures import LISTED, SINGLE, VIEW, Aggregates, getter, values_at
from memorybank_cli.bank.misfits import shorten
from memorybank_cli.bank.rows import Content
from memorybank_cli.bank.schemas import Registry
from memorybank_cli.base.exact_json import dumps, loads

VERSION = 2
"""Another number lets every file be read again: what is gathered, or how it is written, has changed."""
DUPLICATE = "MB208"
DUPLICATES_SHOWN = 5
_LISTS = {"trade_list": ("trades", "trade")}
_MESSAGES = frozenset({"whole_history", "history_segment"})
_USUAL_IDS = {"trade": ("trade_id", "id")}  # where a bank's own schema says nothing of ids
_LONGEST_ID = 200
_MOST_REFERENCES = 10_000
_WINDOWS = ("recent", "latest", "newest")
_CLAIMING = frozenset({"metrics", "state"})
_JUDGED = frozenset({*SECTIONS, *AGENTS})


class Records(NamedTuple):
    """The records of a document, the JSON Pointer of what holds them, their kind, and how they count."""

    values: Sequence[Any]
    pointer: str
    kind: str
    role: str


def records_of(kind: str, value: Any, name: str = "") -> Records:
    """The records that a document holds: itself, or the members of a list."""
    if kind in _MESSAGES:
        messages = value.get("messages") if isinstance(value, dict) else None
        return Records(messages if isinstance(messages, list) else (), "/messages", "message", SINGLE)
    member, inner = _LISTS.get(kind, ("", kind))
    if isinstance(value, dict) and member:
        listed = value.get(member)
        return Records(listed if isinstance(listed, list) else (), f"/{member}", inner, _list_role(name))
    if isinstance(value, list):
        return Records(value, "", inner, _list_role(name))
    return Records((value,), "", kind, SINGLE)


def _list_role(name: str) -> str:
    return VIEW if any(word in name for word in _WINDOWS) else LISTED


def identity(value: Any) -> str:
    """An id as text, so that 7 and "7" are one; '' for what is none. A very long one is named by its digest."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    text = str(value)
    if len(text) <= _LONGEST_ID:
        return text
    return f"{text[:100]}… sha256:{sha256(text.encode(errors='surrogatepass')).hexdigest()[:32]}"


class Extractor:
    """Takes the facts of one bank's documents, by its schemas and its rules."""

    def __init__(self, ids: Ids, aggregates: Aggregates) -> None:
        self.ids, self.aggregates = ids, aggregates

    def facts(self, path: str, place: Place, kind: str, value: Any) -> tuple[str, str]:
        """The id of a single record, else '', and the facts of a document as text, '' where there are none."""
        judged = place.section in _JUDGED
        if not judged and kind not in _MESSAGES:
            return "", ""
        directory, _, name = path.rpartition("/")
        records = records_of(kind, value, name)
        found: dict[str, Any] = {}
        adding.take(self.aggregates.of(directory, name), records.values, records.role, found)
        if not judged:
            return "", packed(found)
        single = records.role == SINGLE
        times.gather(name, kind, value, () if single else records.values, records.pointer[1:], found)
        if self.ids.references(records.kind):
            self._refer(records, found)
        if directory in _CLAIMING or path in self.aggregates.by_file:
            self._claim(path, directory, name, value, found)
        if self.ids.names(kind) or (not single and self.ids.members(records.kind)):
            found["listed"] = True
        return self.ids.of(kind, value) if single else "", packed(found)

    def _refer(self, records: Records, found: dict[str, Any]) -> None:
        refs = list(islice(_references(records, self.ids.references(records.kind)), _MOST_REFERENCES))
        if refs:
            found["refs"] = refs

    def _claim(self, path: str, directory: str, name: str, value: Any, found: dict[str, Any]) -> None:
        claims: list[list[Any]] = []
        for number in self.aggregates.by_file.get(path, ()):
            at = self.aggregates.rules[number].at
            there = getter(at)(value)
            claims.append([at, number, None if isinstance(there, dict | list) else there])
        if directory in _CLAIMING:  # a declared rule comes first only where its records are: the whole bank says that
            claims += claims_of(name[:-5], value)
        if claims:
            found["claims"] = claims


def packed(facts: dict[str, Any]) -> str:
    """Facts as text, '' for none; a blank goes before integers that the fast reader would not keep."""
    try:
        return orjson.dumps(facts).decode() if facts else ""
    except TypeError:
        return " " + dumps(facts).decode()


def unpacked(text: str) -> Any:
    """The facts of a text."""
    return loads(text.encode()) if text[0] == " " else orjson.loads(text)


class Ids:
    """Where the schemas of one registry say that ids stand."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._members: dict[str, tuple[str, ...]] = {}
        self._names: dict[str, tuple[str, ...]] = {}
        self._references: dict[str, Mapping[str, str]] = {}

    def members(self, kind: str) -> tuple[str, ...]:
        """The members of which the first that is there names a record of some kind."""
        found = self._members.get(kind)
        if found is None:
            found = self._members[kind] = self.registry.annotations(kind).id or _USUAL_IDS.get(kind, ())
        return found

    def names(self, kind: str) -> tuple[str, ...]:
        """Pointers to the ids in a document of some kind that is itself a list of what they name."""
        found = self._names.get(kind)
        if found is None:
            found = self._names[kind] = self.registry.annotations(kind).names
        return found

    def references(self, kind: str) -> Mapping[str, str]:
        """JSON Pointers to ids of other records, and the kinds of those."""
        found = self._references.get(kind)
        if found is None:
            found = self._references[kind] = self.registry.annotations(kind).references
        return found

    def of(self, kind: str, record: Any) -> str:
        """The id of a record, '' where it has none."""
        return self.find(kind, record)[1]

    def inside(self, kind: str, value: Any) -> Iterator[tuple[str, str]]:
        """Kind and id of everything that a document with several ids names."""
        for pointer in self.names(kind):
            for _, one in values_at(pointer, value):
                if name := identity(one):
                    yield kind, name
        records = records_of(kind, value)
        for record in records.values if self.members(records.kind) else ():
            if name := self.of(records.kind, record):
                yield records.kind, name

    def find(self, kind: str, record: Any) -> tuple[str, str]:
        """The member in which a record's id stands, and the id; both '' where it has none."""
        if isinstance(record, dict):
            for member in self.members(kind):
                if found := identity(record.get(member)):
                    return member, found
        return "", ""

    def duplicates(self, kind: str, value: Any) -> tuple[Content, ...]:
        """Records of a list that have the id of an earlier one there, the first few."""
        records = records_of(kind, value)
        if records.role == SINGLE or not self.members(records.kind):
            return ()
        first: dict[str, int] = {}
        found: list[Content] = []
        for number, record in enumerate(records.values):
            member, name = self.find(records.kind, record)
            if name and first.setdefault(name, number) != number:
                pointer = f"{records.pointer}/{number}/{_escaped(member)}"
                message = f"the id {shorten(name)} stands at {records.pointer}/{first[name]} already"
                found.append(Content(DUPLICATE, message, pointer, None, "an id of its own", shorten(name)))
                if len(found) == DUPLICATES_SHOWN:
                    break
        return tuple(found)


def _references(records: Records, references: Mapping[str, str]) -> Iterator[list[str]]:
    listed = records.role != SINGLE or records.kind == "message"
    for pointer, kind in references.items():
        for number, record in enumerate(records.values):
            for place, value in values_at(pointer, record):
                at = f"{records.pointer}/{number}{place}" if listed else place
                for index, one in enumerate(value) if isinstance(value, list) else ((None, value),):
                    if name := identity(one):
                        yield [at if index is None else f"{at}/{index}", kind, name]


def _escaped(member: str) -> str:
    return member.replace("~", "~0").replace("/", "~1")
