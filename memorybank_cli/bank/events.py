"""`findings.sqlite`: what was found and what became of it: alerts, corruption, deliveries. Evidence, not derived.

Any process may write it, at any time and without the bank's lock; SQLite keeps them apart. A file that is damaged goes
to quarantine and a new one begins, which is said; where nothing can be written it is kept in memory.
"""

from __future__ import annotations

import re
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

from memorybank_cli.bank import layout
from memorybank_cli.base import clock, database, files
from memorybank_cli.base.database import is_busy, is_damaged
from memorybank_cli.base.walk import Root

MIGRATIONS: tuple[str, ...] = (
    # Alerts: `alerts/ledger.py`, `alerts/silences.py`, `alerts/grouping.py`
    """
    CREATE TABLE alerts (fingerprint TEXT PRIMARY KEY, rule TEXT NOT NULL, severity TEXT NOT NULL, path TEXT NOT NULL,
        message TEXT NOT NULL, hint TEXT NOT NULL, state TEXT NOT NULL, first_seen TEXT NOT NULL,
        last_seen TEXT NOT NULL, resolved_at TEXT, times INTEGER NOT NULL, since TEXT NOT NULL,
        since_tick REAL NOT NULL, quiet_until REAL NOT NULL, gone_at TEXT, acked_at TEXT,
        acked_by TEXT NOT NULL, ack_reason TEXT NOT NULL);
    CREATE INDEX alerts_state ON alerts (state, resolved_at);
    CREATE TABLE alert_looks (origin TEXT PRIMARY KEY, at TEXT NOT NULL, tick REAL NOT NULL);
    CREATE TABLE alert_clock (one INTEGER PRIMARY KEY, boot TEXT NOT NULL, monotonic REAL NOT NULL, wall REAL NOT NULL,
        ticks REAL NOT NULL);
    CREATE TABLE alert_silences (id TEXT PRIMARY KEY, matcher TEXT NOT NULL, reason TEXT NOT NULL,
        created_at TEXT NOT NULL, created_by TEXT NOT NULL, ends_at TEXT NOT NULL, ends_tick REAL NOT NULL);
    CREATE TABLE alert_told (channel TEXT NOT NULL, fingerprint TEXT NOT NULL, severity TEXT NOT NULL,
        name TEXT NOT NULL, PRIMARY KEY (channel, fingerprint)) WITHOUT ROWID;
    CREATE TABLE alert_groups (channel TEXT NOT NULL, name TEXT NOT NULL, waiting REAL, told REAL, notice TEXT,
        PRIMARY KEY (channel, name)) WITHOUT ROWID;
    CREATE TABLE alert_allowance (channel TEXT PRIMARY KEY, messages REAL NOT NULL, tick REAL NOT NULL);
    """,
    # Corruption events of spec 001: `integrity/corruption.py`; whose files they were: `integrity/permissions.py`
    """
    CREATE TABLE corruption_events (
      corruption_id TEXT PRIMARY KEY, detected_timestamp TEXT NOT NULL, affected_component TEXT NOT NULL,
      corruption_type TEXT NOT NULL, recovery_action TEXT, recovery_success INTEGER,
      path TEXT NOT NULL, rule TEXT NOT NULL, message TEXT NOT NULL, fingerprint TEXT NOT NULL,
      kept TEXT NOT NULL DEFAULT '', ended_at TEXT) WITHOUT ROWID;
    CREATE INDEX corruption_times ON corruption_events (detected_timestamp);
    CREATE UNIQUE INDEX corruption_open ON corruption_events (fingerprint) WHERE ended_at IS NULL;
    CREATE TABLE ownership (
      dir TEXT PRIMARY KEY, newest INTEGER NOT NULL, groups TEXT NOT NULL) WITHOUT ROWID;
    """,
    # What waits to be delivered, and the circuit breakers: `alerts/waiting.py`
    """
    CREATE TABLE deliveries (
        number INTEGER PRIMARY KEY, id TEXT NOT NULL, channel TEXT NOT NULL, body TEXT NOT NULL,
        created_at TEXT NOT NULL, tries INTEGER NOT NULL DEFAULT 0, stands_for INTEGER NOT NULL DEFAULT 1,
        delivered_at TEXT, reason TEXT NOT NULL DEFAULT '', merged_into TEXT NOT NULL DEFAULT '',
        UNIQUE (id, channel)
    );
    CREATE INDEX deliveries_waiting ON deliveries (channel, number) WHERE delivered_at IS NULL AND merged_into = '';
    CREATE TABLE channels (
        name TEXT PRIMARY KEY, failures INTEGER NOT NULL DEFAULT 0, since TEXT NOT NULL DEFAULT '',
        reason TEXT NOT NULL DEFAULT '', hint TEXT NOT NULL DEFAULT '', boot TEXT NOT NULL DEFAULT '',
        tried REAL NOT NULL DEFAULT 0, wait REAL NOT NULL DEFAULT 0, claim TEXT NOT NULL DEFAULT '',
        claim_boot TEXT NOT NULL DEFAULT '', claimed REAL NOT NULL DEFAULT 0, claim_for REAL NOT NULL DEFAULT 0
    )
    """,
)
"""Each runs once, in order, and only ever grows at the end once it was released; `PRAGMA user_version` counts them."""


