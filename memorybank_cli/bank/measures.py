"""What is counted over records, so that totals can be held against them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal, NamedTuple

from memorybank_cli.bank.moments import TIME_MEMBERS
from memorybank_cli.base.exact_json import dumps, loads

Is = Literal["count", "sum", "span"]
TRADES = "trades"
# Records are counted in single-record files; where there are none in lists, and only then in lists of the newest.
SINGLE, LISTED, VIEW = "", "l", "v"
ROLES = (SINGLE, LISTED, VIEW)


class Measure(NamedTuple):
    """What is counted: records below `of` whose members equal `where`, by the first of `members` that is there."""

    of: str
    what: Is
    members: tuple[str, ...] = ()
    where: tuple[tuple[str, str], ...] = ()
    """JSON Pointers, and the values that must stand there as JSON texts."""

    @property
    def matching(self) -> Measure:
        """How many records the filter takes."""
        return Measure(self.of, "count", (), self.where)

    @property
    def present(self) -> Measure:
        """How many records there are."""
        return Measure(self.of, "count")


class Rule(NamedTuple):
    """A total declared in the bank's config: the value at `at` in `file` is the `what` of a measure."""

    file: str
    at: str
    what: str
    measure: Measure
    tolerance: float | None


COUNT = Measure(TRADES, "count")
FAILED = Measure(TRADES, "count", (), (("/success", "false"),))
SUCCESSFUL = Measure(TRADES, "count", (), (("/success", "true"),))
TIMES = Measure(TRADES, "span", tuple(f"/{name}" for name in TIME_MEMBERS))
BUILT_IN = (COUNT, FAILED, SUCCESSFUL, TIMES)
_SUCCESS = (COUNT, FAILED, SUCCESSFUL)
_NEEDED: dict[str, tuple[Measure, ...]] = {
    "count": (COUNT,),
    "failed": _SUCCESS,
    "successful": _SUCCESS,
    "first": (COUNT, TIMES),
    "last": (COUNT, TIMES),
}
"""By what a document claims: the measures that it is held against."""


class Applied(NamedTuple):
    """One measure as it is taken of records: its filter, and what takes a record's value; None where it has none.

    A filter by one member that is true, false or null, as most are, is that `member` and `wanted`.
    """

    key: str
    what: Is
    member: str
    wanted: bool | None
    fits: Callable[[Any], bool] | None
    value: Callable[[Any], Any] | None


class Aggregates:
    """The measures of a bank, and the rules its config declares.

    Built-in measures are taken only for what some document claims: trades whose total nobody states cost nothing.
    """

    def __init__(self, declared: Sequence[Mapping[str, Any]] = (), claimed: Iterable[str] = ()) -> None:
        self._declared = declared
        self.rules = tuple(_rule(one) for one in declared)
        rules = [one for rule in self.rules for one in (rule.measure, rule.measure.matching, rule.measure.present)]
        measures = dict.fromkeys((*BUILT_IN, *rules))
        self.keys = {measure: str(number) for number, measure in enumerate(measures)}
        taken = {*rules, *(measure for what in claimed for measure in _NEEDED.get(what, ()))}
        self._taken = [one for one in measures if one in taken]
        self._applied: dict[str, tuple[Applied, ...]] = {}

    def claiming(self, claimed: Iterable[str]) -> Aggregates:
        """The same, with the built-in measures for what is claimed."""
        return Aggregates(self._declared, claimed)

    @cached_property
    def digest(self) -> str:
        """What changes when a rule changes; '' without declared rules."""
        from hashlib import sha256

        return sha256(repr(self.rules).encode(errors="replace")).hexdigest()[:16] if self.rules else ""

    @cached_property
    def by_file(self) -> dict[str, list[int]]:
        """Numbers of the rules about each file."""
        found: dict[str, list[int]] = {}
        for number, rule in enumerate(self.rules):
            found.setdefault(rule.file, []).append(number)
        return found

    @cached_property
    def _files(self) -> frozenset[str]:
        return frozenset(measure.of for measure in self._taken if measure.of.endswith(".json"))

    def of(self, directory: str, name: str) -> tuple[Applied, ...]:
        """The measures that are taken of the records in a file."""
        found = self._applied.get(directory)
        if found is None:
            found = self._applied[directory] = self._above(f"{directory}/")
        if self._files and f"{directory}/{name}" in self._files:
            found += self._at(lambda of: of == f"{directory}/{name}")
        return found

    def _above(self, directory: str) -> tuple[Applied, ...]:
        return self._at(lambda of: directory.startswith(f"{of}/"))

    def _at(self, wanted: Callable[[str], bool]) -> tuple[Applied, ...]:
        return tuple(_applied(one, self.keys[one]) for one in self._taken if wanted(one.of))


