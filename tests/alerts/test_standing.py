from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from memorybank_cli.alerts import standing, waiting
from memorybank_cli.alerts.breaker import OPENS_AT, Breaker, Moment
from memorybank_cli.alerts.settings import Own
from memorybank_cli.alerts.waiting import Waiting
from memorybank_cli.bank.events import EventStore
from memorybank_cli.base import clock
from memorybank_cli.base.records import Finding
from memorybank_cli.base.walk import Root
from tests.alerts.receivers import notice

HOOK = {"kind": "webhook", "url": "https://example.org/"}
OWN = Own(channels={"desk": HOOK, "hook": HOOK})


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    (tmp_path / "a bank?x#y%20").mkdir()
    found = Root(tmp_path / "a bank?x#y%20")
    yield found
    found.close()


def down(failures: int = OPENS_AT) -> Breaker:
    one = Breaker()
    for _ in range(failures):
        one = one.failed(Moment.now(), "it hangs")
    return one


def keep(root: Root, failed: dict[str, Breaker], waits: dict[str, timedelta]) -> None:
    with closing(EventStore(root)) as store, store.writing() as db:
        for name, one in failed.items():
            waiting.keep_breaker(db, name, one)
        for name, age in waits.items():
            told = notice(name, created_at=clock.show(datetime.now(UTC) - age))
            waiting.add(db, Waiting(told.id, name, told.as_dict(), told.created_at))


def test_nothing_is_said_and_made_where_nothing_is(root: Root) -> None:
    assert standing.findings(root, OWN) == []
    assert root.listing() == []
    keep(root, {}, {})
    assert standing.findings(root, OWN) == []


def test_a_channel_that_fails_is_one_finding_with_its_cure(root: Root) -> None:
    keep(
        root, {"desk": down(), "hook": down(OPENS_AT - 1), "log": down(), "gone": down()}, {"desk": timedelta(hours=5)}
    )
    found = standing.findings(root, OWN)
    assert [(one.rule, one.pointer) for one in found] == [("MB552", "/channels/desk"), ("MB552", "/channels/log")]
    assert "fails since" in found[0].message
    assert found[0].message.endswith("it hangs")
    assert found[0].hint == "memorybank alert test desk tries it now"


def test_what_alerts_json_has_wrong_is_told_without_any_alert(root: Root) -> None:
    told = Finding("MB550", "others may write it")
    found = standing.findings(root, Own(channels={"desk": HOOK, "odd": {"kind": "fax"}}, findings=(told,)))
    assert [(one.rule, one.pointer) for one in found] == [("MB550", ""), ("MB554", "/channels/odd")]


def test_messages_that_nobody_delivers(root: Root) -> None:
    keep(
        root, {"hook": down(1)}, {"desk": timedelta(hours=2), "hook": timedelta(hours=2), "log": timedelta(minutes=59)}
    )
    [one] = standing.findings(root, OWN)
    assert (one.rule, one.severity, one.pointer) == ("MB553", "warning", "/channels/desk")
    assert "nobody delivers them" in one.message


def test_a_database_that_cannot_be_read_is_told(root: Root) -> None:
    keep(root, {"desk": down()}, {})
    for path in Path(root.path, ".memorybank").glob("findings.sqlite*"):
        path.write_bytes(b"no database, this is" * 500)
    [one] = standing.findings(root, OWN)
    assert (one.rule, one.severity) == ("MB551", "error")
    assert one.message == "alerts are kept in memory only: findings.sqlite cannot be read: file is not a database"


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("nowhere")])
def test_what_is_no_file_is_told(root: Root, make: Callable[[Path], None]) -> None:
    path = Path(root.path, ".memorybank/findings.sqlite")
    path.parent.mkdir()
    make(path)
    [one] = standing.findings(root, OWN)
    assert one.message == "alerts are kept in memory only: findings.sqlite is no regular file"
    assert one.hint == f"remove what stands at '{path}'"


def test_one_without_tables_is_told(root: Root) -> None:
    with closing(EventStore(root)) as store:
        store.db.execute("DROP TABLE channels")
    [one] = standing.findings(root, OWN)
    assert "no such table: channels" in one.message


def test_one_that_may_not_be_written_is_told(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    EventStore(root).close()
    monkeypatch.setattr(os, "access", lambda _path, mode: not mode & os.W_OK)  # root may write everywhere
    [one] = standing.findings(root, OWN)
    assert one.message == "alerts are kept in memory only: findings.sqlite may not be written"


def test_one_that_is_busy_is_none_that_fails(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    EventStore(root).close()

    def busy(*_given: object, **_named: object) -> sqlite3.Connection:
        raise sqlite3.OperationalError("database is locked")

    monkeypatch.setattr(standing, "open_read_only", busy)
    assert standing.findings(root, OWN) == []


def test_odd_names_are_shown_safely() -> None:
    for one in (standing.unfit("\x1b" * 200, "it is odd"), standing.unknown("\x1b" * 200)):
        assert "\x1b" not in one.message + one.pointer
        assert len(one.pointer) < 100
        assert one.hint
