from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.alerts.ledger import Ledger
from memorybank_cli.bank.events import EventStore
from memorybank_cli.bank.journal import Entry
from memorybank_cli.base.locks import Lock
from memorybank_cli.base.records import Finding, Progress
from memorybank_cli.integrity.requests import LOCK, prepare
from memorybank_cli.operations.alert_keeping import RESERVES, Keeping
from memorybank_cli.operations.alert_rules import silence
from memorybank_cli.operations.alerting import Alerting, Line, feed, raise_alerts
from memorybank_cli.operations.alerts import ack, list_
from tests.alerts.feeding import damage, open_to_others, pass_time, slow
from tests.conftest import MakeBank, Run
from tests.operations.banks import opened, put
from tests.waiting import until

connect = sqlite3.connect


@pytest.fixture
def path(make_bank: MakeBank) -> Path:
    return make_bank(padded=False)


@contextmanager
def alerting(path: Path) -> Iterator[Alerting]:
    with opened(path) as bank:
        found = Alerting(bank)
        try:
            yield found
        finally:
            found.close()


def later(one: Alerting, seconds: float) -> list[Line]:
    """What it says once so much time has passed; the time passes from outside, as for any process."""
    store = EventStore(one.bank.root)
    try:
        pass_time(store, seconds)
    finally:
        store.close()
    return one.run()


def told(lines: list[Line]) -> list[tuple[str, int, int]]:
    return [(line["group"], line["firing"], line["resolved"]) for line in lines if line["type"] == "alert"]


def logged(path: Path) -> list[dict[str, Any]]:
    file = path / ".memorybank/alerts.log"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_what_is_found_is_told_on_the_terminal_and_in_the_log(path: Path) -> None:
    with alerting(path) as one:
        one.looked([damage("trades/a.json"), damage("trades/b.json")])
        assert told(one.run()) == []
        [line] = [line for line in later(one, 31) if line["type"] == "alert"]
        assert (line["group"], line["firing"], line["severity"]) == ("data error trades", 2, "error")
        until(lambda: logged(path))
        [notice] = logged(path)
        assert (notice["group"], notice["channel"], notice["firing"]) == ("data error trades", "log", 2)
        one.told([], [damage("trades/a.json")])
        one.run()
        assert told(later(one, 301)) == [("data error trades", 1, 1)]


def test_it_wants_to_run_when_there_is_something_to_tell(path: Path) -> None:
    with alerting(path) as one:
        one.run()
        assert 1 < one.due() - time.monotonic() <= 5
        one.looked([])
        assert one.due() - time.monotonic() > 1
        one.told([], [])
        assert one.due() - time.monotonic() > 1
        one.told([damage()], [])
        assert one.due() - time.monotonic() <= 1


def test_what_another_process_found_is_told_here(path: Path) -> None:
    with alerting(path) as one:
        assert told(one.run()) == []
        with opened(path) as bank:
            feed(bank, [Finding("MB502", "no room", level="critical")], "health")
        assert told(one.run()) == []
        assert told(later(one, 6)) == [("performance critical bank", 1, 0)]


def test_a_full_disk_hinders_nobody_beside_it_in_this_process(path: Path) -> None:
    with alerting(path) as one:
        one.run()
        fill(one)
        full = [Finding("MB502", "x" * 5_000, f"place{number}", level="critical") for number in range(50)]
        assert feed(one.bank, full, "sampling")
        assert in_memory(one)
        assert len(one.ledger.firing()) == 50
        assert feed(one.bank, [], "sampling")
        assert one.ledger.firing() == []


def test_at_the_end_nothing_waits(path: Path) -> None:
    with alerting(path) as one:
        one.looked([damage()])
    assert [(one["group"], one["firing"]) for one in logged(path)] == [("data error trades", 1)]
    with opened(path) as bank:
        assert raise_alerts(bank, [damage()]) == []  # told already
    assert len(logged(path)) == 1


def test_a_run_from_cron_tells_at_once(path: Path) -> None:
    with opened(path) as bank:
        [line] = raise_alerts(bank, [damage(), slow()])
        assert (line["type"], line["channel"], line["group"]) == ("delivered", "log", "data error trades")
    assert len(logged(path)) == 1
    with opened(path) as bank:
        report = list_(bank)
        assert [(one.alert.rule, one.alert.state) for one in report.alerts] == [
            ("MB504", "pending"),
            ("MB101", "firing"),
        ]


