"""Which records a document holds."""

from __future__ import annotations

import json
from typing import Any

import pytest

from memorybank_cli.bank.schemas import Registry
from memorybank_cli.base.exact_json import FlawedJSON, dumps, loads
from memorybank_cli.meaning.records import Reader, naming, spans

READER = Reader(Registry())


def names(path: str, value: Any) -> list[tuple[str, str, str]]:
    return [(one.kind, one.id, one.pointer) for one in READER.records(path, dumps(value))]


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("trades/a.json", {"trade_id": 7, "timestamp": "2026-01-01T00:00:00Z"}, [("trade", "7", "")]),
        ("trades/a.json", {"tx_hash": "0xab", "timestamp": "2026-01-01T00:00:00Z"}, [("trade", "0xab", "")]),
        ("trades/a.json", {"timestamp": 12.5}, [("trade", "12.5", "")]),
        ("trades/a.json", {"price": 1}, [("trade", "", "")]),
        ("trades/a.json", [{"id": "a"}, {"trade_id": "b"}, 3],
         [("trade", "a", "/0"), ("trade", "b", "/1"), ("trade", "", "/2")]),
        ("trades/a.json", {"trades": [{"id": 1}], "total": 1}, [("trade", "1", "/trades/0")]),
        ("trades/a.json", {"trades": []}, []),
        ("trades/a.json", [], []),
        ("trades/a.json", [{"ts": 1.5}, {"ts": 2}], [("trade", "1.5", "/0"), ("trade", "2", "/1")]),
        ("trades/a.json", [{"ts": 1}, {"ts": 1}], [("trade", "", "/0"), ("trade", "", "/1")]),
        ("agents/a.json", {"decision_id": "d", "decision_type": "X"}, [("decision", "d", "")]),
        ("agents/a.json", {"entities": [{"name": "n"}], "relations": []}, [("entity", "n", "/entities/0")]),
        ("agents/a.json", {"relations": [{"from": "a"}]}, [("relation", "", "/relations/0")]),
        ("agents/a.json", {"entities": 5}, [("member", "entities", "/entities")]),
        ("agents/a.json", [{"order_id": 1, "x": 0}, {"order_id": 2, "x": 0}],
         [("value", "1", "/0"), ("value", "2", "/1")]),
        ("agents/a.json", 5, [("value", "", "")]),
        ("account_a/short_term.json", {"messages": [{"id": "m"}]}, [("message", "m", "/messages/0")]),
        ("account_a/history/000000000001.json", {"messages": [{"id": "m"}]}, [("message", "m", "/messages/0")]),
        ("metrics/m.json", {"a/b": 1, "c": {}}, [("member", "a/b", "/a~1b"), ("member", "c", "/c")]),
        ("state/s.json", {"cycle": 1}, [("member", "cycle", "/cycle")]),
    ],
)  # fmt: skip
def test_the_records_of_a_document(path: str, value: Any, expected: list[tuple[str, str, str]]) -> None:
    assert names(path, value) == expected


def test_what_stands_beside_a_list() -> None:
    [held] = READER.held("trades/a.json", {"trades": [{"id": 1}], "total": 1})
    assert (held.holder, [one.id for one in held.beside]) == ("/trades", ["total"])
    [plain] = READER.held("trades/a.json", [{"id": 1}])
    assert (plain.holder, list(plain.beside)) == ("", [])


def test_a_schema_of_the_bank_says_what_names_a_record() -> None:
    own = {"trade": {"type": "object", "x-memorybank": {"id": "deal"}}}
    [record] = Reader(Registry(own)).records("trades/a.json", b'{"deal": "x", "trade_id": "y"}')
    assert record.id == "x"


def test_both_versions_are_named_in_the_same_way() -> None:
    was, now = READER.held("agents/a.json", [{"hash": 1, "ts": 1}], [{"hash": 1, "ts": 1}, {"hash": 1, "ts": 2}])
    assert [one.id for one in (*was.records, *now.records)] == ["1", "1", "2"]


def test_damaged_bytes_have_no_records() -> None:
    with pytest.raises(FlawedJSON):
        READER.records("trades/a.json", b"{")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("trades/a.json", '{"id": 1,\n "x": [1, {"y": "}"}]}'),
        ("trades/a.json", '[ {"id": 1, "x": [[]]}\n , {"id": 2}, 3 ]'),
        ("trades/a.json", '{"total": 2, "trades": [{"id": 1}, {"id": 2, "x": "]"}], "z": 0}'),
        ("metrics/m.json", '{"a": {"b": [1]}, "c\\n": 2.50, "d": "x"}'),
        ("metrics/m.json", "{}"),
        ("trades/a.json", "[]"),
        ("agents/a.json", ' "text" '),
    ],
)
def test_where_each_record_stands(path: str, text: str) -> None:
    data = text.encode()
    [held] = READER.held(path, loads(data))
    found = spans(data, held)
    assert [json.loads(data[one.start : one.end]) for one in found] == [one.value for one in held.records]
    assert [one.line for one in found] == [1 + data.count(b"\n", 0, one.start) for one in found]


def test_items_without_anything_that_tells_them_apart_have_no_names() -> None:
    named = naming([[{"a_id": 1}, {"a_id": 1}], [{"a_id": 2}]])
    assert named({"a_id": 1}) == ""
    assert naming([[{"a_id": 1}], []])({"a_id": 1}) == "1"
    assert naming([[], []])({"id": 1}) == ""
    assert naming([[1, 2]])(1) == ""
