"""Accounts: made once, listed with what they hold, named when they are not there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from memorybank_cli.accounts.messages import Message
from memorybank_cli.base.errors import AccountNotFound, UsageError
from memorybank_cli.operations.accounts import account_ids, check_account, create, list_, show
from memorybank_cli.operations.messages import store
from tests.conftest import MakeBank, Run
from tests.operations.banks import journal, opened, put, rules


def test_an_account_is_made_once(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(0, padded=False)
    done = run("account", "create", "alpha", "--bank", path, "--json")
    assert (done.returncode, done.json) == (0, {"account": "alpha", "created": True, "path": "account_alpha"})
    again = run("account", "create", "alpha", "--bank", path, "--json")
    assert (again.returncode, again.json["created"]) == (0, False)
    assert [core["op"] for core in journal(path)].count("account.created") == 1
    assert "Account alpha was there already." in run("account", "create", "alpha", "--bank", path).stdout
    assert rules(path) == {}


@pytest.mark.parametrize("bad", ["../x", ".x", "a/b", "a b", "x" * 65, ""])
def test_an_id_that_cannot_be_one(run: Run, make_bank: MakeBank, bad: str) -> None:
    path = make_bank(0, padded=False)
    before = sorted(path.rglob("*"))
    done = run("account", "create", bad, "--bank", path, "--json")
    assert (done.returncode, done.error["code"]) == (2, "usage")
    with opened(path) as bank:
        for verb in (create, show, check_account):
            with pytest.raises(UsageError):
                verb(bank, bad)
    assert sorted(one for one in path.rglob("*") if ".memorybank" not in one.parts) == sorted(
        one for one in before if ".memorybank" not in one.parts
    )


def test_what_they_hold(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(0, padded=False)
    with opened(path) as bank:
        create(bank, "b")
        create(bank, "a")
        store(bank, "b", [Message("user", str(number)) for number in range(60)])
        assert account_ids(bank) == ["a", "b"]
        # Not rendered yet, and whole all the same.
        assert [one.messages for one in list_(bank).accounts] == [0, 60]
    found = run("account", "list", "--bank", path, "--json").json["accounts"]
    account = json.loads((path / "account_b/account.json").read_bytes())
    assert found[1] == {
        "account": "b",
        "created_at": account["created_at"],
        "messages": 60,
        "short_term": 50,
        "mid_term": 10,
        "last_update": json.loads((path / "account_b/short_term.json").read_bytes())["status"]["last_update"],
        "damaged": False,
    }
    assert run("account", "show", "b", "--bank", path, "--json").json == found[1]


def test_one_that_is_not_there(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(0, padded=False)
    with opened(path) as bank:
        create(bank, "alpha")
        with pytest.raises(AccountNotFound) as caught:
            check_account(bank, "zeta")
    assert caught.value.hint == "memorybank account create zeta makes it"
    done = run("account", "show", "alpa", "--bank", path, "--json")
    assert (done.returncode, done.error["code"]) == (10, "account_not_found")
    assert done.error["hint"] == "did you mean alpha?"


def test_an_empty_directory_is_no_account_yet(make_bank: MakeBank) -> None:
    path = make_bank(0, padded=False)
    (path / "account_a").mkdir()
    with opened(path) as bank:
        assert account_ids(bank) == []
        with pytest.raises(AccountNotFound):
            check_account(bank, "a")
        assert create(bank, "a").created
    assert (path / "account_a/short_term.json").exists()
    assert rules(path) == {}


def test_an_account_whose_files_are_gone_is_still_one(make_bank: MakeBank) -> None:
    path = make_bank(0, padded=False)
    with opened(path) as bank:
        create(bank, "a")
        store(bank, "a", [Message("user", "one")])
    for one in (path / "account_a").iterdir():
        one.unlink()
    with opened(path) as bank:
        assert account_ids(bank) == ["a"]
        assert show(bank, "a").messages == 1
        assert not create(bank, "a").created


def imported(path: Path) -> Path:
    """An account whose messages stand in its files alone."""
    with opened(path) as bank:
        create(bank, "good")
    whole = json.loads((path / "account_good/whole_history.json").read_bytes())
    put(path / "account_bad/whole_history.json", {**whole, "account_id": "bad"})
    return path / "account_bad/whole_history.json"


def test_one_damaged_account_does_not_hide_the_others(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(0, padded=False)
    imported(path).write_bytes(b"{")
    done = run("account", "list", "--bank", path, "--json")
    assert done.returncode == 0
    assert [(one["account"], one["damaged"]) for one in done.json["accounts"]] == [("bad", True), ("good", False)]
    shown = run("account", "show", "bad", "--bank", path, "--json")
    assert (shown.returncode, shown.error["code"]) == (3, "account_damaged")
    assert shown.error["hint"] == "memorybank repair account_bad/whole_history.json"
