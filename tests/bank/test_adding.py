"""Adding up: what records add, exactly, and in whatever order they are joined."""

from __future__ import annotations

from fractions import Fraction
from functools import reduce
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.bank.adding import JOINED, add, joined_sums, take
from memorybank_cli.bank.measures import LISTED, SINGLE, Aggregates
from memorybank_cli.base.exact_json import dumps, loads


def added(what: str, records: list[Any], member: str | None = "/n", role: str = SINGLE, **fields: Any) -> Any:
    """The one value, other than counts, that records add to a rule; for a count the counts."""
    declared = {"file": "m.json", "at": "/x", "is": what, "of": "trades", **fields}
    if member:
        declared["member"] = member
    aggregates = Aggregates([declared])
    found: dict[str, Any] = {}
    take(aggregates.of("trades", "a.json"), records, role, found)
    key = role + aggregates.keys[aggregates.rules[0].measure]
    return {sort: values[key] for sort, values in found.items() if key in values}


def test_counts() -> None:
    records = [{"n": 1}, {"n": None}, {}, {"n": "x"}, 7]
    assert added("count", records, None) == {"count": 5}
    assert added("count", records) == {"count": 2}
    assert added("count", records, None, where={"n": 1}) == {"count": 1}
    assert added("count", [], None) == {}
    assert added("count", records, role=LISTED) == {"count": 2}


def test_sums() -> None:
    assert added("sum", [{"n": 1}, {"n": 10**30}, {}, {"n": None}]) == {"sum": [2, 0, 10**30 + 1, [], 0.0]}
    assert added("sum", [{"n": True}, {"n": "7"}, {"n": [1]}]) == {"sum": [3, 3, 0, [], 0.0]}
    assert added("sum", [{"n": 0.5}, {"n": -0.25}, {"n": 2}]) == {"sum": [3, 0, 2, [0.25], 0.75]}
    assert added("sum", [{}]) == {}


def test_spans() -> None:
    texts = [{"n": "2025-03-31T12:00:00Z"}, {"n": "2025-03-31T13:00:00+02:00"}, {"n": "no time"}]
    noon = 1_743_422_400_000_000
    assert added("max", texts) == {"times": [0, noon - 3_600_000_000, noon]}
    assert added("min", [*texts, {"n": "2025-03-31T12:00:00"}])["times"][0] == 1
    assert added("min", [{"n": 3}, {"n": -1.5}, {"n": False}]) == {"numbers": [-1.5, 3]}
    assert added("max", [{"n": 7}, {"n": "2025-03-31T12:00:00Z"}]) == {"numbers": [7, 7], "times": [0, noon, noon]}


floats = st.floats(-1e300, 1e300)
numbers = st.one_of(floats, st.integers(-(10**40), 10**40))


@given(st.lists(st.lists(numbers, min_size=1), min_size=1), st.randoms())
def test_a_sum_is_the_same_however_it_is_grouped(groups: list[list[Any]], random: Any) -> None:
    parts = [added("sum", [{"n": one} for one in group])["sum"] for group in groups]
    random.shuffle(parts)
    have, odd, whole, terms, magnitude = loads(dumps(reduce(joined_sums, parts)))
    flat = [one for group in groups for one in group]
    assert (have, odd, whole) == (len(flat), 0, sum(one for one in flat if isinstance(one, int)))
    reals = [one for one in flat if isinstance(one, float)]
    assert sum(map(Fraction, terms)) == sum(map(Fraction, reals))
    assert magnitude == pytest.approx(float(sum(abs(Fraction(one)) for one in reals)))


@given(st.lists(st.tuples(st.integers(), st.integers()), min_size=1))
def test_spans_and_counts_are_joined(rows: list[tuple[int, int]]) -> None:
    times = [[number % 2, *sorted(row)] for number, row in enumerate(rows)]
    low, high = min(map(min, rows)), max(map(max, rows))
    assert reduce(JOINED["times"], times) == [int(len(rows) > 1), low, high]
    assert reduce(JOINED["numbers"], [sorted(row) for row in rows]) == [low, high]
    assert reduce(JOINED["count"], [row[0] for row in rows]) == sum(row[0] for row in rows)


def test_beyond_floats() -> None:
    assert add([1e308, 1e308]) == 1.7976931348623157e308
    assert loads(dumps(added("sum", [{"n": 1e308}, {"n": 1e308}])))["sum"][:3] == [2, 0, 0]


def test_integers_whose_sum_could_not_be_written_are_no_numbers() -> None:
    assert added("sum", [{"n": 10**4_299}, {"n": 10**4_299}, {"n": 1}]) == {"sum": [3, 2, 1, [], 0.0]}
