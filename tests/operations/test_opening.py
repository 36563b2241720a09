"""Finding and opening a bank: which one is meant, whose it is, and what else it may turn out to be."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import BankNotFound, CopiedBank, FormatMismatch, NotOurs, OperationFailed
from memorybank_cli.base.records import Progress
from memorybank_cli.operations.accounts import create
from memorybank_cli.operations.finding import find_bank
from memorybank_cli.operations.opening import open_bank, take_owners_ids
from tests.conftest import MakeBank, Run, trade
from tests.operations.banks import adopt, contents, opened, put, rules
from tests.operations.owners import (
    OWNER,
    as_root,
    give_away,
    needs_public_python,
    own_ids_again,
    owners,
    public_place,
    run_public,
)

OTHER = 1001


class Notes(Progress):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


# Which one


def test_the_bank_that_is_given(make_bank: MakeBank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = make_bank(0, name="one"), make_bank(0, name="other")
    assert find_bank(Context(bank=str(one))) == str(one)
    monkeypatch.setenv("MEMORYBANK_BANK", str(other))
    assert find_bank(Context()) == str(other)
    assert find_bank(Context(bank=str(one))) == str(one)
    for context in (Context(bank=str(tmp_path / "gone")), Context(bank=str(tmp_path / "gone\n"))):
        with pytest.raises(BankNotFound, match="there is no bank at") as caught:
            find_bank(context)
        assert caught.value.exit_code == 10
        assert caught.value.message.isprintable()


def test_the_nearest_one_here_or_above(
    run: Run, make_bank: MakeBank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outer = make_bank(0, name="memory-bank")
    deep = tmp_path / "project/deep"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    assert find_bank(Context()) == str(outer)
    inner = make_bank(0, name="project/memory-bank")
    assert find_bank(Context()) == str(inner)
    monkeypatch.chdir(inner / "trades")
    assert find_bank(Context()) == str(inner)
    assert run("status", "--json", cwd=deep).json["path"] == str(inner)
    assert find_bank(Context(bank=str(tmp_path))) == str(outer)


def test_no_bank_at_all(run: Run, tmp_path: Path) -> None:
    for command in ("status", "validate", "log", "backup", "watch"):
        done = run(command, "--json", cwd=tmp_path)
        assert (done.returncode, done.error["code"], done.raw) == (10, "bank_not_found", b"")
        assert done.error["hint"].startswith("memorybank init makes one")


def test_a_bank_whose_bank_json_is_gone_is_still_one(make_bank: MakeBank) -> None:
    path = make_bank(0, padded=False)
    (path / "bank.json").unlink()
    assert find_bank(Context(bank=str(path))) == str(path)
    assert rules(path) == {"bank.json": "MB111"}


# What it may turn out to be


def rewritten(path: Path, **fields: Any) -> None:
    document = json.loads((path / "bank.json").read_bytes())
    (path / "bank.json").write_text(json.dumps({**document, **fields}))


@pytest.mark.parametrize("number", [2, 0, "1", None])
def test_another_format(run: Run, make_bank: MakeBank, number: object) -> None:
    path = make_bank(0)
    rewritten(path, format=number)
    before = contents(path, private=True)
    done = run("validate", "--bank", path, "--json")
    assert (done.returncode, done.error["code"]) == (14, "format_mismatch")
    assert repr(number) in done.error["message"]
    with pytest.raises(FormatMismatch):
        open_bank(Context(bank=str(path)))
    assert contents(path, private=True) == before


def test_a_directory_with_some_bank_json(run: Run, tmp_path: Path) -> None:
    for number, data in enumerate([b"", b"{", b"[]", b"{}", b'{"format": 1, "bank_id": 5}']):
        put(tmp_path / f"{number}/bank.json", data)
        done = run("status", "--bank", tmp_path / str(number), "--json")
        assert (done.returncode, done.error["code"]) == (3, "operation_failed"), data


def test_a_moved_bank(run: Run, make_bank: MakeBank, tmp_path: Path) -> None:
    path = make_bank(2, padded=False)
    target = tmp_path / "elsewhere/bank"
    target.parent.mkdir()
    path.rename(target)
    notes = Notes()
    with opened(target, progress=notes) as bank:
        create(bank, "a")
    assert any(f"the bank was moved here from {path}" in one for one in notes.notes)
    assert rules(target, "MB") == {}
    assert run("backup", "--bank", target).returncode == 0
    again = Notes()
    with opened(target, progress=again) as bank:
        create(bank, "b")
    assert again.notes == []


def test_a_copied_bank(run: Run, make_bank: MakeBank, tmp_path: Path) -> None:
    path = make_bank(2, padded=False)
    copy = tmp_path / "copy"
    shutil.copytree(path, copy)
    put(copy / "trades/new.json", trade(9))
    before = contents(copy)
    for arguments in (("accept", "trades"), ("backup",), ("account", "create", "a"), ("init",), ("repair",)):
        if arguments[0] == "repair":
            put(copy / "state/state.json", b'{"bot_status": "running"}\0')
            before = contents(copy)
        done = run(*arguments, "--bank", copy, "--json")
        assert (done.returncode, done.error["code"]) == (13, "copied_bank"), arguments
        assert done.error["hint"] == "memorybank init --new-id makes the copy a bank of its own"
    assert contents(copy) == before
    for arguments in (("validate", "--only", "MB2"), ("status",), ("log",), ("manifest",), ("account", "list")):
        done = run(*arguments, "--bank", copy)
        assert done.returncode == 0, arguments
        assert f"this bank is a copy of the one at {path}" in done.stderr
    assert run("backup", "--bank", path).returncode == 0


def test_a_copy_whose_original_is_gone_was_moved(make_bank: MakeBank, tmp_path: Path) -> None:
    path = make_bank(1, padded=False)
    shutil.copytree(path, tmp_path / "copy")
    shutil.rmtree(path)
    put(tmp_path / "copy/trades/new.json", trade(9))
    assert adopt(tmp_path / "copy") == ["trades/new.json"]


def test_watch_leaves_a_copy_as_it_is(make_bank: MakeBank, tmp_path: Path) -> None:
    path = make_bank(1, padded=False)
    shutil.copytree(path, tmp_path / "copy")
    with opened(tmp_path / "copy") as bank, pytest.raises(CopiedBank):
        create(bank, "a")


# Whose it is


@needs_public_python
def test_root_works_under_the_owners_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    with public_place() as place:
        monkeypatch.setenv("MEMORYBANK_STATE_HOME", str(place / "home"))
        source = place / "source"
        put(source / "trades/a.json", trade(1))
        give_away(source, 0)
        for one in (source, source / "trades"):
            one.chmod(0o755)
        (source / "trades/a.json").chmod(0o644)
        path = place / "bank"
        put(path / "trades/b.json", trade(2))
        put(path / "state/state.json", b'{"bot_status": "running"}\0\0')
        give_away(path)
        for arguments in (
            ("init", "--account", "a", "--from", str(source)),
            ("message", "add", "x", "--role", "user", "--account", "a"),
            ("config", "set", "settle_ms", "99"),
            ("repair",),
            ("backup",),
            ("status",),
            ("watch", "--once"),
        ):
            done = run_public(*arguments, "--bank", path)
            assert done.returncode == 0, (arguments, done.stderr)
        put(path / "trades/b.json", trade(3))
        os.chown(path / "trades/b.json", OWNER, OWNER)
        assert run_public("rollback", "--path", "trades/b.json", "--yes", "--bank", path).returncode == 0
        assert owners(path) == {OWNER}
        assert owners(place / "home") == {OWNER}
        assert run_public("validate", "--bank", path, user=OWNER).returncode == 0


@as_root
def test_taking_the_owners_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    with public_place() as place, own_ids_again():
        monkeypatch.setenv("MEMORYBANK_STATE_HOME", str(place / "home"))
        give_away(place)
        readable = place / "os.py"
        readable.touch()
        readable.chmod(0o644)
        monkeypatch.setattr(os, "__file__", str(readable))
        take_owners_ids(str(place))
        assert (os.geteuid(), os.getegid(), os.getgroups()) == (OWNER, OWNER, [])
        take_owners_ids(str(place))
        with pytest.raises(NotOurs, match="belongs to uid 0, not to you"):
            take_owners_ids("/")
        monkeypatch.setenv("MEMORYBANK_TRUSTED_BANKS", "/tmp,/")
        take_owners_ids("/")
        assert os.geteuid() == OWNER


@as_root
def test_an_owner_who_cannot_read_this_python_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with public_place() as place, own_ids_again():
        give_away(place)
        (place / "os.py").touch()
        (place / "os.py").chmod(0o600)
        monkeypatch.setattr(os, "__file__", str(place / "os.py"))
        with pytest.raises(NotOurs, match=r"belongs to uid 1000, who cannot read .*/os\.py") as caught:
            take_owners_ids(str(place))
        assert "run this as that user" in caught.value.hint
        assert os.geteuid() == 0


@needs_public_python
def test_a_bank_of_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    with public_place() as place:
        monkeypatch.setenv("MEMORYBANK_STATE_HOME", str(place / "home"))
        path = place / "bank"
        put(path / "trades/a.json", trade(1))
        give_away(path)
        assert run_public("init", path).returncode == 0
        for one in path.rglob("*"):
            one.chmod(0o777)
        path.chmod(0o777)
        before = contents(path)
        own = {"MEMORYBANK_STATE_HOME": str(place / "own")}
        for command in ("status", "validate", "backup", "init"):
            done = run_public(command, "--bank", path, "--json", user=OTHER, env=own)
            assert (done.returncode, done.error["code"]) == (3, "not_ours"), command
            assert f"belongs to uid {OWNER}, not to you" in done.error["message"]
            assert done.error["hint"] == f"if you trust its owner: MEMORYBANK_TRUSTED_BANKS='{path}'"
        assert contents(path) == before
        trusted = {**own, "MEMORYBANK_TRUSTED_BANKS": str(path)}
        assert run_public("status", "--bank", path, user=OTHER, env=trusted).returncode == 0


@needs_public_python
def test_an_owner_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    with public_place() as place:
        monkeypatch.delenv("MEMORYBANK_STATE_HOME")
        put(place / "bank/trades/a.json", trade(1))
        give_away(place / "bank", 54321)
        done = run_public("init", place / "bank", "--json")
        assert (done.returncode, done.error["code"]) == (3, "not_ours")
        assert "uid 54321, which has no home directory" in done.error["message"]


def test_a_bank_that_vanishes_before_it_is_opened(tmp_path: Path) -> None:
    with pytest.raises(OperationFailed, match="cannot open the bank"):
        open_bank(Context(), path=str(tmp_path / "gone"))


def test_a_journal_that_cannot_be_read(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(0)
    segment = path / ".memorybank/journal/000000000001.jsonl"
    segment.unlink()
    segment.mkdir()
    before = len(os.listdir("/proc/self/fd"))
    open_bank(Context(bank=str(path))).close()
    assert len(os.listdir("/proc/self/fd")) == before
    assert run("status", "--bank", path).returncode == 0
    checked = run("validate", "--bank", path, "--json")
    assert (checked.returncode, "MB121" in {one["rule"] for one in checked.json["findings"]}) == (1, True)
    refused = run("account", "create", "a", "--bank", path, "--json")
    assert (refused.returncode, refused.error["code"]) == (3, "journal_damaged")
