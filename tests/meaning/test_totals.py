"""Totals: when a stated value agrees with the records, and what should stand there."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.bank.adding import add, joined_sums
from memorybank_cli.meaning.totals import Count, Extreme, Sum, near

NOON = 1_743_422_400_000_000
HOUR = 3_600_000_000


@pytest.mark.parametrize(
    ("claim", "tolerance", "agrees"),
    [
        (450, None, True),
        (450.0, None, True),
        (451, None, False),
        (True, None, False),
        ("450", None, False),
        (None, None, False),
        (440, 0.03, True),
        (430, 0.03, False),
    ],
)
def test_counts(claim: Any, tolerance: float | None, agrees: bool) -> None:
    count = Count(450, tolerance)
    assert count.agrees(claim) is agrees
    assert (count.value(claim), count.known) == (450, True)
    assert not Count(0, None).known
    assert Count(0, None).agrees(0)


def test_a_sum_of_integers_is_exact() -> None:
    total = Sum([2, 0, 10**30 + 1, [], 0.0], 2, None)
    assert total.agrees(10**30 + 1)
    assert not total.agrees(10**30)
    assert total.agrees(1e30)
    assert total.value(0) == 10**30 + 1
    assert Sum([2, 0, 10**30 + 1, [], 0.0], 2, 1e-9).agrees(10**30)


@given(st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=200))
def test_a_sum_of_floats_agrees_however_it_was_added(values: list[float]) -> None:
    state: list[Any] = [0, 0, 0, [], 0.0]
    for one in values:
        state = joined_sums(state, [1, 0, 0, [one], abs(one)])
    total, running = Sum(state, len(values), None), 0.0
    for one in reversed(values):
        running += one
    assert total.agrees(running)
    assert total.agrees(total.value(0))
    assert total.value(0) == add(values)
    assert not total.agrees(running + 1e-6 * (1 + state[4]))


def test_a_sum_of_nothing() -> None:
    no_records, no_member, no_numbers = Sum(None, 0, None), Sum(None, 3, None), Sum([3, 3, 0, [], 0.0], 3, None)
    assert (no_records.agrees(0), no_records.agrees(1), no_records.value(1)) == (True, False, 0)
    for one in (no_member, no_numbers):
        assert (one.known, one.agrees(0), one.value(0)) == (False, False, None)
    assert not Sum([1, 0, 5, [], 0.0], 1, None).agrees("5")


def test_a_float_beside_an_integer_beyond_floats() -> None:
    total = Sum([2, 0, 10**400, [0.5], 0.5], 2, None)
    assert total.value(0) == 10**400
    assert not total.agrees(0.5)
    assert Sum([2, 0, 3, [0.25], 0.25], 2, None).value(0) == 3.25


@pytest.mark.parametrize(
    ("claim", "agrees"),
    [
        ("2025-03-31T12:00:00Z", True),
        ("2025-03-31T12:00:00.9Z", True),
        ("2025-03-31 14:00:00+02:00", True),
        (1_743_422_400, True),
        (1_743_422_400_000, True),
        ("2025-03-31T12:00:01Z", False),
        ("2025-03-31T08:00:00", True),
        ("2025-03-31T08:10:00", False),
        ("2025-03-31T08:00:00Z", False),
        ("yesterday", False),
        (17, False),
        (None, False),
    ],
)
def test_times_agree_as_moments(claim: Any, agrees: bool) -> None:
    last = Extreme([0, NOON - HOUR, NOON], None, False, 5, None)
    assert last.agrees(claim) is agrees
    assert Extreme([1, NOON, NOON + HOUR], None, True, 5, None).agrees("2025-03-31T12:00:00")


def test_times_of_both_kinds_are_one_line() -> None:
    early = (NOON - HOUR) // 1_000_000
    first = Extreme([0, NOON, NOON + HOUR], [early, early], True, 5, None)
    assert first.agrees("2025-03-31T11:00:00Z")
    assert first.agrees(early * 1_000)
    assert not first.agrees("2025-03-31T12:00:00Z")


def test_tolerance_of_times_is_in_seconds() -> None:
    last = Extreme([0, NOON, NOON], None, False, 1, 60.0)
    assert last.agrees("2025-03-31T12:01:00Z")
    assert not last.agrees("2025-03-31T12:01:01Z")


def test_numbers() -> None:
    least, largest = (Extreme(None, [-1.5, 10**30], one, 5, None) for one in (True, False))
    assert least.agrees(-1.5)
    assert not least.agrees("-1.5")
    assert largest.agrees(1e30)
    assert (least.value(0), largest.value("x"), least.name("/fee"), largest.name("/fee")) == (
        -1.5,
        10**30,
        "the least /fee",
        "the largest /fee",
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("2025-01-01T00:00:00Z", "2025-03-31T12:00:00Z"),
        ("2025-01-01 00:00:00", "2025-03-31 12:00:00"),
        ("2025-01-01T00:00:00-04:00", "2025-03-31T08:00:00-04:00"),
        (1_600_000_000_000, 1_743_422_400_000),
        (0, 1_743_422_400),
        (None, "2025-03-31T12:00:00.000000Z"),
        ("never", "2025-03-31T12:00:00.000000Z"),
    ],
)
def test_a_time_in_the_manner_of_what_stood_there(old: Any, new: Any) -> None:
    last = Extreme([0, NOON, NOON], None, False, 1, None)
    assert last.value(old) == new
    assert last.agrees(new)
    assert last.name("/at") == "the last time"


def test_epochs_stay_epochs_unless_a_text_stood_there() -> None:
    epoch = NOON // 1_000_000
    first = Extreme(None, [epoch, epoch], True, 1, None)
    assert first.value(7) == first.value(None) == epoch
    assert first.value("2025-01-01T00:00:00Z") == "2025-03-31T12:00:00Z"


def test_an_extreme_of_nothing() -> None:
    nothing, no_member = Extreme(None, None, True, 0, None), Extreme(None, None, True, 3, None)
    assert nothing.agrees("anything")
    assert (no_member.agrees(None), no_member.agrees(3), no_member.known) == (True, False, False)
    assert no_member.value(3) is None


def test_nearness() -> None:
    assert near(10**400, 10**400, 0)
    assert not near(10**400, 10**399, 1e-9)
    assert near(0.1 + 0.2, 0.3, 1e-9)
    assert near(1e-12, 0, 1e-9, magnitude=1.0)
    assert not near(1e-12, 0, 1e-9)
