"""The likely cause of a misfit: named where what stands there shows it, and never guessed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.bank.causes import likely_cause

PRICES = "'prise' may be meant for 'price'"
SECONDS = "milliseconds since the epoch, where seconds are expected"


@pytest.mark.parametrize(
    ("keyword", "expected", "found", "name", "known", "cause"),
    [
        ("required", "price", {"prise": 1, "side": "buy"}, "", (), PRICES),
        ("required", "price", {"prise": 1}, "", ("prise",), ""),
        ("required", "price", {"side": "buy"}, "", (), ""),
        ("required", "price", {}, "", (), ""),
        ("required", "token_pair", {"tokenPair": 1}, "", (), "'tokenPair' may be meant for 'token_pair'"),
        ("required", "a\n", {"A\n": 1}, "", (), r"'A\x0a' may be meant for 'a\x0a'"),
        ("additionalProperties", ["prise"], {"prise": 1}, "", ("price", "side"), PRICES),
        ("additionalProperties", ["prise"], {"prise": 1, "price": 2}, "", ("price", "side"), ""),
        ("unevaluatedProperties", ["prise", "x"], {"prise": 1, "x": 2}, "", ("price",), PRICES),
        ("type", "number", None, "price", (), "a value must stand here"),
        ("enum", ["a"], None, "side", (), "a value must stand here"),
        ("minimum", 5, None, "side", (), ""),
        ("type", "number", "12.5", "price", (), "a number written as text"),
        ("type", ["null", "number"], " 1e5 ", "price", (), "a number written as text"),
        ("type", ["null", "number"], "12", "price", (), "a number written as text"),
        ("type", "integer", "-12", "price", (), "an integer written as text"),
        ("type", "integer", "12.5", "price", (), ""),
        ("type", "boolean", "True", "open", (), "a boolean written as text"),
        ("type", ["number", "null"], "None", "price", (), "a null written as text"),
        ("type", "object", '{"a": 1}', "risk", (), "an object written as text"),
        ("type", "array", "[1]", "tags", (), "an array written as text"),
        ("type", "array", "[1", "tags", (), ""),
        ("type", "array", "[" * 9_000, "tags", (), ""),
        ("type", "array", "[" + "1," * 9_000 + "1]", "tags", (), ""),
        ("type", "object", "[1]", "tags", (), ""),
        ("type", "number", "twelve", "price", (), ""),
        ("type", "string", 5, "side", (), ""),
        ("enum", ["buy", "sell"], "BUY", "side", (), "'buy' may be meant"),
        ("enum", ["buy", 1], "by", "side", (), "'buy' may be meant"),
        ("enum", [1, 2], "by", "side", (), ""),
        ("enum", ["buy"], 3, "side", (), ""),
        ("const", "trade", "Trade", "kind", (), "'trade' may be meant"),
        ("format", "date-time", "2026-11-20T14:00:00", "at", (), "the zone is missing"),
        ("format", "date-time", "2026-11-20 14:00", "at", (), ""),
        ("format", "uuid", "2026-11-20T14:00:00", "at", (), ""),
        ("maximum", 9_999_999_999, 1_795_176_000_000, "timestamp", (), SECONDS),
        ("exclusiveMaximum", 1e10, 1_795_176_000_000.5, "opened_at", (), SECONDS),
        ("minimum", 10**12, 1_795_176_000, "ts", (), "seconds since the epoch, where milliseconds are expected"),
        ("maximum", 10**10, 1_795_176_000 * 10**9, "time", (),
         "nanoseconds since the epoch, where seconds are expected"),
        ("maximum", 9_999_999_999, 1_795_176_000_000, "volume", (), ""),
        ("maximum", 9_999_999_999, 10**40, "time", (), ""),
        ("maximum", 100, 1_795_176_000, "time", (), ""),
        ("maximum", 10**10, True, "time", (), ""),
        ("pattern", "^a", "b", "side", (), ""),
    ],
)  # fmt: skip
def test_causes(keyword: str, expected: Any, found: Any, name: str, known: tuple[str, ...], cause: str) -> None:
    assert likely_cause(keyword, expected, found, name, known) == cause


@given(
    st.sampled_from(["required", "type", "enum", "format", "maximum", "const", "contains"]),
    st.text(max_size=6) | st.integers() | st.none(),
    st.text(max_size=30) | st.floats() | st.integers() | st.dictionaries(st.text(max_size=6), st.none(), max_size=4),
)
def test_a_cause_can_be_shown(keyword: str, expected: Any, found: Any) -> None:
    given_ = {"required": str(expected), "type": ["number", "array"], "enum": [expected]}.get(keyword, expected)
    assert likely_cause(keyword, given_, found, "time", ()).isprintable()
