"""Unchanged directories cost nothing, and nothing doubtful is ever taken over."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from memorybank_cli.bank.layout import PRIVATE
from memorybank_cli.operations.repositories import Snapshots
from memorybank_cli.snapshots import saving, trees
from memorybank_cli.snapshots.saving import Whole
from tests.conftest import MakeBank, trade
from tests.operations.banks import backed_up, contents, opened, put

HOUR = 3600.0


@pytest.fixture
def bank(make_bank: MakeBank) -> Path:
    """A bank that has been saved, with everything in it an hour old."""
    path = make_bank(padded=False)
    for day in ("01", "02"):
        for number in range(40):
            put(path / f"trades/2026/{day}/t{number}.json", trade(number), age=HOUR)
    for file in path.rglob("*.*"):
        if file.is_file() and PRIVATE not in file.parts:
            put(file, file.read_bytes(), age=HOUR)
    backed_up(path)
    backed_up(path)
    return path


@pytest.fixture
def wholes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of directories that were taken over."""
    found: list[str] = []
    real = saving._Run._whole

    def whole(run: saving._Run, row: Whole) -> None:
        found.append(row.path)
        real(run, row)

    monkeypatch.setattr(saving._Run, "_whole", whole)
    return found


def restored(bank: Path) -> dict[str, bytes]:
    """What the newest snapshot holds."""
    with opened(bank) as one:
        snapshots = Snapshots(one)
        try:
            blobs, newest = snapshots.blobs, max(snapshots.newest_first(), key=lambda document: document.order)
            return {entry.path: trees.read_file(blobs, entry) for entry in trees.files(blobs, newest.root)}
        finally:
            snapshots.close()


def kept(bank: Path) -> Path:
    (path,) = (bank / PRIVATE).glob("saved-*.json")
    return path


def test_what_is_unchanged_is_taken_over(bank: Path, wholes: list[str]) -> None:
    before = backed_up(bank)
    assert "trades" in wholes
    assert before.document is not None
    assert before.new_bytes == before.new_files == 0
    assert restored(bank) == contents(bank)
    kept(bank).unlink()
    wholes.clear()
    again = backed_up(bank)
    assert wholes == []
    assert again.document is not None
    assert again.document.root == before.document.root
    one, other = before.as_dict()["snapshot"], again.as_dict()["snapshot"]
    assert {name: one[name] for name in ("files", "bytes")} == {name: other[name] for name in ("files", "bytes")}
    assert before.document.records == again.document.records


def test_one_change_leaves_the_neighbours_untouched(bank: Path, wholes: list[str]) -> None:
    put(bank / "trades/2026/01/new.json", {**trade(9), "note": "new"})
    report = backed_up(bank)
    assert "trades/2026/02" in wholes
    assert not {"trades", "trades/2026", "trades/2026/01"} & set(wholes)
    assert report.new_files == 1
    assert restored(bank) == contents(bank)


@pytest.mark.parametrize("what", ["gone", "empty", "cut", "flipped", "other"])
def test_a_damaged_note_counts_as_none(bank: Path, wholes: list[str], what: str) -> None:
    path = kept(bank)
    data = bytearray(path.read_bytes())
    if what == "flipped":
        data[len(data) // 2] ^= 1
    changed = {"gone": None, "empty": b"", "cut": data[:-9], "flipped": data, "other": b"\n{}"}[what]
    path.unlink() if changed is None else path.write_bytes(changed)
    backed_up(bank)
    assert wholes == []
    assert restored(bank) == contents(bank)


def test_a_pack_that_is_gone_or_a_prune_means_that_all_is_looked_at(bank: Path, wholes: list[str]) -> None:
    with opened(bank) as one:
        place = Path(one.home.repository)
    (place / "generation").write_bytes(b"another")
    backed_up(bank)
    assert wholes == []
    packs = sorted(
        (path for path in (place / "packs").rglob("*") if path.is_file()), key=lambda one: one.stat().st_size
    )
    packs[-1].unlink()
    report = backed_up(bank)
    assert wholes == []
    assert report.new_files > 30
    assert restored(bank) == contents(bank)


@pytest.mark.parametrize("how", ["changed", "gone", "directory gone", "link", "mode", "replaced", "secret"])
def test_a_change_of_any_kind_is_seen(bank: Path, wholes: list[str], how: str) -> None:
    path = bank / "trades/2026/01/t7.json"
    if how == "changed":  # same size and times: the inode's change time tells
        data, info = path.read_bytes(), path.stat()
        path.write_bytes(data.replace(b"\n", b" ", 1))
        os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))
    elif how == "gone":
        path.unlink()
    elif how == "directory gone":
        for file in path.parent.iterdir():
            file.unlink()
        path.parent.rmdir()
    elif how == "link":
        path.unlink()
        path.symlink_to("t8.json")
    elif how == "mode":
        path.chmod(0o640)
    elif how == "replaced":
        put(path.with_name("new"), path.read_bytes(), age=HOUR)
        os.replace(path.with_name("new"), path)
    else:
        (path.parent / "id_rsa").write_bytes(b"secret")
    before = contents(bank)
    report = backed_up(bank)
    assert not {"trades", "trades/2026", "trades/2026/01"} & set(wholes)
    if how in ("gone", "directory gone", "link"):
        assert {one["rule"] for one in report.damaged} == {"MB111"}
        assert f"{path.relative_to(bank)}" in restored(bank)
    elif how == "secret":
        assert report.excluded == ("trades/2026/01/id_rsa",)
        assert backed_up(bank).excluded == ("trades/2026/01/id_rsa",)
    elif how == "changed":
        assert [one["rule"] for one in report.damaged] == ["MB113"]
    else:
        assert restored(bank) == before


def test_what_is_left_out_of_unchanged_directories_is_still_told(bank: Path, wholes: list[str]) -> None:
    (bank / "trades/2026/02/link").symlink_to("nowhere")
    (bank / "trades/2026/.hidden").write_bytes(b"")
    expected = backed_up(bank).excluded
    assert set(expected) == {"trades/2026/02/link", "trades/2026/.hidden"}
    wholes.clear()
    assert set(backed_up(bank).excluded) == set(expected)
    assert "trades" in wholes


def test_a_directory_with_damage_is_gone_into_each_time(bank: Path, wholes: list[str]) -> None:
    put(bank / "trades/2026/01/t7.json", b"{{{", age=HOUR)
    for _ in range(3):
        report = backed_up(bank)
        assert report.damaged == ({"path": "trades/2026/01/t7.json", "rule": "MB101"},)
    assert "trades/2026/02" in wholes
    assert "trades/2026/01" not in wholes


def test_files_written_a_moment_ago_are_not_relied_on(bank: Path, wholes: list[str]) -> None:
    put(bank / "trades/2026/01/fresh.json", trade(3))
    for _ in range(3):
        backed_up(bank)
    assert "trades/2026/01" not in wholes


def test_another_repository_has_notes_of_its_own(bank: Path, tmp_path: Path, wholes: list[str]) -> None:
    first = backed_up(bank, repo=str(tmp_path / "usb"))
    assert wholes == []
    assert first.new_files > 30
    backed_up(bank, repo=str(tmp_path / "usb"))
    assert "trades" in wholes
    assert len(list((bank / PRIVATE).glob("saved-*.json"))) == 2


def test_a_note_that_cannot_be_written_costs_nothing_but_time(bank: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("memorybank_cli.operations.kept_trees.write", full)
    assert backed_up(bank).document is not None
