"""A backup saves what its scan saw, and what is there now where that was changed or taken away meanwhile."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from memorybank_cli.bank import baseline
from memorybank_cli.bank.bank import Bank
from memorybank_cli.base.walk import Root
from memorybank_cli.operations.looks import Looks, sort_out
from memorybank_cli.operations.repositories import Snapshots
from memorybank_cli.snapshots import trees
from memorybank_cli.snapshots.trees import FileEntry
from tests.conftest import MakeBank
from tests.operations.banks import backed_up, opened, put

DAY = "metrics/day"


@pytest.fixture
def bank(make_bank: MakeBank) -> Path:
    """A bank that has been saved, of which a few metrics changed since."""
    path = make_bank(padded=False)
    for number in range(40):
        put(path / f"{DAY}/t{number:02}.json", {"gas_price": number}, age=3600)
    backed_up(path)
    put(path / f"{DAY}/t03.json", {"gas_price": 103}, age=1800)
    put(path / f"{DAY}/secret.key", b"secret", age=1800)
    return path


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Something happens between the scan and the saving."""

    def set_up(happens: Callable[[], object]) -> None:
        real = baseline.establish

        def establish(*args: object) -> object:
            found = real(*args)  # type: ignore[arg-type]
            happens()
            return found

        monkeypatch.setattr(baseline, "establish", establish)

    return set_up


def saved(path: Path) -> dict[str, tuple[FileEntry, bytes]]:
    with opened(path) as one:
        snapshots = Snapshots(one)
        try:
            blobs, newest = snapshots.blobs, max(snapshots.newest_first(), key=lambda document: document.order)
            return {entry.path: (entry, trees.read_file(blobs, entry)) for entry in trees.files(blobs, newest.root)}
        finally:
            snapshots.close()


def test_what_was_changed_before_is_saved_beside_what_was_not(bank: Path) -> None:
    report = backed_up(bank)
    assert report.new_files <= 3
    found = saved(bank)
    for number in range(40):
        path = bank / f"{DAY}/t{number:02}.json"
        entry, data = found[f"{DAY}/t{number:02}.json"]
        assert data == path.read_bytes()
        assert entry.mtime_ns == path.stat().st_mtime_ns
    assert f"{DAY}/secret.key" not in found
    assert f"{DAY}/secret.key" in report.excluded


def test_a_new_file_that_changes_meanwhile_is_saved_as_it_is_then(
    bank: Path, meanwhile: Callable[[Callable[[], object]], None]
) -> None:
    path = bank / f"{DAY}/t03.json"
    meanwhile(lambda: put(path, {"gas_price": 203}, age=60))
    backed_up(bank)
    entry, data = saved(bank)[f"{DAY}/t03.json"]
    assert data == path.read_bytes()
    assert entry.mtime_ns == path.stat().st_mtime_ns


def test_a_new_file_that_is_gone_meanwhile_is_left_out(
    bank: Path, meanwhile: Callable[[Callable[[], object]], None]
) -> None:
    meanwhile((bank / f"{DAY}/t03.json").unlink)
    backed_up(bank)
    found = saved(bank)
    assert f"{DAY}/t03.json" not in found
    assert f"{DAY}/t04.json" in found


def test_a_directory_that_is_gone_meanwhile_stays_with_its_last_good_files(
    bank: Path, meanwhile: Callable[[Callable[[], object]], None]
) -> None:
    put(bank / "metrics/historical/m1.json", {"metric": 1}, age=1800)
    backed_up(bank)
    meanwhile(lambda: shutil.rmtree(bank / "metrics/historical"))
    put(bank / "metrics/live.json", {"metric": 1}, age=1800)
    backed_up(bank)
    assert saved(bank)["metrics/historical/m1.json"][1] == b'{\n  "metric": 1\n}'


def test_a_secret_is_left_out_whenever_it_came(tmp_path: Path) -> None:
    put(tmp_path / "id.pem", b"secret")
    put(tmp_path / "a.json", b"{}")
    root = Root(tmp_path)
    try:
        (listing,) = root.walk()
        assert [one.name for one in sort_out(listing, {}).others] == ["a.json"]
    finally:
        root.close()


def test_what_was_seen_is_given_back(bank: Path) -> None:
    looks = Looks()
    with opened(bank) as one:
        baseline.establish(one, look=looks)
        _check(one, looks)


def _check(bank: Bank, looks: Looks) -> None:
    sure = looks.sure(DAY)
    assert sure is not None
    fd = os.open(bank.root.absolute(DAY), os.O_RDONLY)
    try:
        listing = looks.listing(DAY, fd)
    finally:
        os.close(fd)
    assert {row[1] for row in sure.batch} | {one.name for one in listing.files} == set(
        os.listdir(bank.root.absolute(DAY))
    )
    assert sure.records == len(sure.batch)
    assert looks.sure("") is None
