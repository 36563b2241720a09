"""The journal is kept within its budget by those who write, and by nobody else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.bank import compaction, layout
from memorybank_cli.operations.accounts import create
from memorybank_cli.operations.compacting import Upkeep
from memorybank_cli.operations.messages import store
from memorybank_cli.operations.opening import COMPACTION, keep_rendered
from tests.accounts.sealed import small_segments
from tests.conftest import MakeBank
from tests.operations.banks import opened, rules
from tests.operations.erased import listed, named, said, say, short_segments


@pytest.fixture
def path(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An account of 25 messages; a segment of the journal has eight lines."""
    small_segments(monkeypatch)
    short_segments(monkeypatch, 8)
    made = make_bank(0, padded=False)
    with opened(made) as bank:
        create(bank, "alpha")
    say(made, "alpha", 25)
    return made


@pytest.fixture
def over(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on whatever the journal holds is too much."""
    assert compressed(path) == 0
    monkeypatch.setenv("MEMORYBANK_UNDO_BUDGET_MIB", "0")


def compressed(path: Path) -> int:
    return len(list((path / layout.JOURNAL).glob("*.zst")))


@pytest.mark.usefixtures("over")
def test_who_begins_a_segment_compacts_the_oldest(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "MOST", 2)
    assert listed(path, "alpha") == named(25)  # who reads does not
    assert compressed(path) == 0
    say(path, "alpha", 25, 37)
    assert compressed(path) == 2
    say(path, "alpha", 37, 49)
    assert compressed(path) == 4
    assert listed(path, "alpha") == named(49)
    assert rules(path) == {}


def test_within_the_budget_nobody_does(path: Path) -> None:
    say(path, "alpha", 25, 49)
    assert compressed(path) == 0


@pytest.mark.usefixtures("over")
def test_a_process_that_lives_long_does_it_beside_its_work(path: Path) -> None:
    with opened(path) as bank:
        keep_rendered(bank)
        upkeep = bank.afterwards[COMPACTION]
        assert isinstance(upkeep, Upkeep)
        for start in range(25, 61, 3):
            store(bank, "alpha", said("alpha", start, start + 3))
        assert upkeep._thread is not None
        upkeep._thread.join()
        assert compressed(path) > 0
    assert listed(path, "alpha") == named(61)
    assert rules(path) == {}


@pytest.mark.usefixtures("over")
def test_closing_does_not_wait_for_more_than_one(path: Path) -> None:
    with opened(path) as bank:
        keep_rendered(bank)
        upkeep = bank.afterwards[COMPACTION]
        assert isinstance(upkeep, Upkeep)
        upkeep.close()
        store(bank, "alpha", said("alpha", 25, 40))
        upkeep()
    assert compressed(path) == 0


@pytest.mark.usefixtures("over")
def test_what_goes_wrong_is_said_and_tried_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: Any) -> int:
        raise OSError(28, "No space left on device")

    notes: list[str] = []
    with monkeypatch.context() as patch, opened(path) as bank:
        patch.setattr(compaction, "overdue", broken)
        patch.setattr(bank.context.progress, "note", notes.append)
        store(bank, "alpha", said("alpha", 25, 40))
        bank.afterwards[COMPACTION]()
    assert notes == ["the journal could not be compacted: [Errno 28] No space left on device"]
    assert compressed(path) == 0
    say(path, "alpha", 40, 55)
    assert compressed(path) > 0
    assert listed(path, "alpha") == named(55)
