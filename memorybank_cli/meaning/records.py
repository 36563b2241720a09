"""Which records a document holds, what each is called, and where in it each stands.

A file of an agent holds one record, or a list of them, or members that are worth a line each; see `Reader.held`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from memorybank_cli.bank import layout
from memorybank_cli.bank.examine import Examiner
from memorybank_cli.bank.facts import identity, records_of
from memorybank_cli.bank.misfits import pointer
from memorybank_cli.bank.moments import TIME_MEMBERS
from memorybank_cli.bank.schemas import Registry
from memorybank_cli.base import positions
from memorybank_cli.base.exact_json import loads
from memorybank_cli.base.positions import Span

MEMBER, VALUE, MESSAGE = "member", "value", "message"
"""Kinds of records that no schema names: a member of a document, a value of unknown meaning, a message."""
_LISTS = {
    "trade_list": ("trades", "trade"),
    "entity_list": ("entities", "entity"),
    "relation_list": ("relations", "relation"),
    **dict.fromkeys(("short_term", "mid_term", "whole_history", "history_segment"), ("messages", MESSAGE)),
}
"""By kind of a document: the member that holds its records, and their kind."""
_GUESSED = ("id", "uuid", "tx_hash", "hash", "name", *TIME_MEMBERS)


class Record(NamedTuple):
    """One record of a document."""

    kind: str
    """`trade`, `decision`, `message` …; `member` of a document that is no record; `value` of an unknown list."""
    id: str
    """What names it, as text: its id, a hash or a time, the key of a member; '' where nothing does."""
    pointer: str
    """JSON Pointer to it; '' where the document itself is the record."""
    value: Any


class Held(NamedTuple):
    """What a document holds."""

    records: list[Record]
    holder: str | None = None
    """JSON Pointer to the array that holds the records; None where they are members, or the document itself."""
    beside: Sequence[Record] = ()
    """The members of the document beside that array."""


class Reader:
    """Takes documents apart by the schemas of one registry."""

    def __init__(self, registry: Registry) -> None:
        self._examiner = Examiner(registry)
        self._ids = self._examiner.ids

    def records(self, path: str, data: bytes) -> list[Record]:
        """The records of the file at an escaped path, in its order. Raises FlawedJSON."""
        return self.held(path, loads(data))[0].records

    def held(self, path: str, *versions: Any) -> list[Held]:
        """What each of some versions of a document holds; its records are named in the same way in all of them."""
        kinds = [self._examiner.kind(layout.place(path), value) for value in versions]
        lists = [self._listed(kind, value) for kind, value in zip(kinds, versions, strict=True)]
        named = self._naming([one for one in lists if one is not None])
        return [
            Held(list(self._single(kind, value))) if found is None else _of_list(found, named, value)
            for kind, value, found in zip(kinds, versions, lists, strict=True)
        ]

    def _listed(self, kind: str, value: Any) -> _List | None:
        """The records of a list; None for a document that is none."""
        if isinstance(value, list):
            return _List("", records_of(kind, value).kind.removesuffix("_list") or VALUE, value, "")
        if not isinstance(value, dict):
            return None
        for place in self._ids.names(kind):
            parts = place.split("/")
            if len(parts) == 4 and parts[2] == "*":
                return _list_of(value, parts[1], kind.removesuffix("_list"), parts[3])
        member, inner = _LISTS.get(kind, ("", ""))
        return _list_of(value, member, inner, "")

    def _naming(self, lists: Sequence[_List]) -> Callable[[Any], str]:
        """What gives the id of a record: as its schema says, else by a member that tells all of them apart."""
        if not lists:
            return identity
        kind, name = lists[0].kind, lists[0].name
        if name:
            return lambda value: _text(value, name)
        if any(self._ids.of(kind, value) for one in lists for value in one.values):
            return lambda value: self._ids.of(kind, value)
        return naming([one.values for one in lists], kind)

    def _single(self, kind: str, value: Any) -> Iterator[Record]:
        if not isinstance(value, dict):
            yield Record(VALUE, "", "", value)
        elif kind == "trade" or (kind in layout.RECORDS and kind not in _LISTS) or self._ids.members(kind):
            found = (_text(value, name) for name in (f"{kind}_id", *_GUESSED))
            yield Record(kind, self._ids.of(kind, value) or next(filter(None, found), ""), "", value)
        else:
            yield from _members(value)


class _List(NamedTuple):
    holder: str
    kind: str
    values: list[Any]
    name: str


def _list_of(value: dict[str, Any], member: str, kind: str, name: str) -> _List | None:
    values = value.get(member) if member else None
    return _List(pointer([member]), kind, values, name) if isinstance(values, list) else None


def _of_list(found: _List, named: Callable[[Any], str], value: Any) -> Held:
    records = [
        Record(found.kind, named(one), f"{found.holder}/{number}", one) for number, one in enumerate(found.values)
    ]
    beside = [one for one in _members(value) if one.pointer != found.holder] if found.holder else []
    return Held(records, found.holder, beside)


def spans(data: bytes, held: Held) -> list[Span]:
    """Where each record of a well-formed document stands in its bytes, in the order of `held.records`."""
    if held.holder is None and held.records and not held.records[0].pointer:
        return [span for span in (positions.locate(data, ""),) if span is not None]
    return positions.children(data, held.holder or "")


def _members(value: dict[str, Any]) -> Iterator[Record]:
    return (Record(MEMBER, name, pointer([name]), inner) for name, inner in value.items())


def _text(record: Any, name: str) -> str:
    """The value of a member that may name a record; a time may be a number with a fraction."""
    value = record.get(name) if isinstance(record, dict) else None
    return repr(value) if isinstance(value, float) else identity(value)


def naming(lists: Sequence[list[Any]], kind: str = "") -> Callable[[Any], str]:
    """What gives the ids of the items of lists: a member that tells all of each list apart, else always ''."""
    name = next((one for one in _candidates(kind, lists) if _tells_apart(one, lists)), "")
    return lambda value: _text(value, name) if name else ""


def _candidates(kind: str, lists: Sequence[list[Any]]) -> Iterable[str]:
    """Members whose name says that they may name a record, the likeliest first."""
    first = next((one[0] for one in lists if one), None)
    others = [name for name in first if name.endswith("_id")] if isinstance(first, dict) else []
    return dict.fromkeys((f"{kind}_id", *_GUESSED[:2], *others, *_GUESSED[2:]))


def _tells_apart(name: str, lists: Sequence[list[Any]]) -> bool:
    """Whether a member is in every record of each list and has another value in each record of the same list."""
    for values in lists:
        seen: set[str] = set()
        for one in values:
            found = _text(one, name)
            if not found or found in seen:
                return False
            seen.add(found)
    return any(lists)
