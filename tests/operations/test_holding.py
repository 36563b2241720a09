"""Accounts in a snapshot are exactly those of its journal position, and nobody waits while they are saved."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base.errors import OperationFailed
from memorybank_cli.operations import holding, snapshot_rows
from memorybank_cli.operations.account_archive import archive
from memorybank_cli.operations.account_rename import rename
from memorybank_cli.operations.accounts import create
from memorybank_cli.operations.messages import add, store
from memorybank_cli.operations.repositories import Snapshots
from memorybank_cli.snapshots import trees
from memorybank_cli.snapshots.saving import Item
from tests.accounts.sealed import small_segments, texts
from tests.conftest import MakeBank, Run
from tests.operations.banks import backed_up, contents, opened, put


@pytest.fixture
def bank(make_bank: MakeBank, run: Run) -> Path:
    path = make_bank(padded=False)
    for account in ("alpha", "beta"):
        assert run("account", "create", account, cwd=path).returncode == 0
        say(path, account, "first")
    return path


def say(bank: Path, account: str, text: str) -> None:
    with opened(bank) as one:
        add(one, one.context, text, account=account, role="user")


def messages(bank: Path) -> dict[str, list[str]]:
    """What the newest snapshot says of each account, and that its tiers agree."""
    with opened(bank) as one:
        snapshots = Snapshots(one)
        try:
            root = max(snapshots.newest_first(), key=lambda document: document.order).root
            files = {entry.path: entry for entry in trees.files(snapshots.blobs, root)}
            found = {}
            for account in ("alpha", "beta"):
                tiers = [
                    json.loads(trees.read_file(snapshots.blobs, files[f"account_{account}/{tier}.json"]))
                    for tier in ("short_term", "whole_history")
                ]
                texts = [[message["content"] for message in tier["messages"]] for tier in tiers]
                assert texts[0] == texts[1]
                found[account] = texts[0]
            return found
        finally:
            snapshots.close()


@pytest.fixture
def meanwhile(bank: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Whoever writes while the rows of the snapshot are asked for."""
    real = snapshot_rows.Source.rows
    said: list[str] = []

    def rows(source: snapshot_rows.Source) -> Iterator[Item]:
        with opened(bank, lock_timeout=0) as other:
            add(other, other.context, "meanwhile", account="alpha", role="user")
        said.append("meanwhile")
        yield from real(source)

    monkeypatch.setattr(snapshot_rows.Source, "rows", rows)
    return said


def test_what_is_written_while_a_snapshot_is_made_is_not_in_it(bank: Path, meanwhile: list[str]) -> None:
    report = backed_up(bank)
    assert meanwhile
    assert (report.exit_code(), report.damaged, report.findings) == (0, (), ())
    assert messages(bank) == {"alpha": ["first"], "beta": ["first"]}
    assert report.document is not None
    assert report.document.checkpoint is not None
    assert report.document.seq == report.document.checkpoint["seq"]


