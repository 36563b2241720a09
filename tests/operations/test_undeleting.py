from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.base import digests
from memorybank_cli.base.errors import Refused, SnapshotNotFound, UsageError
from memorybank_cli.operations.pruning import prune
from memorybank_cli.operations.undeleting import UndeleteReport, undelete
from memorybank_cli.snapshots import documents, trash
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.repository import Repository
from tests.conftest import MakeBank, Run
from tests.operations.banks import journal, opened
from tests.operations.retained import ids, killed_everywhere, repository_of, snapshots_of_days
from tests.operations.test_forgetting import forgotten
from tests.snapshots.making import read_back, save_files
from tests.snapshots.pruned import aged

LONG_AGO = "2019-01-01T00:00:00.000000Z"


@pytest.fixture
def bank(make_bank: MakeBank) -> Path:
    return make_bank(padded=False)


@pytest.fixture
def made(bank: Path) -> list[str]:
    """Six snapshots, three of them forgotten and pruned."""
    names = snapshots_of_days(bank, 6)
    forgotten(bank, keep_last=1, prune=True)
    return names


def undeleted(bank: Path, *names: str, **options: Any) -> UndeleteReport:
    with opened(bank) as one:
        return undelete(one, *names, **options)


def test_without_a_name_it_lists_what_can_be_brought_back(bank: Path, made: list[str]) -> None:
    before = journal(bank)
    report = undeleted(bank)
    assert [one.snapshot.id for one in report.trash] == made[:3]
    assert all(one.is_whole for one in report.trash)
    assert (report.undeleted, report.lost, report.exit_code()) == ((), {}, 0)
    assert report.summary() == "3 snapshots in the trash; memorybank snapshot undelete ID brings one back"
    assert journal(bank) == before


def test_named_ones_come_back_with_their_packs_and_the_journal_has_it(bank: Path, made: list[str]) -> None:
    rehearsal = undeleted(bank, made[0], made[1][-8:], dry_run=True)
    assert rehearsal.summary() == "2 snapshots would be brought back"
    assert ids(bank) == made[3:]
    report = undeleted(bank, made[0], made[1][-8:])
    assert (report.undeleted, report.packs) == ((made[0], made[1]), 2)
    assert report.summary() == "2 snapshots brought back"
    assert ids(bank) == [*made[:2], *made[3:]]
    with Repository.open(repository_of(bank)) as repo:
        for document in documents.listing(repo).documents:
            assert len(read_back(repo, document)) == 2
    line = journal(bank)[-1]
    assert (line["op"], line["snapshots"]) == ("snapshot.undeleted", made[:2])
    assert set(line["digests"]) == set(made[:2])
    with pytest.raises(SnapshotNotFound):
        undeleted(bank, made[0])
    forgotten(bank, keep_last=1)
    assert [one.snapshot.id for one in undeleted(bank).trash] == made[:3]


def lose(bank: Path, wanted: bytes) -> None:
    """Take away the pack in the trash that holds something."""
    with Repository.open(repository_of(bank)) as repo:
        found = trash.bins(repo)
        index = Blobs(trash.with_trash(repo, found)).index
        pack = index.frames[index.where[digests.of(wanted)]].pack
        one = next(one for one in found if pack in one.packs)
        (Path(repo.path) / one.path("packs", pack)).unlink()


def test_what_is_lost_is_told_before_the_rest_comes_back(bank: Path, run: Run) -> None:
    """One file of the second snapshot stands in the pack of the first alone."""
    with opened(bank) as one:
        bank_id = one.bank_id
    with Repository.create(repository_of(bank), reserve=0) as repo:
        save_files(repo, {"a.json": b"1" * 3_000}, bank_id=bank_id, time=LONG_AGO)
        name = save_files(
            repo, {"a.json": b"1" * 3_000, "b.json": b"2"}, bank_id=bank_id, time=LONG_AGO, seq=1
        ).document.id
        aged(repo)
    snapshots_of_days(bank, 3, seq=7)
    forgotten(bank, keep_last=1, prune=True)
    lose(bank, b"1" * 3_000)
    with opened(bank) as one, pytest.raises(UsageError, match=rf"{name} comes back without a\.json\. Bring back"):
        undelete(one, name)
    assert name not in ids(bank)
    assert undeleted(bank, name, dry_run=True).lost == {name: ("a.json",)}
    done = run("snapshot", "undelete", "--bank", bank)
    assert done.returncode == 0
    assert done.stdout.splitlines()[2].split()[:6] == [name, "good", "2", "2.9", "KiB", "no"]
    done = run("snapshot", "undelete", name, "--yes", "--bank", bank)
    assert done.returncode == 1
    assert f"lost in {name}: a.json" in done.stdout
    assert "1 path in them cannot be had any more" in done.stdout
    assert name in ids(bank)


