from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memorybank_cli.bank.misfits import describe
from memorybank_cli.bank.patterns import UnusableSchema
from memorybank_cli.bank.schemas import Registry
from memorybank_cli.bank.validators import Validator, build_compiled, build_reference

FIXTURES = Path(__file__).parent.parent / "schemas"
TABLES: dict[str, Any] = {path.stem: json.loads(path.read_text()) for path in sorted(FIXTURES.glob("*.json"))}
REGISTRY = Registry()


def both(schema: Any) -> tuple[Validator, Validator]:
    return build_compiled(schema, REGISTRY._look_up), build_reference(schema, REGISTRY._look_up)


def agree(pair: tuple[Validator, Validator], value: Any) -> bool:
    compiled, reference = pair
    verdict = compiled.matches(value)
    assert verdict == reference.matches(value), value
    ours, theirs = (set(describe(one.faults(value), 100)) for one in pair)
    assert ours == theirs
    assert verdict == (not ours)
    return verdict


@pytest.mark.parametrize("kind", TABLES)
def test_both_give_the_same_misfits_on_every_fixture(kind: str) -> None:
    pair = both(REGISTRY.document(kind))
    for good in TABLES[kind]["good"]:
        assert agree(pair, good)
    for bad in TABLES[kind]["bad"]:
        assert not agree(pair, bad["document"])


EVERYTHING = {
    "properties": {
        "alternatives": {"anyOf": [{"type": "string"}, {"type": "number", "minimum": 0}]},
        "members": {"anyOf": [{"required": ["q"]}, {"required": ["r", "s"]}]},
        "kinds": {"oneOf": [{"type": "string"}, {"type": ["boolean", "null"]}]},
        "branch": {"anyOf": [{"properties": {"x": {"const": 1}}, "required": ["x"]}, False]},
        "two": {"oneOf": [{"type": "string"}, {"minLength": 1}]},
        "type": {"type": ["string", "null"]},
        "format": {"format": "date-time"},
        "enum": {"enum": [1, "b", None]},
        "const": {"const": {"a": 10**20}},
        "pattern": {"pattern": "^a$"},
        "array": {"items": {"type": "integer"}, "maxItems": 1, "uniqueItems": True},
        "not": {"not": {"type": "string"}},
        "names": {"propertyNames": {"pattern": "^a"}},
        "never": False,
        "large": {"minimum": 10**20, "exclusiveMaximum": 10**21},
        "multiple": {"multipleOf": 3},
        "unevaluated": {"properties": {"a": True}, "unevaluatedProperties": False},
        "dependent": {"dependentRequired": {"a": ["b"]}},
        "conditional": {"if": {"type": "object"}, "then": {"minProperties": 1}, "else": {"minLength": 2}},
        "contains": {"contains": {"const": 1}},
        "reference": {"$ref": "#/$defs/described"},
        "elsewhere": {"$ref": "urn:memorybank:schema:time"},
    },
    "patternProperties": {"_usage$": {"type": "number"}},
    "required": ["zz", "yy"],
    "additionalProperties": False,
    "$defs": {"described": {"description": "A word of a's.", "pattern": "^a+$"}},
}
FAILING: dict[str, Any] = {
    "alternatives": -1, "members": {}, "kinds": 3, "branch": {"x": 2}, "two": "s", "type": 3, "format": "x", "enum": 2,
    "const": {"a": 10**20 + 1}, "pattern": "a\n", "array": ["x", "x"], "not": "s", "names": {"b": 1}, "never": 1,
    "large": 10**30, "multiple": 10**20, "unevaluated": {"a": 1, "k": 1}, "dependent": {"a": 1}, "conditional": {},
    "contains": [2], "reference": "b", "elsewhere": "noon", "cpu_usage": "1", "k~/": 2, "cpu_usage\n": 3,
}  # fmt: skip


@pytest.mark.parametrize("member", FAILING)
def test_both_say_the_same_of_every_keyword(member: str) -> None:
    schema = {key: value for key, value in EVERYTHING.items() if key != "required"}
    assert not agree(both(schema), {member: FAILING[member]})


