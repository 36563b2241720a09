"""Measures: which records they take, whose values, and what a bank's rules ask for."""

from __future__ import annotations

from typing import Any

import pytest

from memorybank_cli.bank.measures import COUNT, FAILED, SUCCESSFUL, TIMES, Aggregates, getter, same, values_at


def rule(**fields: Any) -> dict[str, Any]:
    return {"file": "metrics/metrics.json", "at": "/n", "is": "count", "of": "trades", **fields}


def taken(aggregates: Aggregates, directory: str, name: str = "a.json") -> list[str]:
    return [one.key for one in aggregates.of(directory, name)]


def test_nothing_is_measured_that_nobody_asks_for() -> None:
    assert taken(Aggregates(), "trades") == []


@pytest.mark.parametrize(
    ("claimed", "measures"),
    [
        (["count"], [COUNT]),
        (["failed"], [COUNT, FAILED, SUCCESSFUL]),
        (["last"], [COUNT, TIMES]),
        (["first", "successful"], [COUNT, FAILED, SUCCESSFUL, TIMES]),
        (["what no program claims"], []),
    ],
)
def test_what_is_claimed_is_measured(claimed: list[str], measures: list[object]) -> None:
    aggregates = Aggregates().claiming(claimed)
    assert taken(aggregates, "trades") == [key for one, key in aggregates.keys.items() if one in measures]
    assert taken(aggregates, "trades/2025/03") == taken(aggregates, "trades")
    assert taken(aggregates, "state") == taken(aggregates, "trades_old") == taken(aggregates, "") == []


def test_a_rule_brings_its_measure_and_what_it_is_said_of() -> None:
    aggregates = Aggregates([rule(**{"is": "sum", "member": "/fee", "where": {"side": "buy"}, "of": "trades/2025/"})])
    assert len(taken(aggregates, "trades/2025")) == len(taken(aggregates, "trades/2025/03")) == 3
    assert taken(aggregates, "trades/2024") == []
    [one] = aggregates.rules
    assert (one.measure.of, one.measure.what, one.measure.where) == ("trades/2025", "sum", (("/side", '"buy"'),))
    assert aggregates.by_file == {"metrics/metrics.json": [0]}


def test_a_rule_of_one_file() -> None:
    aggregates = Aggregates([rule(of="trades/recent.json")])
    assert len(taken(aggregates, "trades", "recent.json")) == 1
    assert taken(aggregates, "trades", "other.json") == []


def test_the_digest_follows_the_rules() -> None:
    digests = [
        Aggregates(rules).digest
        for rules in ([], [rule()], [rule(tolerance=0.1)], [rule(where={"a": 1})], [rule(where={"a": True})])
    ]
    assert digests[0] == ""
    assert len(set(digests)) == 5
    assert Aggregates([rule()]).claiming(["count"]).digest == digests[1]


RECORDS: list[Any] = [
    {"success": True, "deep": {"dex": "a", "list": [{"n": 1}]}, "n": 1},
    {"success": False, "deep": {"dex": "b"}, "n": True, "a/b~c": "x"},
    {"success": None, "n": "1"},
    {"n": 1.0},
    [1],
    "text",
]


@pytest.mark.parametrize(
    ("where", "numbers"),
    [
        ({"success": True}, [0]),
        ({"success": False}, [1]),
        ({"success": None}, [2, 3, 4, 5]),
        ({"n": 1}, [0, 3]),
        ({"n": True}, [1]),
        ({"n": "1"}, [2]),
        ({"/deep/dex": "b"}, [1]),
        ({"/deep/list/0/n": 1}, [0]),
        ({"/deep/list/1/n": 1}, []),
        ({"a/b~c": "x"}, [1]),
        ({"success": None, "n": 1}, [3]),
        ({}, [0, 1, 2, 3, 4, 5]),
    ],
)
def test_filters(where: dict[str, Any], numbers: list[int]) -> None:
    aggregates = Aggregates([rule(where=where)])
    wanted = aggregates.keys[aggregates.rules[0].measure]
    [one] = [one for one in aggregates.of("trades", "a.json") if one.key == wanted]

    def fits(record: Any) -> bool:
        if one.member:
            return (record.get(one.member) if isinstance(record, dict) else None) is one.wanted
        return one.fits is None or one.fits(record)

    assert [number for number, record in enumerate(RECORDS) if fits(record)] == numbers


def test_true_and_one_are_two_filters() -> None:
    aggregates = Aggregates([rule(where={"n": 1}), rule(where={"n": True})])
    assert aggregates.rules[0].measure != aggregates.rules[1].measure


@pytest.mark.parametrize(
    ("pointer", "value"),
    [("/a", 1), ("/b/c", 2), ("/d/1", 4), ("/d/7", None), ("/d/x", None), ("/0", 5), ("/e~1f", 6), ("/a/b", None)],
)
def test_values_at_pointers(pointer: str, value: Any) -> None:
    assert getter(pointer)({"a": 1, "b": {"c": 2}, "d": [3, 4], "0": 5, "e/f": 6}) == value
    assert getter("/0")([7]) == 7
    assert getter("/a")([7]) is None


def test_scalars_are_the_same_as_json_means_it() -> None:
    assert same(1, 1.0)
    assert same(None, None)
    assert same("a", "a")
    assert not same(1, True)
    assert not same(0, False)
    assert not same(0, None)


@pytest.mark.parametrize(
    ("pointer", "places"),
    [
        ("/a/*/n", [("/a/0/n", 1), ("/a/1/n", None)]),
        ("/b/*", [("/b/0", "x"), ("/b/1", ["y"])]),
        ("/b/*/*", [("/b/1/0", "y")]),
        ("/c/*", [("/c/*", 5)]),
        ("/c/*b", [("/c/*b", 6)]),
        ("/gone/*/n", []),
        ("/n", [("/n", 7)]),
    ],
)
def test_values_at_every_item(pointer: str, places: list[tuple[str, Any]]) -> None:
    value = {"a": [{"n": 1}, {}], "b": ["x", ["y"]], "c": {"*": 5, "*b": 6}, "n": 7}
    assert list(values_at(pointer, value)) == places
    assert list(values_at("/*/n", [{"n": 1}])) == [("/0/n", 1)]