def test_the_next_watch_shows_what_fires_on_its_terminal_again(path: Path) -> None:
    for _ in range(2):
        with alerting(path) as one:
            one.store.db.execute("INSERT OR REPLACE INTO alert_told VALUES ('terminal:999999999', 'x', 'error', 'x')")
            one.looked([damage()])
            one.run()
            assert told(later(one, 31)) == [("data error trades", 1, 0)]
    with alerting(path) as one:
        channels = {row[0] for row in one.store.db.execute("SELECT channel FROM alert_told")}
    assert channels == {"log"}
    assert len(logged(path)) == 1


def test_two_processes_tell_each_thing_once(path: Path) -> None:
    with alerting(path) as one, alerting(path) as other:
        for each in (one, other):
            each.looked([damage()])
            each.run()
        later(one, 31)
        other.run()
        until(lambda: logged(path))
        later(one, 301)
        other.run()
    assert len(logged(path)) == 1


@pytest.mark.slow
def test_a_flood_is_at_most_ten_messages_and_nothing_is_missing(path: Path, home: Path) -> None:
    home.mkdir(parents=True, exist_ok=True)
    ops = path.parent / "ops.jsonl"
    channels = {"ops": {"kind": "file", "path": str(ops)}}
    put(home / "alerts.json", {"channels": channels, "default": ["ops", "log", "terminal"]})
    (home / "alerts.json").chmod(0o600)
    kinds = [
        lambda n: damage(f"account_{n % 500}/{n}.json"),
        lambda n: open_to_others(f"account_{n % 500}/{n}"),
        lambda n: Finding("MB115", "bit rot", f"trades/{n}.json"),
        lambda n: Finding("MB504", f"slow {n}", f"account_{n}", level="error"),
    ]
    findings = [kinds[number % 4](number) for number in range(10_000)]
    shown: list[Line] = []
    with alerting(path) as one:
        for part in range(10):
            one.told(findings[part::10], [])
            shown += [line for line in later(one, 6) if line["type"] == "alert"]
        for _ in range(12):  # ten minutes without anything new
            shown += [line for line in later(one, 50) if line["type"] == "alert"]
        counts = dict(map(tuple, one.store.db.execute("SELECT channel, count(*) FROM alert_told GROUP BY channel")))
    assert counts == {"ops": 10_000, "log": 10_000, f"terminal:{os.getpid()}": 10_000}
    assert 0 < len(logged(path)) <= 10
    assert 0 < len(ops.read_text().splitlines()) <= 10
    assert 0 < len(shown) <= 10
    with opened(path) as bank:
        listed = {one.alert.fingerprint for one in list_(bank).alerts}
    assert listed == {one.fingerprint for one in findings}


def test_an_alert_about_the_alerting_itself(path: Path, home: Path) -> None:
    home.mkdir(parents=True, exist_ok=True)
    put(home / "alerts.json", b"{")
    with alerting(path) as one:
        one.run()
        assert [alert.rule for alert in one.ledger.firing()] == ["MB550"]
        put(home / "alerts.json", {"channels": {"ops": {"kind": "nonsense"}}, "default": ["log"]})
        (home / "alerts.json").chmod(0o600)
        one.run()
        assert [alert.rule for alert in one.ledger.firing()] == ["MB554"]
        (home / "alerts.json").unlink()
        one.run()
        assert one.ledger.firing() == []


def test_what_was_wrong_with_the_alerting_is_over_for_the_next_process_too(path: Path, home: Path) -> None:
    home.mkdir(parents=True, exist_ok=True)
    put(home / "alerts.json", b"{")
    with opened(path) as bank:
        raise_alerts(bank, [])
    (home / "alerts.json").unlink()
    with opened(path) as bank:
        raise_alerts(bank, [])
        assert list_(bank).counts == {"firing": 0, "pending": 0, "resolved": 1}


def test_settings_hold_as_soon_as_they_are_written(path: Path, home: Path) -> None:
    with alerting(path) as one:
        one.looked([damage()])
        assert told(one.run()) == []
        home.mkdir(parents=True, exist_ok=True)
        put(home / "alerts.json", {"group_wait": "0s"})
        (home / "alerts.json").chmod(0o600)
        assert told(one.run()) == [("data error trades", 1, 0)]


def in_memory(one: Alerting) -> bool:
    return one.store.in_memory


def fill(one: Alerting) -> None:
    """From now on the database may not grow: SQLite says that the disk is full."""
    pages = one.store.db.execute("PRAGMA page_count").fetchone()[0]
    one.store.db.execute(f"PRAGMA max_page_count={pages}")


