from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest

from memorybank_cli.alerts import ticks
from memorybank_cli.base import clock
from tests.alerts.feeding import ledger, pass_time


def test_it_begins_at_nothing_and_counts_seconds(tmp_path: Path) -> None:
    with ledger(tmp_path) as book:
        assert ticks.read(book.store.db) == 0.0
        assert ticks.advance(book.store.db) == 0.0
        pass_time(book.store, 10)
        first = ticks.advance(book.store.db)
        assert first == pytest.approx(10, abs=1)
        assert ticks.read(book.store.db) >= first


def test_a_wall_clock_that_is_set_changes_nothing(tmp_path: Path) -> None:
    with ledger(tmp_path) as book:
        ticks.advance(book.store.db)
        for wall in (0.0, 1e12):
            book.store.db.execute("UPDATE alert_clock SET wall = ?", (wall,))
            assert ticks.read(book.store.db) < 10


@pytest.mark.parametrize(
    ("ago", "counted"), [(3_600, 3_600), (-3_600, 0), (10 * 365 * 86_400, ticks.LONGEST)], ids=["hour", "back", "years"]
)
@pytest.mark.parametrize("change", ["boot = 'another'", "monotonic = monotonic + 1e9"])
def test_between_two_runs_of_the_machine_the_wall_clock_counts_within_bounds(
    tmp_path: Path, ago: float, counted: float, change: str
) -> None:
    with ledger(tmp_path) as book:
        ticks.advance(book.store.db)
        wall = clock.now_ns() / clock.SECOND_NS - ago
        book.store.db.execute(f"UPDATE alert_clock SET wall = ?, {change}", (wall,))  # noqa: S608 - words of this test
        assert ticks.advance(book.store.db) == pytest.approx(counted, abs=2)
        row = book.store.db.execute("SELECT * FROM alert_clock").fetchone()
        assert row["boot"] == clock.boot_id()
        assert row["monotonic"] <= time.monotonic()


def test_what_was_counted_elsewhere_comes_in(tmp_path: Path) -> None:
    with ledger(tmp_path) as book:
        assert not ticks.began(book.store.db)
        assert ticks.advance(book.store.db, 50.0) == 50.0
        assert ticks.began(book.store.db)
        assert 50.0 <= ticks.advance(book.store.db, 10.0) < 60.0


@pytest.mark.parametrize("change", ["ticks = 'x'", "wall = x'00'", "monotonic = 'later'"])
def test_a_clock_that_somebody_damaged_is_damage(tmp_path: Path, change: str) -> None:
    with ledger(tmp_path) as book:
        ticks.advance(book.store.db)
        book.store.db.execute(f"UPDATE alert_clock SET {change}")  # noqa: S608 - ours
        with pytest.raises(sqlite3.DatabaseError, match="clock"):
            ticks.read(book.store.db)