def test_nothing_comes_back_of_which_nothing_is_left(bank: Path, made: list[str]) -> None:
    lose(bank, b'{"a": 0}')
    with pytest.raises(Refused, match="cannot be brought back"):
        undeleted(bank, made[0], yes=True)
    assert [one.is_whole for one in undeleted(bank).trash] == [False, True, True]


def test_a_trash_that_changes_while_it_asks(bank: Path) -> None:
    with opened(bank) as one:
        bank_id = one.bank_id
    with Repository.create(repository_of(bank), reserve=0) as repo:
        save_files(repo, {"a.json": b"1" * 3_000, "b/b.json": b"1"}, bank_id=bank_id, time=LONG_AGO)
        save_files(repo, {"b/b.json": b"1", "c.json": b"3" * 3_000}, bank_id=bank_id, time=LONG_AGO, seq=1)
        contents = {"a.json": b"1" * 3_000, "c.json": b"3" * 3_000, "d.json": b"4"}
        name = save_files(repo, contents, bank_id=bank_id, time=LONG_AGO, seq=2).document.id
        aged(repo)
    snapshots_of_days(bank, 3, seq=7)
    forgotten(bank, keep_last=1, prune=True)
    lose(bank, b"1" * 3_000)

    def answer(_question: str) -> bool:
        lose(bank, b"3" * 3_000)
        return True

    with opened(bank, confirm=answer) as one, pytest.raises(Refused, match="the trash changed meanwhile"):
        undelete(one, name)
    assert name not in ids(bank)


def test_an_empty_trash(bank: Path, made: list[str]) -> None:
    with opened(bank) as one:
        prune(one, now=True, yes=True)
    report = undeleted(bank)
    assert (report.trash, report.summary()) == ((), "There are no snapshots in the trash.")
    with pytest.raises(SnapshotNotFound):
        undeleted(bank, made[0])


def test_the_command_and_its_table(bank: Path, made: list[str], run: Run) -> None:
    done = run("snapshot", "undelete", "--bank", bank)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[0] == ["ID", "STATUS", "FILES", "BYTES", "WHOLE", "UNTIL"]
    assert [row[0] for row in rows[1:4]] == made[:3]
    assert rows[1][5] == "yes"
    done = run("snapshot", "undelete", made[0], "--bank", bank, "--json")
    assert done.json["undeleted"] == [made[0]]
    assert done.json["trash"][0]["whole"] is True


@pytest.mark.no_cover
def test_killed_anywhere_everything_that_is_listed_restores(bank: Path) -> None:
    made = snapshots_of_days(bank, 4)
    forgotten(bank, keep_last=1, prune=True)

    def after() -> None:
        assert ids(bank) in (made, made[1:])
        with Repository.open(repository_of(bank)) as repo:
            for document in documents.listing(repo).documents:
                assert len(read_back(repo, document)) == 2

    assert killed_everywhere(bank, lambda: undeleted(bank, made[0]), after) > 5


def test_what_is_not_in_the_trash(bank: Path, run: Run) -> None:
    snapshots_of_days(bank, 1)
    done = run("snapshot", "undelete", "20200101T000000Z-01234567", "--json", cwd=bank)
    assert (done.returncode, done.error["code"]) == (10, "snapshot_not_found")
    assert done.error["message"] == "20200101T000000Z-01234567 is not in the trash"
    assert done.error["hint"] == "memorybank snapshot undelete lists what is"
