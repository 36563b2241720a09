"""SQLite: one form whoever comes first, transactions that leave nothing, and what is damage and what is not."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.base import database
from memorybank_cli.base.database import MEMORY, connect, is_busy, is_damaged, open_file, open_read_only, transaction
from memorybank_cli.base.walk import Root

FORM = ("CREATE TABLE a (x INTEGER UNIQUE);", "CREATE TABLE b (y TEXT); INSERT INTO b VALUES ('one; two');")
NAME = "a name #1 with 100%?.sqlite"


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    with closing(Root(tmp_path)) as found:
        yield found


def failure(db: sqlite3.Connection, *statements: str) -> sqlite3.DatabaseError:
    """What the last of some statements raises."""
    for one in statements[:-1]:
        db.execute(one)
    with pytest.raises(sqlite3.DatabaseError) as caught:
        db.execute(statements[-1]).fetchall()
    return caught.value


def test_it_is_made_once_in_its_newest_form(root: Root) -> None:
    with closing(open_file(root, NAME, FORM[:1])) as db:
        assert database.version(db) == 1
    for _ in range(2):
        with closing(open_file(root, NAME, FORM)) as db:
            assert database.version(db) == 2
            assert db.execute("SELECT y FROM b").fetchall() == [("one; two",)]
            assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    with closing(open_file(root, NAME, FORM[:1])) as db:
        assert database.version(db) == 2  # of a newer program: left as it is
    assert (Path(root.path) / NAME).stat().st_mode & 0o777 == 0o600


def test_many_may_be_first(root: Root) -> None:
    failures: list[Exception] = []

    def make() -> None:
        try:
            open_file(root, NAME, FORM).close()
        except Exception as error:  # noqa: BLE001 - told below
            failures.append(error)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert failures == []


def test_what_is_of_another_form_is_seen_when_it_is_opened(root: Root) -> None:
    open_file(root, NAME, ("CREATE TABLE a (other TEXT)",)).close()
    with pytest.raises(sqlite3.OperationalError) as caught:
        open_file(root, NAME, FORM[:1], ["SELECT x FROM a LIMIT 0"])
    assert is_damaged(caught.value)


def test_a_transaction_is_all_or_nothing() -> None:
    with closing(connect(MEMORY, FORM)) as db:
        with transaction(db):
            db.execute("INSERT INTO a VALUES (1)")
        with pytest.raises(sqlite3.IntegrityError), transaction(db, "DEFERRED"):
            db.executemany("INSERT INTO a VALUES (?)", [(2,), (1,)])
        assert db.execute("SELECT x FROM a").fetchall() == [(1,)]


def test_who_only_reads_changes_nothing(root: Root) -> None:
    with closing(open_file(root, NAME, FORM)) as db, closing(open_read_only(root, NAME)) as reader:
        db.execute("INSERT INTO a VALUES (5)")
        assert reader.execute("SELECT x FROM a").fetchall() == [(5,)]
        error = failure(reader, "INSERT INTO a VALUES (6)")
        assert not is_damaged(error)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("elsewhere"), lambda _path: None])
def test_what_is_no_file_is_not_opened(root: Root, make: Callable[[Path], None]) -> None:
    """A pipe would hold whoever reads it for ever, and with it `health` from cron."""
    make(Path(root.path) / NAME)
    with pytest.raises(sqlite3.DatabaseError, match="no file"):
        open_read_only(root, NAME)


def test_what_others_do_and_what_the_disk_lacks_is_no_damage(root: Root, tmp_path: Path) -> None:
    with closing(open_file(root, NAME, FORM)) as db, closing(open_file(root, NAME, FORM, patience=0)) as other:
        db.execute("BEGIN IMMEDIATE")
        error = failure(other, "BEGIN IMMEDIATE")
        assert (is_busy(error), is_damaged(error)) == (True, False)
        db.execute("ROLLBACK")
        error = failure(db, "PRAGMA max_page_count=1", "INSERT INTO b VALUES (zeroblob(100000))")
        assert (is_busy(error), is_damaged(error)) == (False, False)
    with pytest.raises(sqlite3.OperationalError) as caught:
        connect(str(tmp_path), FORM)
    assert not is_damaged(caught.value)
    assert (is_busy(OSError()), is_damaged(OSError())) == (False, False)
    said = sqlite3.OperationalError("database is locked")
    assert (is_busy(said), is_damaged(said)) == (True, False)


def test_what_is_damage(root: Root) -> None:
    path = Path(root.path) / NAME
    path.write_bytes(b"no database" * 100)
    with pytest.raises(sqlite3.DatabaseError) as caught:
        open_file(root, NAME, FORM)
    assert (is_busy(caught.value), is_damaged(caught.value)) == (False, True)
    database.remove(root, NAME)
    with closing(open_file(root, NAME, FORM)) as db:
        assert is_damaged(failure(db, "SELECT nothing FROM a"))
        assert is_damaged(failure(db, "UPDATE b SET y=CAST(x'ff' AS TEXT)", "SELECT y FROM b"))
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    # SQLite quotes what it cannot read, and Python cannot read the quotation.
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE a", b"CREATE \xffABLE a"))
    with pytest.raises(sqlite3.DatabaseError, match="no text") as caught:
        open_file(root, NAME, FORM, ["SELECT x FROM a"])
    assert is_damaged(caught.value)
    assert is_damaged(UnicodeDecodeError("utf-8", b"\xff", 0, 1, ""))


def test_it_is_removed_with_its_log(root: Root, tmp_path: Path) -> None:
    db = open_file(root, NAME, FORM)
    assert len(list(tmp_path.iterdir())) == 3
    db.close()
    (tmp_path / f"{NAME}-wal").touch()
    database.remove(root, NAME)
    assert list(tmp_path.iterdir()) == []


class Made:
    """A database that somebody else makes: SQLite says so at once when it is asked to write ahead."""

    def __init__(self, times: int) -> None:
        self.left = times

    def execute(self, _: str) -> None:
        if self.left:
            self.left -= 1
            raise sqlite3.OperationalError("database is locked")


def test_who_makes_the_file_at_the_same_time_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    made: Any = Made(3)
    database._log_ahead(made, 10.0)
    assert (made.left, len(pauses)) == (0, 3)
    made.left = 1
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        database._log_ahead(made, -1.0)
