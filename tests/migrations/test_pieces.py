from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.base.exact_json import FlawedJSON
from memorybank_cli.base.strict_json import MEMORY_BUDGET
from memorybank_cli.migrations import pieces as subject
from memorybank_cli.migrations.pieces import Path, Piece, encoding, pieces

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def cut(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def two_levels(path: Path) -> bool:
    return len(path) < 2


def read(data: bytes, size: int = 7) -> tuple[list[Piece], str]:
    """The pieces that come, and the rule of what is wrong in the end."""
    found: list[Piece] = []
    try:
        found.extend(pieces(cut(data, size), two_levels))
    except FlawedJSON as error:
        return found, error.flaw.rule
    return found, ""


def walk(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    inner: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if inner is None or len(path) == 2:
        yield path, value
        return
    for key, one in inner:
        yield from walk(one, (*path, key))


@given(VALUES, st.integers(1, 40), st.booleans(), st.sampled_from([None, 1]))
def test_the_pieces_are_those_of_the_document(value: Any, size: int, plain: bool, indent: int | None) -> None:
    data = json.dumps(value, ensure_ascii=plain, indent=indent).encode()
    found, wrong = read(data, size)
    assert wrong == ""
    assert [(piece.path, piece.value) for piece in found] == list(walk(value))


@given(VALUES, st.integers(1, 40), st.data())
def test_a_document_cut_off_gives_what_stands_before(value: Any, size: int, data: st.DataObject) -> None:
    whole = json.dumps([value, value, value]).encode()
    end = data.draw(st.integers(1, len(whole) - 1))
    found, wrong = read(whole[:end], size)
    expected = list(walk([value, value, value]))
    assert wrong == "MB103"
    assert [(piece.path, piece.value) for piece in found] == expected[: len(found)]


@given(st.sampled_from(["NaN", "Infinity", "-Infinity"]), st.integers(1, 12))
def test_constants_that_are_no_json_are_told_wherever_they_are_cut(name: str, size: int) -> None:
    found, wrong = read(f"[{name},[{name}],1]".encode(), size)
    assert [piece.flaw and piece.flaw.rule for piece in found] == ["MB107", "MB107", None]
    assert wrong == ""


@given(st.binary(max_size=200), st.integers(1, 40))
def test_bytes_of_any_kind_end_in_a_rule(data: bytes, size: int) -> None:
    wrong = read(data, size)[1]
    assert wrong == "" or wrong.startswith("MB10")


@pytest.mark.parametrize(
    ("data", "count", "rule"),
    [
        (b"", 0, "MB104"),
        (b" \n", 0, "MB104"),
        (bytes(9), 0, "MB103"),
        (b"[1,2,]", 2, "MB101"),
        (b"[1 2]", 1, "MB101"),
        (b'{"a" 1}', 0, "MB101"),
        (b"{1:2}", 0, "MB101"),
        (b'{"\\ud800":1}', 0, "MB106"),
        (b'{"a":1,"a":2}', 1, "MB105"),
        (b'[1,{"a":' + bytes(99), 1, "MB103"),
        (b"[1]" + bytes(99), 1, "MB102"),
        (b"[1] [2]", 1, "MB102"),
        (b'["a","\xff"]', 1, "MB106"),
        (b"[1]\xff", 1, "MB106"),
        (b"\xff", 0, "MB106"),
        (b"[[1," + b"[" * 100_000, 1, "MB108"),
    ],
)
def test_what_is_wrong_comes_after_what_is_right(data: bytes, count: int, rule: str) -> None:
    found, wrong = read(data)
    assert (len(found), wrong) == (count, rule)


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("NaN", "MB107"),
        ("-Infinity", "MB107"),
        ("1e999", "MB107"),
        ("1" * 5000, "MB107"),
        ('{"x":[{"a":1,"a":2}]}', "MB105"),
        ('"\\ud800"', "MB106"),
        ("[" * 80 + "]" * 80, "MB108"),
    ],
)
def test_a_value_that_a_bank_may_not_hold_does_not_hinder_the_next(value: str, rule: str) -> None:
    found, wrong = read(f"[[1,{value} , 2]]".encode())
    assert wrong == ""
    assert [piece.value for piece in found][::2] == [1, 2]
    assert found[1].flaw is not None
    assert found[1].flaw.rule == rule
    assert found[1].data == value.encode()


@pytest.mark.parametrize("name", ["utf-8-sig", "utf-16", "utf-32", "utf-16-be"])
def test_a_byte_order_mark_names_the_encoding(name: str) -> None:
    text = '["€", 1]' if name != "utf-16-be" else '\ufeff["€", 1]'
    found, wrong = read(text.encode(name), 50)
    assert ([piece.value for piece in found], wrong) == (["€", 1], "")
    assert encoding(text.encode(name))[1] > 0


def test_an_encoding_that_breaks_off_is_told() -> None:
    assert read('\ufeff["€"]'.encode("utf-16-le")[:-1], 50)[1] == "MB106"


@pytest.mark.no_cover
def test_pieces_that_cost_too_much_are_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "MEMORY_BUDGET", MEMORY_BUDGET >> 5)
    monkeypatch.setattr(subject, "_WORTH_A_LOOK", subject._WORTH_A_LOOK >> 5)
    assert read(b"[[" + b"{}," * 22_000 + b"{}]]", 1 << 11)[1] == ""  # entered: each on its own
    assert read(b"[[[" + b"{}," * 22_000 + b"{}]]]", 1 << 11)[1] == "MB108"
    assert read(b'["' + b"x" * (subject.LARGEST + 1) + b'"]', 1 << 16)[1] == "MB108"


def test_an_object_of_too_many_members_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "MOST_KEYS", 3)
    found, wrong = read(b'{"a":1,"b":2,"c":3,"d":4}')
    assert (len(found), wrong) == (3, "MB108")


@pytest.mark.no_cover
def test_memory_does_not_grow_with_the_document() -> None:
    record = json.dumps({"pair": "BTC/USDT", "rate": 1.5, "note": "x" * 200}).encode()

    def chunks() -> Iterator[bytes]:
        yield b"["
        for _ in range(150):
            yield b",".join([record] * 100) + b","
        yield record + b"]"

    tracemalloc.start()
    try:
        assert sum(1 for _ in pieces(chunks(), two_levels)) > 40_000
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.no_cover
def test_small_values_behind_a_large_one_cost_what_they_are() -> None:
    # Each of them once had all that lay ahead measured: minutes for this document.
    text = b'["' + b"x" * (8 << 20) + b'"' + b",NaN,7" * 50_000 + b"]"
    found = list(pieces([text], lambda path: path == ()))
    assert len(found) == 100_001
    assert found[-1].value == 7
    flaw = found[-2].flaw
    assert flaw is not None
    assert flaw.offset == len(text) - len("NaN,7]")
