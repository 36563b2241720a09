"""Narrowing: where a large document does not match is found in the whole, or said not to be known."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.bank.narrowing import LIGHT, WINDOW, Narrowed, is_light, narrow
from memorybank_cli.bank.schemas import Registry

SCHEMA = {
    "properties": {"trades": {"items": {"type": "integer"}}, "note": {"type": "string"}},
    "items": {"type": "integer"},
}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry({"odd": SCHEMA})


def test_a_light_document_is_looked_at_as_it_is() -> None:
    assert narrow([1, "x"], lambda _: False) == Narrowed([1, "x"])


@pytest.mark.parametrize("wrong", [0, 1, 19, 20, 777, 4_998, 4_999])
@pytest.mark.parametrize("inside", [False, True])
def test_the_first_wrong_element_is_found_at_its_place_in_the_whole(
    registry: Registry, wrong: int, inside: bool
) -> None:
    items: list[Any] = list(range(5_000))
    items[wrong] = "x"
    value: Any = {"note": "a", "few": [1], "trades": items} if inside else items
    (found,) = registry.misfits("odd", value)
    assert found.pointer == f"/trades/{wrong}" if inside else f"/{wrong}"
    assert registry.misfits("odd", {"trades": list(range(5_000))}) == []


def test_more_than_one_of_the_same_window(registry: Registry) -> None:
    value = [*range(3_000), "x", "y", *range(WINDOW), "z"]
    assert [one.pointer for one in registry.misfits("odd", value)] == ["/3000", "/3001"]


def test_what_is_wrong_outside_the_list_comes_first(registry: Registry) -> None:
    (found,) = registry.misfits("odd", {"note": 5, "trades": [*range(3_000), "x"]})
    assert found.pointer == "/note"


@pytest.mark.parametrize(
    "value",
    [
        {str(number): number for number in range(2_000)} | {"note": 5},
        {"note": 5, "other": "x" * 40_000},
        ["x" * 40_000],
        {"trades": [*range(2_000), {"a": list(range(2_000))}]},
        {"note": 5, "trades": [], "other": {"a": list(range(2_000))}},
    ],
)
def test_where_nothing_light_can_be_had_only_the_misfit_is_said(registry: Registry, value: Any) -> None:
    (found,) = registry.misfits("odd", value)
    assert (found.pointer, found.message) == ("", "does not match; the document is too large to say where")


def test_keys_are_escaped_as_pointers_want_it() -> None:
    schema = {"additionalProperties": {"items": {"type": "integer"}}}
    (found,) = Registry({"odd": schema}).misfits("odd", {"a/b~c": [*range(2_000), "x"]})
    assert found.pointer == "/a~1b~0c/2000"


@given(
    st.integers(0, 9_999), st.sampled_from(["", "/a", "/a~1b"]), st.integers(0, 50), st.sampled_from(["", "/x", "/x/1"])
)
def test_pointers_are_widened(offset: int, pointer: str, index: int, tail: str) -> None:
    assert Narrowed([], pointer, offset).widened(f"{pointer}/{index}{tail}") == f"{pointer}/{index + offset}{tail}"


def test_pointers_elsewhere_stay() -> None:
    found = Narrowed({}, "/trades", 7)
    for pointer in ("", "/note", "/trades", "/tradesman/1", "/trades/length"):
        assert found.widened(pointer) == pointer


def test_what_is_light() -> None:
    assert is_light({"a": [1, 2, {"b": "c"}]})
    assert is_light([0] * (LIGHT - 1))
    assert not is_light([0] * LIGHT)
    assert not is_light([[0] * 40 for _ in range(40)])
    assert not is_light("x" * 32 * LIGHT)
    assert not is_light({"k" * 40_000: 1})


def test_a_schema_of_very_many_values_is_not_even_looked_at() -> None:
    found = Registry({"odd": {"allOf": [{"type": 5}] * 12_000}}).check({"allOf": [{"type": 5}] * 12_000})
    assert [one.message for one in found] == ["it is too large: a schema of more than 20,000 values is not used"]
