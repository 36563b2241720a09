"""What documents say of each other is judged anew only when facts changed, and never when they did not."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.scan import Scanner
from memorybank_cli.base.errors import OperationFailed
from memorybank_cli.operations.accept import accept
from memorybank_cli.operations.probes import check_bank, meaning
from tests.bank.test_scan import age, change_unseen, hashed, read_again
from tests.conftest import MakeBank, trade
from tests.meaning.checking import declare, findings
from tests.operations.banks import adopt, opened, put, rules


class Statements(list[str]):
    @property
    def judged(self) -> bool:
        """Whether findings were made anew, not repeated."""
        return any("'meaning'" in one and one.startswith("INSERT") for one in self)


@contextmanager
def statements(bank: Bank) -> Iterator[Statements]:
    """The SQL that is executed meanwhile."""
    found = Statements()
    bank.catalog.db.set_trace_callback(found.append)
    try:
        yield found
    finally:
        bank.catalog.db.set_trace_callback(None)


def judged(bank: Bank, **options: Any) -> bool:
    with statements(bank) as found:
        check_bank(bank, **options)
    return found.judged


@pytest.fixture
def path(make_bank: MakeBank) -> Path:
    """A settled bank with a finding of each rule about meaning."""
    path = make_bank(20, padded=False)
    for number in (1, 2):
        put(path / f"trades/2025/{number}.json", {**trade(number), "trade_id": "same"})
    put(path / "agents/a/d.json", {"decision_id": "d", "decision_type": "x", "context": {"parent_decision_id": "gone"}})
    put(path / "metrics/a.json", {"total_trades": 7})
    put(path / "state/a.json", {"timestamp": 1_743_422_400, "iso_timestamp": "2025-03-31T08:00:00"})
    age(path)
    adopt(path)
    return path


ALL = ["MB204", "MB205", "MB206", "MB207", "MB208"]


def test_each_rule_once_and_again_the_same(path: Path) -> None:
    first = findings(path)
    assert [one.rule for one in first] == ALL
    with opened(path) as bank:
        for options in ({}, {}, {"full": True}):
            assert not judged(bank, **options)
    again = findings(path)
    assert [one.as_dict() | {"detected_at": ""} for one in again] == [
        one.as_dict() | {"detected_at": ""} for one in first
    ]


def test_content_that_says_the_same_is_no_change(path: Path) -> None:
    findings(path)
    put(path / "trades/2025/1.json", {**trade(1), "trade_id": "same", "net_profit": 5})
    put(path / "state/state.json", {"bot_status": "stopped"})
    with opened(path) as bank:
        assert not judged(bank)
        put(path / "state/state.json", {"total_trades": 20})
        assert judged(bank)
        assert not judged(bank)


def test_only_references_lead_into_lists(path: Path) -> None:
    listed = [{**trade(1), "trade_id": "x"}]
    put(path / "trades/all.json", {"trades": listed})
    findings(path)
    with opened(path) as bank:
        put(path / "trades/all.json", {"trades": listed * 2})
        assert judged(bank)
    (path / "agents/a/d.json").unlink()
    findings(path)
    with opened(path) as bank:
        put(path / "trades/all.json", {"trades": [trade(1)] * 2})
        check_bank(bank)
        put(path / "trades/all.json", {"trades": [trade(2)] * 2})
        assert not judged(bank)


def test_the_rolling_look_changes_nothing(path: Path) -> None:
    findings(path)
    with opened(path) as bank:
        before = hashed(bank)
        assert not judged(bank)
        assert hashed(bank) != before


def test_settled_directories_keep_their_facts(path: Path) -> None:
    with opened(path) as bank:
        check_bank(bank)
        facts = bank.catalog.meta("facts")
        for _ in range(3):
            assert "trades/2025" in bank.catalog.unchanged()
            _, read = read_again(bank)
            assert len(read) < 20
            assert bank.catalog.meta("facts") == facts
    put(path / "trades/2025/2.json", {**trade(2), "trade_id": "other"})
    assert [one.rule for one in findings(path)] == ALL[:4]


def test_a_lost_catalog_comes_back(path: Path) -> None:
    before = [(one.rule, one.path, one.message) for one in findings(path)]
    for file in (path / ".memorybank").glob("catalog*"):
        file.unlink()
    assert [(one.rule, one.path, one.message) for one in findings(path)] == before


def test_a_catalog_of_an_earlier_program_is_made_again(path: Path) -> None:
    [file] = (path / ".memorybank").glob("catalog*.sqlite")
    db = sqlite3.connect(file)
    db.execute("ALTER TABLE files DROP COLUMN s_facts")
    db.close()
    assert [one.rule for one in findings(path)] == ALL


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE files SET s_facts='[7]' WHERE s_facts<>''",
        "UPDATE dirs SET facts='{\"count\": 7}'",
        "UPDATE dirs SET facts='7'",
        "UPDATE meta SET value='7' WHERE name='meaning'",
        "UPDATE meta SET value=json_set(value,'$[1]',json('[[\"x\"]]')) WHERE name='meaning'",
    ],
)
def test_a_catalog_that_somebody_edited(path: Path, change: str) -> None:
    findings(path)
    with opened(path) as bank:
        bank.catalog.db.execute(change)
        if "s_facts" in change:
            bank.catalog.db.execute("DELETE FROM dirs")
        with pytest.raises(sqlite3.DatabaseError, match="what memorybank did not write") as caught:
            check_bank(bank)
        with pytest.raises(OperationFailed):
            bank.explain(caught.value)
    assert [one.rule for one in findings(path)] == ALL


def test_accepted_rules_let_every_file_be_read_again(path: Path) -> None:
    findings(path)
    put(path / "metrics/own.json", {"n": 20})
    adopt(path)
    declare(path, {"file": "metrics/own.json", "at": "/n", "is": "count", "of": "trades", "where": {"success": True}})
    with opened(path) as bank:
        _, read = read_again(bank)
        assert len(read) > 20
    assert [one.path for one in findings(path, "MB207") if one.severity == "error"] == ["metrics/own.json"]
    (path / "config/aggregates.json").unlink()
    with opened(path) as bank:
        accept(bank, "config")
    assert [one.path for one in findings(path, "MB207")] == ["metrics/a.json"]


def test_trades_are_measured_once_somebody_claims_a_total(make_bank: MakeBank) -> None:
    path = make_bank(20, padded=False)
    put(path / "trades/2025/1.json", trade(21))
    age(path)
    adopt(path)
    with opened(path) as bank:
        check_bank(bank)
        assert "count" not in bank.catalog.meta("facts")
        query = "SELECT name FROM files WHERE s_facts<>'' AND dir='trades'"
        assert bank.catalog.db.execute(query).fetchall() == [("recent_trades.json",)]
        put(path / "metrics/a.json", {"total_trades": 7})
        _, read = read_again(bank)
        assert {"trades/trade_0.json", "trades/2025/1.json"} <= read
        assert "state/state.json" not in read
        assert bank.catalog.meta("claimed") == ["count"]
        put(path / "state/a.json", {"last_trade_time": "2025-03-31T00:00:00Z"})
        assert {"trades/trade_0.json", "state/a.json"} <= read_again(bank)[1]
        assert bank.catalog.meta("claimed") == ["count", "last"]
        assert len(read_again(bank)[1]) < 20
    assert {one.path for one in findings(path, "MB207")} == {"metrics/a.json", "state/a.json"}


def test_looks_by_other_rules_are_not_kept(path: Path) -> None:
    with opened(path) as bank:
        check_bank(bank)
        stale = Scanner(bank)
        with bank.catalog.writing():
            bank.catalog.set_meta("version", "of another program")
        put(path / "trades/2025/3.json", {**trade(3), "trade_id": "same"})
        stale.run_on(["trades/2025/3.json"])
        assert bank.catalog.row("trades/2025/3.json").seen is None
        assert Scanner(bank).run().checked
        assert bank.catalog.row("trades/2025/3.json").seen is not None


def test_rot_that_was_found_in_one_file_stays_found(path: Path) -> None:
    with opened(path) as bank:
        check_bank(bank)
        assert "trades/2025" in bank.catalog.unchanged()
        change_unseen(bank, "trades/2025/1.json", b"7" * (path / "trades/2025/1.json").stat().st_size)
        assert [one.rule for one in Scanner(bank).run_on(["trades/2025/1.json"]).findings] == ["MB115"]
        assert "trades/2025" not in bank.catalog.unchanged()
        assert rules(path)["trades/2025/1.json"] == "MB115"


def test_without_a_look_there_is_nothing_to_say(make_bank: MakeBank) -> None:
    path = make_bank(1)
    for file in (path / ".memorybank").glob("catalog*"):
        file.unlink()
    with opened(path) as bank:
        assert list(meaning(bank)) == []


def test_paths_alone_are_not_held_against_each_other(path: Path) -> None:
    with opened(path) as bank:
        assert [one.rule for one in check_bank(bank, ["metrics/a.json", "state"])[2]] == []
