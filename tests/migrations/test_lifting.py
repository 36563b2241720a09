"""Lifting a document by JSON Patches: every step, nothing half done, nothing without bounds."""

from __future__ import annotations

from typing import Any

import pytest

from memorybank_cli.bank.annotations import Annotations
from memorybank_cli.migrations import lifting
from memorybank_cli.migrations.lifting import Unliftable, lift


def told(*steps: list[dict[str, Any]]) -> Annotations:
    return Annotations(len(steps) + 1, lifts={number: tuple(step) for number, step in enumerate(steps, 1)})


def test_every_step_is_taken_and_the_version_told() -> None:
    ways = told(
        [{"op": "move", "from": "/px", "path": "/price"}, {"op": "add", "path": "/tags/-", "value": "lifted"}],
        [{"op": "test", "path": "/price", "value": 1}, {"op": "replace", "path": "/price", "value": {"amount": 1}}],
        [{"op": "copy", "from": "/price/amount", "path": "/amount"}, {"op": "remove", "path": "/tags/0"}],
    )
    given = {"schema_version": 1, "px": 1, "tags": ["a"]}
    assert lift(given, ways) == {"schema_version": 4, "price": {"amount": 1}, "tags": ["lifted"], "amount": 1}
    assert given == {"schema_version": 1, "px": 1, "tags": ["a"]}
    assert lift({**given, "schema_version": 3, "price": {"amount": 2}}, ways)["amount"] == 2


@pytest.mark.parametrize(
    "change",
    [
        {"op": "remove", "path": "/none"},
        {"op": "move", "from": "/none", "path": "/b"},
        {"op": "test", "path": "/a", "value": 2},
        {"op": "add", "path": "/a/b/c", "value": 1},
        {"op": "add", "path": "/list/9", "value": 1},
        {"op": "remove", "path": "/~5"},
        {"op": "replace", "path": "/list/x", "value": 1},
    ],
)
def test_a_change_that_cannot_be_made(change: dict[str, Any]) -> None:
    with pytest.raises(Unliftable, match=f"change 1 from version 1, {change['op']} .* cannot be made") as caught:
        lift({"schema_version": 1, "a": 1, "list": [], "secret": "do not tell"}, told([change]))
    assert "do not tell" not in str(caught.value)


def test_a_way_that_the_schema_does_not_tell() -> None:
    with pytest.raises(Unliftable, match="no way from version 2 to 3"):
        lift({"schema_version": 1}, Annotations(3, lifts={1: ()}))


@pytest.mark.parametrize("value", [{}, {"schema_version": "1"}, {"schema_version": 2}, {"schema_version": 9}, []])
def test_what_names_no_older_version(value: Any) -> None:
    with pytest.raises(Unliftable, match="no older version"):
        lift(value, told([]))


def test_a_document_that_doubles_itself_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifting, "LARGEST", 10_000)
    double = {"op": "copy", "from": "/a", "path": "/a/b"}
    with pytest.raises(Unliftable, match="more than 10,000 values"):
        lift({"schema_version": 1, "a": {"x": 1}}, told([{**double, "path": f"/a/{n}"} for n in range(900)]))
