"""Rolling an account back takes its segments and identities with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from memorybank_cli.accounts.messages import Message
from memorybank_cli.operations.messages import store
from memorybank_cli.operations.rollback import rollback
from tests.accounts.sealed import (
    INDEX,
    WHOLE,
    account_files,
    check,
    ids,
    named,
    say,
    say_and_die,
    segment,
    small_segments,
    texts,
)
from tests.operations.banks import backed_up, opened, repaired, rules


def test_a_rollback_takes_segments_with_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_segments(monkeypatch, 100, 10**6)
    say(path, 250)
    snapshot = backed_up(path).document
    assert snapshot is not None
    before = account_files(path)
    say(path, 250, 3_250)
    with opened(path) as bank:
        report = rollback(bank, snapshot.id, account="a", yes=True)
    assert set(report.removed) == {segment(first) for first in range(201, 3_102, 100)}
    assert account_files(path) == before
    check(path, named(250))
    with opened(path) as bank:
        again = store(bank, "a", texts(200, 3_250))
    assert (again.added, again.duplicates, again.total) == (3_000, 50, 3_250)
    check(path, named(3_250))
    with opened(path) as bank:
        rollback(bank, report.safety_snapshot or "", account="a", yes=True)
        assert store(bank, "a", texts(3_250)).added == 0
    check(path, named(3_250))
    for name in account_files(path):
        (path / name).unlink()
    repaired(path)
    check(path, named(3_250))


def test_what_was_stored_and_not_rendered_is_rolled_back_too(path: Path) -> None:
    say(path, 5)
    backed_up(path)
    say_and_die(path, 5, 8)
    with opened(path) as bank:
        assert WHOLE in rollback(bank, account="a", yes=True).restored
    assert ids(path) == named(5)


def test_a_rollback_and_then_damage(path: Path) -> None:
    say(path, 25)
    backed_up(path)
    say(path, 25, 47)
    with opened(path) as bank:
        rollback(bank, account="a", yes=True)
    with opened(path) as bank:
        store(bank, "a", [Message("user", "other", id=f"o{number}") for number in range(3)])
    good = account_files(path)
    expected = [*named(25), "o0", "o1", "o2"]
    for name in good:
        (path / name).unlink()
    assert ids(path) == expected
    repaired(path)
    assert account_files(path) == good
    check(path, expected)


def test_only_the_head_rolled_back(path: Path) -> None:
    """An odd request: the head goes back behind the index, which is cut back to it."""
    say(path, 25)
    backed_up(path)
    say(path, 25, 47)
    with opened(path) as bank:
        rollback(bank, path=(WHOLE,), yes=True)
    assert rules(path) == {INDEX: "MB114"}
    assert ids(path) == named(25)
    assert [one.path for one in repaired(path).repaired] == [INDEX]
    assert rules(path) == {}
    say(path, 25, 40)
    assert ids(path) == named(40)
    check(path, named(40))
