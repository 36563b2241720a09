"""The facts of many documents added up: of a directory, kept in its row of the catalog, and of the whole bank.

Adding up never reads a document again, and a directory in which nothing moved gives what it gave before.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

from memorybank_cli.bank.adding import JOINED
from memorybank_cli.bank.facts import unpacked
from memorybank_cli.bank.rows import Known, Seen


class Tally:
    """What is known of many files; every member is plain JSON.

    `naive` by section [times, files, path, pointer, text]; `zones` by section and minutes [names, members]; `apart` by
    section and minutes [names, members, path, pointer, epoch, text]; `claims` [path, pointer, what, value]; `count`
    `sum` `times` `numbers` by measure; `refs` how many files refer to others; `ids` and `lists` are digests of all
    record ids, and of the lists that hold more.
    """

    def __init__(self) -> None:
        self.naive: dict[str, list[Any]] = {}
        self.zones: dict[str, dict[str, list[int]]] = {}
        self.apart: dict[str, dict[str, list[Any]]] = {}
        self.claims: list[list[Any]] = []
        self._sorts: dict[str, dict[str, Any]] = {name: {} for name in JOINED}
        self.refs = 0
        self._ids: list[str] = []
        self._lists: list[str] = []

    def add(self, path: str, section: str, seen: Seen) -> None:
        """Take one file's facts over."""
        if seen.id:
            self.add_id(path, seen.kind, seen.id)
        if not seen.facts:
            return
        with foreign(path):
            self._take(path, section, seen)

    def add_ids(self, directory: str, files: Iterable[Known]) -> None:
        """Take the ids over that single records of a directory have, the last of its files; now all are in order."""
        self._ids += [f"{directory}/{one.name}\0{one.kind}\0{one.id}" for one in files if one.id]
        self._ids.sort()

    def add_id(self, path: str, kind: str, name: str) -> None:
        """Take the id of a single record over."""
        self._ids.append(f"{path}\0{kind}\0{name}")

    def _take(self, path: str, section: str, seen: Seen) -> None:
        facts = unpacked(seen.facts)
        for name, fact in facts.items():
            if name in JOINED:
                _join(self._sorts[name], fact, JOINED[name])
            elif name == "listed":
                self._lists.append(seen.sha)
            else:
                getattr(self, f"_add_{name}")(path, section, fact)

    def _add_naive(self, path: str, section: str, fact: list[Any]) -> None:
        times, pointer, text = fact
        _join(self.naive, {section: [times, 1, path, pointer, text]}, _joined_counts)

    def _add_zones(self, path: str, section: str, fact: dict[str, list[int]]) -> None:
        del path
        _join(self.zones.setdefault(section, {}), fact, _joined_counts)

    def _add_apart(self, path: str, section: str, fact: dict[str, list[Any]]) -> None:
        rows = {group: [*row[:2], path, *row[2:]] for group, row in fact.items()}
        _join(self.apart.setdefault(section, {}), rows, _joined_counts)

    def _add_claims(self, path: str, section: str, fact: list[list[Any]]) -> None:
        del section
        self.claims += [[path, *one] for one in fact]

    def _add_refs(self, path: str, section: str, fact: list[Any]) -> None:
        del section
        self.refs += 1
        self._ids.append(f"{path}\0{fact}")

    def merge(self, other: dict[str, Any]) -> None:
        """Add what another tally says, in the form of `value`. Raises DatabaseError for anything else."""
        with foreign("a directory"):
            for name, joined in JOINED.items():
                _join(self._sorts[name], other.get(name, {}), joined)
            _join(self.naive, other.get("naive", {}), _joined_counts)
            for name in ("zones", "apart"):
                for section, rows in other.get(name, {}).items():
                    _join(getattr(self, name).setdefault(section, {}), rows, _joined_counts)
            self.claims += other.get("claims", ())
            self.refs += other.get("refs", 0)
            self._ids += filter(None, [other.get("ids")])
            self._lists += filter(None, [other.get("lists")])

    def value(self) -> dict[str, Any]:
        """All of it as JSON, what is empty left out; the same for the same files in the same order."""
        names = ("naive", "zones", "apart", "claims", "refs")
        found = {**{name: getattr(self, name) for name in names}, **self._sorts}
        found |= {"ids": _digest(self._ids), "lists": _digest(self._lists)}
        return {name: value for name, value in found.items() if value}


@contextmanager
def foreign(what: str) -> Iterator[None]:
    """Call what goes wrong with facts from the catalog by its name: nobody else writes them."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise sqlite3.DatabaseError(f"of {what} it holds what memorybank did not write") from error


def _digest(lines: list[str]) -> str:
    return sha256("\n".join(lines).encode(errors="surrogatepass")).hexdigest() if lines else ""


def _join(into: dict[str, Any], more: dict[str, Any], joined: Any) -> None:
    for key, value in more.items():
        known = into.get(key)
        into[key] = value if known is None else joined(known, value)


def _joined_counts(one: list[Any], other: list[Any]) -> list[Any]:
    return [one[0] + other[0], one[1] + other[1], *one[2:]]