def _rule(declared: Mapping[str, Any]) -> Rule:
    what, member = declared["is"], declared.get("member")
    where = tuple((_pointer(name), dumps(value).decode()) for name, value in declared.get("where", {}).items())
    kind: Is = what if what in ("count", "sum") else "span"
    measure = Measure(declared["of"].strip("/"), kind, (member,) if member else (), where)
    return Rule(declared["file"], declared["at"], what, measure, declared.get("tolerance"))


def _pointer(name: str) -> str:
    return name if name.startswith("/") else "/" + name.replace("~", "~0").replace("/", "~1")


def _applied(measure: Measure, key: str) -> Applied:
    value = getter(measure.members[0]) if len(measure.members) == 1 else _first_member(measure.members)
    where = [(pointer, loads(wanted.encode())) for pointer, wanted in measure.where]
    if len(where) == 1 and _is_plain(where[0][0]) and (where[0][1] is None or isinstance(where[0][1], bool)):
        [(member, wanted)] = where
        return Applied(key, measure.what, member[1:], wanted, None, value if measure.members else None)
    return Applied(key, measure.what, "", None, _filter(where), value if measure.members else None)


def _is_plain(pointer: str) -> bool:
    return pointer.count("/") == 1 and len(pointer) > 1 and "~" not in pointer


def _filter(where: Sequence[tuple[str, Any]]) -> Callable[[Any], bool] | None:
    wanted = [(getter(pointer), value) for pointer, value in where]
    return (lambda record: all(same(get(record), value) for get, value in wanted)) if wanted else None


def _first_member(pointers: Sequence[str]) -> Callable[[Any], Any]:
    names = [pointer[1:] for pointer in pointers]

    def get(record: Any) -> Any:
        if isinstance(record, dict):
            for name in names:
                value = record.get(name)
                if value is not None:
                    return value
        return None

    return get


def getter(pointer: str) -> Callable[[Any], Any]:
    """A function that takes the value at a JSON Pointer out of a document; None where there is nothing."""
    keys = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    first = keys[0]

    def member(value: Any) -> Any:
        return value.get(first) if isinstance(value, dict) else None

    def get(value: Any) -> Any:
        for part in keys:
            if isinstance(value, dict):
                value = value.get(part)
            elif isinstance(value, list) and part.isdecimal() and len(part) < 10 and int(part) < len(value):
                value = value[int(part)]
            else:
                return None
        return value

    return get if len(keys) > 1 or first.isdecimal() else member


def values_at(pointer: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Pointer and value of each place that a JSON Pointer names in which `*` stands for every item of an array."""
    parts = pointer.split("/")
    at = parts.index("*") if "*" in parts else 0
    head, rest = "/".join(parts[:at]), "".join(f"/{part}" for part in parts[at + 1 :])
    listed = (getter(head)(value) if head else value) if at else None
    if not isinstance(listed, list):
        if not at or isinstance(listed, dict):  # there it is a member of that name
            yield pointer, getter(pointer)(value)
        return
    for number, item in enumerate(listed):
        for inner, found in values_at(rest, item) if rest else (("", item),):
            yield f"{head}/{number}{inner}", found


def same(one: Any, other: Any) -> bool:
    """Whether two JSON scalars are the same: true is not 1, and what is not there is null."""
    return one is other or bool(one == other and isinstance(one, bool) == isinstance(other, bool))
