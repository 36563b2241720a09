from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.alerts import heartbeats
from memorybank_cli.alerts.heartbeats import Beat, beat, overdue, read
from memorybank_cli.bank.bank import Bank
from memorybank_cli.base import clock
from memorybank_cli.base.errors import UsageError
from tests.alerts.receivers import receiver, status
from tests.conftest import MakeBank
from tests.operations.banks import opened

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def on_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine was not off of late, wherever this runs."""
    monkeypatch.setattr(clock, "uptime", lambda: timedelta(days=90))


@pytest.fixture
def bank(make_bank: MakeBank) -> Iterator[Bank]:
    with opened(make_bank(0)) as found:
        yield found


def alerts_json(home: Path, **beats: Any) -> None:
    home.mkdir(exist_ok=True)
    (home / "alerts.json").write_text(json.dumps({"heartbeats": beats}))
    (home / "alerts.json").chmod(0o600)


def left(bank: Bank, job: str, **fields: Any) -> None:
    """A heartbeat as a file of these fields."""
    path = Path(bank.root.path, f".memorybank/heartbeats/{job}.json")
    path.parent.mkdir(exist_ok=True)
    whole = {"job": job, "ok": True, "at": "2026-11-21T06:00:00Z", "seconds": 2.0, "next_due": None, "detail": ""}
    path.write_text(json.dumps({**whole, **fields}))


def test_a_job_leaves_a_sign_of_life(bank: Bank) -> None:
    due = datetime.now(UTC) + timedelta(days=1)
    assert beat(bank, "daily", True, 12.3456, due, "7 steps") == []
    [one] = read(bank.root)
    assert one == Beat("daily", True, one.at, 12.346, clock.show(due), "7 steps")
    assert (datetime.now(UTC) - clock.parse(one.at)).total_seconds() < 60
    assert json.loads(bank.root.read(".memorybank/heartbeats/daily.json")) == one.as_dict()
    assert os.stat(bank.root.absolute(".memorybank/heartbeats/daily.json")).st_mode & 0o777 == 0o600
    assert overdue(bank.root) == []


def test_without_jobs_nothing_is_overdue(bank: Bank) -> None:
    assert (read(bank.root), overdue(bank.root)) == ([], [])


@pytest.mark.parametrize("job", ["", "../x", ".hidden", "a/b", "x" * 65])
def test_a_job_has_a_plain_name(bank: Bank, job: str) -> None:
    with pytest.raises(UsageError):
        beat(bank, job, True, 1.0)


def test_a_job_is_overdue_after_some_grace(bank: Bank) -> None:
    left(bank, "daily", next_due="2026-11-21T10:00:00Z")
    assert overdue(bank.root, NOW) == []
    [one] = overdue(bank.root, NOW + timedelta(seconds=1))
    assert (one.rule, one.severity, one.path) == ("MB560", "error", ".memorybank/heartbeats/daily.json")
    assert one.message == "daily was due at 2026-11-21T10:00:00.000000Z; it last ran at 2026-11-21T06:00:00.000000Z"
    assert "schedule show" in one.hint


def test_nobody_is_late_while_the_machine_is_off(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    left(bank, "daily", next_due="2026-11-21T06:00:00Z")
    for minutes, late in ((1, 0), (119, 0), (121, 1)):
        monkeypatch.setattr(clock, "uptime", lambda minutes=minutes: timedelta(minutes=minutes))
        assert len(overdue(bank.root, NOW)) == late


def test_nobody_is_late_before_it_was_scheduled(bank: Bank) -> None:
    left(bank, "daily", next_due="2026-06-21T06:00:00Z")  # on the machine where the bank was before
    assert overdue(bank.root, NOW, since=NOW - timedelta(minutes=119)) == []
    assert len(overdue(bank.root, NOW, since=NOW - timedelta(minutes=121))) == 1


def test_overdue_is_worse_than_failed(bank: Bank) -> None:
    left(bank, "daily", ok=False, detail="backup \x1b[31m", next_due="2026-11-21T13:00:00Z")
    [one] = overdue(bank.root, NOW)
    assert (one.rule, one.message) == ("MB561", "the last run of daily failed: backup \\x1b[31m")
    left(bank, "daily", ok=False, next_due="2026-11-21T13:00:00Z")
    assert overdue(bank.root, NOW)[0].message == "the last run of daily failed"
    assert [one.rule for one in overdue(bank.root, NOW + timedelta(days=1))] == ["MB560"]


def test_a_job_from_the_future_is_not_trusted(bank: Bank) -> None:
    left(bank, "daily", at="2026-11-21T12:04:00Z", next_due="2036-11-21T12:04:00Z")
    assert overdue(bank.root, NOW) == []
    left(bank, "daily", at="2036-11-21T12:00:00Z", next_due="2036-11-22T12:00:00Z")
    [one] = overdue(bank.root, NOW)
    assert one.rule == "MB560"
    assert "in the future" in one.message


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(300),
        b"[]",
        b'{"ok": true}',
        b'{"ok": 1, "at": "2026-11-21T06:00:00Z", "seconds": 1}',
        b'{"ok": true, "at": "yesterday", "seconds": 1}',
        b'{"ok": true, "at": 5, "seconds": 1}',
        b'{"ok": true, "at": "2026-11-21T06:00:00Z", "seconds": "1"}',
        b'{"ok": true, "at": "2026-11-21T06:00:00Z", "seconds": 1, "next_due": 7}',
        b'{"ok": true, "at": "0001-01-01T00:00:00+14:00", "seconds": 1}',
        b" " * 100_000,
    ],
)
def test_a_damaged_heartbeat_is_no_sign_of_life(bank: Bank, data: bytes) -> None:
    left(bank, "daily")
    Path(bank.root.path, ".memorybank/heartbeats/daily.json").write_bytes(data)
    [one] = overdue(bank.root, NOW)
    assert (one.rule, read(bank.root)) == ("MB560", [])
    assert "damaged" in one.message
    beat(bank, "daily", True, 1.0)
    assert overdue(bank.root) == []


def test_what_stands_between_date_and_hour_is_not_shown(bank: Bank) -> None:
    left(bank, "daily", next_due="2026-11-20\x1b05:00:00Z")
    assert "\x1b" not in overdue(bank.root, NOW)[0].message


def test_other_files_there_are_no_jobs(bank: Bank) -> None:
    left(bank, "daily")
    for name in ("notes.txt", "a b.json", ".x.json"):
        Path(bank.root.path, ".memorybank/heartbeats", name).write_bytes(b"{")
    assert [one.job for one in read(bank.root)] == ["daily"]


def test_no_room_for_it_is_told_and_fails_no_job(bank: Bank) -> None:
    Path(bank.root.path, ".memorybank/heartbeats").write_bytes(b"")
    [note] = beat(bank, "daily", True, 1.0)
    assert note.startswith("no heartbeat of daily was left: ")


def test_a_good_run_pings_and_a_failed_one_does_not(bank: Bank, home: Path) -> None:
    with receiver(status(200)) as there:
        alerts_json(home, daily={"url": there.url, "allow_private": True})
        assert beat(bank, "daily", True, 1.0) == []
        assert beat(bank, "daily", False, 1.0) == []
        assert beat(bank, "weekly", True, 1.0) == []
        assert [one.split(b"\r\n")[0] for one in there.requests] == [b"GET /hooks/T0KEN?key=s3cret HTTP/1.1"]
        alerts_json(home, daily={"url": there.url, "fail_url": there.url + "&fail", "allow_private": True})
        beat(bank, "daily", False, 1.0)
    assert there.requests[1].startswith(b"GET /hooks/T0KEN?key=s3cret&fail HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("definition", "words"),
    [
        ("http://127.0.0.1:9/T0KEN", "private address"),
        ("T0KEN", "the URL does not begin with https://"),
        (7, "neither a URL nor an object"),
        ({"url": 7}, "its URL is no text"),
        ({"url": "https://127.0.0.1:9/T0KEN", "timeout": "T0KEN"}, "no number of seconds"),
    ],
)
def test_a_ping_that_fails_is_told_without_its_url(bank: Bank, home: Path, definition: Any, words: str) -> None:
    alerts_json(home, daily=definition)
    [note] = beat(bank, "daily", True, 1.0)
    assert note.startswith("the ping of daily did not arrive: ")
    assert words in note
    assert "T0KEN" not in note
    assert [one.ok for one in heartbeats.read(bank.root)] == [True]
