"""A rendering that is killed between any two of its files, and an append that was not finished."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from memorybank_cli.accounts.applier import AccountApplier
from memorybank_cli.accounts.segments import index_text, parse_index
from memorybank_cli.operations.messages import store
from tests.accounts.sealed import (
    INDEX,
    STEPS,
    account_files,
    adopted,
    check,
    ids,
    killed,
    leave,
    named,
    say,
    say_and_die,
    texts,
)
from tests.operations.banks import opened, rules


@pytest.mark.parametrize("before", [0, 8, 260])
@pytest.mark.parametrize("step", STEPS)
def test_a_kill_between_the_files(path: Path, step: int, before: int) -> None:
    say(path, before)
    leave(killed(path, step, before, before + 27))
    left = account_files(path)
    assert ids(path, last=5) == named(before + 22, before + 27)
    assert rules(path) == {}
    assert not (path / ".memorybank/quarantine").exists()
    check(path, named(before + 27))
    assert all(account_files(path)[name] == data for name, data in left.items() if "/history/0" in name)
    with opened(path) as again:
        assert store(again, "a", texts(before + 28)).added == 1
    check(path, named(before + 28))


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_and_more_messages_before_the_next_rendering(path: Path, step: int) -> None:
    say(path, 8)
    leave(killed(path, step, 8, 35))
    say(path, 35, 52)
    assert not (path / ".memorybank/quarantine").exists()
    check(path, named(52))


def test_files_of_a_killed_rendering_are_ours(path: Path) -> None:
    say(path, 8)
    bank = killed(path, 99, 8, 35)
    applier = AccountApplier()
    for name, data in account_files(path).items():
        assert applier.is_rendering(bank, name, data), name
        assert not applier.is_rendering(bank, name, data.replace(b"text 1", b"test 1").replace(b'"m', b'"n')) or (
            b"text 1" not in data and b'"m' not in data
        )
    index = parse_index((path / INDEX).read_bytes())
    assert applier.is_rendering(bank, INDEX, index_text("a", index[:2]))
    assert not applier.is_rendering(bank, INDEX, index_text("a", index[1:]))
    assert not applier.is_rendering(bank, INDEX, b"[]")
    leave(bank)


def test_an_append_that_was_not_finished_is_no_message(path: Path) -> None:
    """What a kill left behind the journal's end is neither counted nor known: it is cut, and can be added again."""
    say(path, 3)
    [file] = (path / ".memorybank/journal").iterdir()
    good = file.read_bytes()
    say_and_die(path, 3, 8)
    lines = file.read_bytes()[len(good) :].splitlines(keepends=True)
    (path / ".memorybank/index.sqlite").unlink()
    for one in (path / ".memorybank").glob("catalog*"):
        one.unlink()
    shutil.rmtree(path.parent / "state-home")
    file.write_bytes(good + b"".join(lines[:3]))
    assert ids(path) == named(3)
    with opened(path) as bank:
        done = store(bank, "a", texts(8))
    assert (done.added, done.duplicates, done.total) == (5, 3, 8)
    check(path, named(8))


@pytest.mark.parametrize("step", range(3, 9))
def test_an_adopted_account_is_killed_after_its_head(long: Path, tmp_path: Path, step: int) -> None:
    target = adopted(long, tmp_path)
    leave(killed(target, step, 25, 47))
    assert ids(target) == named(47)
    check(target, named(47))
    say(target, 47, 63)
    check(target, named(63))


@pytest.mark.parametrize("foreign", [False, True])
def test_an_accounts_file_from_when_fewer_tiers_were_active(path: Path, foreign: bool) -> None:
    """It names no line of the journal; killed before a line told of it, it is ours all the same."""
    leave(killed(path, 99, 5))
    if foreign:
        data = (path / "account_a/account.json").read_bytes()
        (path / "account_a/account.json").write_bytes(data.replace(b'"a"', b'"b"'))
    say_and_die(path, 5, 70)
    check(path, named(70))
    assert (path / ".memorybank/quarantine").exists() == foreign
