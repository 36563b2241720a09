"""Which repository is meant, and versions of files that can be had from its snapshots."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from memorybank_cli.base import digests
from memorybank_cli.base.errors import MemorybankError, Refused, SnapshotNotFound
from memorybank_cli.operations.repositories import Snapshots, open_repository, repository_path
from tests.conftest import MakeBank, trade
from tests.operations.banks import adopt, backed_up, opened, put

STATE = "state/state.json"


def test_which_one_is_meant(make_bank: MakeBank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_bank(0)
    bank_id = json.loads((path / "bank.json").read_bytes())["bank_id"]
    with opened(path) as bank:
        home = os.environ["MEMORYBANK_STATE_HOME"]
        assert repository_path(bank, None) == f"{home}/repositories/{bank_id}"
        monkeypatch.setenv("MEMORYBANK_REPOSITORY", str(tmp_path / "named"))
        assert repository_path(bank, None) == str(tmp_path / "named")
        assert repository_path(bank, str(tmp_path / "given")) == str(tmp_path / "given")


@pytest.mark.parametrize("where", ["", "repo", ".memorybank/repo", "state/../repo"])
def test_never_inside_the_bank(make_bank: MakeBank, where: str) -> None:
    path = make_bank(0)
    with opened(path) as bank, pytest.raises(Refused, match="inside the bank") as caught:
        repository_path(bank, str(path / where))
    assert caught.value.exit_code == 13


def test_the_home_may_be_a_tilde(make_bank: MakeBank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with opened(make_bank(0)) as bank:
        assert repository_path(bank, "~/repo") == str(tmp_path / "repo")
        monkeypatch.setenv("MEMORYBANK_REPOSITORY", "~/other")
        assert repository_path(bank, None) == str(tmp_path / "other")


def test_an_address_is_no_directory(make_bank: MakeBank) -> None:
    with opened(make_bank(0)) as bank, pytest.raises(MemorybankError, match="s3://bucket/bank"):
        repository_path(bank, "s3://bucket/bank")


def test_where_there_is_none(make_bank: MakeBank, tmp_path: Path) -> None:
    with opened(make_bank(0)) as bank:
        with pytest.raises(SnapshotNotFound):
            open_repository(bank, str(tmp_path / "none"))
        snapshots = Snapshots(bank)
        assert (snapshots.newest_first(), snapshots.content(STATE)) == ([], None)
        snapshots.close()


def test_versions_newest_first(make_bank: MakeBank) -> None:
    path = make_bank(1, padded=False)
    datas, ids = [], []
    for number in range(3):
        datas.append(put(path / STATE, {"bot_status": "running", "number": number}))
        made = backed_up(path).document
        assert made is not None
        ids.append(made.id)
    with opened(path) as bank:
        snapshots = Snapshots(bank)
        assert [document.id for document, _ in snapshots.versions(STATE)] == ids[::-1]
        assert snapshots.content(STATE) == (datas[2], ids[2])
        assert snapshots.content(STATE, digests.of(datas[0])) == (datas[0], ids[0])
        assert snapshots.content(STATE, "0" * 64) is None
        assert snapshots.content("state") is None
        assert snapshots.content("state/never.json") is None
        assert snapshots.blobs is snapshots.blobs
        snapshots.close()


def test_good_snapshots_before_suspect_ones(make_bank: MakeBank) -> None:
    path = make_bank(0, padded=False)
    for number in range(40):
        put(path / f"metrics/m{number}.json", {"n": number})
    adopt(path)
    good = backed_up(path).document
    for number in range(30):
        (path / f"metrics/m{number}.json").unlink()
    suspect = backed_up(path).document
    assert good is not None
    assert suspect is not None
    assert suspect.status == "suspect"
    with opened(path) as bank:
        snapshots = Snapshots(bank)
        assert [one.id for one in snapshots.newest_first()] == [good.id, suspect.id]
        snapshots.close()


def test_damaged_snapshots_are_passed_over(make_bank: MakeBank) -> None:
    path = make_bank(0, padded=False)
    first = put(path / STATE, {"bot_status": "running", "notes": "first"})
    one = backed_up(path).document
    put(path / STATE, {"bot_status": "running", "notes": "second"})
    report = backed_up(path)
    assert one is not None
    packs = sorted(Path(report.repository).glob("packs/*/*"), key=lambda pack: pack.stat().st_mtime_ns)
    packs[-1].write_bytes(b"x" * packs[-1].stat().st_size)
    for index in Path(report.repository).glob("index/*"):
        index.unlink()
    with opened(path) as bank:
        snapshots = Snapshots(bank)
        assert snapshots.content(STATE) == (first, one.id)
        snapshots.close()


def test_a_damaged_file_has_no_good_version_in_its_first_snapshot(make_bank: MakeBank) -> None:
    path = make_bank(1)
    put(path / "trades/more.json", trade(5))
    backed_up(path)
    with opened(path) as bank:
        snapshots = Snapshots(bank)
        assert snapshots.content("trades/recent_trades.json") is None
        assert snapshots.content("trades/more.json") is not None
        snapshots.close()
