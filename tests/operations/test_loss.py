"""Sudden loss: a snapshot that holds so much less must not take the place of the last good one."""

from __future__ import annotations

from pathlib import Path

import pytest

from memorybank_cli.operations.accept import accept
from memorybank_cli.operations.backup import BackupReport
from memorybank_cli.operations.repositories import Snapshots
from memorybank_cli.operations.rollback import rollback
from memorybank_cli.operations.snapshots import restore, show
from memorybank_cli.snapshots.documents import Document
from tests.conftest import MakeBank, Run, trade
from tests.operations.banks import adopt, backed_up, contents, opened, put


@pytest.fixture
def bank(make_bank: MakeBank) -> Path:
    """A bank with 24 state files and a list of 50 trades."""
    path = make_bank(padded=False)
    for number in range(24):
        put(path / f"state/agent_{number}.json", {"bot_status": "running"})
    put(path / "trades/recent_trades.json", {"trades": [trade(number) for number in range(50)]})
    adopt(path)
    return path


def document(report: BackupReport) -> Document:
    assert report.document is not None
    return report.document


def lose(bank: Path, count: int) -> None:
    for number in range(count):
        (bank / f"state/agent_{number}.json").unlink()


def test_files_that_suddenly_are_gone_make_it_suspect(bank: Path) -> None:
    first = document(backed_up(bank))
    lose(bank, 12)
    report = backed_up(bank)
    second = document(report)
    assert (second.status, report.exit_code()) == ("suspect", 1)
    assert second.reasons == (f"12 of {first.files} files are gone since snapshot {first.id}",)
    assert "SUSPECT: 12 of" in report.summary()
    with opened(bank) as one:
        assert show(one).snapshot.id == first.id  # latest is the newest that is not suspect
    third = document(backed_up(bank))  # and the next one is held against the good one, not the suspect one
    assert (third.status, third.reasons) == ("suspect", second.reasons)


@pytest.mark.parametrize("count", [0, 5, 9])
def test_a_few_files_are_no_sudden_loss(bank: Path, count: int) -> None:
    backed_up(bank)
    lose(bank, count)
    assert document(backed_up(bank)).status == "good"


def test_many_of_very_many_are_no_sudden_loss(make_bank: MakeBank) -> None:
    bank = make_bank(padded=False)
    for number in range(80):
        put(bank / f"state/agent_{number}.json", {"bot_status": "running"})
    backed_up(bank)
    lose(bank, 15)
    assert document(backed_up(bank)).status == "good"


def test_records_that_are_gone_from_a_list_make_it_suspect(bank: Path) -> None:
    first = document(backed_up(bank))
    put(bank / "trades/recent_trades.json", {"trades": [trade(1)]})
    second = document(backed_up(bank))
    assert second.status == "suspect"
    assert second.reasons == (f"49 of {first.records} records are gone since snapshot {first.id}",)


def test_a_section_that_was_emptied_makes_it_suspect(bank: Path) -> None:
    first = document(backed_up(bank))
    (bank / "metrics/metrics.json").unlink()
    second = document(backed_up(bank))
    assert second.reasons == (f"section metrics is empty; snapshot {first.id} has files there",)
    (bank / "metrics/historical").rmdir()
    (bank / "metrics").rmdir()
    assert document(backed_up(bank)).status == "suspect"


def test_a_loss_that_was_accepted_does_not_count(bank: Path) -> None:
    backed_up(bank)
    lose(bank, 20)
    (bank / "metrics/metrics.json").unlink()
    put(bank / "trades/recent_trades.json", {"trades": [trade(1)]})
    with opened(bank) as one:
        accept(one, ".", reason="a fresh start")
    assert document(backed_up(bank)).status == "good"


def test_a_wanted_loss_excuses_no_other(bank: Path) -> None:
    first = document(backed_up(bank))
    (bank / "trades/trade_0.json").unlink()
    with opened(bank) as one:
        accept(one, "trades/trade_0.json")
    lose(bank, 12)
    (bank / "metrics/metrics.json").unlink()
    assert document(backed_up(bank)).reasons == (
        f"13 of {first.files} files are gone since snapshot {first.id}",
        f"section metrics is empty; snapshot {first.id} has files there",
    )


def test_a_rollback_to_less_is_wanted(bank: Path) -> None:
    first = document(backed_up(bank))
    for number in range(40):
        put(bank / f"state/more_{number}.json", {"bot_status": "running"})
    put(bank / "trades/recent_trades.json", {"trades": [trade(number) for number in range(500)]})
    backed_up(bank)
    with opened(bank) as one:
        rollback(one, first.id, yes=True)
    assert document(backed_up(bank)).status == "good"


def test_a_file_that_came_back_is_not_lost(bank: Path) -> None:
    backed_up(bank)
    good = (bank / "state/agent_3.json").read_bytes()
    lose(bank, 12)
    with opened(bank) as one:
        accept(one, "state")
    put(bank / "state/agent_3.json", good)
    assert document(backed_up(bank)).status == "good"


def test_damage_is_no_loss(bank: Path, tmp_path: Path) -> None:
    backed_up(bank)
    good = contents(bank)
    for number in range(20):
        put(bank / f"state/agent_{number}.json", b"")
    put(bank / "trades/recent_trades.json", good["trades/recent_trades.json"] + bytes(9))
    report = backed_up(bank)
    assert len(report.damaged) == 21
    assert document(report).status == "good"
    with opened(bank) as one:
        restore(one, document(report).id, to=str(tmp_path / "to"))
    assert contents(tmp_path / "to") == good


def test_what_cannot_be_read_of_the_reference_is_no_reason_to_fail(bank: Path, run: Run) -> None:
    backed_up(bank)
    (bank / "trades/trade_0.json").unlink()
    with opened(bank) as one:
        accept(one, "trades/trade_0.json")
        snapshots = Snapshots(one)
        assert snapshots.repo is not None
        packs = [path for path in (Path(snapshots.repo.path) / "packs").rglob("*") if path.is_file()]
        snapshots.close()
    for path in packs:
        data = bytearray(path.read_bytes())
        data[len(data) // 3] ^= 1
        path.chmod(0o600)
        path.write_bytes(data)
    done = run("backup", "--json", cwd=bank)
    assert done.returncode in (0, 1), done.stderr
    assert done.json["snapshot"]["id"]
