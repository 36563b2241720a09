"""Schemas as text: the same value, on lines that people read."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given

from memorybank_cli.meaning.printing import WIDTH, printed
from tests.meaning.documents import RECORDS


@given(RECORDS)
def test_the_text_is_the_value(schema: dict[str, Any]) -> None:
    text = printed(schema).decode()
    assert json.loads(text) == schema
    assert text.endswith("\n")


def test_what_fits_stands_on_a_line() -> None:
    names = [f"a_member_{number}" for number in range(12)]
    text = printed({"type": "object", "required": names, "properties": {"a": {"type": "string", "enum": ["b", "c"]}}})
    lines = text.decode().splitlines()
    assert lines[0] == "{"
    assert lines[1] == '  "type": "object",'
    assert '    "a_member_0",' in lines
    assert '  "properties": {"a": {"type": "string", "enum": ["b", "c"]}}' in lines
    assert all(len(line) <= WIDTH + 2 for line in lines)


def test_empty_ones_and_long_texts() -> None:
    assert printed({}) == b"{}\n"
    assert printed({"a": {}, "b": [], "c": "x" * 200}).decode().splitlines()[1:3] == ['  "a": {},', '  "b": [],']
