"""Documents by their members: what is alike becomes one family, what differs clearly another."""

from __future__ import annotations

import json
from typing import Any

from memorybank_cli.meaning.families import ALTERNATIVES, SETS, Families, families_from_json, signature_of

TRADE = {"price": 1, "side": "buy", "at": 1, "symbol": "BTC"}
TRANSFER = {"from": "a", "to": "b", "amount": 1}


def families_of(*documents: Any) -> Families:
    families = Families()
    for number, document in enumerate(documents):
        families.add(document, f"trades/{number}.json")
    return families


def test_optional_members_do_not_make_a_family() -> None:
    [family] = families_of(TRADE, {**TRADE, "note": ""}, {"price": 1, "side": "buy", "at": 1}).alternatives()
    assert family.count == 3
    assert family.examples == ["trades/0.json", "trades/1.json", "trades/2.json"]
    assert family.shape.members["note"].count == 1


def test_other_members_do_and_the_largest_family_comes_first() -> None:
    found = families_of(TRANSFER, TRADE, TRADE).alternatives()
    assert [one.count for one in found] == [2, 1]
    assert found[1].examples == ["trades/0.json"]


def test_what_is_like_two_families_makes_them_one() -> None:
    left, right = {"a": 1, "b": 1, "c": 1}, {"d": 1, "e": 1, "f": 1}
    assert len(families_of(left, right).alternatives()) == 2
    assert len(families_of(left, right, {**left, **right}).alternatives()) == 1


def test_types_and_versions_are_not_mixed() -> None:
    found = families_of({"a": 1, "schema_version": 1}, {"a": 1, "schema_version": 2}, [1], "text").alternatives()
    assert sorted(str(one.version) for one in found) == ["1", "2", "None", "None"]


def test_documents_of_older_versions_can_be_taken_out() -> None:
    families = families_of({"a": 1, "schema_version": 1}, {"a": 1, "schema_version": 2}, {"a": 1})
    older, newest = families.take_older()
    assert newest == 2
    assert [one.examples for one in older] == [["trades/0.json"]]
    assert families.count == 2
    assert families_of({"a": 1}).take_older() == ([], None)


def test_keys_that_are_data_do_not_tell_documents_apart() -> None:
    assert signature_of({"BTC": 1, "ETH": 2}) == signature_of({"SOL": 1, "ADA": 2, "XRP": 3})
    assert signature_of({"price": 1, "size": 2}) != signature_of({"from": 1, "to": 2})


def test_empty_objects_are_a_family_of_their_own() -> None:
    found = families_of(TRADE, {}, {}).alternatives()
    assert [one.is_empty for one in found] == [True, False]


def test_sets_of_members_and_alternatives_are_bounded() -> None:
    families = families_of(*({f"a{number}": 1, f"b{number}": 1} for number in range(5 * SETS)))
    assert len(families.by_signature) == SETS
    assert families.count == 5 * SETS
    alternatives = families.alternatives()
    assert len(alternatives) <= ALTERNATIVES
    assert sum(one.count for one in alternatives) == 5 * SETS


def test_versions_are_bounded_too() -> None:
    families = families_of(*({"a": 1, "schema_version": number} for number in range(5 * SETS)))
    assert len(families.by_signature) == 2 * SETS


def test_parts_that_came_as_json_merge() -> None:
    whole = families_of(TRADE, TRANSFER)
    part = families_from_json(json.loads(json.dumps(families_of(TRADE, TRADE, {"x": 1}).to_json())))
    whole.merge(part)
    assert [one.count for one in whole.alternatives()] == [3, 1, 1]
    assert [len(one.examples) for one in whole.alternatives()] == [3, 1, 1]
