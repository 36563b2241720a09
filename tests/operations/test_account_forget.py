"""Forgetting accounts: nothing of them is left in the bank but that they were there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import AccountNotFound, SnapshotNotFound
from memorybank_cli.operations.account_compact import compact
from memorybank_cli.operations.account_forget import ForgetAccountReport, forget
from memorybank_cli.operations.accounts import account_ids, create
from memorybank_cli.operations.journal import prove
from memorybank_cli.operations.messages import store
from memorybank_cli.operations.opening import open_bank
from memorybank_cli.operations.rollback import rollback
from tests.accounts.sealed import small_segments
from tests.conftest import MakeBank, Run
from tests.operations.banks import backed_up, journal, opened, put, repaired, rules
from tests.operations.erased import journal_lines, listed, named, places_of, said, say, short_segments
from tests.operations.retained import killed_everywhere

TEXT = "alpha says secret-"


@pytest.fixture
def path(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two accounts of 13 messages, in segments of ten; a segment of the journal has eight lines."""
    small_segments(monkeypatch)
    short_segments(monkeypatch, 8)
    made = make_bank(0, padded=False)
    for account in ("alpha", "beta"):
        with opened(made) as bank:
            create(bank, account)
        say(made, account, 13)
    return made


def forgotten(path: Path, **options: Any) -> ForgetAccountReport:
    with opened(path) as bank:
        return forget(bank, "alpha", **{"yes": True, **options})


def check(path: Path) -> None:
    """The account is nowhere, the other one is as it was, and the journal is proved."""
    with opened(path) as bank:
        assert account_ids(bank) == ["beta"]
        assert prove(bank).ok
    assert listed(path, "beta") == named(13)
    assert places_of(path, TEXT) == []
    assert not (path / "account_alpha").exists()
    assert rules(path) == {}
    assert list((path / ".memorybank/tmp").iterdir()) == []


def test_an_account_is_nowhere_any_more(path: Path) -> None:
    done = forgotten(path)
    check(path)
    assert len(done.files) == 7
    assert done.lines >= 13
    assert "Account alpha is forgotten" in done.summary()
    with pytest.raises(AccountNotFound):
        forgotten(path)


def test_one_of_that_name_begins_anew(path: Path) -> None:
    forgotten(path)
    with opened(path) as bank:
        assert create(bank, "alpha").created
    say(path, "alpha", 2, 7)
    assert listed(path, "alpha") == named(2, 7)
    assert rules(path) == {}
    shutil.rmtree(path / "account_alpha")
    assert repaired(path).exit_code() == 0
    assert listed(path, "alpha") == named(2, 7)
    forgotten(path)
    check(path)


def test_foreign_files_in_it_and_what_waits_in_quarantine_go_too(path: Path) -> None:
    (path / "account_alpha/notes.txt").write_text(f"{TEXT}all")
    (path / "account_alpha/.hidden").write_text(f"{TEXT}all")
    (path / "account_alpha/deep").mkdir()
    (path / "account_alpha/deep/x.json").write_text(f'"{TEXT}all"')
    (path / "account_alpha/link").symlink_to(path / "bank.json")
    head = path / "account_alpha/whole_history.json"
    head.write_bytes(head.read_bytes() + b"}")
    repaired(path)
    (path / "account_alpha/short_term.json").write_bytes(b'"no account, but alpha says secret-1"')
    repaired(path)
    (path / "account_beta/short_term.json").write_bytes(b"{")
    repaired(path)
    assert len([one for one in places_of(path, TEXT) if "quarantine" in one]) == 2
    done = forgotten(path)
    assert len(done.quarantine) == 2
    check(path)
    assert (path / "bank.json").exists()
    assert len(list((path / ".memorybank/quarantine").iterdir())) >= 1


def test_compacted_ones_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORYBANK_UNDO_BUDGET_MIB", "0")
    with opened(path) as bank:
        assert compact(bank).segments
    forgotten(path)
    check(path)


def test_snapshots_that_hold_it_are_told(path: Path, run: Run) -> None:
    name = backed_up(path).as_dict()["snapshot"]["id"]
    with opened(path) as bank:
        foreseen = forget(bank, "alpha", dry_run=True)
    assert [one.id for one in foreseen.snapshots.snapshots] == [name]
    assert listed(path, "alpha") == named(13)
    done = run("account", "forget", "alpha", "--bank", path)
    assert done.returncode == 2
    done = run("account", "forget", "alpha", "--bank", path, "--yes")
    assert done.returncode == 0
    assert name in done.stdout
    assert "1 snapshot still holds it" in done.stdout
    backed_up(path)
    check(path)
    with opened(path) as bank, pytest.raises(SnapshotNotFound, match="account_alpha was forgotten after snapshot"):
        rollback(bank, name, account="alpha", yes=True)
    with opened(path) as bank:
        put(path / "account_alpha/notes.txt", {})
        back = rollback(bank, name, yes=True)
    assert back.forgotten == ("alpha",)
    check(path)


def test_the_journal_does_not_bring_it_back(path: Path) -> None:
    seqs = [line["seq"] for line in journal(path) if line.get("record") == "m12"]
    forgotten(path)
    with opened(path) as bank, pytest.raises(SnapshotNotFound, match="account_alpha was forgotten after line"):
        rollback(bank, seq=seqs[-1], account="alpha", yes=True)
    with opened(path) as bank:
        done = rollback(bank, seq=seqs[-1], yes=True)
    assert (done.forgotten, done.findings) == (("alpha",), ())
    check(path)


def test_what_waits_to_be_rendered_goes_too(path: Path) -> None:
    bank = open_bank(Context(bank=str(path)))
    store(bank, "alpha", said("alpha", 13, 15))
    bank.abandon()
    forgotten(path)
    check(path)


def test_one_made_anew_comes_back_to_what_it_was(path: Path) -> None:
    forgotten(path)
    with opened(path) as bank:
        create(bank, "alpha")
    say(path, "alpha", 100, 104)
    name = backed_up(path).as_dict()["snapshot"]["id"]
    say(path, "alpha", 104, 108)
    with opened(path) as bank:
        assert rollback(bank, name, account="alpha", yes=True).forgotten == ()
    assert listed(path, "alpha") == named(100, 104)


@pytest.mark.no_cover
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_killed_anywhere_it_is_all_there_or_all_gone(path: Path) -> None:
    (path / "account_alpha/notes.txt").write_text(f"{TEXT}all")
    outcomes = []

    def after() -> None:
        with opened(path) as bank:
            gone = "alpha" not in account_ids(bank)
        outcomes.append(gone)
        if gone:
            check(path)
        else:
            assert listed(path, "alpha") == named(13)
        ops = [line["core"]["op"] for line in journal_lines(path)]
        assert ops.count("forget.begin") == ops.count("forget.end") == gone

    assert killed_everywhere(path, lambda: forgotten(path), after) > 30
    assert outcomes == sorted(outcomes)
    assert outcomes.count(True) > 20


def test_a_full_disk_leaves_it_as_it_was_or_it_is_gone_on_with(path: Path) -> None:
    from tests.broken_os import broken, full_after

    with opened(path) as bank:
        with broken(write=full_after(50)), pytest.raises(OSError, match="No space"):
            forget(bank, "alpha", yes=True)
        assert account_ids(bank) == ["alpha", "beta"]
    assert listed(path, "alpha") == named(13)
    assert os.listdir(path / ".memorybank/tmp") == []
    forgotten(path)
    check(path)