def test_both_say_the_same_of_all_at_once() -> None:
    assert not agree(both(EVERYTHING), FAILING)


def test_the_schemas_own_words_are_preferred_to_a_pattern() -> None:
    for validator in both(EVERYTHING):
        told = {one.pointer: one.message for one in describe(validator.faults(FAILING), 100)}
        assert told["/reference"] == "expected A word of a's, found 'b'"
        assert told["/elsewhere"] == "expected ISO 8601, or seconds or milliseconds since the epoch, found 'noon'"
        assert told["/pattern"] == r"expected text that matches ^a$, found 'a\x0a'"


@pytest.mark.parametrize(
    "schema",
    [{"$ref": "http://127.0.0.1:9/x"}, {"$ref": "#/no"}, {"pattern": "("}, {"pattern": "(?<!a)b"}, {"pattern": r"a\Z"}],
)
def test_neither_takes_what_cannot_be_compiled(schema: Any) -> None:
    for build in (build_compiled, build_reference):
        with pytest.raises(UnusableSchema):
            build(schema, REGISTRY._look_up)


TRADES: list[Any] = TABLES["trade"]["good"]
TRADE = both(REGISTRY.document("trade"))
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(-(10**40), 10**40),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.sampled_from(["12.5", "2026-11-20", "2026-11-20T14:00:00Z", "2026-11-20T14:00Z\n", "2026-02-31", "1743394526"]),
    st.datetimes().map(str), st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
)  # fmt: skip
MEMBERS = st.sampled_from(["at", "px", "tags", "confidence"])
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(MEMBERS, inner))
NAMES = sorted(REGISTRY.document("trade")["properties"])


@st.composite
def mutated_trades(draw: st.DrawFn) -> Any:
    trade = copy.deepcopy(draw(st.sampled_from(TRADES)))
    for name in draw(st.lists(st.sampled_from(NAMES), max_size=4)):
        if draw(st.booleans()):
            trade[name] = draw(VALUES)
        else:
            trade.pop(name, None)
    return trade


@given(mutated_trades())
@settings(max_examples=300, deadline=None)
def test_both_agree_on_mutated_trades(trade: Any) -> None:
    agree(TRADE, trade)


TIME = both({"properties": {"t": {"format": "date-time"}, "d": {"format": "date"}, "u": {"format": "uuid"}}})
PARTS = st.sampled_from(["2026-11-20", "2024-02-29", "2023-02-29", "0000-02-29", "2026-00-01", "2026-1-01"])
CLOCKS = st.sampled_from(["14:00:00", "23:59:60", "22:59:60", "24:00:00", "00:59:60", "14:60:00", "14:00", "23:59:59"])
ZONES = st.sampled_from(["Z", "z", "+01:00", "-00:00", "+24:00", "+0100", "+23:59", "-14:60", ""])
ENDS = st.sampled_from(["", ".5", ".123456789012", ".", ",5"])


@given(PARTS, st.sampled_from("Tt _"), CLOCKS, ENDS, ZONES, st.sampled_from(["", "\n", " "]))
@settings(max_examples=300, deadline=None)
def test_both_agree_on_times(day: str, between: str, clock: str, fraction: str, zone: str, end: str) -> None:
    agree(TIME, {"t": day + between + clock + fraction + zone + end})
    agree(TIME, {"d": day + end})


@pytest.mark.parametrize(
    "text",
    ["019a9d5e-7c00-7abc-8def-0123456789ab", "019A9D5E-7C00-7ABC-8DEF-0123456789AB", "019a9d5e7c007abc8def0123456789ab",
     "{019a9d5e-7c00-7abc-8def-0123456789ab}", "019a9d5e-7c00-7abc-8def-0123456789ab\n", "", "x"],
)  # fmt: skip
def test_both_agree_on_ids(text: str) -> None:
    agree(TIME, {"u": text})
    agree(TIME, {"u": 1, "t": 1, "d": 1})