@pytest.mark.usefixtures("meanwhile")
def test_bytes_are_held_where_descriptors_run_out(bank: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sysconf", lambda _: holding._SPARE + 2)
    assert backed_up(bank).exit_code() == 0
    assert messages(bank) == {"alpha": ["first"], "beta": ["first"]}


def test_every_descriptor_is_given_back(bank: Path) -> None:
    backed_up(bank)
    before = len(os.listdir("/proc/self/fd"))
    say(bank, "alpha", "more")
    backed_up(bank)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_later_message_is_in_the_next_snapshot(bank: Path) -> None:
    backed_up(bank)
    say(bank, "beta", "second")
    report = backed_up(bank)
    assert messages(bank) == {"alpha": ["first"], "beta": ["first", "second"]}
    assert report.exit_code() == 0


def test_a_managed_file_that_somebody_changed_is_held_back(bank: Path) -> None:
    backed_up(bank)
    path = bank / "account_alpha/short_term.json"
    good = path.read_bytes()
    put(path, {"messages": []})
    assert [one["rule"] for one in backed_up(bank).damaged] == ["MB110"]
    path.write_bytes(good)
    assert backed_up(bank).damaged == ()


def test_an_account_that_cannot_be_read_is_told(bank: Path) -> None:
    path = bank / "account_beta/mid_term.json"
    path.unlink()
    path.symlink_to("short_term.json")
    report = backed_up(bank)
    assert "account_beta/mid_term.json" in report.excluded
    assert report.exit_code() == 1


def test_an_excluded_account_is_not_held(bank: Path, run: Run) -> None:
    put(bank / "config/memorybank.json", {"exclude": ["account_beta"]})
    assert run("config", "trust", cwd=bank).returncode == 0
    backed_up(bank)
    with opened(bank) as one:
        snapshots = Snapshots(one)
        try:
            found = list(trees.files(snapshots.blobs, snapshots.newest_first()[0].root))
        finally:
            snapshots.close()
    assert {entry.path.partition("/")[0] for entry in found if entry.path.startswith("account_")} == {"account_alpha"}
    assert contents(bank)


def test_held_files_may_be_read_again(bank: Path) -> None:
    from memorybank_cli.operations.looks import Looks

    with opened(bank) as one:
        held = holding.Holding(one)
        held.hold(Looks(), {}, lambda _: False)
        (first, *_) = held.directories
        name = next(iter(first.contents))
        assert first.read(name) == first.read(name) != b""
        values: Any = list(first.contents.values())
        held.close()
        for value in values:
            with pytest.raises(OSError, match="Bad file"):
                os.fstat(value)


# Sealed segments, which are not held


@pytest.fixture
def sealed(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An account whose history has two sealed segments."""
    small_segments(monkeypatch)
    path = make_bank(0, padded=False)
    with opened(path) as one:
        create(one, "a")
        store(one, "a", texts(25))
    return path


def meanwhile_in(monkeypatch: pytest.MonkeyPatch, act: Callable[[Bank], object]) -> None:
    """Have somebody act on the bank once its accounts are held."""
    hold = holding.Holding.hold

    def then(self: Any, *given: Any) -> None:
        hold(self, *given)
        with opened(Path(self._bank.root.path)) as other:
            act(other)

    monkeypatch.setattr(holding.Holding, "hold", then)


@pytest.mark.parametrize("undo", [False, True])
@pytest.mark.parametrize("known", [False, True])
def test_a_segment_that_is_archived_meanwhile_is_saved_as_it_was(
    sealed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run: Run, undo: bool, known: bool
) -> None:
    with opened(sealed) as one:
        archive(one, "a", keep_mib=0)
        if not undo:
            archive(one, "a", undo=True)
        if not known:  # so that it is looked at once more
            with one.catalog.writing():
                one.catalog.forget_seen()
    before = contents(sealed)
    with monkeypatch.context() as patch:
        meanwhile_in(patch, lambda other: archive(other, "a", keep_mib=None if undo else 0, undo=undo))
        assert backed_up(sealed).document is not None
    assert contents(sealed) != before
    assert run("snapshot", "restore", "latest", "--to", tmp_path / "out", "--bank", sealed).returncode == 0
    assert {name: data for name, data in contents(tmp_path / "out").items() if name.startswith("account_a/")} == {
        name: data for name, data in before.items() if name.startswith("account_a/")
    }


def test_an_account_that_is_renamed_meanwhile_is_saved_by_the_next_run(
    sealed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        meanwhile_in(patch, lambda other: rename(other, "a", "new"))
        with pytest.raises(OperationFailed, match="has gone while the account was being saved"):
            backed_up(sealed)
    done = backed_up(sealed)
    assert done.document is not None
    sections = done.document.sections or {}
    assert (done.document.status, sections["account_new"][0]) == ("good", 8)
    assert "account_a" not in sections
