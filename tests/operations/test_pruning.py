from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.base.errors import OperationFailed, Refused, UsageError
from memorybank_cli.base.words import size
from memorybank_cli.operations.pruning import PruneReport, prune
from memorybank_cli.snapshots import trash
from memorybank_cli.snapshots.pruning import Pruned
from memorybank_cli.snapshots.repository import Repository
from tests.broken_os import broken
from tests.conftest import MakeBank, Run
from tests.operations.banks import adopt, backed_up, journal, opened, put
from tests.operations.retained import age, ids, repository_of, snapshots_of_days
from tests.operations.test_forgetting import forgotten
from tests.snapshots.making import packs_of


@pytest.fixture
def bank(make_bank: MakeBank) -> Path:
    return make_bank(padded=False)


@pytest.fixture
def made(bank: Path) -> list[str]:
    """Six snapshots, three of them forgotten."""
    names = snapshots_of_days(bank, 6)
    forgotten(bank, keep_last=1)
    return names


def pruned(bank: Path, **options: Any) -> PruneReport:
    with opened(bank) as one:
        return prune(one, **{"yes": True, **options})


def test_what_nobody_needs_goes_to_the_trash_and_the_journal_has_it(bank: Path, made: list[str]) -> None:
    report = pruned(bank)
    assert len(report.done.removed) == 3
    assert report.summary() == f"3 packs put into the trash, {size(report.done.removed_bytes)}"
    assert report.exit_code() == 0
    line = journal(bank)[-1]
    assert (line["op"], line["packs"], line["freed"], line["emptied"]) == ("snapshot.pruned", 3, 0, [])
    assert line["repository"] == report.repository
    assert ids(bank) == made[3:]
    before = len(journal(bank))
    again = pruned(bank)
    assert again.summary() == "Nothing to prune: 3 packs for 3 snapshots."
    assert len(journal(bank)) == before


def test_now_frees_it_at_once(bank: Path, made: list[str], run: Run) -> None:
    done = run("snapshot", "prune", "--now", "--yes", "--bank", bank)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("3 packs removed; ")
    assert done.stdout.endswith(" freed\n")
    assert list((repository_of(bank) / "trash").iterdir()) == []
    assert "snapshot.pruned 3 packs to the trash, " in run("log", "--bank", bank).stdout
    assert made


def test_young_packs_are_told_of(bank: Path) -> None:
    for number in range(4):
        put(bank / "trades/t.json", {"timestamp": f"2025-03-31T00:00:0{number}Z", "n": number})
        backed_up(bank)
    forgotten(bank, keep_last=1)
    assert pruned(bank).summary().startswith("Nothing to prune: 4 packs for 3 snapshots")


def test_one_pack_that_is_not_a_day_old(bank: Path) -> None:
    snapshots_of_days(bank, 4)
    for path in (repository_of(bank) / "packs").rglob("*"):
        path.touch()
    forgotten(bank, keep_last=1)
    assert pruned(bank).summary() == "Nothing to prune: 4 packs for 3 snapshots; 1 pack not a day old."


def test_it_asks_with_the_numbers_of_a_rehearsal(bank: Path, made: list[str]) -> None:
    asked: list[str] = []

    def answer(question: str) -> bool:
        asked.append(question)
        return len(asked) > 1

    with opened(bank) as one, pytest.raises(UsageError, match="nobody to ask"):
        prune(one)
    with opened(bank, confirm=answer) as one, pytest.raises(Refused):
        prune(one)
    assert asked[0].startswith("3 packs would be put into the trash, ")
    assert asked[0].endswith(". Do it?")
    with opened(bank, confirm=answer) as one:
        assert len(prune(one).done.removed) == 3
    with opened(bank) as one:
        assert prune(one).is_nothing  # and then nobody is asked
    assert ids(bank) == made[3:]


def test_it_says_what_cannot_be_brought_back(bank: Path, made: list[str]) -> None:
    asked: list[str] = []

    def answer(question: str) -> bool:
        asked.append(question)
        return True

    with opened(bank, confirm=answer) as one:
        report = prune(one, now=True)
    (question,) = asked
    assert question.startswith("Empty the trash: 3 forgotten snapshots cannot be brought back then; 3 packs would be")
    assert question.endswith("freed. Do it?")
    assert report.as_dict()["emptied_snapshots"] == 3
    assert made
    old = PruneReport(Pruned(dry_run=True, emptied=["x"], emptied_snapshots=1), "/repository")
    assert old.warning == "Remove old trash: 1 forgotten snapshot cannot be brought back then; "


def test_a_rehearsal_changes_nothing(bank: Path, made: list[str]) -> None:
    before = journal(bank)
    report = pruned(bank, dry_run=True, now=True, yes=False)
    assert report.summary().startswith("3 packs would be removed; ")
    assert report.summary().endswith(" would be freed")
    assert journal(bank) == before
    with Repository.open(repository_of(bank)) as repo:
        assert len(packs_of(repo)) == 6
        assert trash.bins(repo)
    assert made


def test_everything_is_said(bank: Path, made: list[str]) -> None:
    place = repository_of(bank)
    (place / ".mb-0123").write_text("half")
    with Repository.open(place) as repo:
        needed = {path.name for path in packs_of(repo)} - set(pruned(bank, dry_run=True).done.removed)
        trash.throw(repo, trash.new_bin([]), "packs", min(needed))
        age(repo)
    report = pruned(bank, max_unused=0)
    assert "1 pack taken back from the trash" in report.summary()
    assert report.summary().endswith("1 file of interrupted runs removed")
    shown = report.as_dict()
    assert shown["rescued"] == [min(needed)]
    assert shown["leftovers"] == 1
    assert made


def test_damage_is_told_and_ends_with_1(bank: Path, made: list[str]) -> None:
    with Repository.open(repository_of(bank)) as repo:
        removed = pruned(bank, dry_run=True).done.removed
        damaged = next(path for path in packs_of(repo) if path.name in removed)
        damaged.write_bytes(damaged.read_bytes()[:-1])
        age(repo)
    report = pruned(bank)
    assert report.exit_code() == 1
    assert len(report.done.removed) == 2
    assert damaged.exists()
    assert made


@pytest.mark.parametrize("percent", [-1, 101])
def test_percent_are_percent(bank: Path, percent: int) -> None:
    with pytest.raises(UsageError, match="from 0 to 100"):
        pruned(bank, max_unused=percent)


def test_a_backup_on_a_full_disk_says_how_to_make_room(bank: Path) -> None:
    snapshots_of_days(bank, 1)

    def full(_real: Any, *_: Any) -> int:
        raise OSError(errno.ENOSPC, "full")

    put(bank / "docs/new.md", b"new")
    adopt(bank)
    with broken(write=full), pytest.raises(OperationFailed, match="the disk is full") as caught:
        backed_up(bank)
    assert "memorybank snapshot prune --now" in caught.value.hint
