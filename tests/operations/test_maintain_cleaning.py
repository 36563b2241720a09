from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from memorybank_cli.bank.events import EventStore
from memorybank_cli.base import clock
from memorybank_cli.operations.maintain_cleaning import _packed, clean, pack_databases
from tests.conftest import MakeBank
from tests.operations.banks import opened, repaired
from tests.operations.test_maintain import home_of, maintained

NOTHING = {
    "files from quarantine": 0,
    "temporary files": 0,
    "crash reports": 0,
    "reports": 0,
    "rows of findings": 0,
}
DAY = 86_400


@pytest.fixture
def bank(make_bank: MakeBank) -> Path:
    return make_bank(padded=False)


def cleaned(path: Path, *, dry_run: bool = False) -> dict[str, int]:
    with opened(path) as one:
        return {name: count for name, count in clean(one, dry_run=dry_run).items() if count}


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Days by which the clock is ahead: programs cannot set when an inode changed."""
    ahead, real = [0.0], clock.now_ns
    monkeypatch.setattr(clock, "now_ns", lambda: real() + int(ahead[0] * DAY * 1e9))
    return ahead


def test_a_fresh_bank_has_nothing_to_remove(bank: Path) -> None:
    with opened(bank) as one:
        assert clean(one) == NOTHING
        assert clean(one, dry_run=True) == NOTHING


def test_replaced_bytes_stay_for_thirty_days(make_bank: MakeBank, later: list[float]) -> None:
    bank = make_bank()
    repaired(bank)
    [kept] = (bank / ".memorybank/quarantine").iterdir()
    later[0] = 29.9
    assert cleaned(bank) == {}
    later[0] = 30.1
    assert cleaned(bank, dry_run=True) == {"files from quarantine": 1}
    assert kept.exists()
    assert cleaned(bank) == {"files from quarantine": 1}
    assert not kept.exists()


def test_an_old_mtime_makes_nothing_old(make_bank: MakeBank) -> None:
    bank = make_bank()
    repaired(bank)
    [kept] = (bank / ".memorybank/quarantine").iterdir()
    os.utime(kept, (0, 0))
    assert cleaned(bank) == {}


def test_a_clock_that_jumped_by_years_removes_nothing(make_bank: MakeBank, later: list[float]) -> None:
    bank = make_bank()
    repaired(bank)
    (bank / "trades/.mb-0123456789abcdef").write_bytes(b"{")
    later[0] = 366 * 3
    assert cleaned(bank) == {}
    later[0] = -30
    assert cleaned(bank) == {}


def test_the_setting_says_how_long(make_bank: MakeBank, later: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    bank = make_bank()
    repaired(bank)
    monkeypatch.setenv("MEMORYBANK_MAINTAIN_QUARANTINE_DAYS", "3")
    later[0] = 3.1
    assert cleaned(bank) == {"files from quarantine": 1}


def test_what_killed_writers_left_goes_after_an_hour(bank: Path, later: list[float]) -> None:
    left = [
        bank / place / ".mb-0123456789abcdef"
        for place in ("", "trades", "metrics/deep", ".memorybank", ".memorybank/journal")
    ]
    others = [bank / name for name in (".mb-short", ".gitignore", "trades/.mb-0123456789ABCDEF", "docs.md")]
    for path in (*left, *others):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"{")
    (bank / "state/.mb-fedcba9876543210").mkdir()
    (bank / "state/.mb-fedcba9876543211").symlink_to(bank / "docs.md")
    assert cleaned(bank) == {}
    later[0] = 1.1 / 24
    assert cleaned(bank, dry_run=True) == {"temporary files": 5}
    assert all(path.exists() for path in left)
    assert cleaned(bank) == {"temporary files": 5}
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in others)
    assert (bank / "state/.mb-fedcba9876543211").is_symlink()


def test_reports_of_internal_errors_stay_for_thirty_days(bank: Path, home: Path, later: list[float]) -> None:
    place = home / "state/crash"
    place.mkdir(parents=True)
    for name in ("crash-1.txt", "crash-2.txt", "notes.txt"):
        (place / name).write_text("x")
    assert cleaned(bank) == {}
    later[0] = 31
    assert cleaned(bank) == {"crash reports": 2}
    assert [path.name for path in place.iterdir()] == ["notes.txt"]


def test_the_newest_monthly_reports_are_kept(bank: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = home_of(bank) / "reports"
    place.mkdir()
    for number in range(1, 13):
        (place / f"2025-{number:02}.md").write_text("x")
    assert cleaned(bank) == {}
    monkeypatch.setenv("MEMORYBANK_MAINTAIN_REPORTS", "3")
    assert cleaned(bank) == {"reports": 9}
    assert sorted(path.name for path in place.iterdir()) == ["2025-10.md", "2025-11.md", "2025-12.md"]
    monkeypatch.setenv("MEMORYBANK_MAINTAIN_REPORTS", "0")
    assert cleaned(bank) == {"reports": 3}


def test_what_is_over_leaves_the_database_and_what_is_open_stays(bank: Path) -> None:
    bad = bank / "state/bad.json"
    bad.write_bytes(b"{")
    maintained(bank)
    bad.write_bytes(b"{}")
    maintained(bank)
    (bank / "state/worse.json").write_bytes(b"{")
    maintained(bank)
    old = clock.show(datetime.now(UTC) - timedelta(days=100))
    with closing(sqlite3.connect(bank / ".memorybank/findings.sqlite")) as db, db:
        assert db.execute("SELECT count(*) FROM alerts WHERE state='firing'").fetchone()[0] > 0
        db.execute("UPDATE alerts SET first_seen=?, last_seen=?, resolved_at=?", (old, old, old))
        db.execute("DELETE FROM alert_told")
        over = db.execute("SELECT count(*) FROM alerts WHERE state='resolved'").fetchone()[0]
        before = db.execute("SELECT count(*) FROM alerts").fetchone()[0]
    assert over > 0
    assert cleaned(bank)["rows of findings"] >= over
    with closing(sqlite3.connect(bank / ".memorybank/findings.sqlite")) as db:
        assert db.execute("SELECT count(*) FROM alerts").fetchone()[0] == before - over
    assert cleaned(bank) == {}


def test_databases_give_back_what_is_free(bank: Path) -> None:
    with opened(bank) as one, closing(EventStore(one.root)) as store:
        assert pack_databases(one) == 0
        store.db.execute("CREATE TABLE filler (text TEXT)")
        store.db.executemany("INSERT INTO filler VALUES (?)", [("x" * 4_000,)] * 500)
        store.db.execute("DROP TABLE filler")
        path = bank / ".memorybank/findings.sqlite"
        store.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        before = path.stat().st_size
        freed = pack_databases(one)
        assert freed > 1 << 20
        store.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert path.stat().st_size <= before - freed


def test_a_database_that_somebody_uses_waits_for_the_next_time(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "db", isolation_level=None, timeout=0)) as db:
        db.execute("CREATE TABLE filler (text TEXT)")
        db.executemany("INSERT INTO filler VALUES (?)", [("x" * 4_000,)] * 50)
        db.execute("DELETE FROM filler")
        with closing(sqlite3.connect(tmp_path / "db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert _packed(db) == 0
        assert _packed(db) > 100_000
