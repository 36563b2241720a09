"""Tiers: windows by position, and their files, which fit their schemas and are the same for the same history."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memorybank_cli.accounts.history import MID_TERM, SHORT_TERM, History
from memorybank_cli.accounts.tiers import TIERS, render
from memorybank_cli.bank.schemas import Registry
from memorybank_cli.base.exact_json import loads

MADE = "2026-11-20T14:00:00.000000Z"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NUMBERS = st.integers(-(10**40), 10**40) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda one: st.lists(one, max_size=3) | st.dictionaries(TEXT, one, max_size=3),
    max_leaves=5,
)
RECORDS = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["user", "assistant"]),
        "content": TEXT,
        "timestamp": st.just(MADE),
        "metadata": st.dictionaries(TEXT, VALUES, max_size=2),
    }
)


def history(count: int, **fields: Any) -> History:
    made = History("a", MADE)
    for number in range(1, count + 1):
        record = {"id": f"m{number}", "role": "user", "content": f"text {number}", "timestamp": MADE, "metadata": {}}
        made.add_again({**record, **fields}, number + 1, f"2026-11-20T14:00:{number % 60:02d}.000000Z")
    return made


def files(made: History) -> dict[str, Any]:
    return {one.kind: loads(one.data) for one in render(made)}


@pytest.mark.parametrize(
    ("count", "short", "mid"),
    [
        (0, [], []),
        (1, [1], []),
        (50, range(1, 51), []),
        (51, range(2, 52), [1]),
        (250, range(201, 251), range(1, 201)),
        (251, range(202, 252), range(2, 202)),
        (999, range(950, 1_000), range(750, 950)),
    ],
)
def test_the_windows(count: int, short: range, mid: range) -> None:
    found = files(history(count))
    assert [one["seq"] for one in found["short_term"]["messages"]] == list(short)
    assert [one["seq"] for one in found["mid_term"]["messages"]] == list(mid)
    assert [one["seq"] for one in found["whole_history"]["messages"]] == list(range(1, count + 1))
    assert found["whole_history"]["total"] == count
    assert found["whole_history"]["index"] is None
    for tier in ("short_term", "mid_term", "whole_history"):
        assert found[tier]["status"]["message_count"] == len(found[tier]["messages"])
        first = found[tier]["messages"][0]["seq"] if found[tier]["messages"] else 0
        assert found[tier]["first"] == first


@pytest.mark.parametrize("count", [0, 1, 300])
def test_the_files_fit_their_schemas(count: int) -> None:
    registry = Registry()
    found = files(history(count))
    assert set(found) == {"account", "short_term", "mid_term", "whole_history", "history_context"}
    for kind, value in found.items():
        assert registry.misfits(kind, value, 5) == []


def test_status_says_whether_there_are_messages() -> None:
    empty, full = files(history(0)), files(history(1))
    assert empty["short_term"]["status"]["status"] == "initializing"
    assert full["short_term"]["status"]["status"] == "active"
    assert set(empty["account"]["memory_status"].values()) == {"initialized"}
    told = {"short_term": "active", "mid_term": "initialized", "whole_history": "active"}
    assert full["account"]["memory_status"] == {**told, "history_context": "initialized"}
    assert full["mid_term"]["status"]["status"] == "initializing"
    assert files(history(51))["account"]["memory_status"]["mid_term"] == "active"
    given_up = history(1)
    given_up.failing = True
    assert {one["status"]["status"] for kind, one in files(given_up).items() if kind in TIERS[:3]} == {"failing"}
    assert full["mid_term"]["status"]["last_update"] == "2026-11-20T14:00:01.000000Z"
    assert empty["whole_history"]["status"]["last_update"] == MADE


def test_one_record_a_line() -> None:
    [whole] = [one for one in render(history(3, content="line\nbreak \u2028")) if one.kind == "whole_history"]
    lines = whole.data.decode().split("\n")
    assert sum('"id":' in line.replace(" ", "") for line in lines) == 3
    assert whole.path == "account_a/whole_history.json"
    assert whole.data.endswith(b"\n}\n")


def test_whether_it_exists() -> None:
    assert not History("a").exists
    assert History("a", MADE).exists


@settings(max_examples=60)
@given(st.lists(RECORDS, max_size=12), st.integers(0, SHORT_TERM + MID_TERM))
def test_any_sequence_of_messages(records: list[dict[str, Any]], before: int) -> None:
    made = history(before)
    for number, record in enumerate(records):
        made.add_again({"id": f"own{number}", **record}, before + number + 2, MADE)
    found = files(made)
    whole = found["whole_history"]["messages"]
    assert [one["seq"] for one in whole] == list(range(1, before + len(records) + 1))
    assert len({one["id"] for one in whole}) == len(whole) == made.total
    assert found["short_term"]["messages"] == whole[-SHORT_TERM:]
    assert (found["mid_term"]["messages"] + found["short_term"]["messages"]) == whole[-SHORT_TERM - MID_TERM :]
    for number, record in enumerate(records):
        assert whole[before + number] == {"id": f"own{number}", "seq": before + number + 1, **record}
    assert [one.data for one in render(made)] == [one.data for one in render(made)]
