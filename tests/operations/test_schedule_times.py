from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.operations.schedule_times import JOBS, last_before, minute, next_after


@pytest.fixture(params=["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Apia"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def at(text: str) -> datetime:
    """A local time."""
    return datetime.fromisoformat(text).astimezone()


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize(
    ("job", "now", "before", "after"),
    [
        ("daily", "2026-11-21T05:59:59", "2026-11-20T06:00", "2026-11-21T06:00"),
        ("daily", "2026-11-21T06:00:00", "2026-11-21T06:00", "2026-11-22T06:00"),
        ("weekly", "2026-11-21T12:00:00", "2026-11-15T02:00", "2026-11-22T02:00"),
        ("weekly", "2026-11-22T02:00:00", "2026-11-22T02:00", "2026-11-29T02:00"),
        ("monthly", "2026-11-21T12:00:00", "2026-11-01T01:00", "2026-12-01T01:00"),
        ("monthly", "2026-03-01T00:59:59", "2026-02-01T01:00", "2026-03-01T01:00"),
        ("monthly", "2026-12-31T23:59:59", "2026-12-01T01:00", "2027-01-01T01:00"),
    ],
)
def test_each_job_has_its_time_by_the_local_clock(job: str, now: str, before: str, after: str) -> None:
    assert last_before(job, at(now)) == at(before)
    assert next_after(job, at(now)) == at(after)


@pytest.mark.usefixtures("berlin")
def test_when_the_clocks_change_the_hour_on_the_clock_stays() -> None:
    assert next_after("daily", at("2026-03-28T12:00")) - last_before("daily", at("2026-03-28T12:00")) == timedelta(
        hours=23
    )
    assert next_after("daily", at("2026-10-24T12:00")) - last_before("daily", at("2026-10-24T12:00")) == timedelta(
        hours=25
    )


@pytest.mark.parametrize("job", JOBS)
@given(moment=st.datetimes(datetime(2000, 1, 1), datetime(2090, 1, 1)))  # noqa: DTZ001 - given a zone below
def test_the_last_and_the_next_time_lie_around_now(job: str, moment: datetime) -> None:
    now = moment.replace(tzinfo=UTC)
    before, after = last_before(job, now), next_after(job, now)
    assert before <= now < after
    assert next_after(job, before) == after
    assert last_before(job, after) == after
    assert after - before <= timedelta(days=32)


def test_many_banks_do_not_begin_at_once() -> None:
    ids = [f"01a20059-787d-7b0d-9d19-895c993c{number:04x}" for number in range(600)]
    assert {minute(one) for one in ids} == set(range(60))
