"""Tallies: the facts of many documents, added up by directory and then for the bank."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.bank.facts import packed
from memorybank_cli.bank.rows import Seen
from memorybank_cli.bank.tally import Tally
from memorybank_cli.base.exact_json import dumps, loads


def seen(facts: dict[str, Any] | str = "", name: str = "", sha: str = "0" * 64) -> Seen:
    text = facts if isinstance(facts, str) else packed(facts)
    return Seen(sha, 1, 0, 0, 0, 0, "trade", (), 0, 1, name, text)


def tally(*files: tuple[str, Seen]) -> dict[str, Any]:
    found = Tally()
    for path, one in files:
        found.add(path, path.partition("/")[0], one)
    return found.value()


ONE = {
    "naive": [2, "/timestamp", "2025-03-31T12:00:00"],
    "zones": {"-240": [1, 0]},
    "apart": {"-240": [1, 0, "/timestamp", 7, "x"]},
    "claims": [["/n", "count", 3]],
    "count": {"0": 1},
    "sum": {"1": [1, 0, 5, [0.5], 0.5]},
    "times": {"2": [0, 3, 3]},
    "numbers": {"3": [1, 2]},
    "refs": [["/a", "decision", "d"]],
    "listed": True,
}
OTHER = {
    "naive": [1, "/at", "2025-03-31 12:00"],
    "zones": {"-240": [1, 1], "0": [0, 1]},
    "apart": {"-240": [0, 2, "/at", 8, "y"], "varies": [0, 1, "/at", 9, "z"]},
    "count": {"0": 1, "l0": 9},
    "sum": {"1": [1, 1, 0, [], 0.0]},
    "times": {"2": [1, 1, 2]},
    "numbers": {"3": [0, 1]},
}


def test_everything_is_added_up() -> None:
    found = tally(("trades/a", seen(ONE, "t1")), ("trades/b", seen(OTHER)), ("state/c", seen(OTHER)))
    assert (len(found.pop("ids")), len(found.pop("lists"))) == (64, 64)
    assert found == {
        "naive": {
            "trades": [3, 2, "trades/a", "/timestamp", "2025-03-31T12:00:00"],
            "state": [1, 1, "state/c", "/at", "2025-03-31 12:00"],
        },
        "zones": {"trades": {"-240": [2, 1], "0": [0, 1]}, "state": {"-240": [1, 1], "0": [0, 1]}},
        "apart": {
            "trades": {
                "-240": [1, 2, "trades/a", "/timestamp", 7, "x"],
                "varies": [0, 1, "trades/b", "/at", 9, "z"],
            },
            "state": {"-240": [0, 2, "state/c", "/at", 8, "y"], "varies": [0, 1, "state/c", "/at", 9, "z"]},
        },
        "claims": [["trades/a", "/n", "count", 3]],
        "count": {"0": 3, "l0": 18},
        "sum": {"1": [3, 2, 5, [0.5], 0.5]},
        "times": {"2": [1, 1, 3]},
        "numbers": {"3": [0, 2]},
        "refs": 1,
    }


def test_nothing_adds_up_to_nothing() -> None:
    assert tally() == tally(("state/a", seen())) == {}


FILES = st.lists(st.tuples(st.sampled_from(["trades", "state"]), st.sampled_from([ONE, OTHER, {}]), st.booleans()))


@given(st.lists(FILES))
def test_directories_add_up_to_the_bank(groups: list[list[tuple[str, dict[str, Any], bool]]]) -> None:
    directories, whole = Tally(), Tally()
    for number, group in enumerate(groups):
        part = Tally()
        for section, facts, named in group:
            one = seen(facts, "t" if named else "")
            part.add(f"{section}/{number}", section, one)
            whole.add(f"{section}/{number}", section, one)
        directories.merge(loads(dumps(part.value())))
    found, expected = directories.value(), whole.value()
    for digest in ("ids", "lists"):
        assert bool(found.pop(digest, "")) == bool(expected.pop(digest, ""))
    assert found == expected


def test_digests_tell_when_ids_or_lists_changed() -> None:
    base = tally(("trades/a", seen("", "t1")))["ids"]
    changed = [
        tally(("trades/b", seen("", "t1"))),
        tally(("trades/a", seen("", "t2"))),
        tally(("trades/a", seen("", "t1")._replace(kind="decision"))),
        tally(("trades/a", seen("", "t1")), ("trades/b", seen("", "t1"))),
    ]
    assert len({base, *(one["ids"] for one in changed)}) == 5
    assert tally(("trades/a", seen("", "t1", sha="1" * 64)))["ids"] == base
    lists = {tally(("trades/a", seen({"listed": True}, sha=sha)))["lists"] for sha in ("0" * 64, "1" * 64)}
    assert len(lists) == 2
    refs = {tally(("a", seen({"refs": [["/a", "decision", name]]})))["ids"] for name in "xy"}
    assert len(refs) == 2


@pytest.mark.parametrize("text", ["{", "[]", '{"count": 7}', '{"naive": [1]}', '{"unknown": 1}', '{"refs": 1}[', "7"])
def test_facts_that_nobody_wrote(text: str) -> None:
    with pytest.raises(sqlite3.DatabaseError, match="what memorybank did not write"):
        tally(("trades/a", seen(text)))
