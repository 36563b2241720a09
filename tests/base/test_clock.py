from __future__ import annotations

import os
import re
import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.base import clock
from memorybank_cli.base.errors import UsageError

MOMENTS = st.datetimes(
    datetime(1970, 1, 2),  # noqa: DTZ001 - the strategy adds the zone
    datetime(2200, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]),
)


@given(MOMENTS)
def test_what_is_shown_is_parsed_back(moment: datetime) -> None:
    text = clock.show(moment)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", text)
    assert clock.parse(text) == moment


@given(st.integers(0, 7_000_000_000 * 10**9))
def test_nanoseconds_are_shown_to_the_microsecond(ns: int) -> None:
    exact = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=ns // 1000)
    assert abs(clock.parse(clock.from_ns(ns)) - exact) <= timedelta(microseconds=1)


def test_now_is_now() -> None:
    before = time.time_ns()
    assert before <= clock.now_ns() <= time.time_ns()
    assert abs(clock.parse(clock.now()) - datetime.now(UTC)) < timedelta(minutes=1)


def test_naive_times_are_utc() -> None:
    assert clock.parse("2026-11-20") == datetime(2026, 11, 20, tzinfo=UTC)
    assert clock.parse("2026-11-20T15:00:00+01:00") == datetime(2026, 11, 20, 14, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("5m", 300), ("24h", 86_400), ("7d", 604_800), ("2w", 1_209_600)]
)
def test_spans_before_now(text: str, seconds: int) -> None:
    span, before = timedelta(seconds=seconds), datetime.now(UTC)
    assert before <= clock.parse_since(text) + span <= datetime.now(UTC)


def test_times_since() -> None:
    assert clock.parse_since("2026-11-20T14:00:00Z") == datetime(2026, 11, 20, 14, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "d", "x", "7", "-1d", "1.5h", "²d", "99999999999999w", "9" * 5_000 + "s", "7y"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(UsageError, match="is not a time"):
        clock.parse_since(text)


def test_the_machine_is_on_since_it_was_started() -> None:
    before = clock.uptime()
    assert timedelta() < before <= clock.uptime() < timedelta(days=36_500)


@pytest.mark.parametrize(
    ("text", "seconds"), [("0s", 0), ("90s", 90), ("5m", 300), ("24h", 86_400), ("7d", 604_800), ("4w", 2_419_200)]
)
def test_spans(text: str, seconds: int) -> None:
    assert clock.span(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "7", "d", "-7d", "7 d", "1.5h", "7y", "99999999999999w", "soon", "²d", "٣d", "9" * 5_000 + "s"]
)
def test_what_is_no_span(text: str) -> None:
    with pytest.raises(UsageError, match="is not a span of time"):
        clock.span(text)


def test_the_boot_id_stays_and_may_be_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert clock.boot_id() == clock.boot_id()
    real = os.open

    def elsewhere(_path: str, flags: int) -> int:
        return real(tmp_path / "missing", flags)

    monkeypatch.setattr("memorybank_cli.base.clock.os.open", elsewhere)
    assert not clock.boot_id()
