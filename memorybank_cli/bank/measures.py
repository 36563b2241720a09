"""What is counted over records so that totals can be held against them: the rules of a bank, and their measures.

A measure is a monoid: what the files of a directory contribute is kept as one value, and the values of directories
are added up. Sums are exact for integers; of floats the magnitude is kept too, which says how far sums may differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from math import fsum
from sys import float_info
from typing import Any, Literal, NamedTuple

from memorybank_cli.bank.moments import TIME_MEMBERS, of_value
from memorybank_cli.base.exact_json import dumps, loads

Is = Literal["count", "sum", "span"]
TRADES = "trades"
MEMBERS: dict[str, str] = {
    **dict.fromkeys(("total_trades", "trade_count", "trades_count", "num_trades"), "count"),
    "failed_trades": "failed",
    "successful_trades": "successful",
    **dict.fromkeys(("first_trade_time", "first_trade_at", "first_trade_timestamp", "first_trade_date"), "first"),
    **dict.fromkeys(("last_trade_time", "last_trade_at", "last_trade_timestamp", "last_trade_date"), "last"),
}
"""Members of metrics and state documents that are totals over all trades, and what they are."""
OBJECTS = ("performance", "metrics", "statistics", "stats", "summary", "trading", "totals")
"""Members of the document that may hold them, beside the root."""
_SCOPES = frozenset(
    {
        *("strategy", "strategy_id", "symbol", "pair", "token_pair", "token", "venue", "exchange", "dex", "account"),
        *("account_id", "agent", "agent_id", "session", "session_id", "period", "window", "day", "date", "since"),
        *("from", "start", "end", "start_time", "end_time"),
    }
)
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


class Applied(NamedTuple):
    """One measure as it is taken of records: its filter, and what takes a record's value; None where it has none."""

    key: str
    what: Is
    fits: Callable[[Any], bool] | None
    value: Callable[[Any], Any] | None


class Aggregates:
    """The measures of a bank, and the rules its config declares."""

    def __init__(self, declared: Sequence[Mapping[str, Any]] = ()) -> None:
        self.rules = tuple(_rule(one) for one in declared)
        needed = (one for rule in self.rules for one in (rule.measure, rule.measure.matching, rule.measure.present))
        self.measures = tuple(dict.fromkeys((*BUILT_IN, *needed)))
        self.keys = {measure: str(number) for number, measure in enumerate(self.measures)}
        self._applied: dict[str, tuple[Applied, ...]] = {}

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
        return frozenset(measure.of for measure in self.measures if measure.of.endswith(".json"))

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
        return tuple(_applied(one, key) for one, key in self.keys.items() if wanted(one.of))


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
    return Applied(key, measure.what, _filter(measure.where), value if measure.members else None)


def _filter(where: Sequence[tuple[str, str]]) -> Callable[[Any], bool] | None:
    wanted = [(getter(pointer), loads(value.encode())) for pointer, value in where]
    if len(wanted) == 1:
        [(get, value)] = wanted
        return lambda record: same(get(record), value)
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


def same(one: Any, other: Any) -> bool:
    """Whether two JSON scalars are the same: true is not 1, and what is not there is null."""
    return one is other or bool(one == other and isinstance(one, bool) == isinstance(other, bool))


# Values of the monoid, by what they are. `count` a number; `sum` [have, odd, whole, floats, magnitude], `have` records
# having the member, `odd` of them no number there, `floats` terms that add up to the sum of floats without rounding;
# `times` [naive, first, last] of times written as text; `numbers` [least, most].


def take(measures: Sequence[Applied], records: Sequence[Any], role: str, found: dict[str, Any]) -> None:
    """Put what records add to each measure into `found`; nothing where they add nothing."""
    for record in records:
        for name, what, fits, value_of in measures:
            if fits is not None and not fits(record):
                continue
            if value_of is None:
                _extend(found, "count", role + name, 1)
            elif (value := value_of(record)) is not None:
                _add(found, what, value, role + name)


def _add(found: dict[str, Any], what: Is, value: Any, key: str) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if what == "count":
        _extend(found, "count", key, 1)
    elif what == "sum":
        whole = value if number and isinstance(value, int) else 0
        floats = [value] if isinstance(value, float) else []
        _extend(found, "sum", key, [1, 0 if number else 1, whole, floats, abs(value) if floats else 0.0])
    elif number:
        _extend(found, "numbers", key, [value, value])
    elif (moment := of_value(value)) is not None:
        _extend(found, "times", key, [int(moment[1]), moment[0], moment[0]])


def _extend(found: dict[str, Any], sort: str, key: str, value: Any) -> None:
    known = found.get(sort)
    if known is None:
        found[sort] = {key: value}
    else:
        known[key] = JOINED[sort](known[key], value) if key in known else value


def joined_counts(one: int, other: int) -> int:
    """Both counts as one."""
    return one + other


def joined_sums(one: Sequence[Any], other: Sequence[Any]) -> list[Any]:
    """Both sums as one."""
    floats = list(one[3])
    for number in other[3]:
        _grow(floats, number)
    return [one[0] + other[0], one[1] + other[1], one[2] + other[2], floats, add((one[4], other[4]))]


def _grow(terms: list[float], number: float) -> None:
    """Add a float to terms that don't overlap, without rounding (Shewchuk 1997)."""
    kept = 0
    for term in terms:
        larger, smaller = (number, term) if abs(number) >= abs(term) else (term, number)
        total = add((larger, smaller))
        rest = smaller - (total - larger)
        if rest:
            terms[kept] = rest
            kept += 1
        number = total
    terms[kept:] = [number]


def joined_times(one: Sequence[int], other: Sequence[int]) -> list[int]:
    """Both spans of time as one."""
    return [one[0] | other[0], min(one[1], other[1]), max(one[2], other[2])]


def joined_numbers(one: Sequence[Any], other: Sequence[Any]) -> list[Any]:
    """Both spans of numbers as one."""
    return [min(one[0], other[0]), max(one[1], other[1])]


JOINED: dict[str, Callable[[Any, Any], Any]] = {
    "count": joined_counts,
    "sum": joined_sums,
    "times": joined_times,
    "numbers": joined_numbers,
}
"""How two values of each sort become one."""


def add(values: Iterable[float]) -> float:
    """The sum of floats, rounded once; beyond the range of floats the largest there is."""
    try:
        return fsum(values)
    except OverflowError:
        return float_info.max


# What metrics and state documents claim


def built_in_claims(stem: str, value: Any) -> list[list[Any]]:
    """What a document of metrics or state says of all trades: [pointer, what, value]; those of a part are no totals."""
    if not isinstance(value, dict) or sum(map(str.isdecimal, stem)) > 3 or _is_part(value):
        return []
    found = _claims("", value)
    for name in OBJECTS:
        inner = value.get(name)
        if isinstance(inner, dict) and not _is_part(inner):
            found += _claims(f"/{name}", inner)
    return found


def _claims(pointer: str, value: dict[str, Any]) -> list[list[Any]]:
    return [
        [f"{pointer}/{name}", what, value[name]]
        for name, what in MEMBERS.items()
        if name in value and _can_be(what, value[name])
    ]


def _can_be(what: str, value: Any) -> bool:
    if what in ("first", "last"):
        return of_value(value) is not None
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_part(value: dict[str, Any]) -> bool:
    return any(isinstance(value[name], str | int | float) for name in _SCOPES & value.keys())
