"""Totals that documents state, held against the records themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.measures import COUNT, FAILED, ROLES, SINGLE, SUCCESSFUL, TIMES, Aggregates, Measure
from memorybank_cli.bank.misfits import shorten
from memorybank_cli.base.names import quoted
from memorybank_cli.base.positions import locate
from memorybank_cli.base.records import Finding
from memorybank_cli.base.strict_json import HARD_SIZE
from memorybank_cli.base.words import counted
from memorybank_cli.meaning.totals import Count, Extreme, Sum, Total

BUILT_IN_SECONDS = 60.0
_BUILT_IN: dict[str, tuple[Measure, str]] = {
    "count": (COUNT, "count"),
    "failed": (FAILED, "count"),
    "successful": (SUCCESSFUL, "count"),
    "first": (TIMES, "min"),
    "last": (TIMES, "max"),
}


class Contradiction(NamedTuple):
    """One stated total, and what the records say. `new` is None where they say nothing that could stand there."""

    path: str
    pointer: str
    old: Any
    new: Any
    truth: str
    """What the records say, as the second half of a sentence."""
    declared: bool


class _Stated(NamedTuple):
    measure: Measure
    what: str
    tolerance: float | None
    declared: bool


def contradicted(bank: Bank) -> Iterator[Finding]:
    """MB207: each total that the records contradict; an error where the bank's config declares it."""
    for one in contradictions(bank):
        said = "there is nothing here" if one.old is None else f"says {shorten(one.old)}"
        yield Finding(
            "MB207",
            f"{said}, but {one.truth}",
            one.path,
            _hint(bank, one),
            one.pointer,
            level="error" if one.declared else None,
            expected="" if one.new is None else shorten(one.new),
            found=shorten(one.old),
        )


def _hint(bank: Bank, one: Contradiction) -> str:
    if one.new is None:
        return f"correct {layout.AGGREGATES}"
    if one.old is None and not _stands(bank, one):
        return f"add {one.pointer} by hand: only a value that stands there can be replaced"
    return f"memorybank repair --aggregates {quoted(one.path)}"


def _stands(bank: Bank, one: Contradiction) -> bool:
    """Whether there is a value, as null, at the pointer; a file that cannot be read is another finding's matter."""
    try:
        return locate(bank.root.read(one.path, HARD_SIZE), one.pointer) is not None
    except OSError:
        return False


def contradictions(bank: Bank) -> list[Contradiction]:
    """What the last look over the whole bank found, in the order of paths and pointers."""
    facts = bank.catalog.meta("facts", {})
    records = _Records(bank.aggregates, facts)
    claims = facts.get("claims", ())
    declared = {tuple(claim[:2]) for claim in claims if isinstance(claim[2], int) and records.holds(claim[2])}
    judged = (claim for claim in claims if isinstance(claim[2], int) or tuple(claim[:2]) not in declared)
    found = (_contradiction(records, *claim) for claim in judged)
    return sorted((one for one in found if one is not None), key=lambda one: (one.path, one.pointer))


def unmatched(bank: Bank) -> Iterator[Finding]:
    """MB204: each declared rule that can match nothing: its document is not there, or nothing that it could count."""
    facts = bank.catalog.meta("facts", {})
    records = _Records(bank.aggregates, facts)
    stating = {claim[2] for claim in facts.get("claims", ())}
    for number, rule in enumerate(bank.aggregates.rules):
        if number not in stating:
            yield _nowhere(number, f"`file` names {shorten(rule.file)}, which is no document that can be read here")
        if not records.holds(number):
            yield _nowhere(number, f"`of` names {shorten(rule.measure.of)}, where there are no records")


def _nowhere(number: int, message: str) -> Finding:
    hint = f"bring it back; or correct the rule, then memorybank accept {layout.AGGREGATES}"
    return Finding("MB204", message, layout.AGGREGATES, hint, f"/aggregates/{number}")


def _contradiction(records: _Records, path: str, pointer: str, what: str | int, old: Any) -> Contradiction | None:
    stated = records.stated(what)
    if stated is None:
        return None
    role = records.role(stated.measure)
    present = records.count(stated.measure.present, role)
    matching = records.count(stated.measure.matching, role)
    total = records.total(stated, role, matching)
    if not present or total.agrees(old):
        return None
    new = total.value(old)
    words = _words(stated, present, matching, role, total, new)
    return Contradiction(path, pointer, old, new, words, stated.declared)


class _Records:
    """What the facts say of the records: of single ones where there are any, else of those in lists."""

    def __init__(self, aggregates: Aggregates, facts: dict[str, Any]) -> None:
        self.aggregates, self.facts = aggregates, facts

    def stated(self, what: str | int) -> _Stated | None:
        """What a claim means; None for a built-in one that these records cannot be held against."""
        if isinstance(what, int):
            rule = self.aggregates.rules[what]
            return _Stated(rule.measure, rule.what, rule.tolerance, True)
        measure, kind = _BUILT_IN[what]
        role = self.role(measure)
        if measure is TIMES:
            stated = _Stated(measure, kind, BUILT_IN_SECONDS, False)
            return stated if self.total(stated, role, 0).known else None
        # Where a trade does not say whether it succeeded, nobody can say how many failed.
        told = self.count(FAILED, role) + self.count(SUCCESSFUL, role)
        return _Stated(measure, kind, None, False) if what == "count" or told == self.count(COUNT, role) else None

    def holds(self, number: int) -> bool:
        """Whether there are records where a declared rule looks for them."""
        return any(self.count(self.aggregates.rules[number].measure.present, role) for role in ROLES)

    def role(self, measure: Measure) -> str:
        """Which records are counted."""
        return next((role for role in ROLES if self.count(measure.present, role)), SINGLE)

    def count(self, measure: Measure, role: str) -> int:
        """How many records a counting measure takes."""
        found: int = self._value("count", measure, role) or 0
        return found

    def total(self, stated: _Stated, role: str, matching: int) -> Total:
        """What the records say of a stated total."""
        measure, what = stated.measure, stated.what
        if what == "count":
            return Count(self.count(measure, role), stated.tolerance)
        if what == "sum":
            return Sum(self._value("sum", measure, role), matching, stated.tolerance)
        times, numbers = self._value("times", measure, role), self._value("numbers", measure, role)
        return Extreme(times, numbers, what == "min", matching, stated.tolerance)

    def _value(self, sort: str, measure: Measure, role: str) -> Any:
        return self.facts.get(sort, {}).get(role + self.aggregates.keys[measure])


def _words(stated: _Stated, present: int, matching: int, role: str, total: Total, new: Any) -> str:
    measure = stated.measure
    noun = "message" if layout.account_of(measure.of) else "record"
    place = measure.of if measure.of.endswith(".json") else f"{'lists in ' if role else ''}{measure.of}/"
    member = measure.members[0] if measure.members else ""
    having = [f"{name.removeprefix('/')} {value}" for name, value in measure.where]
    if isinstance(total, Count):
        if not having and not member:
            return f"there {'is' if present == 1 else 'are'} {counted(present, noun)} in {place}"
        having += [f"a value at {member}"] if member else []
        return f"{new:,} of {counted(present, noun)} in {place} have {' and '.join(having)}"
    whose = f"{counted(matching, noun)} in {place}{' with ' if having else ''}{' and '.join(having)}"
    if new is None:
        return f"of {whose} none has a value at {shorten(member)} to hold it against"
    return f"{total.name(member)} of {whose} is {shorten(new)}"
