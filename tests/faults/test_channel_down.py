"""A channel that is down for a day: each hour another process, and none loses a message or hammers the receiver."""

from __future__ import annotations

import json
import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.alerts import waiting
from memorybank_cli.alerts.breaker import LONGEST_OPEN, OPENS_AT
from memorybank_cli.base import clock
from memorybank_cli.base.records import Finding
from memorybank_cli.operations.alerting import raise_alerts
from memorybank_cli.operations.alerts import list_
from tests.alerts.feeding import damage
from tests.alerts.receivers import Receiver, receiver, status
from tests.conftest import MakeBank
from tests.operations.banks import opened

HOURS = 24
MOST = 20
"""Messages that may wait, fewer than usual so that a day is enough for too many."""


def an_hour_passes(path: Path) -> None:
    """All that is in findings.sqlite was an hour longer ago, by both clocks."""
    db = sqlite3.connect(path / ".memorybank/findings.sqlite")
    db.execute("UPDATE alert_clock SET monotonic = monotonic - 3600, wall = wall - 3600")
    db.execute("UPDATE channels SET tried = tried - 3600, claimed = claimed - 3600")
    times = db.execute("SELECT number, created_at FROM deliveries").fetchall()
    earlier = [(clock.show(clock.parse(at) - timedelta(hours=1)), number) for number, at in times]
    db.executemany("UPDATE deliveries SET created_at = ? WHERE number = ?", earlier)
    db.commit()
    db.close()


def look(path: Path, findings: list[Finding]) -> list[dict[str, Any]]:
    """What one run from cron does and says."""
    with opened(path) as bank:
        return raise_alerts(bank, findings)


def hook(home: Path, there: Receiver) -> None:
    home.mkdir(exist_ok=True)
    file = home / "alerts.json"
    file.write_text(json.dumps({"channels": {"desk": {"kind": "webhook", "url": there.url, "allow_private": True}}}))
    file.chmod(0o600)


def waiting_rows(path: Path) -> tuple[int, int]:
    """How many messages wait for the channel, and for how many they stand."""
    db = sqlite3.connect(path / ".memorybank/findings.sqlite")
    query = "SELECT count(*), sum(stands_for) FROM deliveries WHERE channel = 'desk' AND delivered_at IS NULL"
    count, stands_for = db.execute(query + " AND merged_into = ''").fetchone()
    db.close()
    return count, stands_for or 0


def test_a_channel_that_is_down_for_a_day(make_bank: MakeBank, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "MOST", MOST)
    path, findings, tries = make_bank(padded=False), list[Finding](), list[int]()
    with receiver(status(503)) as down:
        hook(home, down)
        for hour in range(HOURS):
            findings += [damage(f"{section}/{hour}.json") for section in ("trades", "state", "metrics")]
            look(path, findings)
            tries.append(len(down.requests))
            assert waiting_rows(path)[0] <= MOST
            if hour == HOURS // 2:
                # The machine is started anew: what was waited for is over, and how often it failed is not forgotten.
                with sqlite3.connect(path / ".memorybank/findings.sqlite") as db:
                    db.execute("UPDATE channels SET boot = 'before'")
                db.close()
            an_hour_passes(path)
    # One message tries now and then, not all that wait; nobody asks more often than each run, and in an hour once.
    assert OPENS_AT <= tries[-1] <= HOURS
    assert max(later - before for before, later in zip(tries, tries[1:], strict=False)) <= 1
    with opened(path) as bank:
        listed = list_(bank)
    assert {one.alert.path for one in listed.alerts if one.alert.rule == "MB101"} == {one.path for one in findings}
    assert "MB552" in {one.alert.rule for one in listed.alerts}
    logged = [json.loads(line) for line in (path / ".memorybank/alerts.log").read_text().splitlines()]
    assert "MB552" in {alert["rule"] for notice in logged for alert in notice["alerts"]}, "nobody was told elsewhere"

    rows, stands_for = waiting_rows(path)
    assert stands_for > MOST >= rows
    with receiver() as back:
        hook(home, back)
        an_hour_passes(path)  # the longest that an open breaker waits
        assert LONGEST_OPEN <= 3_600
        lines = look(path, findings)
        bodies = [json.loads(body) for body in back.bodies]
    assert {one["type"] for one in lines} == {"delivered"}
    old = [one for one in bodies if one["delivery"]["late_seconds"] > 60]
    assert (len(old), sum(one["delivery"]["stands_for"] for one in old)) == (rows, stands_for)
    late = [round(one["delivery"]["late_seconds"] / 3_600) for one in old]
    assert late == sorted(late, reverse=True), "in order"
    assert late[0] >= HOURS
    told = sum(one["firing"] for one in old)
    assert told >= len(findings), "each alert is counted at least once"
    assert waiting_rows(path) == (0, 0)
    look(path, findings)
    with opened(path) as bank:
        assert "MB552" not in {one.alert.rule for one in list_(bank).alerts}
