"""MB204: references that point nowhere, as far as the bank can tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.operations.accept import accept
from tests.conftest import MakeBank, trade
from tests.meaning.checking import findings
from tests.operations.banks import opened, put


@pytest.fixture
def path(make_bank: MakeBank) -> Path:
    return make_bank(0, padded=False)


def decision(name: str, parent: Any = None) -> dict[str, Any]:
    return {"decision_id": name, "decision_type": "buy", "context": {"parent_decision_id": parent}}


def found(path: Path) -> list[tuple[str, str, str]]:
    return [(one.path, one.pointer, one.message) for one in findings(path, "MB204")]


def test_references_that_lead_somewhere(path: Path) -> None:
    put(path / "agents/a/1.json", decision("d1"))
    put(path / "agents/b/2.json", decision("d2", "d1"))
    put(path / "agents/b/3.json", decision("d3", "d2"))
    assert found(path) == []


def test_a_reference_that_leads_nowhere(path: Path) -> None:
    put(path / "agents/a/2.json", decision("d2", "d1"))
    message = "refers to the decision 'd1', which is not in the bank"
    assert found(path) == [("agents/a/2.json", "/context/parent_decision_id", message)]
    [one] = findings(path, "MB204")
    assert (one.severity, one.expected, one.found) == ("error", "the id of a decision", "'d1'")
    put(path / "agents/a/1.json", decision("d1"))
    assert found(path) == []
    (path / "agents/a/1.json").unlink()
    assert [one[0] for one in found(path)] == ["agents/a/2.json"]


TRADE = {"x-memorybank": {"id": "trade_id", "references": {"/decision": "decision", "/closes": "trade"}}}


def bring(path: Path) -> None:
    put(path / "config/schemas/trade.schema.json", TRADE)
    with opened(path) as bank:
        accept(bank, str(path / "config"))


def test_kinds_that_are_kept_elsewhere_are_not_missed(path: Path) -> None:
    bring(path)
    put(path / "trades/a.json", {**trade(1), "trade_id": "a", "decision": "d1"})
    assert found(path) == []
    put(path / "agents/a/1.json", decision("d2"))
    assert [one[0] for one in found(path)] == ["trades/a.json"]


def test_records_in_lists_can_be_referred_to_and_refer(path: Path) -> None:
    bring(path)
    listed = [{**trade(1), "trade_id": "l1"}, {**trade(2), "trade_id": "l2", "closes": ["l1", "gone"]}]
    put(path / "trades/all.json", {"trades": listed})
    put(path / "trades/a.json", {**trade(1), "trade_id": "a", "closes": "l2"})
    message = "refers to the trade 'gone', which is not in the bank"
    assert found(path) == [("trades/all.json", "/trades/1/closes/1", message)]
    put(path / "trades/all.json", {"trades": listed[:1]})
    assert [(one[0], one[2]) for one in found(path)] == [
        ("trades/a.json", "refers to the trade 'l2', which is not in the bank")
    ]


def test_a_list_that_changes_meanwhile_is_looked_at_next_time(path: Path) -> None:
    bring(path)
    put(path / "trades/all.json", {"trades": [{**trade(1), "trade_id": "l1"}]})
    put(path / "trades/a.json", {**trade(1), "trade_id": "a", "closes": "l1"})
    assert found(path) == []
    with opened(path) as bank:
        from memorybank_cli.meaning.references import dangling

        put(path / "trades/all.json", b"{")
        assert [one.path for one in dangling(bank)] == ["trades/a.json"]


def graph(*edges: tuple[Any, Any]) -> dict[str, Any]:
    return {"relations": [{"from": start, "to": end, "relationType": "knows"} for start, end in edges]}


def nodes(*names: str) -> dict[str, Any]:
    return {"entities": [{"name": name, "entityType": "person", "observations": []} for name in names]}


def test_relations_lead_to_entities_by_name(path: Path) -> None:
    put(path / "shared/relations/1.json", graph(("Ada", "Bob"), ("Bob", "Eve")))
    assert found(path) == []  # entities may be kept elsewhere
    put(path / "shared/entities/1.json", nodes("Ada"))
    put(path / "agents/a/2.json", {**nodes("Bob"), **graph(("Bob", "Zoe"))})
    assert found(path) == [
        ("agents/a/2.json", "/relations/0/to", "refers to the entity 'Zoe', which is not in the bank"),
        ("shared/relations/1.json", "/relations/1/to", "refers to the entity 'Eve', which is not in the bank"),
    ]
    assert findings(path, "MB204")[0].expected == "the id of an entity"
    put(path / "shared/entities/1.json", nodes("Ada", "Eve", "Zoe"))
    assert found(path) == []


def test_of_very_many_references_the_first_are_looked_at(path: Path) -> None:
    put(path / "agents/a/1.json", nodes("Ada"))
    edges = [("Ada", "Ada")] * 10_000
    put(path / "agents/a/2.json", graph(("Eve", "Ada"), *edges, ("Ada", "Eve")))
    assert [one[1] for one in found(path)] == ["/relations/0/from"]
