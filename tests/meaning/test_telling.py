"""A changed record in one line."""

from __future__ import annotations

from typing import Any

import pytest

from memorybank_cli.bank.schemas import Registry
from memorybank_cli.base.exact_json import dumps
from memorybank_cli.meaning.differences import compare
from memorybank_cli.meaning.records import Reader
from memorybank_cli.meaning.telling import FIELDS, told

READER = Reader(Registry())


def lines(before: Any, after: Any, path: str = "trades/a.json") -> list[str]:
    found = compare(READER, path, None if before is None else dumps(before), None if after is None else dumps(after))
    return [told(one.as_dict()) for one in found.changes]


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ({"id": 7, "p": 1, "ok": True}, {"id": 7, "p": 2.5, "ok": False},
         "changed trade 7: p 1 -> 2.5, ok true -> false"),
        ({"id": 7, "p": 1}, {"id": 7, "q": [1]}, "changed trade 7: p removed: 1, q added: an array of 1"),
        ({"id": 7, "p": [1, 2]}, {"id": 7, "p": [2, 1]}, "changed trade 7: p in another order"),
        (None, {"id": 7, "p": "x", "o": {}}, "added trade 7: id 7, p 'x'"),
        ({"p": 1}, None, "removed trade: p 1"),
        (None, {}, "added trade: an empty object"),
        ([{"p": 1}], [{"p": 2}], "changed trade at /0: p 1 -> 2"),
        ([5], [6], "changed trade at /0: 5 -> 6"),
        ([[1, 2]], [[2, 1]], "changed trade at /0: in another order"),
        ([], [5], "added trade at /0: 5"),
    ],
)  # fmt: skip
def test_a_line(before: Any, after: Any, line: str) -> None:
    assert lines(before, after) == [line]


def test_a_message_is_told_by_who_said_what() -> None:
    message = {"id": "m", "role": "user", "content": "one\ntwo", "timestamp": "t"}
    assert lines({"messages": []}, {"messages": [message]}, "account_a/short_term.json") == [
        "added message m: user 'one\\x0atwo'"
    ]


def test_what_agents_wrote_is_shortened_and_safe() -> None:
    evil = "\x1b[31m" + "x" * 500
    [line] = lines({"id": evil, evil: evil}, {"id": evil, evil: 1})
    assert line.isprintable()
    assert len(line) < 300
    [line] = lines({"id": 1}, {"id": 1, **{f"f{number}": 1 for number in range(FIELDS + 3)}})
    assert line.endswith(" and 3 more")


def test_without_what_happened() -> None:
    change = {"what": "added", "kind": "trade", "id": "7", "pointer": "", "after": {"id": "7"}}
    assert told(change, with_what=False) == "trade 7: an object of 1"
