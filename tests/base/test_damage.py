from __future__ import annotations

import codecs
import json
import random
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from memorybank_cli.base.damage import diagnose, too_large
from memorybank_cli.base.exact_json import FlawedJSON, loads
from memorybank_cli.base.strict_json import HARD_SIZE, Flaw

RULES = {f"MB10{number}" for number in range(1, 9)}
BLANK = b" \t\r\n"
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["é😀", '\\"', "a\u2028b", 10**25])
)
INNER = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=10,
)
CONTAINERS = st.lists(INNER, max_size=4) | st.dictionaries(st.text(max_size=6), INNER, max_size=4)


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """An object or array, in one of the ways programs write it."""
    value = draw(CONTAINERS)
    indent = draw(st.sampled_from([None, 2]))
    return json.dumps(value, ensure_ascii=draw(st.booleans()), indent=indent).encode()


def found(data: bytes) -> Flaw | None:
    """The flaw that reading comes to; what diagnosing says by itself must be the same."""
    try:
        loads(data)
    except FlawedJSON as error:
        flaw = error.flaw
    else:
        return None
    assert flaw == diagnose(data)
    assert flaw.rule in RULES
    assert flaw.message
    assert 0 <= flaw.offset <= len(data)
    return flaw


@given(documents(), st.data())
@example(b'{"a": "\\ud83d\\ude00", "b": [1.5e-7, true, null, false, -3]}', None)
@example('["é😀"]'.encode(), None)
def test_every_proper_beginning_is_a_document_that_stops(data: bytes, chosen: st.DataObject | None) -> None:
    ends = range(len(data)) if chosen is None or len(data) < 80 else [chosen.draw(st.integers(0, len(data) - 1))]
    for end in ends:
        flaw = found(data[:end])
        assert flaw is not None
        assert flaw.rule == ("MB103" if data[:end].strip(BLANK) else "MB104"), data[:end]


@given(documents(), st.integers(0, 10_000), st.integers(1, 5_000))
def test_a_beginning_padded_with_nuls_still_stops(data: bytes, place: int, nuls: int) -> None:
    start = data[: place % len(data)]
    assume(start.strip(BLANK))
    flaw = found(start + bytes(nuls))
    assert flaw is not None
    assert flaw.rule == "MB103"


@given(documents(), st.binary(max_size=40), st.sampled_from([b"", b"\n", b" \r\n"]))
@example(b"{}", b"\xc3", b"")
@example(b"[]", b"\xe2\x82", b"\n")
@example(b"{}", b"{}", b"\n")
@example(b"[1]", b"\0 \n\0", b"")
@example(b"[1]", b"]", b" ")
def test_what_follows_a_document_is_named_with_the_place(data: bytes, rest: bytes, space: bytes) -> None:
    assume(rest.strip(BLANK))
    flaw = found(data + space + rest)
    assert flaw is not None
    assert flaw.rule == "MB102"
    assert flaw.end is not None
    assert data[: flaw.end] == data
    assert loads(data[: flaw.end]) == loads(data)


@given(documents(), st.integers(1, 100_000))
def test_nuls_after_a_document_are_counted(data: bytes, nuls: int) -> None:
    flaw = found(data + bytes(nuls))
    assert flaw == Flaw("MB102", f"valid JSON ends at byte {len(data)}; {nuls} NUL bytes follow", len(data), len(data))


@given(documents(), st.integers(0), st.sampled_from(["flip", "put", "drop", "swap", "double"]))
def test_every_change_of_a_byte_is_read_or_explained(data: bytes, seed: int, how: str) -> None:
    dice = random.Random(seed)
    place, changed = dice.randrange(len(data)), bytearray(data)
    if how == "flip":
        changed[place] ^= 1 << dice.randrange(8)
    elif how == "put":
        changed.insert(place, dice.randrange(256))
    elif how == "drop":
        del changed[place : place + dice.randrange(1, 4)]
    elif how == "swap":
        changed[place:] = changed[place:][::-1]
    else:
        changed[place:place] = data[: dice.randrange(len(data)) + 1]
    flaw = found(bytes(changed))
    if flaw is None:
        loads(bytes(changed))


@given(st.binary(max_size=200))
@example(b"\0")
@example(b'{"a":1,"a":2}\xc3')
@example(b'["\\u12')
@example(b'["\\u12x4"]')
@example(b'["\\ud83d\\')
@example(b'["\\q"]')
@example(b"[1e400")
@example(b"[" * 5_000 + b"\xff")
@example(b"1 2")
@example(b'"a" \0')
def test_any_bytes_are_read_or_explained(data: bytes) -> None:
    found(data)


@pytest.mark.parametrize("mark", [codecs.BOM_UTF8, codecs.BOM_UTF16_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF32_BE])
def test_byte_order_marks_are_named(mark: bytes) -> None:
    flaw = diagnose(mark + b"{}")
    assert flaw.rule == "MB106"
    assert "byte order mark" in flaw.message


def test_the_mark_of_32_bits_is_not_taken_for_that_of_16() -> None:
    assert "UTF-32" in diagnose(codecs.BOM_UTF32_LE + "{}".encode("utf-32-le")).message
    assert "UTF-16" in diagnose(codecs.BOM_UTF16_LE + "{}".encode("utf-16-le")).message


@pytest.mark.parametrize(
    ("data", "rule", "message"),
    [
        (b"", "MB104", "the file is empty"),
        (b" \0\n\0", "MB104", "only blanks and NULs in 4 bytes"),
        (b'{"a": tru', "MB103", "the document stops at byte 9, before it is complete"),
        (b'{"a": tru\0\0', "MB103", "the document stops at byte 9, before it is complete; 2 NUL bytes follow"),
        (b'{"a": "\xe2\x82', "MB103", "the document stops inside a character at byte 7"),
        (b'{"a": "\xe2x"}', "MB106", "byte 7 (0xe2) is not UTF-8"),
        (b'{"a": truu}', "MB101", "expecting value at line 1, byte 6"),
        (b'{\n"a" 1}', "MB101", "expecting ':' delimiter at line 2, byte 6"),
        ('["é", ?]'.encode(), "MB101", "expecting value at line 1, byte 7"),
        (b"1 2", "MB101", "more follows the value that ends at byte 1"),
        (b"[] x\0", "MB102", "valid JSON ends at byte 2; 3 bytes that are no part of it follow"),
        (b"[" + b"x" * 500, "MB101", "expecting value at line 1, byte 1"),
    ],
)
def test_the_words(data: bytes, rule: str, message: str) -> None:
    assert diagnose(data)[:2] == (rule, message)


def test_a_file_beyond_the_limit_is_not_even_read() -> None:
    assert too_large(HARD_SIZE) is None
    flaw = too_large(HARD_SIZE + 1)
    assert flaw is not None
    assert flaw.rule == "MB108"
    assert "64 MiB" in flaw.message


def test_sound_bytes_are_a_mistake_of_the_caller() -> None:
    with pytest.raises(AssertionError, match="sound document"):
        diagnose(b"{}")


@given(CONTAINERS, st.sampled_from(["a", "é"]))
def test_a_doubled_key_is_named_also_before_trailing_bytes(value: Any, key: str) -> None:
    text = json.dumps(value)
    data = f'{{"{key}": {text}, "{key}": 0}}'.encode()
    for rest in (b"", b"\0\0", b"x"):
        flaw = found(data + rest)
        assert flaw is not None
        assert flaw.rule == "MB105"
