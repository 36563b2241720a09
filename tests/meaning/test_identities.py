"""MB208: the same id in two files, and twice in one list."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import MakeBank, trade
from tests.meaning.checking import findings
from tests.operations.banks import put


@pytest.fixture
def path(make_bank: MakeBank) -> Path:
    return make_bank(0, padded=False)


def found(path: Path) -> list[tuple[str, str]]:
    return [(one.path, one.message) for one in findings(path, "MB208")]


def test_ids_of_their_own(path: Path) -> None:
    for number in range(3):
        put(path / f"trades/{number}.json", {**trade(number), "trade_id": f"t{number}"})
    put(path / "trades/2025/none.json", trade(3))
    assert found(path) == []


def test_files_with_the_same_id(path: Path) -> None:
    put(path / "trades/a.json", {**trade(1), "id": 7})
    put(path / "trades/b.json", {**trade(2), "id": 8})
    put(path / "trades/2025/c.json", {**trade(3), "trade_id": "7", "id": 8})
    put(path / "trades/d.json", {**trade(4), "id": "7"})
    message = "the trade id '7' stands in trades/a.json already"
    assert found(path) == [("trades/d.json", message), ("trades/2025/c.json", message)]
    [one, _] = findings(path, "MB208")
    assert (one.severity, one.expected, one.found) == ("error", "an id of its own", "'7'")
    put(path / "trades/d.json", {**trade(4), "id": "9"})
    put(path / "trades/2025/c.json", {**trade(3), "id": "10"})
    assert found(path) == []


def test_a_file_that_goes_takes_its_id_along(path: Path) -> None:
    put(path / "agents/a/one.json", {"decision_id": "d", "decision_type": "buy"})
    put(path / "agents/b/two.json", {"decision_id": "d", "decision_type": "buy"})
    assert [one[0] for one in found(path)] == ["agents/b/two.json"]
    (path / "agents/a/one.json").unlink()
    assert found(path) == []


def test_an_id_of_another_kind_is_another_id(path: Path) -> None:
    put(path / "agents/a/one.json", {"decision_id": "x", "decision_type": "buy"})
    put(path / "agents/a/two.json", {"signal_id": "x", "signal_type": "buy"})
    put(path / "state/one.json", {"id": "x"})
    put(path / "state/two.json", {"id": "x"})
    assert found(path) == []


def test_a_list_is_a_view_of_single_files(path: Path) -> None:
    put(path / "trades/a.json", {**trade(1), "id": 7})
    put(path / "trades/recent_trades.json", {"trades": [{**trade(1), "id": 7}]})
    put(path / "trades/all.json", {"trades": [{**trade(1), "id": 7}]})
    assert found(path) == []


def test_twice_in_one_list(path: Path) -> None:
    put(path / "trades/recent_trades.json", {"trades": [{**trade(1), "id": 7}, {**trade(2), "id": "7"}]})
    [one] = findings(path, "MB208")
    assert (one.path, one.pointer, one.hint) == (
        "trades/recent_trades.json",
        "/trades/1/id",
        "memorybank explain MB208",
    )
    assert one.message == "the id '7' stands at /trades/0 already"
    assert findings(path, "MB208")[0].message == one.message
