"""The journal is kept within its budget: by a backup, and by processes that live long."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.bank import compaction, layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.base.context import Context
from memorybank_cli.operations import backup as backup_module
from memorybank_cli.operations.accounts import create
from memorybank_cli.operations.backup import backup
from memorybank_cli.operations.compacting import Upkeep, compact_overdue
from memorybank_cli.operations.messages import store
from memorybank_cli.operations.opening import keep_rendered, open_bank
from tests.accounts.sealed import small_segments
from tests.conftest import MakeBank
from tests.operations.banks import opened, rules
from tests.operations.erased import listed, named, said, say, short_segments


@pytest.fixture
def path(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An account of 25 messages; a segment of the journal has eight lines, and whatever it holds is too much."""
    small_segments(monkeypatch)
    short_segments(monkeypatch, 8)
    monkeypatch.setenv("MEMORYBANK_UNDO_BUDGET_MIB", "0")
    made = make_bank(0, padded=False)
    with opened(made) as bank:
        create(bank, "alpha")
    say(made, "alpha", 25)
    return made


def compressed(path: Path) -> int:
    return len(list((path / layout.JOURNAL).glob("*.zst")))


def test_a_backup_compacts_the_oldest(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    say(path, "alpha", 25, 49)
    assert compressed(path) == 0  # who says one sentence does not wait for it
    monkeypatch.setattr(backup_module, "AFTER_BACKUP", 2)
    with opened(path) as bank:
        backup(bank, dry_run=True)
        assert compressed(path) == 0
        backup(bank)
    assert compressed(path) == 2
    assert listed(path, "alpha") == named(49)
    assert rules(path) == {}


def test_within_the_budget_nothing_is_done(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEMORYBANK_UNDO_BUDGET_MIB")
    with opened(path) as bank:
        backup(bank)
    assert compressed(path) == 0


def test_a_process_that_lives_long_does_it_beside_its_work(path: Path) -> None:
    with opened(path) as bank:
        keep_rendered(bank)
        for start in range(25, 61, 3):
            store(bank, "alpha", said("alpha", start, start + 3))
        deadline = time.monotonic() + 30
        while not compressed(path) and time.monotonic() < deadline:
            time.sleep(0.01)
    assert compressed(path) > 0
    assert listed(path, "alpha") == named(61)
    assert rules(path) == {}


def test_it_looks_only_after_a_segment_was_begun(path: Path) -> None:
    asked: list[int] = []

    def another() -> Bank:
        asked.append(bank.journal.begun)
        return open_bank(Context(bank=str(path)))

    with opened(path) as bank:
        upkeep = Upkeep(bank, another)
        upkeep.noticed()
        assert asked == []
        store(bank, "alpha", said("alpha", 25, 40))
        assert bank.journal.begun > 0
        upkeep.close()
        upkeep.noticed()
        upkeep.close()
        upkeep.noticed()
        assert asked == [bank.journal.begun]
        assert compressed(path) == 0  # it was told to end before


def test_what_goes_wrong_is_said_and_tried_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: Any) -> int:
        raise OSError(28, "No space left on device")

    notes: list[str] = []
    with monkeypatch.context() as patch, opened(path) as bank:
        patch.setattr(compaction, "overdue", broken)
        patch.setattr(bank.context.progress, "note", notes.append)
        compact_overdue(bank, 9)
    assert notes == ["the journal could not be compacted: [Errno 28] No space left on device"]
    assert compressed(path) == 0
    with opened(path) as bank:
        compact_overdue(bank, 1)
    assert compressed(path) == 1
