"""SQLite as memorybank uses it: opened in one way, brought to its newest form, written in transactions.

What becomes of a damaged one is its owner's business: what is derived is begun anew, what is evidence is put aside.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from memorybank_cli.base import files
from memorybank_cli.base.walk import Root

MEMORY = ":memory:"
PATIENCE = 10.0
"""Seconds to wait for somebody else who writes."""
_PAUSE = 0.01
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_OF_THE_PLACE = _BUSY | {
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
}
"""Primary result codes that say something of the disk and of others, and nothing of what stands in the file."""


def connect(
    where: str, migrations: Sequence[str], each_time: Iterable[str] = (), patience: float = PATIENCE
) -> sqlite3.Connection:
    """The database in a file that is there, or in `MEMORY`: with a write-ahead log, in its newest form.

    `migrations` are scripts that run once each, in order; `PRAGMA user_version` counts them. The statements of
    `each_time` run whenever it is opened, e.g. to see whether its tables are what they should be. Raises
    sqlite3.DatabaseError; see `is_busy` and `is_damaged`.
    """
    db = sqlite3.connect(where, timeout=patience, isolation_level=None, check_same_thread=False)
    try:
        _log_ahead(db, patience)
        db.execute("PRAGMA synchronous=NORMAL")
        _migrate(db, migrations)
        for statement in each_time:
            db.execute(statement)
    except UnicodeDecodeError as error:  # of what it says itself that is wrong
        db.close()
        raise sqlite3.DatabaseError("what it holds is no text") from error
    except BaseException:
        db.close()
        raise
    return db


def _log_ahead(db: sqlite3.Connection, patience: float) -> None:
    """Have it write ahead. Whoever makes a file at the same time is waited for here: for this SQLite does not wait."""
    end = time.monotonic() + patience
    while True:
        try:
            db.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > end:
                raise
        time.sleep(_PAUSE)


def open_file(
    root: Root, path: str, migrations: Sequence[str], each_time: Iterable[str] = (), patience: float = PATIENCE
) -> sqlite3.Connection:
    """`connect` to a file below a root, made (0600) where it is missing. Raises OSError too."""
    files.make_database(root, path)
    return connect(root.absolute(path), migrations, each_time, patience)


def open_read_only(root: Root, path: str, how: str = "mode=ro", patience: float = PATIENCE) -> sqlite3.Connection:
    """A database below a root that nothing is written to; `how` is of SQLite's URIs. Raises sqlite3.DatabaseError.

    What is no file is not opened: a pipe that somebody put there would hold whoever reads it for ever. Raises OSError.
    """
    from urllib.parse import quote

    info = root.stat(path)
    if info is None or not stat.S_ISREG(info.st_mode):
        raise sqlite3.DatabaseError("it is no file")
    where = quote(os.fsencode(root.absolute(path)))
    return sqlite3.connect(f"file:{where}?{how}", uri=True, timeout=patience, isolation_level=None)


def remove(root: Root, path: str) -> None:
    """Remove a database with its write-ahead log. Raises OSError."""
    for ending in ("", "-wal", "-shm"):
        files.remove(root, path + ending)


@contextmanager
def transaction(db: sqlite3.Connection, kind: str = "IMMEDIATE") -> Iterator[sqlite3.Connection]:
    """All or nothing, to everybody else at once. Raises sqlite3.DatabaseError."""
    db.execute(f"BEGIN {kind}")
    try:
        yield db
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # a full disk ended it already
            db.execute("ROLLBACK")
        raise


def version(db: sqlite3.Connection) -> int:
    """How many of its migrations it has seen."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def is_busy(error: Exception) -> bool:
    """Whether another process keeps the database, which is no damage."""
    code = _code(error)
    if code is None:
        return isinstance(error, sqlite3.OperationalError) and ("locked" in str(error) or "busy" in str(error))
    return code in _BUSY


def is_damaged(error: Exception) -> bool:
    """Whether what stands in the file is at fault, or is of another form: neither the disk nor somebody else is."""
    if isinstance(error, UnicodeDecodeError):
        return True
    code = _code(error)
    if code is None:  # of Python's own
        return isinstance(error, sqlite3.DatabaseError) and not is_busy(error)
    return code not in _OF_THE_PLACE


def _code(error: Exception) -> int | None:
    """SQLite's primary result code, None for what it did not say."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else int(code) & 0xFF


def _migrate(db: sqlite3.Connection, migrations: Sequence[str]) -> None:
    if version(db) >= len(migrations):
        return
    with transaction(db):
        done = version(db)  # another process may have been first
        for statement in (one for script in migrations[done:] for one in _statements(script)):
            db.execute(statement)
        db.execute(f"PRAGMA user_version={max(done, len(migrations))}")


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for piece in script.split(";"):
        statement += f"{piece};"
        if sqlite3.complete_statement(statement):
            if statement.strip(" \n;"):
                yield statement
            statement = ""
