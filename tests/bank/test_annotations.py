"""What schemas say beyond the shape."""

from __future__ import annotations

from typing import Any

import pytest

from memorybank_cli.bank.annotations import NONE, Annotations, annotations_of, version_of
from memorybank_cli.bank.schemas import Registry


def test_what_a_schema_says() -> None:
    change = {"op": "remove", "path": "/a"}
    said = {"version": 2, "id": ["trade_id", "id"], "references": {"/parent": "trade"}, "lifts": {"1": [change]}}
    expected = Annotations(2, ("trade_id", "id"), (), {"/parent": "trade"}, {1: (change,)})
    assert annotations_of({"x-memorybank": said}) == expected
    assert annotations_of({"x-memorybank": {"id": "oid"}}).id == ("oid",)
    some = annotations_of({"x-memorybank": {"id": ["oid", "/entities/*/name", "/x"]}})
    assert (some.id, some.names) == (("oid", "/x"), ("/entities/*/name",))
    assert annotations_of({}) == NONE


def test_built_in_and_own_ones() -> None:
    registry = Registry({"mine": {"x-memorybank": {"version": 7}}, "bad": {"x-memorybank": 1}, "trade": {}})
    assert registry.annotations("mine").version == 7
    assert registry.annotations("decision").references == {"/context/parent_decision_id": "decision"}
    assert registry.annotations("trade") == NONE
    assert Registry().annotations("trade").id == ("trade_id", "id")
    for name in ("bad", "never", ""):
        assert registry.annotations(name) == NONE
    assert registry.unusable()["bad"].pointer == "/x-memorybank"


@pytest.mark.parametrize(
    ("value", "version"),
    [
        ({"schema_version": 2}, 2),
        ({"schema_version": "2"}, None),
        ({}, None),
        ([], None),
        ({"schema_version": True}, None),
    ],
)
def test_the_version_that_a_document_names(value: Any, version: int | None) -> None:
    assert version_of(value) == version
