"""findings.sqlite: made once, whoever comes first; damaged ones are put aside, and without room it is in memory."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from memorybank_cli.bank import events, layout
from memorybank_cli.bank.events import MIGRATIONS, EventStore
from memorybank_cli.base.walk import Root

NEW = "INSERT INTO ownership VALUES (?,?,?)"


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    with closing(Root(tmp_path)) as found:
        yield found


def version(store: EventStore) -> int:
    return int(store.db.execute("PRAGMA user_version").fetchone()[0])


def test_it_is_made_with_every_migration_and_stays(root: Root) -> None:
    with closing(EventStore(root)) as store:
        assert (version(store), store.lost, store.in_memory) == (len(MIGRATIONS), "", False)
        with store.writing() as db:
            db.execute(NEW, ("trades", 1, "[1]"))
        assert (Path(root.path) / layout.FINDINGS).stat().st_mode & 0o777 == 0o600
    with closing(EventStore(root)) as store:
        assert [tuple(row) for row in store.db.execute("SELECT * FROM ownership")] == [("trades", 1, "[1]")]
        assert store.db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


def test_later_migrations_run_once(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    EventStore(root).close()
    more = "CREATE TABLE more (a TEXT); CREATE TRIGGER t AFTER INSERT ON more BEGIN DELETE FROM more; SELECT 1; END;"
    monkeypatch.setattr(events, "MIGRATIONS", (*MIGRATIONS, more))
    for _ in range(2):
        with closing(EventStore(root)) as store:
            assert version(store) == len(MIGRATIONS) + 1
            with store.writing() as db:
                db.execute("INSERT INTO more VALUES ('x')")
            assert store.db.execute("SELECT count(*) FROM more").fetchone()[0] == 0


def test_a_migration_that_fails_leaves_nothing(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    EventStore(root).close()
    monkeypatch.setattr(events, "MIGRATIONS", (*MIGRATIONS, "CREATE TABLE more (a TEXT); CREATE TABLE more (a TEXT);"))
    with pytest.raises(sqlite3.OperationalError):
        EventStore(root)
    monkeypatch.undo()
    with closing(EventStore(root)) as store:
        assert version(store) == len(MIGRATIONS)
        assert not store.db.execute("SELECT 1 FROM sqlite_master WHERE name='more'").fetchall()


def test_many_may_be_first(root: Root) -> None:
    failures: list[sqlite3.Error] = []

    def make() -> None:
        try:
            EventStore(root).close()
        except sqlite3.Error as error:
            failures.append(error)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert failures == []


@pytest.mark.parametrize("damage", [b"no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 4_000])
def test_a_damaged_one_is_put_aside(root: Root, damage: bytes) -> None:
    EventStore(root).close()
    path = Path(root.path) / layout.FINDINGS
    path.write_bytes(damage)
    with closing(EventStore(root)) as store:
        assert store.lost.startswith(f"{layout.QUARANTINE}/findings-")
        assert (Path(root.path) / store.lost).read_bytes() == damage
        assert version(store) == len(MIGRATIONS)
    with closing(EventStore(root)) as store:
        assert store.lost == ""


def test_where_nothing_can_be_written_it_is_in_memory(root: Root) -> None:
    (Path(root.path) / layout.PRIVATE).write_text("a file stands there")
    with closing(EventStore(root)) as store:
        assert store.in_memory
        with store.writing() as db:
            db.execute(NEW, ("", 0, "[]"))
        assert store.db.execute("SELECT count(*) FROM ownership").fetchone()[0] == 1


def test_what_fails_in_a_transaction_leaves_nothing(root: Root) -> None:
    with closing(EventStore(root)) as store:
        rows = [("trades", 1, "[]"), ("trades", 2, "[]")]
        with pytest.raises(sqlite3.IntegrityError), store.writing() as db:
            db.executemany(NEW, rows)
        assert store.db.execute("SELECT count(*) FROM ownership").fetchone()[0] == 0


def test_a_full_disk_says_so_and_the_next_write_works(root: Root) -> None:
    with closing(EventStore(root)) as store:
        pages = store.db.execute("PRAGMA page_count").fetchone()[0]
        store.db.execute(f"PRAGMA max_page_count={pages}")
        with pytest.raises(sqlite3.OperationalError, match="full"), store.writing() as db:
            db.executemany(NEW, [(f"{number}", 1, "x" * 1_000) for number in range(500)])
        store.db.execute(f"PRAGMA max_page_count={pages + 1_000}")
        with store.writing() as db:
            db.execute(NEW, ("trades", 1, "[]"))
        assert store.db.execute("SELECT count(*) FROM ownership").fetchone()[0] == 1


def test_a_file_of_somebody_else_is_not_touched(root: Root) -> None:
    (Path(root.path) / layout.PRIVATE).mkdir()
    outside = Path(root.path) / "outside.sqlite"
    outside.write_bytes(b"precious")
    os.symlink(outside, Path(root.path) / layout.FINDINGS)
    with closing(EventStore(root)) as store:
        assert store.in_memory
    assert outside.read_bytes() == b"precious"


def count(store: EventStore) -> int:
    return int(store.db.execute("SELECT count(*) FROM ownership").fetchone()[0])


def test_who_leaves_the_disk_takes_along_what_is_there(root: Root) -> None:
    with closing(EventStore(root)) as store:
        with store.writing() as db:
            db.execute(NEW, ("trades", 1, "[]"))
        store.leave_disk()
        assert (store.in_memory, count(store)) == (True, 1)
        with store.writing() as db:
            db.execute(NEW, ("state", 1, "[]"))
        assert store.return_to_disk()
        assert (store.in_memory, count(store)) == (False, 1)


@pytest.mark.parametrize("damaged", [True, False])
def test_what_cannot_be_read_any_more_is_begun_anew(root: Root, damaged: bool) -> None:
    with closing(EventStore(root)) as store:
        with store.writing() as db:
            db.executemany(NEW, [(f"{number}", 1, "x" * 1_000) for number in range(50)])
        store.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        file = Path(root.path) / layout.FINDINGS
        if damaged:
            file.write_bytes(b"\xff" * file.stat().st_size)
            store.leave_disk(damaged=True)
            assert (Path(root.path) / store.lost).read_bytes().startswith(b"\xff")
        else:
            store.db.close()  # whatever makes reading fail
            store.leave_disk()
        assert (store.in_memory, count(store)) == (True, 0)
        assert store.return_to_disk()
        assert count(store) == (0 if damaged else 50)


def test_there_is_no_way_back_while_nothing_can_be_written(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    file = Path(root.path) / layout.FINDINGS
    with closing(EventStore(root)) as store:
        store.leave_disk()
        file.rename(file.with_suffix(".away"))
        file.mkdir()
        assert not store.return_to_disk()
        file.rmdir()
        file.with_suffix(".away").rename(file)
        connect = sqlite3.connect
        impatient = lambda *given, **named: connect(*given, **{**named, "timeout": 0.01})  # noqa: E731 - one line
        with closing(connect(file, isolation_level=None)) as other, monkeypatch.context() as patch:
            patch.setattr(sqlite3, "connect", impatient)
            other.execute("BEGIN IMMEDIATE")
            assert not store.return_to_disk()
            assert (store.in_memory, count(store)) == (True, 0)
            other.execute("ROLLBACK")
        assert store.return_to_disk()
