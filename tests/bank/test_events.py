"""findings.sqlite: made once, whoever comes first; damaged ones are put aside, and without room it is in memory."""

from __future__ import annotations

import errno
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


def test_many_may_be_first_and_none_takes_what_is_half_made_for_damage(root: Root) -> None:
    found: list[tuple[str, bool]] = []

    def make() -> None:
        with closing(EventStore(root)) as store:
            found.append((store.lost, store.in_memory))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert found == [("", False)] * 8


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


def is_current(store: EventStore) -> bool:
    return store.is_current


def test_it_knows_whether_the_path_is_still_its_file(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    file = Path(root.path) / layout.FINDINGS
    with closing(EventStore(root)) as store:
        assert is_current(store)
        file.rename(f"{file}-away")
        assert not is_current(store)
        EventStore(root).close()
        assert not is_current(store), "another one stands there"

        def fail(_self: Root, _path: str) -> None:
            raise OSError(errno.EIO, "input/output error")

        with monkeypatch.context() as patch:
            patch.setattr(Root, "stat", fail)
            assert is_current(store), "nothing can be looked at"
        store.leave_disk()
        assert is_current(store)


def test_of_two_who_find_it_damaged_the_second_leaves_the_new_one_alone(root: Root) -> None:
    with closing(EventStore(root)) as one, closing(EventStore(root)) as other:
        one.leave_disk(damaged=True)
        assert one.return_to_disk()
        with one.writing() as db:
            db.execute(NEW, ("trades", 1, "[1]"))
        other.leave_disk(damaged=True)
        assert (other.lost, one.is_current) == ("", True)
        assert other.return_to_disk()
        assert len(other.db.execute("SELECT * FROM ownership").fetchall()) == 1


def test_one_without_its_tables_is_damaged(root: Root) -> None:
    with closing(EventStore(root)) as store:
        store.db.execute("DROP TABLE alert_told")
    with closing(EventStore(root)) as store:
        assert (root.stat(store.lost) is not None, store.in_memory) == (True, False)
        assert store.db.execute("SELECT * FROM alert_told").fetchall() == []


def test_where_the_file_cannot_be_written_memory_holds_what_is_in_it(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(EventStore(root)) as store, store.writing() as db:
        db.execute(NEW, ("trades", 1, "[1]"))
        db.execute("INSERT INTO deliveries (id, channel, body, created_at) VALUES ('1', 'desk', '', '')")

    def full(*_given: object) -> sqlite3.Connection:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(EventStore, "_of_file", full)
    with closing(EventStore(root)) as store:
        assert store.in_memory
        assert [row["dir"] for row in store.db.execute("SELECT * FROM ownership")] == ["trades"]
        assert store.db.execute("SELECT * FROM deliveries").fetchall() == [], "each process would deliver it"
    file = Path(root.path) / layout.FINDINGS
    file.write_bytes(file.read_bytes()[:5_000])
    with closing(EventStore(root)) as store:
        assert (store.in_memory, store.db.execute("SELECT * FROM ownership").fetchall()) == (True, [])
