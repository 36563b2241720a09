"""The clock of alerts: seconds that passed, the same for every process that feeds a bank's alerts.

How long a group waits and when a message is repeated must not depend on somebody setting the clock. Within one run of
the machine the monotonic clock counts, which all its processes share; between two runs the wall clock, within bounds.
"""

from __future__ import annotations

import sqlite3
import time

from memorybank_cli.base import clock

LONGEST = 7 * 86_400.0
"""Seconds that may count between two runs of the machine: a clock that is years off must not make everything due."""


def read(db: sqlite3.Connection) -> float:
    """Seconds since the first alert was looked for. Raises sqlite3.DatabaseError where what was kept is none."""
    row = db.execute("SELECT * FROM alert_clock").fetchone()
    if row is None:
        return 0.0
    if not all(type(row[name]) is float for name in ("monotonic", "wall", "ticks")):
        raise sqlite3.DatabaseError("the clock of the alerts is damaged")
    elapsed = time.monotonic() - row["monotonic"]
    if row["boot"] != clock.boot_id() or elapsed < 0:
        elapsed = min(max(clock.now_ns() / clock.SECOND_NS - row["wall"], 0.0), LONGEST)
    return float(row["ticks"] + elapsed)


def began(db: sqlite3.Connection) -> bool:
    """Whether anybody ever counted here: it is no new database."""
    return db.execute("SELECT 1 FROM alert_clock").fetchone() is not None


def advance(db: sqlite3.Connection, least: float = 0.0) -> float:
    """`read`, and keep it, within a transaction; at `least` so much, where what was counted elsewhere comes in."""
    now = max(read(db), least)
    values = (clock.boot_id(), time.monotonic(), clock.now_ns() / clock.SECOND_NS, now)
    db.execute("INSERT OR REPLACE INTO alert_clock VALUES (1, ?, ?, ?, ?)", values)
    return now
