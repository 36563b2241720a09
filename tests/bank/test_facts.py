"""Facts: what one document contributes, and that most contribute nothing."""

from __future__ import annotations

from typing import Any

import pytest

from memorybank_cli.bank.facts import Extractor, Ids, identity, packed, records_of, unpacked
from memorybank_cli.bank.layout import place
from memorybank_cli.bank.measures import Aggregates
from memorybank_cli.bank.schemas import Registry
from tests.conftest import trade

IDS = Ids(Registry())
RULE = {"file": "state/own.json", "at": "/deep/n", "is": "count", "of": "agents/a"}


def facts(path: str, value: Any, kind: str | None = None, claimed: Any = (), rules: Any = ()) -> tuple[str, Any]:
    where = place(path)
    extractor = Extractor(IDS, Aggregates(rules).claiming(claimed))
    name, text = extractor.facts(path, where, where.kind if kind is None else kind, value)
    return name, unpacked(text) if text else {}


def test_a_good_trade_has_an_id_and_no_facts() -> None:
    assert facts("trades/a.json", {**trade(1), "trade_id": "t1"}) == ("t1", {})
    assert facts("trades/a.json", trade(1)) == ("", {})
    assert facts("trades/a.json", [trade(1)], "trade_list") == ("", {"listed": True})


@pytest.mark.parametrize("path", ["config/memorybank.json", "stray.json", "bank.json", "account_a/short_term.json"])
def test_what_agents_do_not_write_has_none(path: str) -> None:
    value = {"id": "x", "timestamp": "2025-03-31T12:00:00", "messages": [{}], "total_trades": 3}
    assert facts(path, value, claimed=["count"]) == ("", {})


def test_only_records_are_known_by_their_id() -> None:
    assert facts("trades/a.json", {"id": 7, "trade_id": None})[0] == "7"
    assert facts("trades/a.json", {"id": 7, "trade_id": "t"})[0] == "t"
    assert facts("state/a.json", {"id": "bot"})[0] == ""
    assert facts("agents/a/d.json", {"decision_id": "d"}, "decision")[0] == "d"
    assert facts("agents/a/d.json", ["decision_id"], "decision")[0] == ""


@pytest.mark.parametrize(
    ("value", "name"), [("a", "a"), (7, "7"), (True, ""), (None, ""), (1.5, ""), ({}, ""), ("", ""), (-3, "-3")]
)
def test_ids_are_texts(value: Any, name: str) -> None:
    assert identity(value) == name


def test_long_ids_are_short_and_still_their_own() -> None:
    one, other = identity("x" * 999 + "a"), identity("x" * 999 + "b")
    assert one != other
    assert len(one) < 200
    assert identity("x" * 200) == "x" * 200
    assert len(identity(10**4000)) < 200


def test_measures_are_taken_of_records_wherever_they_are() -> None:
    claimed = ["count", "failed", "last"]
    moment = 1_743_379_286_100_831
    assert facts("trades/2025/a.json", trade(1), claimed=claimed)[1] == {
        "count": {"0": 1, "2": 1},
        "times": {"3": [0, moment, moment]},
    }
    listed = {"trades": [trade(1), {**trade(2), "success": False}]}
    assert facts("trades/all.json", listed, "trade_list", claimed)[1]["count"] == {"l0": 2, "l1": 1, "l2": 1}
    assert facts("trades/recent_trades.json", listed, "trade_list", ["count"])[1]["count"] == {"v0": 2}


def test_messages_are_the_records_of_an_account() -> None:
    rules = [{**RULE, "of": "account_a", "where": {"role": "user"}}]
    messages = [{"role": "user"}, {"role": "user"}, {"role": "assistant"}]
    for path in ("account_a/whole_history.json", "account_a/history/1.json"):
        found = facts(path, {"messages": messages, "id": "no"}, rules=rules)
        assert found == ("", {"count": {"4": 2, "5": 3}})
    assert facts("account_a/mid_term.json", {"messages": messages}, rules=rules) == ("", {})
    assert facts("account_a/whole_history.json", [], rules=rules) == ("", {})


def test_claims_of_known_members_and_of_rules() -> None:
    value = {"total_trades": 3, "deep": {"n": {}}}
    assert facts("state/own.json", value)[1]["claims"] == [["/total_trades", "count", 3]]
    assert facts("state/old/own.json", value)[1] == {}
    assert facts("trades/own.json", value)[1] == {}
    assert facts("state/own.json", value, rules=[RULE])[1]["claims"] == [
        ["/deep/n", 0, None],
        ["/total_trades", "count", 3],
    ]
    rules = [{**RULE, "at": "/total_trades"}, {**RULE, "at": "/gone"}]
    assert facts("state/own.json", value, rules=rules)[1]["claims"] == [
        ["/total_trades", 0, 3],
        ["/gone", 1, None],
        ["/total_trades", "count", 3],
    ]


def test_references_of_a_record_and_of_a_list() -> None:
    decision = {"decision_id": "d2", "context": {"parent_decision_id": "d1"}}
    assert facts("agents/a/d.json", decision, "decision") == (
        "d2",
        {"refs": [["/context/parent_decision_id", "decision", "d1"]]},
    )
    assert facts("agents/a/d.json", {"decision_id": "d2", "context": {}}, "decision") == ("d2", {})
    found = facts("agents/a/d.json", [{}, decision, 7], "decision")[1]
    assert found == {"listed": True, "refs": [["/1/context/parent_decision_id", "decision", "d1"]]}
    several = {"decision_id": "d3", "context": {"parent_decision_id": ["d1", 2, None]}}
    assert [one[::2] for one in facts("agents/a/d.json", several, "decision")[1]["refs"]] == [
        ["/context/parent_decision_id/0", "d1"],
        ["/context/parent_decision_id/1", "2"],
    ]


def test_times_of_a_document() -> None:
    found = facts("agents/a/x.json", {"at": "2025-03-31T12:00:00"}, "")[1]
    assert found == {"naive": [1, "/at", "2025-03-31T12:00:00"]}


def test_duplicates_in_a_list() -> None:
    listed = [{"id": 7}, {"id": "8"}, {"trade_id": "7"}, {}, 3, {"trade_id": "8"}]
    first, second = IDS.duplicates("trade_list", {"trades": listed})
    assert (first.rule, first.pointer, first.found) == ("MB208", "/trades/2/trade_id", "'7'")
    assert first.message == "the id '7' stands at /trades/0 already"
    assert second.pointer == "/trades/5/trade_id"
    assert [one.pointer for one in IDS.duplicates("trade_list", listed)] == ["/2/trade_id", "/5/trade_id"]
    assert len(IDS.duplicates("trade_list", [{"id": 1}] * 99)) == 5
    assert IDS.duplicates("trade", {"id": 1}) == IDS.duplicates("state", [{"id": 1}] * 2) == ()


def test_a_list_that_is_none() -> None:
    assert records_of("trade_list", {"trades": 7}).values == ()


@pytest.mark.parametrize(
    "value", [{}, {"claims": [["/a", "count", 10**40]]}, {"sum": {"0": [1, 0, -(10**40), [0.1], 0.1]}}]
)
def test_facts_are_kept_exactly(value: Any) -> None:
    text = packed(value)
    assert (unpacked(text) if text else {}) == value
