from __future__ import annotations

import json
import math
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from memorybank_cli.base import exact_json
from memorybank_cli.base.exact_json import FlawedJSON, dumps, loads
from memorybank_cli.base.strict_json import HARD_DEPTH, MAX_DIGITS, MEMORY_BUDGET, parse_cost, too_deep

TEXT = st.text(max_size=12) | st.sampled_from(
    ["", '"', "\\", "\\u0041", "\x7f", "é", "😀", "\u2028", "{[,:]}", "\n\t\r"]
)
INTEGERS = (
    st.integers() | st.integers(-(10**40), 10**40) | st.sampled_from([10**18, 2**63, -(2**63) - 1, 2**64, 10**20])
)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | INTEGERS | FLOATS | TEXT
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=20
)
SPACE = st.sampled_from(["", "", " ", "\n", "\t", "\r\n", "  "])
NUMBERS = st.from_regex(r"\A-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,2})?\Z")


def same(one: Any, other: Any) -> bool:
    """Equal in value and in type, all the way down, and in the order of keys."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float):
        return one == other and math.copysign(1, one) == math.copysign(1, other)
    return bool(one == other)


def flaw(data: bytes) -> str:
    with pytest.raises(FlawedJSON) as caught:
        loads(data)
    assert str(caught.value) == caught.value.flaw.message
    return caught.value.flaw.rule


@st.composite
def strings(draw: st.DrawFn) -> str:
    """A JSON string with each character literal or as any escape that stands for it."""
    parts = []
    for char in draw(TEXT):
        plain = json.dumps(char, ensure_ascii=False)[1:-1]
        escaped = json.dumps(char)[1:-1]
        forced = "".join(f"\\u{unit:04X}" for unit in _units(char))
        parts.append(draw(st.sampled_from([plain, plain, escaped, forced])))
    return '"' + "".join(parts) + '"'


def _units(char: str) -> list[int]:
    data = char.encode("utf-16-be")
    return [int.from_bytes(data[place : place + 2], "big") for place in range(0, len(data), 2)]


@st.composite
def sources(draw: st.DrawFn, value: st.SearchStrategy[str], twice: bool = False) -> str:
    """An object's or array's text with space between all tokens; `twice` repeats a key in other letters."""
    one, two = draw(value), draw(value)
    if not twice and draw(st.booleans()):
        return draw(SPACE).join(["[", one, ",", two, "]"])
    first, second = draw(strings()), draw(strings())
    if twice:
        key = json.loads(first)
        second = draw(st.sampled_from([first, json.dumps(key), json.dumps(key, ensure_ascii=False)]))
    elif json.loads(first) == json.loads(second):
        second = json.dumps(json.loads(second) + "x")
    return draw(SPACE).join(["{", first, ":", one, ",", second, ":", two, "}"])


LEAVES = strings() | NUMBERS | st.sampled_from(["null", "true", "false", "[]", "{}"])
DOCUMENTS = st.recursive(LEAVES, sources, max_leaves=12)


@st.composite
def doubled(draw: st.DrawFn) -> bytes:
    """A document in which one object, at some depth, has a key twice."""
    text = draw(sources(DOCUMENTS, twice=True))
    for _ in range(draw(st.integers(0, 80))):
        text = draw(
            st.sampled_from(['{"a": ' + text + "}", "[1," + text + "]", "[" + text + "]", '{"a":0,"b":' + text + "}"])
        )
        if len(text) > 2_000:
            break
    return text.encode()


@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_every_value_is_read_as_the_standard_library_reads_it(value: Any, ascii_only: bool, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert same(loads(text.encode()), json.loads(text))


@given(DOCUMENTS)
@example("-0")
@example("[-0, -0.0, 0e5, 1E5, 1e-400]")
@example("[123456789012345678, 1234567890123456789, 9223372036854775808, 100000000000000000000]")
@example('{"\\ud83d\\ude00": "\\/\\b\\f"}')
def test_every_spelling_is_read_as_the_standard_library_reads_it(text: str) -> None:
    assert same(loads(text.encode()), json.loads(text))


@given(doubled())
@example(b'{"a":1,"a":1}')
@example(b'{"a\\u0022":1,"a\\"":1}')
@example(b'{"\\\\u0041":1,"\\\\u0041":2}')
@example(b'{"x":"\\"\\"\\"\\"","a":{"a":"\\"","a":"\\""}}')
def test_a_key_that_stands_twice_never_passes(data: bytes) -> None:
    with pytest.raises(FlawedJSON) as caught:
        loads(data)
    assert caught.value.flaw.rule in {"MB105", "MB108"}
    try:
        fast = orjson.loads(data)
    except orjson.JSONDecodeError:
        return
    assert not exact_json._proved(data, fast)


@given(st.lists(INTEGERS | FLOATS, min_size=1), st.integers(0, 70))
def test_what_the_fast_parser_is_trusted_with_is_exact(numbers: list[float], depth: int) -> None:
    data = b"[" * depth + json.dumps(numbers).encode() + b"]" * depth
    fast = orjson.loads(data)
    if exact_json._proved(data, fast):
        assert same(fast, json.loads(data))


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}"), (b'[0,{"a":', b"}]")])
@pytest.mark.parametrize("inside", [b"1", b"[]", b"{}", b'"x"'])
def test_depth_is_limited_exactly(opening: bytes, closing: bytes, inside: bytes) -> None:
    each = opening.count(b"[") + opening.count(b"{")
    own = 1 if inside in {b"[]", b"{}"} else 0
    for levels in range((HARD_DEPTH - 4) // each, HARD_DEPTH // each + 4):
        data = opening * levels + inside + closing * levels
        if levels * each + own <= HARD_DEPTH:
            assert loads(data) == json.loads(data)
        else:
            assert flaw(data) == "MB108"


def test_depth_beyond_any_parser() -> None:
    assert flaw(b"[" * 200_000 + b"]" * 200_000) == "MB108"
    assert flaw(b'{"a":' * 2_000 + b"1" + b"}" * 2_000) == "MB108"


def test_many_containers_side_by_side_are_not_deep() -> None:
    value = [{"a": [index]} for index in range(100)]
    assert loads(json.dumps(value).encode()) == value
    assert not too_deep(value)


def test_what_the_fast_parser_reads_but_cannot_write_again_is_not_proved() -> None:
    data = b"[" * 300 + b"]" * 300
    assert not exact_json._proved(data, orjson.loads(data))


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"NaN", "MB107"),
        (b"[Infinity]", "MB107"),
        (b'{"a":-Infinity}', "MB107"),
        (b"[1e400]", "MB107"),
        (b"-1e999", "MB107"),
        (b"1" * (MAX_DIGITS + 1), "MB107"),
        (b"[-" + b"1" * (MAX_DIGITS + 1) + b"]", "MB107"),
        (b'"\\ud800"', "MB106"),
        (b'{"\\udc00":1}', "MB106"),
        (b'["\\ude00\\ud83d"]', "MB106"),
        (b"\xef\xbb\xbf{}", "MB106"),
        (b'"\xed\xa0\x80"', "MB106"),
        (b"", "MB104"),
        (b"01", "MB101"),
        (b"[1,]", "MB101"),
        (b"{'a':1}", "MB101"),
        (b'"\t"', "MB101"),
    ],
)
def test_what_a_bank_may_not_hold(data: bytes, rule: str) -> None:
    assert flaw(data) == rule


def test_the_longest_integer_and_a_whole_pair_of_escapes_are_read() -> None:
    assert loads(b"-" + b"9" * MAX_DIGITS) == -(10**MAX_DIGITS) + 1
    assert loads(b'"\\ud83d\\ude00"') == "😀"
    assert loads(b'["\\ud83d\\ude00", "\\\\ud800"]') == ["😀", "\\ud800"]


def test_the_doubled_key_is_named_and_cut_when_long() -> None:
    with pytest.raises(FlawedJSON, match='the key "b" stands twice'):
        loads(b'{"a":1,"b":{"b":1,"a":0,"b":2}}')
    with pytest.raises(FlawedJSON, match=r"k\.\.\." + '" stands twice'):
        loads(b'{"%s":1,"%s":2}' % (b"k" * 500, b"k" * 500))


def test_large_documents_have_a_size_and_a_memory_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"[" + b",".join([b"1"] * 40_000) + b"]"
    assert loads(data) == [1] * 40_000
    monkeypatch.setattr(exact_json, "LARGE", 1 << 10)
    assert loads(data) == [1] * 40_000
    monkeypatch.setattr(exact_json, "MEMORY_BUDGET", 1 << 20)
    monkeypatch.setattr("memorybank_cli.base.damage.MEMORY_BUDGET", 1 << 20)
    assert flaw(data) == "MB108"
    monkeypatch.setattr(exact_json, "HARD_SIZE", 1 << 10)
    monkeypatch.setattr("memorybank_cli.base.damage.HARD_SIZE", 1 << 10)
    assert flaw(data) == "MB108"


def test_what_the_fast_parser_gets_without_an_estimate_fits_the_budget() -> None:
    worst = '["😀",'.encode() + b"[]," * (exact_json.LARGE // 3)
    assert parse_cost(worst) <= MEMORY_BUDGET


@given(VALUES, st.booleans())
def test_what_is_written_is_read_back_exactly(value: Any, indent: bool) -> None:
    data = dumps(value, indent=indent)
    assert same(loads(data), value)
    assert b"\n" not in data or indent


def test_numbers_beyond_64_bits_are_written_as_they_are() -> None:
    assert dumps({"wei": 10**20, "neg": [-(10**30)]}) == b'{"wei":%d,"neg":[%d]}' % (10**20, -(10**30))
    assert dumps([10**20, "é"], indent=True) == '[\n  100000000000000000000,\n  "é"\n]'.encode()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("beside", [None, 10**30, "text"])
def test_what_is_no_number_is_not_written(bad: float, beside: object) -> None:
    for value in (bad, [bad, beside], {"a": {"b": (beside, bad)}}):
        with pytest.raises(ValueError, match="Out of range"):
            dumps(value)


def test_null_beside_good_floats_is_written() -> None:
    assert dumps({"a": None, "b": [1.5, (None, 2)], "c": "null"}) == b'{"a":null,"b":[1.5,[null,2]],"c":"null"}'


def test_half_a_character_is_not_written() -> None:
    with pytest.raises(ValueError, match="surrogates not allowed"):
        dumps("\ud800")
