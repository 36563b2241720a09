"""Sealed histories: what is written and when, what is read for an answer, and the same bytes for the same journal."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memorybank_cli.accounts.messages import Message
from memorybank_cli.accounts.segments import parse_index
from memorybank_cli.accounts.sources import read_history
from memorybank_cli.base.context import Context
from memorybank_cli.operations.accounts import create, show
from memorybank_cli.operations.init import init
from memorybank_cli.operations.messages import store
from memorybank_cli.operations.opening import open_bank
from tests.accounts.sealed import (
    INDEX,
    WHOLE,
    account_files,
    check,
    ids,
    leave,
    named,
    say,
    segment,
    small_segments,
    texts,
    value,
)
from tests.operations.banks import journal, opened, repaired

# What is written


def test_full_segments_are_sealed(path: Path) -> None:
    say(path, 25)
    assert set(account_files(path)) >= {segment(1), segment(11), INDEX}
    assert [one["id"] for one in value(path, WHOLE)["messages"]] == named(20, 25)
    check(path, named(25))
    assert ids(path) == named(25)
    say(path, 25, 30)
    assert value(path, WHOLE)["messages"] == []
    check(path, named(30))


def test_a_sealed_segment_is_never_written_again(path: Path) -> None:
    say(path, 25)
    sealed = {name: (path / name).stat().st_ino for name in (segment(1), segment(11))}
    index = (path / INDEX).stat().st_ino
    say(path, 25, 27)
    assert (path / INDEX).stat().st_ino == index
    assert {row[0] for row in journal(path)[-1]["files"]}.isdisjoint({*sealed, INDEX})
    say(path, 27, 45)
    assert {name: (path / name).stat().st_ino for name in sealed} == sealed
    assert {row[0] for row in journal(path)[-1]["files"]} >= {segment(21), segment(31), INDEX, WHOLE}
    check(path, named(45))


def test_large_messages_fill_segments_too(path: Path) -> None:
    with opened(path) as bank:
        store(bank, "a", [Message("user", "x" * 1_500, id=f"m{number}") for number in range(5)])
        store(bank, "a", [Message("user", "x" * 9_000, id="m5"), Message("user", "small", id="m6")])
    check(path, named(7))
    sizes = [one.length for one in parse_index((path / INDEX).read_bytes())]
    assert sizes == [2, 2, 1, 1]


def test_the_journal_remembers_where_the_open_part_begins(path: Path) -> None:
    say(path, 7)
    base = journal(path)[-1]["base"]
    assert (base["line"], base["sealed"], base["digest"]) == (0, 0, "")
    say(path, 7, 12)
    core = journal(path)[-1]
    assert core["base"]["sealed"] == 10
    assert core["base"]["digest"] == value(path, WHOLE)["index"]
    [line] = [one for one in journal(path) if one.get("record") == "m9"]
    assert core["base"]["line"] == line["seq"]


def test_what_waits_does_not_grow(path: Path) -> None:
    """Who stores again and again without closing seals on the way."""
    with opened(path) as bank:
        for start in range(0, 40, 4):
            store(bank, "a", texts(start, start + 4))
            since = bank.catalog.unrendered_since("a")
            assert since is None or bank.end.seq - since < 15
        assert (path / segment(11)).exists()
        assert show(bank, "a").messages == 40
    check(path, named(40))


@pytest.mark.parametrize("count", [9, 10, 37, 300])
def test_an_unsealed_history_of_any_length_is_sealed_at_its_next_rendering(
    path: Path, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        small_segments(patch, 10**6, 10**9)
        say(path, count)
    assert value(path, WHOLE)["index"] is None
    assert ids(path) == ids(path, last=count) == named(count)
    say(path, count, count + 1)
    check(path, named(count + 1))
    with opened(path) as bank:
        assert store(bank, "a", texts(count + 1)).duplicates == count + 1


# Reading


def test_the_filters_over_segments(path: Path) -> None:
    say(path, 34)
    assert ids(path, last=3) == named(31, 34)
    assert ids(path, last=17) == named(17, 34)
    assert ids(path, last=99) == named(34)
    assert ids(path, grep="[05]$") == [f"m{number}" for number in range(0, 34, 5)]
    assert ids(path, grep="[05]$", last=2) == ["m25", "m30"]
    assert ids(path, last=0) == []


def test_the_newest_need_no_older_segment(path: Path) -> None:
    say(path, 95)
    for first in range(1, 72, 10):
        (path / segment(first)).write_bytes(b"")
    with opened(path) as bank:
        found = read_history(bank, "a")
        assert [one["id"] for one in found.newest(12)] == named(83, 95)
        assert found.total == 95
    assert ids(path, last=12) == named(83, 95)


# The same journal, the same bytes


@st.composite
def batches(draw: st.DrawFn) -> list[list[tuple[int, int]]]:
    """Batches of (id, length of the text); some ids come twice."""
    one = st.tuples(st.integers(0, 60), st.sampled_from([1, 20, 300, 1_500, 5_000]))
    return draw(st.lists(st.lists(one, max_size=25), min_size=1, max_size=6))


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("bare")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEMORYBANK_STATE_HOME", str(place / "home"))
        yield place


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given_batches=batches(), die=st.booleans())
@pytest.mark.no_cover
def test_any_batches(
    given_batches: list[list[tuple[int, int]]], die: bool, bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_segments(monkeypatch)
    path = bare / "bank"
    shutil.rmtree(path, ignore_errors=True)
    shutil.rmtree(bare / "home", ignore_errors=True)
    monkeypatch.setenv("MEMORYBANK_STATE_HOME", str(bare / "home"))
    path.mkdir(mode=0o700)
    init(Context(bank=str(path)))
    expected: list[str] = []
    with opened(path) as bank:
        create(bank, "a")
    for batch in given_batches:
        bank = open_bank(Context(bank=str(path)))
        before = len(expected)
        done = store(bank, "a", [Message("user", "x" * size, id=f"i{number}") for number, size in batch])
        for number, _ in batch:
            if f"i{number}" not in expected:
                expected.append(f"i{number}")
        assert (done.added, done.total) == (len(expected) - before, len(expected))
        assert done.moved_to_mid_term == max(0, len(expected) - 50) - max(0, before - 50)
        leave(bank) if die else bank.close()
    assert ids(path) == expected
    check(path, expected)
    good = account_files(path)
    for name in good:
        (path / name).unlink()
    for one in (path / ".memorybank").glob("*.sqlite*"):
        one.unlink()
    assert ids(path) == expected
    repaired(path)
    assert account_files(path) == good
    check(path, expected)
    with opened(path) as bank:
        assert store(bank, "a", [Message("user", "again", id=one) for one in expected]).added == 0
