"""What records add to measures, and how such values are joined.

A measure is a monoid: what the files of a directory add is kept as one value, and the values of directories are
joined. Sums are exact, whatever was added first; of floats the magnitude is kept too, which says how far a sum that
somebody else made may differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import fsum
from sys import float_info
from typing import Any

from memorybank_cli.bank.measures import Applied, Is
from memorybank_cli.bank.moments import of_value

_LARGEST = 10**4_000  # a sum of larger integers may have more digits than JSON is written and read with

# Values, by what they are. `count` a number; `sum` [have, odd, whole, floats, magnitude], `have` records
# having the member, `odd` of them no number there, `floats` terms that add up to the sum of floats without rounding;
# `times` [naive, first, last] of times written as text; `numbers` [least, most].


def take(applied: Sequence[Applied], records: Sequence[Any], role: str, found: dict[str, Any]) -> None:
    """Put what records add to each measure into `found`; nothing where they add nothing."""
    for record in records:
        get = record.get if isinstance(record, dict) else _nothing
        for key, what, member, wanted, fits, value_of in applied:
            if member:
                if get(member) is not wanted:
                    continue
            elif fits is not None and not fits(record):
                continue
            if value_of is None:
                _extend(found, "count", role + key, 1)
            elif (value := value_of(record)) is not None:
                _add(found, what, value, role + key)


def _nothing(member: str) -> None:
    """The member of what has none."""


def _add(found: dict[str, Any], what: Is, value: Any, key: str) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if what == "count":
        _extend(found, "count", key, 1)
    elif what == "sum":
        number = number and (isinstance(value, float) or abs(value) < _LARGEST)
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
