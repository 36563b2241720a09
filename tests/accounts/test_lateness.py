"""Late messages are marked as they come, in whatever batches, and nothing is sorted."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.accounts.lateness import flagged
from memorybank_cli.accounts.messages import Message
from memorybank_cli.accounts.recorded import record_of
from memorybank_cli.accounts.sources import read_history
from memorybank_cli.bank.journal import Entry
from memorybank_cli.operations.messages import list_, store
from tests.accounts.sealed import adopted, segment
from tests.operations.banks import opened, rules


def at(second: int) -> str:
    return f"2026-11-20T14:00:{second:02d}.000000Z"


def late(path: Path) -> list[int]:
    with opened(path) as bank:
        return [one["seq"] for one in list_(bank, account="a") if one.get("late")]


def say(path: Path, *seconds: int, begin: int = 0) -> None:
    with opened(path) as bank:
        store(bank, "a", [Message("user", "x", f"m{begin + n}", at(one)) for n, one in enumerate(seconds)])


@given(st.lists(st.lists(st.integers(0, 59), max_size=5), max_size=5))
def test_batches_do_not_matter(batches: list[list[int]]) -> None:
    marks, newest = [], ""
    for batch in batches:
        for entry in flagged(newest, [Entry("record.stored", {}, {"timestamp": at(one)}) for one in batch]):
            marks.append("late" in entry.value)
            newest = max(newest, entry.value["timestamp"])
    every = [second for batch in batches for second in batch]
    assert marks == [second < max(every[:number], default=0) for number, second in enumerate(every)]


def test_it_is_marked_and_stays_where_it_came(path: Path) -> None:
    say(path, 5, 3, 5, 9, 8)
    assert late(path) == [2, 5]
    say(path, 9, 7, begin=5)
    assert late(path) == [2, 5, 7]
    assert rules(path) == {}


def test_a_duplicate_makes_nothing_late(path: Path) -> None:
    with opened(path) as bank:
        store(bank, "a", [Message("user", "x", "m0", at(5))])
        store(bank, "a", [Message("user", "x", "m0", at(50)), Message("user", "y", "m1", at(6))])
    assert late(path) == []


def test_the_newest_may_be_sealed_long_ago(path: Path) -> None:
    say(path, 50, *range(10, 35))
    assert late(path) == list(range(2, 27))
    say(path, 49, begin=26)
    assert late(path)[-1] == 27
    with opened(path) as bank:
        assert read_history(bank, "a").newest_time == at(50)


def test_an_adopted_history_says_it_by_its_messages(path: Path, tmp_path: Path) -> None:
    say(path, 1, 40, *range(10, 33))
    target = adopted(path, tmp_path)
    with opened(target) as bank:
        record = record_of(bank, "a")
        assert record is not None
        assert (record.newest_time, read_history(bank, "a").newest_time) == (None, at(40))
    say(target, 39, 40, begin=90)
    assert late(target) == [*range(3, 26), 26]
    with opened(target) as bank:
        record = record_of(bank, "a")
        assert record is not None
        assert record.newest_time == at(40)


def test_of_damaged_segments_the_ends_count(path: Path, tmp_path: Path) -> None:
    say(path, *range(10, 20), 50, *range(20, 34))
    (path / segment(11)).write_bytes(b"{}")
    target = adopted(path, tmp_path)
    with opened(target) as bank:
        assert read_history(bank, "a").newest_time == at(33)


@pytest.mark.parametrize("seconds", [(), (1,), (1, 1)])
def test_none_is_late(path: Path, seconds: tuple[int, ...]) -> None:
    say(path, *seconds)
    assert late(path) == []
