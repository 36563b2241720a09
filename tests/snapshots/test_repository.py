from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from memorybank_cli.base.errors import FormatMismatch, Locked, NotFound, OperationFailed, Refused
from memorybank_cli.snapshots import keys
from memorybank_cli.snapshots.repository import Repository, is_inside, pack_path, stands_at
from tests.snapshots import making


def test_a_new_repository_is_private_and_opens_again(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "repo"
    with Repository.create(place) as made, Repository.open(place) as opened:
        assert opened.repo_id == made.repo_id
        assert len(made.repo_id) == 32
    assert place.stat().st_mode & 0o777 == 0o700
    assert json.loads((place / "config.json").read_bytes()) == {
        "format": "mb-repo",
        "version": 1,
        "repo_id": made.repo_id,
    }
    assert {path.name for path in place.iterdir()} == {"config.json", "packs", "snapshots", "index", "trash"}
    assert all(path.stat().st_mode & 0o077 == 0 for path in place.rglob("*"))


def test_creating_twice_opens_what_is_there(tmp_path: Path) -> None:
    with Repository.create(tmp_path / "repo") as first, Repository.create(tmp_path / "repo") as second:
        assert first.repo_id == second.repo_id


def test_a_creation_that_was_interrupted_is_completed(tmp_path: Path) -> None:
    (tmp_path / "repo" / "packs").mkdir(parents=True)
    (tmp_path / "repo" / ".mb-0123456789abcdef").write_bytes(b"half a conf")
    with Repository.create(tmp_path / "repo") as repo:
        assert repo.packs() == {}


def test_a_directory_with_other_things_is_refused_and_stays_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(Refused):
        Repository.create(tmp_path)
    assert making.on_disk(tmp_path) == {"notes.txt": b"mine"}


def test_no_repository_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no repository at"):
        Repository.open(tmp_path / "missing")
    with pytest.raises(NotFound, match=r"no config\.json"):
        Repository.open(tmp_path)


@pytest.mark.parametrize(
    ("config", "error"),
    [
        (b'{"format": "mb-repo", "version": 2, "repo_id": "%s"}' % (b"a" * 32), FormatMismatch),
        (b'{"format": "mb-repo", "version": true, "repo_id": "%s"}' % (b"a" * 32), FormatMismatch),
        (b'{"format": "mb-repo", "version": 1, "encryption": {}, "repo_id": "%s"}' % (b"a" * 32), FormatMismatch),
        (b'{"format": "other", "version": 1}', OperationFailed),
        (b'{"format": "mb-repo", "version": 1, "repo_id": "../../x"}', OperationFailed),
        (b'{"format": "mb-repo", "version": 1}', OperationFailed),
        (b"[1]", OperationFailed),
        (b"[" * 10_000, OperationFailed),
        (b"\0" * 90, OperationFailed),
        (b"", OperationFailed),
        (b" " * (1 << 17), OperationFailed),
    ],
)
def test_a_config_that_does_not_fit(tmp_path: Path, config: bytes, error: type[Exception]) -> None:
    (tmp_path / "config.json").write_bytes(config)
    with pytest.raises(error):
        Repository.open(tmp_path)


def test_readers_share_and_one_that_removes_is_alone(repo: Repository) -> None:
    with repo.adding(), Repository.open(repo.path) as other:
        with other.reading(timeout=0):
            pass
        with pytest.raises(Locked), other.alone(timeout=0):
            pass
    with repo.alone(timeout=0):
        pass


def test_the_generation_changes_each_time(repo: Repository) -> None:
    seen = {repo.generation()}
    for _ in range(3):
        repo.next_generation()
        seen.add(repo.generation())
    assert len(seen) == 4


def test_only_regular_files_with_a_packs_name_in_its_place_are_packs(repo: Repository) -> None:
    making.save_files(repo, {"a.json": b"{}"})
    (real,) = making.packs_of(repo)
    packs = Path(repo.path) / "packs"
    (packs / "zz").mkdir()
    (packs / "00").mkdir(exist_ok=True)
    (packs / "00" / ("f" * 64)).write_bytes(b"in the wrong place")
    (packs / "00" / "README").write_bytes(b"other")
    (packs / "00" / ("0" * 64)).symlink_to(real)
    (packs / "file").write_bytes(b"")
    assert repo.packs() == {real.name: real.stat().st_size}
    expected = ["packs/00/" + "0" * 64, "packs/00/README", "packs/00/" + "f" * 64, "packs/file", "packs/zz"]
    assert sorted(repo.strays()) == sorted(expected)
    assert (Path(repo.path) / pack_path(real.name)) == real


def test_the_reserve_is_kept_and_given_up(tmp_path: Path) -> None:
    with Repository.create(tmp_path / "repo", reserve=1 << 16) as repo:
        making.save_files(repo, {"a.json": b"{}"})
        reserve = tmp_path / "repo" / "reserve"
        assert reserve.stat().st_size == 1 << 16
        assert reserve.stat().st_blocks * 512 >= 1 << 16
        repo.release_reserve()
        assert not reserve.exists()
        assert repo.keep_reserve()


def test_a_disk_without_room_for_the_reserve_does_without(tmp_path: Path) -> None:
    with Repository.create(tmp_path / "repo", reserve=1 << 60) as repo:
        making.save_files(repo, {"a.json": b"{}"})
        assert not (tmp_path / "repo" / "reserve").exists()


def test_a_repository_inside_the_bank_is_seen_by_any_name(tmp_path: Path) -> None:
    bank = tmp_path / "bank"
    (bank / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to(bank / "inner")
    assert is_inside(bank, bank)
    assert is_inside(bank / "inner" / "not" / "yet", bank)
    assert is_inside(tmp_path / "link" / "repo", bank)
    assert is_inside(os.path.relpath(bank / "x"), bank)
    assert not is_inside(tmp_path / "bank2", bank)
    assert not is_inside(tmp_path, bank)
    assert not is_inside(bank / ".." / "repo", bank)


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOLCK, errno.ENOTSUP, errno.ENOSPC])
def test_where_no_lock_can_be_had_one_still_reads(
    repo: Repository, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = making.save_files(repo, {"a.json": b"{}"})

    def refuse(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("memorybank_cli.base.locks.open_to_write", refuse)
    with repo.reading():
        assert making.read_back(repo, saved.document) == {"a.json": b"{}"}
    with pytest.raises(OSError, match=r"."), repo.adding():
        pass


def test_other_trouble_with_the_lock_is_raised(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(errno.EIO, "trouble")

    monkeypatch.setattr("memorybank_cli.base.locks.open_to_write", refuse)
    with pytest.raises(OSError, match="trouble"), repo.reading():
        pass


def test_an_error_while_reading_is_no_trouble_with_the_lock(repo: Repository) -> None:
    with pytest.raises(OSError, match="full"), repo.reading():
        raise OSError(errno.ENOSPC, "full")
    with repo.alone(timeout=0):
        pass


@pytest.mark.parametrize("secret", [None, making.RAW_KEY])
def test_a_lost_config_is_not_made_anew(tmp_path: Path, secret: keys.Secret | None) -> None:
    with Repository.create(tmp_path / "repo", reserve=0, secret=secret) as repo:
        making.save_files(repo, {"a": b"a"})
    (tmp_path / "repo/config.json").unlink()
    before = making.on_disk(tmp_path / "repo")
    for given in (None, making.RAW_KEY):
        with pytest.raises(OperationFailed, match=r"has lost its config\.json; nothing was written"):
            Repository.create(tmp_path / "repo", secret=given)
    assert making.on_disk(tmp_path / "repo") == before


def test_an_encrypted_repository_does_not_pass_for_a_plain_one(tmp_path: Path) -> None:
    Repository.create(tmp_path / "repo", reserve=0, secret=making.RAW_KEY).close()
    config = json.loads((tmp_path / "repo/config.json").read_bytes())
    del config["encryption"]
    (tmp_path / "repo/config.json").write_text(json.dumps(config))
    for opening in (Repository.open, Repository.create):
        with pytest.raises(OperationFailed, match="does not say that it is encrypted, and there are keys"):
            opening(tmp_path / "repo")


def test_one_that_cannot_be_looked_into_is_opened_and_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not stands_at(tmp_path / "none")
    assert not stands_at(tmp_path)
    (tmp_path / "file").touch()
    assert not stands_at(tmp_path / "file")

    def refuse(path: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(os, "lstat", refuse)
    assert stands_at(tmp_path)
    assert not stands_at(tmp_path / "none")
