"""Schemas learnt from documents: every document matches, drift does not, and people can read them."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given

from memorybank_cli.bank.narrowing import is_light
from memorybank_cli.bank.schemas import LARGEST, Registry
from memorybank_cli.meaning.families import Families, families_from_json
from memorybank_cli.meaning.inference import alternatives_of, distinct, schema_of
from tests.meaning.documents import DOCUMENTS, RECORDS

TRADE = {"price": 1.5, "side": "buy", "at": "2025-01-02T03:04:05Z", "fee": None}


def inferred(documents: list[Any], cut: int | None = None, exclusive: bool = False) -> dict[str, Any]:
    families, rest = Families(), Families()
    for number, document in enumerate(documents):
        part = families if cut is None or number < cut else rest
        part.add(document, f"trades/t{number}.json")
    families.merge(families_from_json(rest.to_json()))
    return schema_of("mine", distinct(families.alternatives()), {"version": 1}, exclusive)


def body(documents: list[Any]) -> dict[str, Any]:
    """The keywords of the only shape, without the words around it."""
    schema = inferred(documents)
    return {key: value for key, value in schema.items() if key[0] not in "$x" and key not in ("title", "description")}


def accepts(schema: dict[str, Any], document: Any) -> bool:
    return Registry({"mine": schema}).matches("mine", document)


@given(DOCUMENTS)
def test_every_document_matches_what_was_learnt_from_it(documents: list[Any]) -> None:
    registry = Registry({"mine": inferred(documents, cut=len(documents) // 2)})
    assert registry.unusable() == {}
    assert [one for one in documents if not registry.matches("mine", one)] == []


@given(RECORDS.filter(lambda record: len(record) > 2))
def test_drift_does_not_match(record: dict[str, Any]) -> None:
    schema = inferred([record] * 30)
    if "required" not in schema:
        return  # its keys are data
    for name, value in record.items():
        gone = {key: value for key, value in record.items() if key != name}
        assert not accepts(schema, gone)
        if value is not None:
            other: Any = [value] if not isinstance(value, list) else "text"
            assert not accepts(schema, {**record, name: other})


def test_the_head_says_where_it_comes_from() -> None:
    schema = inferred([TRADE] * 4)
    assert schema["title"] == "Mine"
    assert schema["description"] == "Learnt from 4 files, such as trades/t0.json, trades/t1.json, trades/t2.json."
    assert schema["x-memorybank"] == {"version": 1}
    assert inferred([TRADE])["description"] == "Learnt from 1 file: trades/t0.json."


def test_required_is_what_every_document_has() -> None:
    schema = body([TRADE, {**TRADE, "note": "x"}, {key: TRADE[key] for key in ("price", "side", "at")}])
    assert schema["required"] == ["price", "side", "at"]
    assert schema["properties"]["note"]["$comment"] == "in 1 of 3"
    assert schema["properties"]["fee"] == {"$comment": "in 2 of 3; null in every document"}


def test_null_joins_the_type() -> None:
    assert body([{"a": "x y"}, {"a": None}])["properties"]["a"] == {"type": ["string", "null"]}


@pytest.mark.parametrize(
    ("numbers", "keywords"),
    [
        ([1, 2, 3], {"type": "integer", "$comment": "1 to 3"}),
        ([1, 2.5, 3], {"type": "number", "$comment": "1 to 3"}),
        ([5], {"type": "number"}),
        ([0, 0, 0], {"type": "number"}),
        ([0.25, 1e20], {"type": "number", "$comment": "0.25 to 1e+20"}),
        ([1, None, 2, 3], {"type": ["integer", "null"], "$comment": "1 to 3"}),
    ],
)
def test_numbers(numbers: list[Any], keywords: dict[str, Any]) -> None:
    assert body([{"n": one} for one in numbers])["properties"]["n"] == keywords


def test_moments_since_the_epoch() -> None:
    properties = body([{"ts": 1_700_000_000, "at_ms": 1_700_000_000_000.0, "n": 1_700_000_000}] * 3)["properties"]
    assert properties["ts"]["$comment"] == "seconds since the epoch"
    assert properties["at_ms"]["$comment"] == "milliseconds since the epoch"
    assert "$comment" not in properties["n"]


def test_choices_only_where_few_words_came_often() -> None:
    sides = [{"side": side} for side in ("buy", "sell", None)] * 10
    assert body(sides)["properties"]["side"] == {"type": ["string", "null"], "enum": ["buy", "sell", None]}
    assert "enum" not in body(sides[:12])["properties"]["side"]
    assert "enum" not in body([{"side": "buy"}] * 30)["properties"]["side"]
    assert "enum" not in body([{"side": f"n{number}"} for number in range(2)] * 30)["properties"]["side"]
    assert "enum" not in body([*sides, {"side": 1}])["properties"]["side"]
    words = [{"side": word} for word in ("a", "b", "c", "d", "e", "f", "g", "h")]
    assert "enum" not in body(words * 9)["properties"]["side"]
    assert len(body(words * 10)["properties"]["side"]["enum"]) == 8


@pytest.mark.parametrize("name", ["pair", "dex_1", "tokenIn", "strategies", "agent_name", "symbols"])
def test_names_of_things_that_grow_are_no_choice(name: str) -> None:
    texts = [{name: one, "status": one} for one in ("alpha", "beta")] * 20
    properties = body(texts)["properties"]
    assert properties["status"]["enum"] == ["alpha", "beta"]
    assert properties[name] == {"type": "string"}
    lists = body([{name: [one[name]], "modes": [one[name]]} for one in texts])["properties"]
    assert lists["modes"]["items"]["enum"] == ["alpha", "beta"]
    assert lists[name]["items"] == {"type": "string"}


def test_forms_only_when_all_agree() -> None:
    times = [{"at": "2025-01-02T03:04:05Z"}, {"at": "2025-01-02T03:04:05+01:00"}]
    assert body(times)["properties"]["at"] == {"type": "string", "format": "date-time"}
    local = body([*times, {"at": "2025-01-02 03:04"}])["properties"]["at"]
    assert local["description"] == "an ISO 8601 time"
    assert "pattern" not in body([*times, {"at": "soon"}])["properties"]["at"]
    assert "pattern" not in body([{"at": "12"}, {"at": "13"}])["properties"]["at"]
    assert body([{"at": "12"}, {"at": "1.3"}])["properties"]["at"]["description"] == "a decimal number as text"


def test_keys_that_are_data_become_a_map() -> None:
    schema = body([{"prices": {"BTC": 1.5, "ETH": 2}}, {"prices": {"SOL": 3.5}}])
    assert schema["properties"]["prices"] == {
        "type": "object",
        "additionalProperties": {"type": "number", "$comment": "1.5 to 3.5"},
    }


def test_records_by_name_become_a_map_unless_their_names_are_fixed() -> None:
    metrics = {name: {"rate": 0.5, "total": 1} for name in ("uniswap", "curve", "balancer")}
    assert "additionalProperties" in body([metrics])
    assert body([metrics] * 20)["required"] == ["uniswap", "curve", "balancer"]
    assert "required" in body([{name: {"rate": 0.5} for name in metrics}])


def test_sparse_keys_become_a_map() -> None:
    documents = [{"by": {f"user-{number}": number, f"user-{number + 1}": 1}} for number in range(20)]
    assert "additionalProperties" in body(documents)["properties"]["by"]


def test_very_many_keys_are_a_map() -> None:
    schema = body([{"by": {f"user {number}": number for number in range(300)}}])
    assert schema["properties"]["by"]["additionalProperties"] == {"type": "integer", "$comment": "0 to 299"}
    assert body([{"by": {}, "a": 1}])["properties"]["by"] == {"type": "object"}


def test_values_of_several_types_are_no_map() -> None:
    assert body([{"BTC": 1, "ETH": "text"}])["required"] == ["BTC", "ETH"]


def test_clearly_different_shapes_become_alternatives_that_exclude_each_other() -> None:
    transfer = {"from": "a b", "to": "c d", "amount": 1}
    schema = inferred([TRADE, TRADE, transfer, {}], exclusive=True)
    assert [one["$ref"] for one in schema["oneOf"]] == ["#/$defs/shape_1", "#/$defs/shape_2", "#/$defs/empty"]
    first, second, empty = alternatives_of(schema)
    assert first["description"] == "2 of 4 files: trades/t0.json, trades/t1.json."
    assert second["description"] == "1 of 4 files: trades/t2.json."
    assert empty["maxProperties"] == 0
    registry = Registry({"mine": schema})
    assert all(registry.matches("mine", one) for one in (TRADE, transfer, {}))
    assert not registry.matches("mine", {"price": 1})
    assert "anyOf" in inferred([TRADE, transfer])


def test_a_word_that_tells_shapes_apart_is_part_of_them() -> None:
    fills = [{"type": "fill", "order": 1, "px": 1, "venue": "x y"}] * 3
    ends = [{"type": word, "order": 1, "reason": "x y"} for word in ("cancel", "expire", "cancel")]
    schema = inferred([*fills, *ends, {"assets": {}}], exclusive=True)
    fill, end, other = alternatives_of(schema)
    assert list(schema["$defs"]) == ["fill", "shape_2", "shape_3"]
    assert fill["properties"]["type"] == {"const": "fill"}
    assert end["properties"]["type"] == {"enum": ["cancel", "expire"]}
    assert "type" not in other["properties"]
    assert not accepts(schema, {"type": "cancel", "order": 1, "px": 1, "venue": "x"})
    same_word = alternatives_of(inferred([*fills, *[{"type": "fill", "reason": "x y"}] * 3]))
    assert all(one["properties"]["type"] == {"type": "string"} for one in same_word)
    too_few = alternatives_of(inferred([*fills, *ends[:2]]))
    assert all("const" not in one["properties"]["type"] for one in too_few)


def test_alternatives_are_named_by_their_files() -> None:
    families = Families()
    for number in range(3):
        families.add(TRADE, f"trades/spot_{number}.json")
        families.add({"from": 1, "to": 2}, f"trades/transfer-{number}.json")
    schema = schema_of("trade", families.alternatives(), {}, exclusive=True)
    assert list(schema["$defs"]) == ["spot", "transfer"]
    assert schema["$defs"]["spot"]["title"] == "Spot"


def test_maps_with_other_keys_are_one_alternative() -> None:
    rates = {"rate": 0.5, "total": 1.5}
    schema = inferred([{"uni": rates, "curve": rates, "bal": rates}, {"red": rates, "green": rates, "blue": rates}])
    assert "$defs" not in schema
    assert schema["additionalProperties"]["required"] == ["rate", "total"]


def test_a_schema_is_small_enough_to_be_used_whatever_it_was_learnt_from() -> None:
    wide = {
        f"a{one}": {f"b{one}_{two}": {f"c{one}_{two}_{three}": "x y" for three in range(5)} for two in range(20)}
        for one in range(60)
    }
    schema = inferred([wide, {**copy.deepcopy(wide), "more": 1}])
    assert is_light(schema, LARGEST)
    assert Registry().check(schema) == []
    assert accepts(schema, wide)
    other = {name: {f"z{key}": value for key, value in inner.items()} for name, inner in wide.items()}
    schema = inferred([wide, other], cut=1)
    assert is_light(schema, LARGEST)
    assert accepts(schema, wide)
    assert accepts(schema, other)
    assert not accepts(schema, {**wide, "a0": 1})


def test_values_at_the_top() -> None:
    schema = inferred([None, "text", 7.5, True], exclusive=True)
    assert [one["type"] for one in alternatives_of(schema)] == ["null", "string", "number", "boolean"]


def test_lists_at_the_top() -> None:
    schema = body([[{"a": 1, "b": "x y"}], [{"a": 2, "b": None}], []])
    assert schema["type"] == "array"
    assert schema["items"]["required"] == ["a", "b"]
