"""Which records a change is about, from the journal's versions and those kept in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.bank.scan import Scanner
from memorybank_cli.operations import changed_records
from memorybank_cli.operations.changed_records import ChangedRecords
from tests.conftest import MakeBank, trade
from tests.operations.banks import adopt, opened, put

RECENT = "trades/recent_trades.json"


def told(records: ChangedRecords, *paths: str) -> list[dict[str, Any] | None]:
    scan = Scanner(records.bank).run_on(paths)
    return [records.of(one) for one in (*scan.changes, *scan.outside)]


def listed(path: Path, *numbers: int, pad: int = 0, profit: float = 0.0725) -> None:
    trades = [{**trade(number), "note": "x" * pad, "net_profit": profit} for number in numbers]
    put(path / RECENT, {"trades": trades})


def name(number: int) -> str:
    return str(trade(number)["tx_hash"])


def test_records_of_a_list_and_of_a_single_file(make_bank: MakeBank) -> None:
    path = make_bank(3, padded=False)
    listed(path, 1, 2, 3)
    adopt(path)
    with opened(path) as bank:
        records = ChangedRecords(bank)
        listed(path, 2, 3, 4)
        [found] = told(records, RECENT)
        assert found == {"added": [name(4)], "removed": [name(1)], "changed": [], "more": 0}
        listed(path, 1, 2, 3, profit=1.5)
        [found] = told(records, RECENT)
        assert found is not None
        assert found["changed"] == [name(1), name(2), name(3)]
        put(path / "trades/new.json", trade(9))
        [found] = told(records, "trades/new.json")
        assert found is not None
        assert len(found["added"]) == 1
        put(path / "trades/trade_1.json", {**trade(1), "net_profit": 2})
        [found] = told(records, "trades/trade_1.json")
        assert found is not None
        assert len(found["changed"]) == 1


def test_many_records_are_cut_short(make_bank: MakeBank) -> None:
    path = make_bank(1, padded=False)
    with opened(path) as bank:
        listed(path, *range(40))
        [found] = told(ChangedRecords(bank), RECENT)
    assert found is not None
    assert (len(found["added"]), found["more"]) == (10, 27)


def test_of_large_files_the_version_before_is_kept_in_memory(
    make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_bank(1, padded=False)
    with opened(path) as bank:
        records = ChangedRecords(bank)
        listed(path, 1, 2, 3, pad=9_000)
        assert told(records, RECENT) is not None
        adopt(path)
        bank.refresh()
        listed(path, 2, 3, 4, pad=9_000)
        [found] = told(records, RECENT)
        assert found is not None
        assert (found["added"], found["removed"]) == ([name(4)], [name(1)])
        assert told(ChangedRecords(bank), RECENT) == [None]  # neither kept nor in the journal
        adopt(path)
        bank.refresh()
        monkeypatch.setattr(changed_records, "ROOM", 100)
        listed(path, 3, 4, 5, pad=9_000)
        assert told(records, RECENT) != [None]
        assert records._kept == {}
        assert records._size == 0


def test_what_cannot_be_told(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_bank(1, padded=False)
    with opened(path) as bank:
        records = ChangedRecords(bank)
        put(path / "state/note.txt", b"no JSON")
        assert told(records, "state/note.txt") == [None]
        put(path / "state/state.json", {"bot_status": "stopped"})
        [change] = Scanner(bank).run_on(["state/state.json"]).changes
        put(path / "state/state.json", {"bot_status": "again"})
        assert records.of(change) is None
        monkeypatch.setattr(changed_records, "LARGEST", 3)
        assert told(records, "state/state.json") == [None]
