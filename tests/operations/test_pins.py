from __future__ import annotations

from pathlib import Path

import pytest

from memorybank_cli.base.errors import SnapshotNotFound
from memorybank_cli.operations.pins import PinReport, pin
from tests.conftest import MakeBank, Run
from tests.operations.banks import journal, opened
from tests.operations.retained import ids, repository_of, snapshots_of_days
from tests.operations.test_forgetting import forgotten


@pytest.fixture
def bank(make_bank: MakeBank) -> Path:
    return make_bank(padded=False)


def pinned(bank: Path, name: str, *, remove: bool = False) -> PinReport:
    with opened(bank) as one:
        return pin(one, name, remove=remove)


def test_a_pinned_snapshot_stays_until_the_pin_is_taken_away(bank: Path) -> None:
    made = snapshots_of_days(bank, 5)
    report = pinned(bank, made[0])
    assert (report.snapshot, report.pinned, report.pins) == (made[0], True, (made[0],))
    assert (repository_of(bank) / "pins" / made[0]).read_bytes() == b""
    forgotten(bank, keep_last=1)
    assert ids(bank) == [made[0], *made[2:]]
    report = pinned(bank, made[0], remove=True)
    assert (report.pinned, report.pins) == (False, ())
    forgotten(bank, keep_last=1)
    assert ids(bank) == made[2:]


def test_the_journal_has_each_change_once(bank: Path) -> None:
    [made] = snapshots_of_days(bank, 1)
    for remove in (True, False, False, True, True):
        pinned(bank, made, remove=remove)
    told = [(line["op"], line["snapshot"]) for line in journal(bank) if "pinned" in line["op"]]
    assert told == [("snapshot.pinned", made), ("snapshot.unpinned", made)]


def test_what_is_not_there_cannot_be_pinned(bank: Path) -> None:
    snapshots_of_days(bank, 1)
    with pytest.raises(SnapshotNotFound):
        pinned(bank, "nothing")


def test_the_command(bank: Path, run: Run) -> None:
    made = snapshots_of_days(bank, 2)
    done = run("snapshot", "pin", "latest", "--bank", bank)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"pinned {made[1]}\nSnapshot {made[1]} is pinned; nothing forgets it.\n"
    done = run("snapshot", "pin", made[1], "--remove", "--bank", bank)
    assert done.stdout == f"Snapshot {made[1]} is not pinned; the policy decides about it.\n"
