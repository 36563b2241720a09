"""Totals rebuilt from the records, on request: only the value's own bytes in a document are replaced."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, NamedTuple

from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.measures import same
from memorybank_cli.base.exact_json import FlawedJSON, dumps, loads
from memorybank_cli.base.positions import locate
from memorybank_cli.base.strict_json import HARD_SIZE
from memorybank_cli.meaning.aggregates import Contradiction, contradictions
from memorybank_cli.operations.cures import Cure, Incurable, Plan

RULE = "MB207"
METHOD = "aggregate"


@dataclass(frozen=True)
class Rebuilt(Cure):
    """One total that was rebuilt, or would be."""

    pointer: str = ""
    old: Any = None
    """What stood there."""
    new: Any = None
    """What the records say."""


class Rebuilding(NamedTuple):
    """The totals of one document, and the document with the new ones."""

    cures: tuple[Rebuilt, ...]
    content: bytes

    @property
    def plan(self) -> Plan:
        """The document as one cure."""
        return Plan(self.cures[0], self.content)

    def kept_in(self, place: str) -> list[Rebuilt]:
        """The cures, once the bytes that stood there are kept."""
        return [replace(one, kept=place) for one in self.cures]


def rebuildings(bank: Bank, paths: Iterable[str] = ()) -> tuple[list[Rebuilding], list[Incurable]]:
    """The documents at or below `paths` (all, if none) whose totals the records contradict, as last looked at."""
    chosen = tuple(paths)
    found: list[Rebuilding] = []
    incurable: list[Incurable] = []
    for path, group in groupby(contradictions(bank), key=lambda one: one.path):
        if chosen and not any(path == one or path.startswith(f"{one}/") for one in chosen):
            continue
        rebuilding, reasons = _rebuilding(bank, path, list(group))
        incurable += reasons
        if rebuilding is not None:
            found.append(rebuilding)
    return found, incurable


def _rebuilding(bank: Bank, path: str, wrong: list[Contradiction]) -> tuple[Rebuilding | None, list[Incurable]]:
    expected = bank.catalog.row(path).expected
    kind = expected.kind if expected else ""
    if layout.policy_of(path, layout.place(path), kind, bank.settings["open_patterns"]) != "open":
        reason = "only files that agents rewrite get other totals"
        return None, [_incurable(one, reason, f"correct {layout.AGGREGATES}") for one in wrong]
    try:
        data = bank.root.read(path, HARD_SIZE)
    except OSError as error:
        return None, [_incurable(one, (error.strerror or "").lower(), "run it again") for one in wrong]
    incurable: list[Incurable] = []
    changes: dict[_Change, Contradiction] = {}
    for one in wrong:
        span = locate(data, one.pointer)
        if one.new is None:
            incurable.append(_incurable(one, one.truth, f"correct {layout.AGGREGATES}"))
        elif span is None:
            incurable.append(_incurable(one, "no value stands there that could be replaced", "add the member by hand"))
        elif not _holds(data[span.start : span.end], one.old):
            incurable.append(_incurable(one, "another value stands there now", "run it again"))
        else:
            changes.setdefault(_Change(span.start, span.end, dumps(one.new)), one)
    agreed = [change for change in changes if not any(change.clashes(other) for other in changes)]
    for change in (one for one in changes if one not in agreed):
        reason = f"{changes[change].truth}, and another rule says otherwise of the same place"
        incurable.append(_incurable(changes[change], reason, f"correct {layout.AGGREGATES}"))
    for change in sorted(agreed, reverse=True):
        data = data[: change.start] + change.value + data[change.end :]
    return Rebuilding(tuple(_cure(changes[change]) for change in agreed), data) if agreed else None, incurable


class _Change(NamedTuple):
    """Bytes of a document, and what is to stand there."""

    start: int
    end: int
    value: bytes

    def clashes(self, other: _Change) -> bool:
        """Whether both cannot be made."""
        return self != other and self.start < other.end and other.start < self.end


def _holds(data: bytes, old: Any) -> bool:
    try:
        return same(loads(data), old)
    except FlawedJSON:
        return False


def _cure(one: Contradiction) -> Rebuilt:
    return Rebuilt(one.path, RULE, METHOD, why=one.truth, pointer=one.pointer, old=one.old, new=one.new)


def _incurable(one: Contradiction, reason: str, hint: str) -> Incurable:
    return Incurable(one.path, RULE, f"{one.pointer}: {reason}", hint)
