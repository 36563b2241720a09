from __future__ import annotations

import os
import pwd
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from memorybank_cli.bank.home import Home, directories, user_config
from memorybank_cli.base.errors import CopiedBank, NotOurs, OperationFailed
from memorybank_cli.base.exact_json import dumps
from memorybank_cli.base.walk import Root

ID = "0193-bank"


@pytest.fixture
def kept() -> Iterator[Home]:
    opened = Home(ID, os.getuid())
    yield opened
    opened.close()


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    return make(tmp_path / "bank")


def make(path: Path, bank_id: str = ID) -> Path:
    path.mkdir()
    (path / "bank.json").write_bytes(dumps({"bank_id": bank_id}))
    return path


def remember(kept: Home, path: Path) -> str:
    root = Root(path)
    try:
        return kept.remember_place(root)
    finally:
        root.close()


def original(kept: Home, path: Path) -> str:
    root = Root(path)
    try:
        return kept.is_copy(root)
    finally:
        root.close()


def test_it_is_made_when_it_is_needed_and_for_the_owner_only(kept: Home, home: Path) -> None:
    assert kept.repository == str(home / "repositories" / ID)
    assert not home.exists()
    assert kept.mark() == (0, "")
    assert stat.S_IMODE((home / "state" / ID).stat().st_mode) == 0o700
    kept.close()
    assert kept.mark() == (0, "")


def test_the_mark_is_remembered(kept: Home) -> None:
    kept.set_mark(7, "f" * 64)
    assert kept.mark() == (7, "f" * 64)
    again = Home(ID, os.getuid())
    assert again.mark() == (7, "f" * 64)
    again.close()
    other = Home("another", os.getuid())
    assert other.mark() == (0, "")
    other.close()


@pytest.mark.parametrize("left", [b"", b"\0" * 80])
def test_a_mark_that_a_crash_left_empty_is_no_mark(kept: Home, home: Path, left: bytes) -> None:
    kept.set_mark(7, "f" * 64)
    (home / "state" / ID / "mark.json").write_bytes(left)
    assert kept.mark() == (0, "")


DAMAGE = [b"{", b"[]", b"7", b"\xff", b'{"a":1,"a":2}']