def test_a_full_disk_is_told_from_memory(path: Path) -> None:
    with alerting(path) as one:
        one.looked([open_to_others()])
        one.run()
        fill(one)
        one.looked([damage(f"trades/{number}.json", "x" * 500) for number in range(100)])
        assert in_memory(one)
        one.run()
        assert {alert.rule for alert in one.ledger.firing()} == {"MB101", "MB303", "MB551"}
        pass_time(one.store, 61)
        one.told([damage("trades/last.json")], [])
        assert told(one.run()) == [
            ("security warning trades", 1, 0),
            ("data error trades", 101, 0),
            ("performance error bank", 1, 0),
        ]
        until(lambda: len(logged(path)) == 3)
        assert "disk is full" in str(logged(path))


def test_a_run_from_cron_gives_up_its_reserve_once(path: Path) -> None:
    reserve = path / ".memorybank/reserve"
    with opened(path) as bank:
        raise_alerts(bank, [damage("trades/0.json")])
        assert reserve.stat().st_size == RESERVES[0]
        keeping, tries = Keeping(bank, 1.0, lasting=False), list[bool]()

        def write() -> str:
            tries.append(reserve.exists())
            if len(tries) < 2:
                error = sqlite3.OperationalError("database or disk is full")
                error.sqlite_errorcode = sqlite3.SQLITE_FULL
                raise error
            return "written"

        assert (keeping.kept(write), tries) == ("written", [True, False])
        assert not keeping.store.in_memory
        tries.clear()
        assert (keeping.kept(write), tries, keeping.store.in_memory) == ("written", [False, False], True)
        keeping.close()
        assert reserve.exists()
        lasting = Keeping(bank, 1.0)
        tries.clear()
        assert (lasting.kept(write), tries, lasting.store.in_memory) == ("written", [True, True], True)
        lasting.close()


def test_what_nobody_can_remove_is_no_reserve(path: Path) -> None:
    (path / ".memorybank/reserve").mkdir()
    with opened(path) as bank:
        keeping = Keeping(bank, 1.0, lasting=False)
        keeping.kept(keeping.store.leave_disk)
        assert not keeping._gave_room()
        keeping.close()


