from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.migrations.json_lines import documents

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=4), max_leaves=8
)


@given(
    st.lists(VALUES.filter(lambda one: not isinstance(one, int) or isinstance(one, bool)), max_size=4), st.booleans()
)
def test_every_document_of_a_line_comes(values: list[Any], plain: bool) -> None:
    line = " ".join(json.dumps(one, ensure_ascii=plain) for one in values).encode()
    found = list(documents(line))
    assert [one.value for one in found] == values
    assert b"".join(one.data for one in found) == line
    assert not any(one.wrong for one in found)


@given(st.binary(max_size=100))
def test_no_byte_of_a_line_is_lost(line: bytes) -> None:
    found = list(documents(line))
    assert b"".join(one.data for one in found) == line or not line.strip(b" \t\r\n")


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        (b'{"a": 1}{"b"', ["", "Expecting ':' delimiter at character 13"]),
        (b'{"a": 1, "a": 2} 7', ['the key "a" stands twice in one object']),
        (b"[" * 100_000, ["nested too deeply"]),
        (b"[" * 70 + b"]" * 70, ["nested too deeply"]),
        (b"\xff", ["byte 1 is not UTF-8"]),
        (b"[" + b"{}," * 1_000_000, ["3,000,001 bytes that may take too much memory to parse"]),
        (b" \t", []),
        (b"", []),
    ],
)
def test_what_is_wrong_is_told(line: bytes, wrong: list[str]) -> None:
    assert [one.wrong for one in documents(line)] == wrong