@pytest.mark.parametrize("name", ["mark.json", "trusted.json", "place.json"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_counts_as_missing_and_is_named(kept: Home, home: Path, name: str, damage: bytes) -> None:
    kept.set_mark(7, "f" * 64)
    assert kept.damaged == set()
    path = home / "state" / ID / name
    path.write_bytes(damage)
    assert {"mark.json": kept.mark, "trusted.json": kept.trusted, "place.json": kept.place}[name]() in ((0, ""), {})
    assert kept.damaged == {str(path)}
    path.unlink()
    path.symlink_to("bank.json")
    again = Home(ID, os.getuid())
    assert again._read(name) == {}
    assert again.damaged == {str(path)}
    again.close()


@pytest.mark.parametrize("data", [b'{"seq": "7", "hash": "f"}', b'{"seq": true}', b'{"seq": null}', b'{"hash": 7}'])
def test_a_mark_of_another_shape_is_damaged(kept: Home, home: Path, data: bytes) -> None:
    kept.set_mark(7, "f")
    path = home / "state" / ID / "mark.json"
    path.write_bytes(data)
    assert kept.mark() == (0, "")
    assert kept.damaged == {str(path)}


@pytest.mark.parametrize("place", [b'{"path": "a\\u0000b"}', b'{"path": 7}', b'{"path": null, "inode": []}', b"{}"])
def test_a_place_of_another_shape_is_no_original(kept: Home, home: Path, bank: Path, place: bytes) -> None:
    kept.mark()
    (home / "state" / ID / "place.json").write_bytes(place)
    assert original(kept, bank) == ""


def test_trust_is_kept_by_digest_and_grows(kept: Home) -> None:
    assert kept.trusted() == {}
    kept.trust({"config/a.json": "1"})
    kept.trust({"config/b.json": "2", "config/a.json": "3"})
    assert kept.trusted() == {"config/a.json": "3", "config/b.json": "2"}


def test_a_bank_that_stays_is_no_copy(kept: Home, bank: Path) -> None:
    assert kept.place() == {}
    assert remember(kept, bank) == ""
    info = bank.stat()
    assert kept.place() == {"path": str(bank), "device": info.st_dev, "inode": info.st_ino}
    assert original(kept, bank) == ""
    assert remember(kept, bank) == ""


def test_a_bank_that_was_moved(kept: Home, bank: Path, tmp_path: Path) -> None:
    remember(kept, bank)
    bank.rename(tmp_path / "moved")
    assert original(kept, tmp_path / "moved") == ""
    assert remember(kept, tmp_path / "moved") == str(bank)
    assert remember(kept, tmp_path / "moved") == ""


def test_a_bank_that_was_moved_while_another_took_its_place(kept: Home, bank: Path, tmp_path: Path) -> None:
    remember(kept, bank)
    bank.rename(tmp_path / "moved")
    make(bank)
    assert remember(kept, tmp_path / "moved") == str(bank)


def test_a_bank_that_was_copied(kept: Home, bank: Path, tmp_path: Path) -> None:
    remember(kept, bank)
    copy = tmp_path / "copy"
    shutil.copytree(bank, copy)
    assert original(kept, copy) == str(bank)
    with pytest.raises(CopiedBank, match=f"is a copy of the bank at {bank}") as caught:
        remember(kept, copy)
    assert caught.value.exit_code == 13
    assert kept.place()["path"] == str(bank)
    link = tmp_path / "link"
    link.symlink_to(bank)
    assert remember(kept, link) == ""


@pytest.mark.parametrize("left", ["nothing", "empty", "other id", "damaged", "no object", "no file"])
def test_a_copy_whose_original_is_gone_is_a_move(kept: Home, bank: Path, tmp_path: Path, left: str) -> None:
    remember(kept, bank)
    copy = tmp_path / "copy"
    shutil.copytree(bank, copy)
    document = bank / "bank.json"
    if left == "nothing":
        shutil.rmtree(bank)
    elif left == "empty":
        document.unlink()
    elif left == "no file":
        document.unlink()
        document.mkdir()
    else:
        document.write_bytes({"other id": b'{"bank_id": "other"}', "damaged": b"{", "no object": b"[]"}[left])
    assert remember(kept, copy) == str(bank)


def test_a_bank_restored_at_its_own_place_is_noted(kept: Home, bank: Path) -> None:
    remember(kept, bank)
    before = kept.place()
    bank.rename(bank.with_name("old"))
    make(bank)
    assert remember(kept, bank) == ""
    assert kept.place()["inode"] != before["inode"]


def test_without_the_override_the_owners_home_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEMORYBANK_STATE_HOME")
    monkeypatch.setenv("HOME", "/elsewhere")
    home = pwd.getpwuid(os.getuid()).pw_dir
    assert directories(os.getuid()) == {
        "state": f"{home}/.local/state/memorybank",
        "repositories": f"{home}/.local/share/memorybank",
        "config": f"{home}/.config/memorybank",
    }
    with pytest.raises(NotOurs, match="uid 4123456, which has no home"):
        directories(4_123_456)


def test_the_override_may_be_relative(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEMORYBANK_STATE_HOME", "here")
    assert directories(0)["state"] == f"{tmp_path}/here/state"


def test_the_users_settings(home: Path) -> None:
    assert user_config(0) == {}
    home.write_bytes(b"a file where a directory should be")
    assert user_config(0) == {}
    home.unlink()
    home.mkdir()
    path = home / "config.json"
    for data, value in ((b'{"actor": "me"}', {"actor": "me"}), (b"[1]", {})):
        path.write_bytes(data)
        assert user_config(0) == value
    path.write_bytes(b"{,}")
    with pytest.raises(OperationFailed, match=r"config.json is damaged: ") as caught:
        user_config(0)
    assert caught.value.path == str(path)


def test_of_a_bank_that_is_built_aside_nothing_is_kept_before_it_settles(home: Path, tmp_path: Path) -> None:
    (tmp_path / "bank").mkdir()
    root = Root(tmp_path / "bank")
    aside = Home("id", os.getuid(), aside=True)
    aside.set_mark(7, "hash")
    assert (aside.mark(), aside.place(), aside.trusted()) == ((7, "hash"), {}, {})
    assert (aside.remember_place(root), aside.is_copy(root)) == ("", "")
    assert not home.exists()
    aside.settle(root)
    aside.close()
    known = Home("id", os.getuid())
    assert (known.mark(), known.place()["path"]) == ((7, "hash"), root.path)
    known.close()
    root.close()
