"""What moments the times of other programs mean."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.base import clock
from memorybank_cli.migrations.moments import NAIVE, SECONDS, Moment, moment

T = "2025-03-31T04:15:26.000000Z"
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda one: st.lists(one, max_size=2) | st.dictionaries(st.text(), one, max_size=2),
    max_leaves=3,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1743394526, T),
        (1743394526.5, "2025-03-31T04:15:26.500000Z"),
        (1743394526_000, T),
        (1743394526_123, "2025-03-31T04:15:26.123000Z"),
        (1743394526_123456, "2025-03-31T04:15:26.123456Z"),
        (1743394526_123456789, "2025-03-31T04:15:26.123456Z"),
        ("1743394526", T),
        ("1743394526.5", "2025-03-31T04:15:26.500000Z"),
        (0, "1970-01-01T00:00:00.000000Z"),
        ("2025-03-31T04:15:26Z", T),
        ("2025-03-31T06:15:26+02:00", T),
        (" 2025-03-31 04:15:26 ", T),
        ("20250331", "2025-03-31T00:00:00.000000Z"),
        (None, ""),
        ("", ""),
    ],
)
def test_times(value: Any, text: str) -> None:
    assert moment(value).text == text


def test_what_was_assumed_is_said() -> None:
    assert moment("2025-03-31T04:15:26") == Moment(T, NAIVE)
    assert moment("2025-03-31T04:15:26Z") == Moment(T, "")
    assert moment(1743394526).assumed == SECONDS
    assert "milliseconds" in moment(1743394526_000).assumed
    assert moment(None) == Moment("", "")


@pytest.mark.parametrize(
    "value",
    [
        True, False, -1, -1.5, 1e300, 10**400, 10**20, "99999-01-01T00:00:00Z", "yesterday", [], {}, " ",
        "0001-01-01T00:00:00+23:00", "9" * 19 + ".5",
    ],
)  # fmt: skip
def test_absurd_times_are_none(value: Any) -> None:
    with pytest.raises(ValueError, match="none that can be read"):
        moment(value)


@given(json_values)
def test_any_value_is_a_moment_or_none(value: Any) -> None:
    try:
        found = moment(value)
    except ValueError:
        return
    assert found.text == "" or clock.show(clock.parse(found.text)) == found.text


@given(st.datetimes(datetime(1973, 4, 1), datetime(5000, 1, 1)))  # noqa: DTZ001 - the zone is put on below
def test_all_units_mean_the_same(when: datetime) -> None:
    seconds = int(when.replace(tzinfo=UTC).timestamp())
    assert len({moment(seconds * unit).text for unit in (1, 10**3, 10**6)}) == 1
