"""What differs between two schemas."""

from __future__ import annotations

from memorybank_cli.meaning.schema_differences import Difference, differences

WAS = {
    "title": "A",
    "required": ["a", "b"],
    "properties": {"a": {"type": "string", "$comment": "x"}, "title": {"type": "string"}},
    "additionalProperties": {"type": "number"},
}


def test_words_and_order_do_not_count() -> None:
    now = {**WAS, "title": "B", "description": "c", "x-memorybank": {"version": 2}, "required": ["b", "a"]}
    assert differences(WAS, now) == []


def test_each_keyword_that_differs() -> None:
    now = {
        "required": ["a"],
        "properties": {"a": {"type": "integer"}, "c": True},
        "additionalProperties": {"type": "number"},
    }
    assert differences(WAS, now) == [
        Difference("", "required", ["a", "b"], ["a"]),
        Difference("/properties/a", "type", "string", "integer"),
        Difference("/properties/c", "schema", None, True),
        Difference("/properties/title", "type", "string", None),
    ]
