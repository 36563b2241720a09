"""Where a JSON Pointer leads in a document's bytes: held against what Python's own parser finds there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memorybank_cli.base.positions import Span, children, locate

KEYS = st.text(max_size=5) | st.sampled_from(["", "0", "a/b", "m~n", '"', "\\", "[", "}", "ä", "😀", "\n", "~1"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | KEYS
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4))


def places(value: Any, pointer: str = "") -> Iterator[tuple[str, Any]]:
    """Every JSON Pointer into a value with what it leads to."""
    yield pointer, value
    pairs: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield from places(inner, f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}")


@given(VALUES, st.sampled_from([None, 0, 1, 3]), st.booleans(), st.sampled_from(["", " ", "\n\n", "\t"]))
@settings(max_examples=300, deadline=None)
def test_every_place_of_a_document_is_found(value: Any, indent: int | None, ascii_only: bool, around: str) -> None:
    text = around + json.dumps(value, indent=indent, ensure_ascii=ascii_only) + around
    data = text.encode("utf-8", "surrogatepass" if not ascii_only else "strict")
    for pointer, wanted in places(value):
        span = locate(data, pointer)
        assert span is not None, pointer
        part = data[span.start : span.end]
        assert part == part.strip()
        assert json.loads(part.decode("utf-8", "surrogatepass")) == wanted
        assert span.line == data[: span.start].count(b"\n") + 1


@given(VALUES, st.text(st.sampled_from("/0a~1"), max_size=6))
@settings(max_examples=300, deadline=None)
def test_what_is_not_there_is_not_found(value: Any, pointer: str) -> None:
    data = json.dumps(value).encode()
    known = dict(places(value))
    unescaped = pointer.replace("~1", "/").replace("~0", "~")
    if pointer in known:
        assert locate(data, pointer) is not None
    elif "~" not in unescaped:
        assert locate(data, pointer) is None


@given(
    st.binary(max_size=40) | st.text(st.sampled_from('[]{}",:\\ 1a'), max_size=40).map(str.encode), st.text(max_size=8)
)
@settings(max_examples=500, deadline=None)
def test_bytes_that_are_no_json_do_no_harm(data: bytes, pointer: str) -> None:
    for one in (pointer, "", "/a", "/0", "/0/0", "/1/a"):
        span = locate(data, one)
        assert span is None or 0 <= span.start < span.end <= len(data)


def test_places_by_hand() -> None:
    data = b'{\n "a": [10, {"b": "x"},\n  -1.5e3],\n "\\u0061b": null\n}\n'
    assert locate(data, "/a/0") == Span(9, 11, 2)
    assert locate(data, "/a/1/b") == Span(19, 22, 2)
    assert locate(data, "/a/2") == Span(27, 33, 3)
    assert locate(data, "/ab") == Span(48, 52, 4)
    assert locate(data, "") == Span(0, len(data) - 1, 1)


@pytest.mark.parametrize("pointer", ["a", "/a/b", "/a/3", "/a/-", "/a/00", "/a/+1", "/a/" + "9" * 5000, "/x", "/" * 70])
def test_pointers_that_lead_nowhere(pointer: str) -> None:
    assert locate(b'{"a": [1, 2, 3]}', pointer) is None
    assert locate(b"[]", "/0") is None


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b"[" + b"[]," * 100_000 + b"[]]",
        b"[" + b"[[[]]]," * 50_000 + b"0]",
        b'["' + b"\\n" * 500_000 + b'"]',
        b'["' + b"\\n" * 500_000,
        b"[" + b'"a",' * 200_000,
        b"{" + b'"":{"":"' * 100_000,
        b"[" + b" " * 1_000_000,
    ],
)  # fmt: skip
def test_hostile_bytes_cost_little(data: bytes) -> None:
    """Each of these would take minutes, or the stack, if a part of it were looked at over and over."""
    for pointer in ("", "/0", "/1", "/99999999", "/a/a/a/a", "/" + "/".join("0" * 60)):
        span = locate(data, pointer)
        assert span is None or 0 <= span.start < span.end <= len(data)


@given(VALUES, st.sampled_from([None, 0, 1, 3]), st.sampled_from(["", "\n\n", "\t"]))
@settings(max_examples=200, deadline=None)
def test_what_stands_in_each_container_in_one_pass(value: Any, indent: int | None, around: str) -> None:
    data = (around + json.dumps(value, indent=indent) + around).encode()
    for pointer, inner in places(value):
        found = children(data, pointer)
        keys = list(inner) if isinstance(inner, dict) else range(len(inner)) if isinstance(inner, list) else []
        names = [str(key).replace("~", "~0").replace("/", "~1") for key in keys]
        assert found == [locate(data, f"{pointer}/{name}") for name in names]


@pytest.mark.parametrize("data", [b"", b"[", b"{", b"[1", b'{"a":', b"[[", b"5", b'[1,"'])
def test_of_bytes_that_are_no_json_what_stands_in_them_is_a_list(data: bytes) -> None:
    assert isinstance(children(data, ""), list)
    assert children(data, "/x") == []
