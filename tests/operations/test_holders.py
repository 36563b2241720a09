"""Which snapshots hold what is to be forgotten, also where they are damaged, encrypted or compressed otherwise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from memorybank_cli.accounts import forgotten
from memorybank_cli.bank.forgetting import Subject, Traces
from memorybank_cli.operations.accounts import create
from memorybank_cli.operations.holders import Holders, holders
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.sealing import Damaged
from tests.accounts.sealed import small_segments
from tests.conftest import MakeBank
from tests.operations.banks import backed_up, opened
from tests.operations.erased import say
from tests.operations.retained import repository_of


@pytest.fixture
def path(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> Path:
    small_segments(monkeypatch)
    made = make_bank(0, padded=False)
    with opened(made) as bank:
        create(bank, "alpha")
    return made


def saved(path: Path) -> str:
    return str(backed_up(path).as_dict()["snapshot"]["id"])


def found(path: Path, *records: str) -> Holders:
    with opened(path) as bank:
        subject = forgotten.held(bank, "alpha", records).subject if records else forgotten.whole(bank, "alpha")
        return holders(bank, None, Traces(subject))


def test_only_those_that_have_it(path: Path) -> None:
    empty = saved(path)
    say(path, "alpha", 3)
    first = saved(path)
    say(path, "alpha", 3, 15)
    second = saved(path)
    assert [one.id for one in found(path, "m1").snapshots] == [first, second]
    assert [one.id for one in found(path, "m7").snapshots] == [second]
    assert [one.id for one in found(path).snapshots] == [empty, first, second]
    assert [one.id for one in found(path, "m7", "m1").snapshots] == [first, second]


def test_there_is_none(path: Path) -> None:
    say(path, "alpha", 3)
    assert found(path, "m1") == Holders((), "")


def test_another_account_is_not_looked_at(path: Path) -> None:
    say(path, "alpha", 3)
    saved(path)
    with opened(path) as bank:
        assert holders(bank, None, Traces(Subject("beta", {"beta": bank.end.seq}))).snapshots == ()


def test_one_that_cannot_be_read_may_hold_it(path: Path) -> None:
    say(path, "alpha", 3)
    name = saved(path)
    for pack in (repository_of(path) / "packs").rglob("*"):
        if pack.is_file():
            data = bytearray(pack.read_bytes())
            data[40 : len(data) // 2] = bytes(len(data) // 2 - 40)
            pack.chmod(0o600)
            pack.write_bytes(data)
    [one] = found(path, "m1").snapshots
    assert (one.id, one.certain) == (name, False)


@pytest.mark.parametrize(
    "lost",
    [
        lambda data: data.startswith(b"{"),
        lambda data: data.startswith(b"{") or b"000000000001.json" in data,
        lambda data: b"whole_history.json" in data and data.startswith(b"["),
    ],
)
def test_where_parts_cannot_be_read_the_others_are_looked_at(
    path: Path, monkeypatch: pytest.MonkeyPatch, lost: Callable[[bytes], bool]
) -> None:
    """The files' contents, those and the directory of the sealed segments, the account's directory."""
    say(path, "alpha", 15)
    name = saved(path)
    get = Blobs.get

    def damaged(blobs: Blobs, blob: str) -> bytes:
        data = get(blobs, blob)
        if lost(data):
            raise Damaged("it has another digest")
        return data

    monkeypatch.setattr(Blobs, "get", damaged)
    assert [(one.id, one.certain) for one in found(path, "m1").snapshots] == [(name, False)]


def test_without_the_key_nobody_knows(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    say(path, "alpha", 3)
    password = tmp_path / "password"
    password.write_text("secret")
    password.chmod(0o600)
    with monkeypatch.context() as patch:
        patch.setenv("MEMORYBANK_PASSWORD_FILE", str(password))
        name = str(backed_up(path, encrypt=True).as_dict()["snapshot"]["id"])
        assert [one.id for one in found(path, "m1").snapshots] == [name]
    looked = found(path, "m1")
    assert looked.snapshots == ()
    assert "passphrase" in looked.trouble
