"""`findings.sqlite`: what was found and what became of it. Evidence, not derived: alerts, corruption events, deliveries.

Any process may write it, at any time and without the bank's lock; SQLite keeps them apart. A file that is damaged goes to
quarantine and a new one begins, which is said; where nothing can be written it is kept in memory.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from memorybank_cli.bank import layout
from memorybank_cli.base import clock, files
from memorybank_cli.base.walk import Root

MIGRATIONS: tuple[str, ...] = (
    # Alerts: `alerts/ledger.py`, `alerts/silences.py`, `alerts/grouping.py`
    """
    """,
    # Corruption events of spec 001: `integrity/corruption.py`
    """
    """,
    # What waits to be delivered, and the circuit breakers: `alerts/outbox.py`, `alerts/breaker.py`
    """
    """,
)
"""Each runs once, in order, and only ever grows at the end once it was released; `PRAGMA user_version` counts them."""


class EventStore:
    """One bank's `findings.sqlite`. Rows by name; `lost` is where a damaged file was put, '' where none was."""

    def __init__(self, root: Root) -> None:
        self.root = root
        self.in_memory = False
        self.lost = ""
        self.db = self._opened()

    def close(self) -> None:
        """Give the database back."""
        self.db.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, at once exclusive. Raises sqlite3.OperationalError where it stays busy or cannot be written."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield self.db
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")

    def _opened(self) -> sqlite3.Connection:
        try:
            files.make_dirs(self.root, layout.PRIVATE)
            files.make_database(self.root, layout.FINDINGS)
        except OSError:
            self.in_memory = True
            return _connected(":memory:")
        where = self.root.absolute(layout.FINDINGS)
        try:
            return _connected(where)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            self._put_aside()
            files.make_database(self.root, layout.FINDINGS)
            return _connected(where)

    def _put_aside(self) -> None:
        files.make_dirs(self.root, layout.QUARANTINE)
        self.lost = f"{layout.QUARANTINE}/findings-{clock.now_ns():x}.sqlite"
        files.rename(self.root, layout.FINDINGS, self.lost)
        for ending in ("-wal", "-shm"):
            files.remove(self.root, layout.FINDINGS + ending)


def _connected(where: str) -> sqlite3.Connection:
    db = sqlite3.connect(where, timeout=10, isolation_level=None, check_same_thread=False)
    try:
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        _migrate(db)
    except BaseException:
        db.close()
        raise
    return db


def _migrate(db: sqlite3.Connection) -> None:
    done = db.execute("PRAGMA user_version").fetchone()[0]
    for number, script in enumerate(MIGRATIONS[done:], done + 1):
        db.executescript(f"BEGIN IMMEDIATE; {script}; PRAGMA user_version={number}; COMMIT;")
