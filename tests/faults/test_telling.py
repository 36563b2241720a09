"""People are told, and the list says unknown, where the disk is full or the watch does nothing any more."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from memorybank_cli.operations.alerts import AlertList, list_
from tests.alerts.receivers import Receiver, receiver
from tests.conftest import Run
from tests.faults.disks import can_mount, fill, small_disk
from tests.faults.storms import new_bank, watching
from tests.operations.banks import opened
from tests.waiting import until


@pytest.fixture
def desk(home: Path) -> Iterator[Receiver]:
    """A channel that is told at once."""
    home.mkdir(exist_ok=True)
    with receiver() as there:
        channel = {"kind": "webhook", "url": there.url, "allow_private": True}
        (home / "alerts.json").write_text(json.dumps({"channels": {"desk": channel}, "group_wait": "0s"}))
        (home / "alerts.json").chmod(0o600)
        yield there


def rules(there: Receiver) -> set[str]:
    return {alert["rule"] for body in there.bodies for alert in json.loads(body)["alerts"]}


def listed(bank: Path) -> AlertList:
    with opened(bank) as one:
        return list_(one)


@pytest.mark.skipif(not can_mount(), reason="this process may make no file systems")
def test_on_a_full_disk_people_are_told_and_the_list_knows_nothing(tmp_path: Path, desk: Receiver) -> None:
    place = tmp_path / "disk"
    place.mkdir()
    with small_disk(place, 8 << 20), watching(new_bank(place / "bank", 3)) as watch:
        fill(place)
        (watch.bank / "trades/old/0.json").unlink()
        for number in range(300):  # links take no room, and what is found of them more than there is left somewhere
            (watch.bank / f"trades/{number}.json").symlink_to("nowhere")
        # What is gone, or, where the catalog takes nothing either, that nobody can look.
        until(lambda: "MB551" in rules(desk) and {"MB111", "MB526"} & rules(desk))
        report = listed(watch.bank)
        assert (report.stale, report.tone) == (True, "warning")
        assert report.summary().startswith("Unknown: findings.sqlite: database or disk is full")
        (place / "filler").unlink()
        watch.sync()
        assert watch.end() == 0
        report = listed(watch.bank)
        assert (report.stale, report.failure) == (False, "")
        assert "MB111" in {one.alert.rule for one in report.alerts}


@pytest.mark.skipif(not can_mount(), reason="this process may make no file systems")
def test_runs_from_cron_on_a_full_disk_tell_once_while_there_is_a_reserve(
    tmp_path: Path, desk: Receiver, run: Run
) -> None:
    place = tmp_path / "disk"
    place.mkdir()
    with small_disk(place, 8 << 20):
        bank = new_bank(place / "bank", 3)
        run("health", "--quiet", "--bank", bank)
        reserve = bank / ".memorybank/reserve"
        assert reserve.stat().st_blocks * 512 == 1 << 20
        fill(place)
        (bank / "trades/old/0.json").unlink()
        run("health", "--quiet", "--bank", bank)
        assert {"MB111", "MB502"} <= rules(desk)
        before = len(desk.bodies)
        for _ in range(2):
            run("health", "--quiet", "--bank", bank)
        assert len(desk.bodies) == before
        assert reserve.stat().st_blocks


def test_beside_a_watch_that_is_stopped_a_run_from_cron_tells(tmp_path: Path, desk: Receiver, run: Run) -> None:
    bank = new_bank(tmp_path / "bank", 3)
    with watching(bank) as watch:
        until(lambda: signs(bank))
        until(lambda: stopped_at_rest(watch.process.pid, bank))
        (bank / "trades/new.json").write_text('{"a": ')
        assert run("health", "--quiet", "--bank", bank).returncode == 1
        assert "MB103" not in rules(desk), "who watches is thought to be alive"
        assert not listed(bank).stale
        a_while_passes(bank, 91)
        report = listed(bank)
        assert not report.stale, "health looked"
        db = sqlite3.connect(bank / ".memorybank/findings.sqlite", isolation_level=None)
        db.execute("DELETE FROM alert_looks WHERE origin = 'health'")
        db.close()
        assert listed(bank).summary().startswith("Unknown since ")
        assert run("health", "--quiet", "--bank", bank).returncode == 1
        assert "MB103" in rules(desk)
        os.kill(watch.process.pid, signal.SIGCONT)
        assert watch.end() == 0
    told = [json.loads(body)["group"] for body in desk.bodies if b"MB103" in body]
    assert told == ["data error trades"], "the one that comes back does not tell it once more"


def stopped_at_rest(pid: int, bank: Path) -> bool:
    """Stop it, and let it go on if that was in the middle of a transaction: then nobody could note what was told."""
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED)
    db = sqlite3.connect(bank / ".memorybank/findings.sqlite", isolation_level=None, timeout=0)
    try:
        db.execute("BEGIN IMMEDIATE")
        return True
    except sqlite3.OperationalError:
        os.kill(pid, signal.SIGCONT)
        return False
    finally:
        db.close()


def signs(bank: Path) -> list[object]:
    """Its sign of life, as anybody reads it."""
    db = sqlite3.connect(bank / ".memorybank/findings.sqlite", isolation_level=None)
    found = db.execute("SELECT * FROM alert_looks WHERE origin = 'telling'").fetchall()
    db.close()
    return found


def a_while_passes(bank: Path, seconds: float) -> None:
    db = sqlite3.connect(bank / ".memorybank/findings.sqlite", isolation_level=None)
    db.execute("UPDATE alert_clock SET monotonic = monotonic - ?", (seconds,))
    db.close()


def test_after_a_watch_that_was_killed_the_list_knows_nothing(tmp_path: Path) -> None:
    bank = new_bank(tmp_path / "bank", 3)
    with watching(bank) as watch:
        until(lambda: signs(bank))
        watch.process.kill()
        watch.process.wait()
    assert not listed(bank).stale
    a_while_passes(bank, 91)
    assert listed(bank).summary().startswith("Unknown since ")
    with watching(bank) as watch:
        until(lambda: not listed(bank).stale)
        assert watch.end() == 0
    assert signs(bank) == []