def test_when_there_is_room_again_what_was_told_meanwhile_is_kept(path: Path) -> None:
    with alerting(path) as one:
        one.run()
        fill(one)
        one.looked([damage(f"trades/{number}.json", "x" * 500) for number in range(100)])
        assert in_memory(one)
        pass_time(one.store, 31)
        one.run()
        pass_time(one.store, 31)
        one.told([damage("trades/last.json")], [])
        assert told(one.run()) == [("data error trades", 101, 0), ("performance error bank", 1, 0)]
        assert in_memory(one)
    # The end tries once more; the new connection has no limit.
    with opened(path) as bank:
        report = list_(bank)
    assert {one.alert.rule for one in report.alerts} == {"MB101"}
    assert report.counts == {"firing": 101, "pending": 0, "resolved": 1}
    with alerting(path) as one:
        one.looked([damage("trades/last.json")])
        one.run()
        later(one, 400)
    told_of = [(one["firing"], one["resolved"]) for one in logged(path) if one["group"] == "data error trades"]
    assert told_of == [(101, 0), (1, 100)]


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is tried again with each run."""
    monkeypatch.setattr("memorybank_cli.operations.alert_keeping.RETURNS_EVERY", 0.0)
    monkeypatch.setattr("memorybank_cli.operations.alert_keeping.COST", 0)


@pytest.mark.usefixtures("at_once")
def test_it_is_tried_again_by_and_by(path: Path) -> None:
    with alerting(path) as one:
        file = path / ".memorybank/findings.sqlite"
        fill(one)
        one.looked([damage(f"trades/{number}.json", "x" * 500) for number in range(100)])
        file.rename(path / "away")
        file.mkdir()
        one.run()
        assert in_memory(one)
        file.rmdir()
        (path / "away").rename(file)
        one.run()
        assert not in_memory(one)
        assert len(one.ledger.firing()) >= 100


@pytest.mark.usefixtures("at_once")
def test_a_file_that_is_damaged_meanwhile_is_put_aside(path: Path) -> None:
    with alerting(path) as one:
        one.looked([damage(f"trades/{number}.json") for number in range(200)])
        one.store.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        one.store.db.execute("PRAGMA cache_size=1")
        file = path / ".memorybank/findings.sqlite"
        data = file.read_bytes()
        file.write_bytes(data[:4096] + b"\xff" * (len(data) - 4096))
        one.store.db.execute("PRAGMA shrink_memory")
        one.looked([damage("trades/7.json")])
        assert in_memory(one)
        one.run()
        assert not in_memory(one)
        assert (path / one.store.lost).exists()
        one.looked([damage("trades/7.json")])
        one.run()
        assert {alert.rule for alert in one.ledger.firing()} == {"MB101", "MB551"}


def test_where_nothing_can_be_written_alerts_are_told_all_the_same(path: Path) -> None:
    (path / ".memorybank/findings.sqlite").unlink(missing_ok=True)
    (path / ".memorybank/findings.sqlite").mkdir()
    with alerting(path) as one:
        one.looked([damage()])
    assert sorted(notice["group"] for notice in logged(path)) == ["data error trades", "performance error bank"]


@contextmanager
def busy(path: Path) -> Iterator[None]:
    """Somebody writes and does not come to an end."""
    db = sqlite3.connect(path / ".memorybank/findings.sqlite", isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        db.execute("ROLLBACK")
        db.close()


@pytest.mark.usefixtures("at_once")
def test_somebody_who_keeps_the_file_to_himself_silences_nobody(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memorybank_cli.operations.alerting.PATIENCE", 0.01)
    monkeypatch.setattr("memorybank_cli.alerts.outbox.PATIENCE", 0.01)
    monkeypatch.setattr("memorybank_cli.alerts.delivering.SPARE", 0.0)
    with alerting(path) as one:
        one.run()
        with busy(path):
            one.looked([damage()])
            assert in_memory(one)
            [alert] = [alert for alert in one.ledger.firing() if alert.rule == "MB101"]
            one.run()
            pass_time(one.store, 31)
            one._next = 0.0
            assert ("data error trades", 1, 0) in told(one.run())
            until(lambda: "data error trades" in [notice["group"] for notice in logged(path)])
        one.run()
        assert not in_memory(one)
        assert alert in one.ledger.firing()


@pytest.mark.usefixtures("at_once")
def test_what_is_acknowledged_while_it_cannot_write_stays_so(path: Path) -> None:
    with alerting(path) as one:
        one.looked([damage(), damage("trades/b.json")])
        one.run()
        one.store.leave_disk()
        one.keeping._left("no room")
        with opened(path) as bank:
            ack(bank, damage().fingerprint, reason="seen to")
        one.looked([damage(), damage("trades/b.json")])
        one.run()
        assert not in_memory(one)
        assert {alert.path: alert.ack_reason for alert in one.ledger.firing()} == {
            "trades/a.json": "seen to",
            "trades/b.json": "",
        }


def remove(path: Path) -> None:
    for file in path.glob(".memorybank/findings.sqlite*"):
        file.unlink()


def test_a_file_that_somebody_removes_is_made_anew_with_what_was_in_it(path: Path) -> None:
    with alerting(path) as one:
        with opened(path) as bank:
            silence(bank, rule=("MB5",), until="1h", reason="known")
        one.looked([damage()])
        later(one, 1_000)
        one.store.db.execute("UPDATE alert_clock SET ticks = ticks + 100000")
        one.store.db.execute("UPDATE alert_silences SET ends_tick = ends_tick + 100000")
        one.run()
        remove(path)
        with opened(path) as bank:
            assert list_(bank).silences, "the journal knows it"
        one.told([damage("trades/b.json")], [])
        assert told(one.run()) == [("data error trades", 2, 0)]
        assert (one.keeping.failure, one.store.in_memory) == ("", False)
        with opened(path) as bank:
            listed = list_(bank)
        assert {each.alert.path for each in listed.alerts} == {"trades/a.json", "trades/b.json"}
        assert [each.reason for each in listed.silences] == ["known"]
        assert listed.looks["watch"]
        # What was timed by the clock of the old file is not in the future by that of the new one.
        one.told([], [damage("trades/b.json")])
        one.run()
        assert told(later(one, 301)) == [("data error trades", 1, 1)]


def test_a_watch_that_gives_no_sign_tells_nobody(path: Path) -> None:
    with alerting(path) as one, opened(path) as bank:
        lock = Lock(bank.root, LOCK)
        prepare(bank.root)
        assert not feed(bank, [], "health"), "nobody watches"
        assert lock.open()
        assert lock.try_once()
        assert not feed(bank, [], "health"), "who watches gave no sign yet"
        one.run()
        assert feed(bank, [], "health")
        pass_time(one.store, 91)
        assert not feed(bank, [], "health"), "the sign is old: it is stopped"
        one._signs_at = 0.0
        one.run()
        assert feed(bank, [], "health")
        one.close()
        assert not feed(bank, [], "health"), "it has ended"
        lock.close()


def test_one_whose_thread_died_gives_no_sign(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with alerting(path) as one:
        monkeypatch.setattr(type(one.outbox), "is_alive", False)
        one.run()
        assert "telling" not in one.ledger.looks()
        assert "MB553" in {alert.rule for alert in one.ledger.firing()}


def test_feeding_takes_a_look_in(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(path) as bank:
        feed(bank, [slow()], "sampling")
        monkeypatch.setattr("sqlite3.connect", lambda *given, **named: connect(*given, **{**named, "timeout": 0.01}))
        with busy(path):
            assert not feed(bank, [slow()], "sampling")
        store = EventStore(bank.root)
        assert [one.rule for one in Ledger(store).pending()] == ["MB504"]
        store.close()
        remove(path)
        (path / ".memorybank/findings.sqlite").mkdir()
        assert not feed(bank, [slow()], "sampling")


def test_a_silence_comes_back_from_the_journal(path: Path) -> None:
    with opened(path) as bank:
        kept = silence(bank, rule=("MB101",), section=("trades",), until="1h", reason="known").changed
        over = silence(bank, rule=("MB2",), until="1h", reason="known").changed
        assert over is not None
        silence(bank, end=over.id)
    remove(path)
    with opened(path) as bank:
        [found] = silence(bank).silences
    assert kept is not None
    assert replace(found, created_at="") == replace(kept, created_at="")
    remove(path)
    with alerting(path) as one:
        one.looked([damage()])
        assert told(later(one, 31)) == []


def test_many_processes_at_once_tell_each_thing_once(make_bank: MakeBank) -> None:
    path = make_bank(padded=True, name="damaged")
    command = [sys.executable, "-m", "memorybank_cli", "health", "--quiet", "--bank", str(path)]
    started = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(4)]
    for one in started:
        _, errors = one.communicate(timeout=60)
        assert one.returncode == 1, errors
    groups = [(notice["group"], notice["firing"]) for notice in logged(path)]
    assert groups == [("data error trades", 1)]


def test_a_watch_tells_what_it_found_before_it_ends(make_bank: MakeBank, run: Run) -> None:
    path = make_bank(padded=True, name="watched")
    command = [sys.executable, "-m", "memorybank_cli", "watch", "--json", "--bank", str(path)]
    watch = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert watch.stdout is not None
    for line in watch.stdout:
        if json.loads(line)["type"] == "ready":
            break
    watch.terminate()
    _, errors = watch.communicate(timeout=60)
    assert watch.returncode == 0, errors
    assert ("data error trades", 1) in [(notice["group"], notice["firing"]) for notice in logged(path)]
    assert run("alert", "list", "--bank", path, "--json").json["looks"]["watch"]


def test_what_somebody_else_put_aside_as_damaged_is_not_taken_along(path: Path) -> None:
    with alerting(path) as one:
        one.looked([damage()])
        one.store.db.execute("UPDATE alerts SET severity = 'odd'")
        raise_alerts_elsewhere(path, [damage("trades/b.json")])
        one.run()
        assert (one.keeping.failure, one.store.in_memory) == ("", False)
        assert {alert.path for alert in one.ledger.firing() if alert.rule == "MB101"} == {"trades/b.json"}
        assert not list((path / ".memorybank/quarantine").glob("*"))[1:], "one file was damaged"


def raise_alerts_elsewhere(path: Path, findings: list[Finding]) -> None:
    """As another process does, which knows nothing of a watch."""
    with opened(path) as bank:
        raise_alerts(bank, findings)


def test_a_journal_that_is_damaged_hinders_no_silence(path: Path) -> None:
    notes = []

    class Notes(Progress):
        def note(self, text: str) -> None:
            notes.append(text)

    segment = max((path / ".memorybank/journal").glob("*.jsonl"))
    segment.write_bytes(bytes(1_000))
    with opened(path, progress=Notes()) as bank:
        made = silence(bank, rule=("MB1",), until="1h", reason="repaired on Monday").changed
    assert made is not None
    assert made.active
    assert any("this was not recorded in the journal" in one for one in notes)


def test_a_line_of_another_version_is_no_silence(path: Path) -> None:
    with opened(path) as bank:
        bank.commit(
            [Entry("silence.begun", {"silence": "x", "match": {"moon": "full"}, "until": "9999", "reason": "y"})]
        )
        bank.commit([Entry("silence.begun", {"silence": "x"}), Entry("other", {"text": "silence."})])
        assert silence(bank).silences == ()
