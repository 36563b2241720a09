"""Accounts: made once, listed with what they hold, named when they are not there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from memorybank_cli.accounts.messages import Message
from memorybank_cli.base.errors import AccountNotFound, UsageError
from memorybank_cli.operations.accounts import account_ids, check_account, create, list_, show
from memorybank_cli.operations.messages import store
from memorybank_cli.operations.rollback import rollback
from tests.conftest import MakeBank, Run
from tests.operations.banks import contents, journal, opened, put, repaired, rules
from tests.operations.here import run

__all__ = ("run",)  # a fixture


def test_an_account_is_made_once(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(0, padded=False)
    done = run("account", "create", "alpha", "--bank", path, "--json")
    sizes = {"short_term": 50, "mid_term": 200}
    made = {"account": "alpha", "created": True, "path": "account_alpha", "configured": False, "capacity": sizes}
    assert (done.returncode, done.json) == (0, made)
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
        "status": "active",
        "capacity": {"short_term": 50, "mid_term": 200},
    }
    shown = run("account", "show", "b", "--bank", path, "--json").json
    components = shown.pop("components")
    assert shown == found[1]
    assert [(one["component"], one["status"], one["message_count"]) for one in components[:3]] == [
        ("short_term", "active", 50),
        ("mid_term", "active", 10),
        ("whole_history", "active", 60),
    ]


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
    people = run("account", "list", "--bank", path).stdout
    assert "failing bad: its history cannot be had whole; memorybank repair\n" in people
    shown = run("account", "show", "bad", "--bank", path, "--json")
    assert (shown.returncode, shown.error["code"]) == (3, "account_damaged")
    assert shown.error["hint"] == f"memorybank repair --bank {path} account_bad/whole_history.json"


# The sizes of the windows


def windows(path: Path, name: str) -> tuple[list[str], list[str]]:
    files = (json.loads((path / f"account_{name}/{tier}.json").read_bytes()) for tier in ("short_term", "mid_term"))
    short, mid = ([one["id"] for one in value["messages"]] for value in files)
    return short, mid


def test_windows_of_other_sizes(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(0, padded=False)
    made = run("account", "create", "a", "--short-term", "3", "--mid-term", "2", "--bank", path, "--json")
    assert (made.json["created"], made.json["capacity"]) == (True, {"short_term": 3, "mid_term": 2})
    with opened(path) as bank:
        done = store(bank, "a", [Message("user", "x", f"m{number}") for number in range(9)])
    assert done.moved_to_mid_term == 6
    assert windows(path, "a") == (["m6", "m7", "m8"], ["m4", "m5"])
    larger = run("account", "create", "a", "--mid-term", "5", "--bank", path)
    assert "Account a keeps 3 messages in short_term now, and 5 in mid_term." in larger.stdout
    assert windows(path, "a") == (["m6", "m7", "m8"], ["m1", "m2", "m3", "m4", "m5"])
    none = run("account", "create", "a", "--mid-term", "0", "--bank", path, "--json")
    assert (none.json["created"], none.json["configured"]) == (False, True)
    assert windows(path, "a") == (["m6", "m7", "m8"], [])
    again = run("account", "create", "a", "--short-term", "3", "--bank", path, "--json")
    assert again.json["configured"] is False
    ops = [core["op"] for core in journal(path) if core["op"].startswith("account.")]
    assert ops == ["account.created", "account.configured", "account.configured"]
    assert rules(path) == {}
    with opened(path) as bank:
        shown = show(bank, "a")
        assert (shown.short_term, shown.mid_term, shown.messages, shown.capacity) == (3, 0, 9, (3, 0))


def test_windows_come_back_with_a_lost_directory_and_with_a_rollback(make_bank: MakeBank) -> None:
    path = make_bank(0, padded=False)
    with opened(path) as bank:
        create(bank, "a", short_term=2, mid_term=1)
        store(bank, "a", [Message("user", "x", f"m{number}") for number in range(5)])
        bank.render()
        line = bank.end.seq
    with opened(path) as bank:
        assert create(bank, "a", short_term=4, mid_term=4).configured
    assert windows(path, "a") == (["m1", "m2", "m3", "m4"], ["m0"])
    good = contents(path)
    for name in [name for name in good if name.startswith("account_a/")]:
        (path / name).unlink()
    assert repaired(path).unrepaired == ()
    assert contents(path) == good
    with opened(path) as bank:
        rollback(bank, seq=line, account="a", yes=True)
    assert windows(path, "a") == (["m3", "m4"], ["m2"])
    with opened(path) as bank:
        assert show(bank, "a").capacity == (2, 1)
    assert rules(path) == {}


def test_the_settings_say_what_new_accounts_get(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(0, padded=False)
    with opened(path) as bank:
        create(bank, "before")
    for name, value in (("short_term", "7"), ("mid_term", "9")):
        assert run("config", "set", f"accounts.{name}", value, "--bank", path).returncode == 0
    with opened(path) as bank:
        assert create(bank, "after").capacity == (7, 9)
        assert create(bank, "own", mid_term=1).capacity == (7, 1)
        assert create(bank, "before").capacity == (50, 200)
    with opened(path) as bank:
        assert [one.capacity for one in list_(bank).accounts] == [(7, 9), (50, 200), (7, 1)]


@pytest.mark.parametrize(
    "sizes", [("--short-term", "0"), ("--short-term", "1001"), ("--mid-term", "-1"), ("--mid-term", "10001")]
)
def test_sizes_that_no_window_has(run: Run, make_bank: MakeBank, sizes: tuple[str, str]) -> None:
    path = make_bank(0, padded=False)
    before = journal(path)
    done = run("account", "create", "a", *sizes, "--bank", path, "--json")
    assert (done.returncode, done.error["code"]) == (2, "usage")
    assert journal(path) == before
