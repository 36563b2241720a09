"""Identities: asked in constant time, caught up with the journal, made again whenever they are lost or foreign."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from memorybank_cli.accounts import identities as identities_module
from memorybank_cli.accounts.applier import AccountApplier
from memorybank_cli.accounts.identities import NAME, Identities
from memorybank_cli.accounts.messages import Message
from memorybank_cli.accounts.replay import STORED
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.journal import Entry
from memorybank_cli.base.errors import Refused
from memorybank_cli.operations.accounts import create
from memorybank_cli.operations.messages import store
from memorybank_cli.operations.rollback import rollback
from tests.conftest import MakeBank, Run
from tests.operations.banks import backed_up, opened


@pytest.fixture
def path(make_bank: MakeBank) -> Path:
    made = make_bank(0, padded=False)
    with opened(made) as bank:
        for account in ("a", "b"):
            create(bank, account)
        store(bank, "a", texts("one", "two"))
        store(bank, "b", texts("two", "three"))
    return made


def texts(*ids: str) -> list[Message]:
    return [Message("user", one, id=one) for one in ids]


def fresh(bank: Bank, account: str, *ids: str) -> list[bool]:
    table = Identities(bank)
    try:
        with bank.locked():
            return table.fresh(account, ids)
    finally:
        table.close()


def rows(path: Path) -> int:
    db = sqlite3.connect(path / NAME)
    try:
        return int(db.execute("SELECT count(*) FROM known").fetchone()[0])
    finally:
        db.close()


def test_who_is_known_where(path: Path) -> None:
    with opened(path) as bank:
        assert fresh(bank, "a", "one", "two", "three", "three") == [False, False, True, False]
        assert fresh(bank, "b", "one", "two", "three") == [True, False, False]
        assert fresh(bank, "a") == []


def test_it_follows_the_journal_and_reads_no_history_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(path) as bank:
        assert fresh(bank, "a", "x") == [True]
        assert fresh(bank, "b", "x") == [True]
    with opened(path) as bank:
        store(bank, "a", texts("four"))
        monkeypatch.setattr(identities_module, "read_history", None)
        assert fresh(bank, "a", "one", "four", "five") == [False, False, True]
    assert rows(path) == 5


@pytest.mark.parametrize("size", [1, 2, 3])
def test_large_batches_are_asked_in_parts(path: Path, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identities_module, "AT_ONCE", size)
    with opened(path) as bank:
        ids = ["a", "one", "b", "b", "two", "c", "a"]
        assert fresh(bank, "a", *ids) == [True, False, True, False, False, True, False]
        assert store(bank, "a", texts("5", "6", "7", "6")).added == 3
        assert fresh(bank, "a", "5", "6", "7") == [False, False, False]


@pytest.mark.parametrize("how", ["gone", "garbage", "empty", "another table", "shorter"])
def test_it_comes_back_by_itself(path: Path, how: str) -> None:
    file = path / NAME
    with opened(path) as bank:
        store(bank, "a", texts(*(str(number) for number in range(3_000))))
    for one in (path / ".memorybank").glob("index.sqlite-*"):
        one.unlink()
    if how == "another table":
        file.unlink()
        db = sqlite3.connect(file)
        db.execute("CREATE TABLE other (x)")
        db.close()
    elif how == "gone":
        file.unlink()
    else:
        data = file.read_bytes()
        file.write_bytes({"garbage": b"?" * 5_000, "empty": b"", "shorter": data[: len(data) // 2]}[how])
    with opened(path) as bank:
        assert store(bank, "a", texts("one", "2999", "new")).added == 1
        assert store(bank, "a", texts("one", "2999", "new")).added == 0


def test_damage_in_the_middle_of_a_question(path: Path) -> None:
    with opened(path) as bank:
        store(bank, "a", texts(*(str(number) for number in range(3_000))))
        assert fresh(bank, "a", "one") == [False]
        assert rows(path) > 2_000
        with opened(path) as other:
            data = bytearray((path / NAME).read_bytes())
            data[4_096:] = bytes(len(data) - 4_096)
            (path / NAME).write_bytes(data)
            for one in (path / ".memorybank").glob("index.sqlite-*"):
                one.unlink()
            assert fresh(other, "a", "17", "new") == [False, True]


def test_where_nothing_can_be_written_it_stays_in_memory(path: Path) -> None:
    (path / NAME).unlink(missing_ok=True)
    (path / NAME).mkdir()
    with opened(path) as bank:
        assert fresh(bank, "a", "one", "new") == [False, True]


def test_a_table_of_another_journal_is_not_believed(path: Path, tmp_path: Path, run: Run) -> None:
    with opened(path) as bank:
        store(bank, "a", texts("three"))
        assert fresh(bank, "a", "three") == [False]
    kept = (path / NAME).read_bytes()
    (path / NAME).unlink()
    db = tmp_path / "other"
    db.write_bytes(kept)
    with sqlite3.connect(db) as changed:
        changed.execute("UPDATE meta SET hash='0'")
        changed.execute("DELETE FROM known")
    changed.close()
    (path / NAME).write_bytes(db.read_bytes())
    assert run(
        "message", "add", "x", "--id", "three", "--account", "a", "--role", "user", "--bank", path, "--json"
    ).json["duplicates"]


def test_what_was_admitted_and_not_written_is_known_while_the_lock_is_held(path: Path) -> None:
    """An act admits in parts what it writes as one group at its end."""
    applier = AccountApplier()

    def entries(*ids: str) -> list[Entry]:
        fields = {"account": "a", "kind": "message"}
        moment = {"timestamp": "2026-01-01T00:00:00.000000Z"}
        return [Entry(STORED, {**fields, "record": one}, {"id": one, **moment}) for one in ids]

    def admitted(*ids: str) -> list[str]:
        return [str(one.fields["record"]) for one in applier.admit(bank, entries(*ids))]

    with opened(path) as bank:
        with bank.locked():
            assert admitted("one", "x", "y", "x") == ["x", "y"]
            assert admitted("y", "z") == ["z"]
        with bank.locked():
            assert admitted("x", "y", "z") == ["x", "y", "z"]
        other = [Entry("file.found", {"files": []})]
        with bank.locked():
            assert applier.admit(bank, other) == other


def test_what_was_refused_can_be_stored_later(path: Path) -> None:
    def refuse(_bank: Bank, _entry: Entry) -> Entry:
        raise Refused("not now")

    with opened(path) as bank:
        bank.gates.append(refuse)
        with pytest.raises(Refused):
            store(bank, "a", texts("later"))
        bank.gates.pop()
        assert store(bank, "a", texts("later")).added == 1


def test_two_processes_take_turns(path: Path) -> None:
    with opened(path) as one, opened(path) as other:
        assert store(one, "a", texts("x")).added == 1
        assert store(other, "a", texts("x", "y")).added == 1
        assert store(one, "a", texts("x", "y", "z")).added == 1
        create(other, "c")
        assert store(other, "c", texts("x")).added == 1
        assert store(one, "c", texts("x", "y")).added == 1


def test_after_a_rollback_the_account_is_read_anew(path: Path) -> None:
    backed_up(path)
    with opened(path) as bank:
        store(bank, "a", texts("three"))
        store(bank, "b", texts("four"))
        safety = rollback(bank, account="a", yes=True).safety_snapshot
        assert fresh(bank, "a", "one", "three") == [False, True]
        assert fresh(bank, "b", "three", "four") == [False, False]
        assert store(bank, "a", texts("three", "five")).added == 2
        rollback(bank, str(safety), account="a", yes=True)
        assert fresh(bank, "a", "one", "three", "five") == [False, False, True]


def test_a_table_that_fails_again_and_again_is_replaced(path: Path) -> None:
    """A table that lost its columns while it was open: a new one answers."""
    with opened(path) as bank:
        table = Identities(bank)
        with sqlite3.connect(path / NAME) as other:
            other.execute("DROP TABLE known")
            other.execute("CREATE TABLE known (x)")
        other.close()
        with bank.locked():
            assert table.fresh("a", ["one", "new"]) == [False, True]
        table.close()
    assert rows(path) == 2


def test_what_was_stored_a_moment_ago_is_known_before_the_table_knows_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identities_module, "AT_MOST", 4)
    with opened(path) as bank, opened(path) as other:
        store(bank, "a", texts("x1"))
        before = rows(path)
        store(bank, "a", texts("x2"))
        store(other, "a", texts("x3"))
        assert store(bank, "a", texts("x1", "x2", "x3", "x4", "x4")).duplicate_ids == ("x1", "x2", "x3", "x4")
        assert store(other, "a", texts("x4")).added == 0
        assert rows(path) == before + 4  # four of them waited
        assert store(bank, "a", texts("x1", "x5")).ids == ("x1", "x5")
    with opened(path) as bank:
        assert store(bank, "a", texts("x1", "x2", "x3", "x4", "x5")).added == 0


def test_ids_that_are_made_here_are_not_looked_up_and_known_all_the_same(path: Path) -> None:
    with opened(path) as bank, opened(path) as other:
        done = store(bank, "a", [Message("user", "x")])
        assert (done.added, len(done.ids), done.duplicate_ids) == (1, 1, ())
        assert store(other, "a", texts(*done.ids)).added == 0
        again = store(bank, "a", [Message("user", "y")])
        assert store(bank, "a", texts(*again.ids, *done.ids)).added == 0


def test_the_table_learns_now_and_then_also_where_nobody_asks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memorybank_cli.accounts.applier.CAUGHT_UP", 2)
    before = rows(path)
    with opened(path) as bank:
        for _ in range(4):
            store(bank, "a", [Message("user", "x")])
    assert rows(path) > before


def test_totals_follow_what_others_store(path: Path) -> None:
    with opened(path) as bank, opened(path) as other:
        assert store(bank, "a", texts("x1")).total == 3
        assert store(other, "a", texts("x2", "x3")).total == 5
        assert store(bank, "a", texts("x4")).total == 6
        assert store(bank, "a", texts("x4")).total == 6
        other.refresh()
        assert store(other, "a", texts("x5")).total == 7


def test_after_a_gap_the_histories_are_asked_again(path: Path) -> None:
    with opened(path) as bank:
        assert fresh(bank, "a", "one") == [False]
        bank.record_gap({"reason": "lines were lost"})
    with opened(path) as bank:
        assert fresh(bank, "a", "one", "new") == [False, True]