class EventStore:
    """One bank's `findings.sqlite`. Rows by name; `lost` is where a damaged file was put, '' where none was."""

    def __init__(self, root: Root, patience: float = database.PATIENCE) -> None:
        self.root, self.patience = root, patience
        self.in_memory = False
        self.lost = ""
        self._file: tuple[int, int] | None = None
        self.db = self._opened()

    @property
    def is_current(self) -> bool:
        """Whether the file that is open is the one that others find: nobody removed it or put another in its place."""
        try:
            return self.in_memory or self._found() == self._file
        except OSError:
            return True  # nothing can be looked at here; what is written will fail and say so

    def _found(self) -> tuple[int, int] | None:
        info = self.root.stat(layout.FINDINGS)
        return None if info is None else (info.st_dev, info.st_ino)

    def close(self) -> None:
        """Give the database back."""
        self.db.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, at once exclusive. Raises sqlite3.OperationalError where it is busy or cannot be written."""
        with database.transaction(self.db) as db:
            yield db

    def check_writable(self) -> None:
        """Raise sqlite3.DatabaseError where the file takes nothing now, or somebody keeps it to himself."""
        with self.writing() as db:
            db.execute(f"PRAGMA user_version={database.version(db)}")

    def leave_disk(self, damaged: bool = False) -> None:
        """Go on in memory: the disk is full, or, with `damaged`, what was read of the file is not to be trusted."""
        memory = _connected(database.MEMORY)
        try:
            if not damaged:
                self.db.backup(memory)
        except sqlite3.Error:
            memory.close()
            memory = _connected(database.MEMORY)
        self.db.close()
        self.db, self.in_memory = memory, True
        if damaged:
            with suppress(OSError):
                self._put_aside()

    def begin_anew(self) -> None:
        """Put a file aside that is not to be trusted, and begin another; in memory where none can be made."""
        self.leave_disk(damaged=True)
        self.return_to_disk()

    def return_to_disk(self) -> bool:
        """Whether the file can be written again; it is used again then, and what was kept in memory is gone."""
        memory, self.in_memory = self.db, False
        try:
            self.db = self._opened()
            if not self.in_memory:
                self.check_writable()
                memory.close()
                return True
        except sqlite3.Error:
            pass  # it is tried again later
        if self.db is not memory:
            self.db.close()
        self.db, self.in_memory = memory, True
        return False

    def _opened(self) -> sqlite3.Connection:
        try:
            files.make_dirs(self.root, layout.PRIVATE)
            return self._of_file()
        except (OSError, sqlite3.DatabaseError) as error:
            if is_busy(error):
                raise
            if is_damaged(error):
                self._put_aside()
                return self._of_file()
            self.in_memory = True  # a full disk, or one that cannot be written any more
            return self._copied()

    def _copied(self) -> sqlite3.Connection:
        """In memory what the file holds, as far as that can be read: what was told is not told again by each process.

        Without what waits to be delivered, which each would deliver: nobody could say that it was.
        """
        memory, info = _connected(database.MEMORY), self.root.stat(layout.FINDINGS)
        if info is None or not stat.S_ISREG(info.st_mode):
            return memory
        try:
            # `immutable`: there is no room for the files that SQLite makes beside one that it only reads.
            with closing(database.open_read_only(self.root, layout.FINDINGS, "mode=ro&immutable=1")) as disk:
                if database.version(disk) == len(MIGRATIONS):
                    disk.backup(memory)
                    memory.execute("DELETE FROM deliveries")
        except sqlite3.Error:
            memory.close()
            return _connected(database.MEMORY)
        return memory

    def _of_file(self) -> sqlite3.Connection:
        files.make_database(self.root, layout.FINDINGS)
        self._file = self._found()  # before it is opened: one that is put there after this is another
        return _connected(self.root.absolute(layout.FINDINGS), self.patience)

    def _put_aside(self) -> None:
        if self._found() != self._file:
            return  # another process did, and what is there now is sound
        files.make_dirs(self.root, layout.QUARANTINE)
        self.lost = f"{layout.QUARANTINE}/findings-{clock.now_ns():x}.sqlite"
        files.rename(self.root, layout.FINDINGS, self.lost)
        for ending in ("-wal", "-shm"):
            files.remove(self.root, layout.FINDINGS + ending)


_TABLES = tuple(re.findall(r"CREATE TABLE (\w+)", "".join(MIGRATIONS)))


def _connected(where: str, patience: float = database.PATIENCE) -> sqlite3.Connection:
    are_there = (f"SELECT 1 FROM {name} LIMIT 1" for name in _TABLES)  # noqa: S608 - names of ours
    db = database.connect(where, MIGRATIONS, are_there, patience)
    db.row_factory = sqlite3.Row
    return db
