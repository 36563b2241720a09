"""What is kept of a directory that settled."""

from __future__ import annotations

import sqlite3

import pytest

from memorybank_cli.bank.settled import Counts, Settled, read
from memorybank_cli.base.records import Finding


def test_it_is_given_back_as_it_was() -> None:
    counts = Counts(3, 1_000, 4, "trades", 1 << 60)
    found = Finding("MB201", "wrong", "trades/a.json", "correct it", "/a", 3, "info", "a number", "'x'")
    look = Settled(counts, [found], {"count": {"0": 10**30}})
    again = read("trades", look.texts())
    assert (again.counts, again.facts) == (counts, look.facts)
    assert again.findings[0].as_dict() | {"detected_at": ""} == found.as_dict() | {"detected_at": ""}
    assert Settled(counts, [], {}).texts()[1:] == ("", "")
    assert read("trades", Settled(counts, [], {}).texts()) == Settled(counts, [], {})


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("text", ["{", "7", '["a"]'])
def test_what_nobody_wrote(number: int, text: str) -> None:
    columns = list(Settled(Counts(1, 1, 1, "trades", 1), [], {}).texts())
    columns[number] = text
    with pytest.raises(sqlite3.DatabaseError, match="of trades it holds what memorybank did not write"):
        read("trades", (columns[0], columns[1], columns[2]))
