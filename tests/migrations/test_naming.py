from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.base.names import escape, is_id
from memorybank_cli.migrations.naming import LONGEST, Names, safe, safe_path


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("BTC/USDT:USDT", "BTC-USDT-USDT"),
        ("..", "unnamed"),
        ("", "unnamed"),
        (".hidden", "hidden"),
        ("a\0b\n", "a-b-"),
        ("Strategie Ä", "Strategie-"),
    ],
)
def test_odd_characters_become_dashes(name: str, expected: str) -> None:
    assert safe(name) == expected


@given(st.text())
def test_a_safe_name_is_one_part_of_a_path(name: str) -> None:
    assert is_id(safe(name)[:64])
    assert len(safe(name)) <= LONGEST


def test_each_part_of_a_path_is_made_safe() -> None:
    assert safe_path(escape("my bots/\n") + "/x.y") == "my-bots/-/x.y"


def test_no_name_is_given_twice() -> None:
    names = Names()
    assert [names.fresh(name) for name in ("a", "A", "a-2", "a", "b")] == ["a", "A-2", "a-2-2", "a-3", "b"]
