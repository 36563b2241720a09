"""Moments: texts and epochs as agents write them, zones, names, and which members tell the same moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.bank import moments
from memorybank_cli.bank.moments import HOUR, MINUTE, SECOND

NOON = 1_743_422_400 * SECOND  # 2025-03-31T12:00:00Z


@pytest.mark.parametrize(
    ("text", "moment", "naive"),
    [
        ("2025-03-31T12:00:00Z", NOON, False),
        ("2025-03-31T12:00:00", NOON, True),
        ("2025-03-31 12:00:00.000001", NOON + 1, True),
        ("2025-03-31T12:00", NOON, True),
        ("2025-03-31T08:00:00-04:00", NOON, False),
        ("2025-03-31T12:00:00.5+00:00", NOON + 500_000, False),
        ("2025-03-31t12:00:00z", NOON, False),
        ("2025-03-31 12:00:00 Z", NOON, False),
        ("2025-03-31 14:00:00 +0200", NOON, False),
        (1_743_422_400, NOON, False),
        (1_743_422_400.25, NOON + 250_000, False),
        (1_743_422_400_000, NOON, False),
        (1_743_422_400_000_000, NOON, False),
        (1_743_422_400_000_000_000, NOON, False),
    ],
)
def test_moments(text: object, moment: int, naive: bool) -> None:
    assert moments.of_value(text) == (moment, naive)


@pytest.mark.parametrize(
    "value",
    [
        *("2025-03-31", "12:00:00", "2025-13-31T12:00:00", "2025-03-31X12-00-00", "soon, 2025-03-31 or later", ""),
        *(0, 999_999_999, 4_102_444_800, 10**12 - 1, 10**30, -1, True, None, [], {}, float(10**14)),
    ],
)
def test_no_moments(value: object) -> None:
    assert moments.of_value(value) is None


LOCAL = st.integers(NOON - 700_000_000 * SECOND, 4_000_000_000 * SECOND).map(
    lambda moment: datetime(1970, 1, 1) + timedelta(microseconds=moment)  # noqa: DTZ001 - local time
)


@given(LOCAL, st.integers(-14 * 60, 14 * 60))
def test_a_text_is_its_moment_to_the_microsecond(local: datetime, minutes: int) -> None:
    zone = timezone(timedelta(minutes=minutes))
    moment = (local.replace(tzinfo=zone) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert moments.of_value(local.replace(tzinfo=zone).isoformat()) == (moment, False)
    assert moments.of_value(local.isoformat(timespec="microseconds")) == (moment + minutes * MINUTE, True)
    assert moments.of_epoch(moment) == moment


@given(st.integers(NOON, 4_000_000_000 * SECOND), st.sampled_from(["T", " "]), st.sampled_from(["", "Z", "+02:00"]))
def test_a_moment_in_the_manner_of_a_text(moment: int, separator: str, zone: str) -> None:
    text = f"2025-03-31{separator}12:00:00{zone}"
    found = moments.like(moment, text)
    assert moments.of_value(found) == (moment, not zone)
    assert found[10] == separator
    assert found.endswith(zone)


def test_the_manner_of_what_is_no_time() -> None:
    assert moments.like(NOON, "2025-03-31 or so Z") == "2025-03-31 12:00:00Z"


@pytest.mark.parametrize(
    ("number", "epoch"),
    [
        (1_600_000_000, 1_743_422_400),
        (1_600_000_000_000, 1_743_422_400_000),
        (1_600_000_000_000_000, NOON),
        (1_600_000_000_000_000_000, NOON * 1_000),
        (0, 1_743_422_400),
        (0.5, 1_743_422_400.0),
        (1.6e9, 1_743_422_400.0),
    ],
)
def test_a_moment_in_the_unit_of_an_epoch(number: float, epoch: float) -> None:
    found = moments.as_epoch(NOON, number)
    assert (found, type(found)) == (epoch, type(epoch))


@pytest.mark.parametrize(
    ("name", "moment"),
    [
        ("trade_1743422400.json", NOON),
        ("1743422400000-WETH.json", NOON),
        ("trade-1743422400.json", NOON),
        ("trade_1743422400.5.json", NOON),
        ("trade_17434224000.json", None),
        ("trade_0743422400.json", None),
        ("trade_9743422400.json", None),
        ("trade_١٧٤٣٤٢٢٤٠٠.json", None),
        ("trade_x1743422400.json", None),
        ("state.json", None),
    ],
)
def test_an_epoch_in_a_name(name: str, moment: int | None) -> None:
    assert moments.in_name(name) == moment


@pytest.mark.parametrize(
    ("apart", "minutes", "zone"),
    [
        (0, 0, "UTC"),
        (-4 * HOUR, -240, "UTC-4"),
        (-4 * HOUR + 100_831, -240, "UTC-4"),
        (5 * HOUR + 30 * MINUTE - SECOND, 330, "UTC+5:30"),
        (14 * HOUR, 840, "UTC+14"),
    ],
)
def test_spans_as_zones_are(apart: int, minutes: int, zone: str) -> None:
    assert moments.zone_of(apart) == minutes
    assert moments.show_zone(minutes) == zone


@pytest.mark.parametrize("apart", [MINUTE, 14 * HOUR + 15 * MINUTE, -15 * HOUR, 20 * MINUTE])
def test_spans_as_no_zones_are(apart: int) -> None:
    assert moments.zone_of(apart) is None


def test_spans_for_people() -> None:
    assert [moments.show_span(one) for one in (240, -330, 45, 0)] == ["4 h", "5 h 30 min", "45 min", "0 min"]


@pytest.mark.parametrize(
    ("epoch", "text"),
    [
        ("timestamp", "iso_timestamp"),
        ("timestamp_ms", "timestamp"),
        ("open_timestamp", "open_date"),
        ("close_ts", "close_time"),
        ("created_epoch", "created"),
        ("created_ms", "created_at"),
        ("epoch_created", "iso_created"),
        ("ts", "datetime"),
        ("updated", "iso_updated"),
        ("updated", "updated_iso"),
        ("open", "open_date"),
    ],
)
def test_members_that_tell_the_same_moment(epoch: str, text: str) -> None:
    assert text in moments.partners(epoch)
    assert epoch not in moments.partners(epoch)


def test_a_date_beside_a_timestamp_may_be_another_one() -> None:
    assert "date" not in moments.partners("timestamp")
    assert "updated_at" not in moments.partners("updated")


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59"])
def test_the_edges_of_the_calendar_are_no_moments(text: str) -> None:
    assert moments.of_value(text) is None
    assert moments.of_value("9999-12-30T23:59:59-14:00") is None
    for inside in ("9999-12-30T23:59:59+00:00", "0001-01-02T00:00:00+00:00"):
        moment = moments.of_value(inside)
        assert moment is not None
        for manner in ("2024-01-01T00:00:00-23:59", "2024-01-01T00:00:00+23:59"):
            assert moments.of_value(moments.like(moment[0], manner)) in (moment, None)


def test_a_very_long_name_has_no_partners() -> None:
    assert moments.partners("epoch_" * 1_000_000) == ()
