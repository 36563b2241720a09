"""`backup --dry-run`: what a backup would do, with nothing written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from memorybank_cli.bank.layout import PRIVATE
from memorybank_cli.snapshots.packs import FILE_BLOB_SIZE
from tests.conftest import MakeBank, Run, trade
from tests.operations.banks import backed_up, contents, put

HOUR = 3600.0


@pytest.fixture
def bank(make_bank: MakeBank) -> Path:
    path = make_bank(padded=False)
    for file in path.rglob("*.*"):
        if file.is_file() and PRIVATE not in file.parts:
            put(file, file.read_bytes(), age=HOUR)
    return path


def everything(*places: Path) -> dict[str, bytes]:
    """All files but the catalog, which a look may bring up to date."""
    found = {f"{place}/{name}": data for place in places for name, data in contents(place, private=True).items()}
    return {name: data for name, data in found.items() if "catalog" not in name}


def test_before_the_first_backup_everything_is_new(bank: Path, home: Path) -> None:
    before = everything(bank)
    report = backed_up(bank, dry_run=True)
    assert everything(bank) == before
    assert not (home / "repositories").exists()
    assert report.document is None
    assert (report.files, report.changed_files) == (len(contents(bank)), 0)
    assert report.bytes == sum(map(len, contents(bank).values()))
    made = backed_up(bank)
    assert (report.files, report.bytes, report.new_files) == (made.files, made.bytes, made.new_files)
    assert made.new_bytes / 8 < report.new_bytes < made.new_bytes * 2


def test_it_counts_new_and_changed_files(bank: Path, home: Path) -> None:
    backed_up(bank)
    backed_up(bank)
    assert backed_up(bank, dry_run=True).as_dict()["snapshot"]["new_files"] == 0
    put(bank / "trades/new.json", {**trade(1), "note": "new"})
    put(bank / "trades/twin.json", {**trade(1), "note": "new"})
    put(bank / "state/state.json", {"bot_status": "changed"})
    before = everything(bank, home)
    report = backed_up(bank, dry_run=True)
    assert everything(bank, home) == before
    assert (report.new_files, report.changed_files) == (2, 1)  # a twin costs nothing
    assert 0 < report.new_bytes < 2_000
    assert "2 new contents" in report.summary()
    made = backed_up(bank)
    assert made.new_files == 2
    assert made.files == report.files


def test_large_files_are_read_to_see_what_is_new_of_them(bank: Path) -> None:
    data = os.urandom(FILE_BLOB_SIZE + 9)
    put(bank / "docs/large.bin", data, age=HOUR)
    first = backed_up(bank, dry_run=True)
    assert first.new_bytes > FILE_BLOB_SIZE / 2
    backed_up(bank)
    assert backed_up(bank, dry_run=True).new_files == 0
    put(bank / "docs/large.bin", data + b"more", age=HOUR)
    report = backed_up(bank, dry_run=True)
    assert (report.new_files, report.changed_files) == (1, 1)
    assert report.new_bytes < 1_000


def test_damage_and_what_is_left_out_are_told(bank: Path, run: Run) -> None:
    backed_up(bank)
    put(bank / "trades/trade_0.json", b"{{{")
    put(bank / "state/prod.env", b"secret")
    done = run("backup", "--dry-run", "--json", cwd=bank)
    assert done.returncode == 1
    snapshot = done.json["snapshot"]
    assert snapshot["damaged"] == [{"path": "trades/trade_0.json", "rule": "MB101"}]
    assert snapshot["excluded"] == ["state/prod.env"]
    assert (snapshot["id"], done.json["dry_run"]) == (None, True)
    shown = run("backup", "-n", cwd=bank)
    assert "left out state/prod.env" in shown.stdout
    assert "damaged MB101 trades/trade_0.json" in shown.stdout
    assert "nothing was written" in shown.stdout + shown.stderr


def test_a_file_that_cannot_be_read_stops_nothing(bank: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from memorybank_cli.operations import snapshot_rows

    def failing(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    put(bank / "docs/large.bin", bytes(FILE_BLOB_SIZE + 9), age=HOUR)
    monkeypatch.setattr(snapshot_rows.Source, "_content", failing)
    assert backed_up(bank, dry_run=True).files == len(contents(bank))
