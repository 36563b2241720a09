"""Texts that are the path of a file that moved are replaced; nothing else changes."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.migrations.references import update

MOVED = {"a/x.json": "trades/a/x.json", 'ü "q".json': "state/ü.json"}


def test_values_are_replaced_and_counted() -> None:
    data = b'{ "a/x.json": "a/x.json",\n "n": [1.50, "a\\/x.json", "see a/x.json", "A/x.json"], "e": 1E5}\n'
    assert update(data, MOVED) == (
        b'{ "a/x.json": "trades/a/x.json",\n "n": [1.50, "trades/a/x.json", "see a/x.json", "A/x.json"], "e": 1E5}\n',
        2,
    )


def test_escapes_are_understood() -> None:
    text = json.dumps(['ü "q".json'])
    assert "\\u" in text
    assert update(text.encode(), MOVED) == ('["state/ü.json"]'.encode(), 1)


def test_nothing_to_do() -> None:
    assert update(b'["a/x.json"]', {}) == (b'["a/x.json"]', 0)
    assert update(b'["x"]', MOVED) == (b'["x"]', 0)


paths = st.sampled_from([*MOVED, "other.json", 'a\\"b', ": "])
values = st.recursive(paths | st.integers(), lambda one: st.lists(one) | st.dictionaries(paths, one), max_leaves=8)


def replaced(value: Any) -> Any:
    if isinstance(value, str):
        return MOVED.get(value, value)
    if isinstance(value, list):
        return [replaced(one) for one in value]
    return {key: replaced(one) for key, one in value.items()} if isinstance(value, dict) else value


@given(values, st.booleans(), st.sampled_from([None, 2]))
def test_as_if_the_value_was_walked(value: Any, ascii_only: bool, indent: int | None) -> None:
    data, _ = update(json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode(), MOVED)
    assert json.loads(data) == replaced(value)
