from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.base.strict_json import HARD_DEPTH, MAX_DIGITS, Unfit, decode, parse_cost, too_deep

SPACE = st.sampled_from(["", " ", "\n\t", "\r\n"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(VALUES, SPACE, st.booleans())
def test_a_leading_value_is_found_with_its_end(value: Any, space: str, ascii_only: bool) -> None:
    text = space + json.dumps(value, ensure_ascii=ascii_only)
    assert decode(text + space) == (value, None)
    assert decode(text + space + "]") == (value, len(text))


@pytest.mark.parametrize("text", ["", " ", "x", "[1", "[1,]", '{"a"}', '"\t"', "\ufeff{}"])
def test_what_is_no_json_is_a_syntax_error(text: str) -> None:
    with pytest.raises(json.JSONDecodeError):
        decode(text)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("NaN", "MB107"),
        ("[-Infinity]", "MB107"),
        ("-1e999", "MB107"),
        ("9" * (MAX_DIGITS + 1), "MB107"),
        ('{"a":1,"a":1}', "MB105"),
        (r'{"a":1,"\u0061":1}', "MB105"),
        (r'["\uD800"]', "MB106"),
        (r'{"\udfff":0} trailing', "MB106"),
    ],
)
def test_what_json_allows_and_a_bank_does_not(text: str, rule: str) -> None:
    with pytest.raises(Unfit) as caught:
        decode(text)
    assert caught.value.rule == rule


def test_half_a_character_after_the_value_is_not_its_fault() -> None:
    assert decode(r'[] "\ud800"') == ([], 2)
    assert decode(r'["\ud83d\ude00"]') == (["😀"], None)
    assert decode(r'["\\ud800"]') == ([r"\ud800"], None)


@given(st.text())
def test_the_cost_of_a_text_is_at_least_what_its_string_takes(text: str) -> None:
    width = max((1 if char < "\x80" else 2 if char < "\U00010000" else 4 for char in text), default=1)
    data = text.encode()
    assert parse_cost(data) >= len(data) + width * len(text)


@given(st.integers(1, 130), st.sampled_from(["list", "dict", "both"]))
def test_depth_counts_every_container(levels: int, kind: str) -> None:
    value: Any = 1
    for level in range(levels):
        as_list = kind == "list" or (kind == "both" and level % 2 == 0)
        value = [0, value] if as_list else {"a": value, "b": []}
    deepest = levels + (kind == "dict")  # the innermost object holds an empty list
    assert too_deep(value) == (deepest > HARD_DEPTH)
