"""The check of an account: what every part of it is, and what does not fit, by reading all of it."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from memorybank_cli.accounts.auditing import Audit
from memorybank_cli.accounts.conditions import conditions
from memorybank_cli.accounts.identities import NAME
from memorybank_cli.accounts.messages import Message
from memorybank_cli.base.exact_json import dumps, loads
from memorybank_cli.operations.account_archive import archive
from memorybank_cli.operations.account_check import check
from memorybank_cli.operations.accounts import create
from memorybank_cli.operations.accounts import list_ as list_accounts
from memorybank_cli.operations.messages import list_, store
from memorybank_cli.operations.rollback import rollback
from tests.accounts.conftest import long, path
from tests.accounts.sealed import MID, SHORT, WHOLE, adopted, say, say_and_die, segment
from tests.conftest import Run
from tests.operations.banks import opened
from tests.operations.here import run
from tests.operations.owners import OWNER, as_root, give_away, own_ids_again

__all__ = ("long", "path", "run")  # fixtures

TIERS = ["short_term", "mid_term", "whole_history", "history_context"]


def states(path: Path) -> list[str]:
    with opened(path) as bank:
        return [one.status for one in conditions(bank, "a")]


def found(path: Path) -> list[tuple[str, str]]:
    with opened(path) as bank:
        return [(one.rule, one.path) for one in Audit(bank, "a").findings()]


def test_a_whole_account(run: Run, long: Path) -> None:
    with opened(long) as bank:
        archive(bank, "a", keep_mib=0)
        store(bank, "a", [Message("user", "late", "late", "2020-01-01T00:00:00Z")])
    done = run("account", "check", "a", "--bank", long, "--json")
    assert (done.returncode, done.json["ok"], done.json["findings"]) == (0, True, [])
    [told] = done.json["accounts"]
    assert (told["account"], told["messages"], told["archived"], told["late"]) == ("a", 26, 20, 1)
    parts = told["components"]
    assert [(one["component"], one["message_count"], one["issues"]) for one in parts[:3]] == [
        ("short_term", 26, []),
        ("mid_term", 0, []),
        ("whole_history", 26, []),
    ]
    assert [one["status"] for one in parts[:3]] == ["active", "initializing", "active"]
    assert all(
        set(one) == {*("component", "status", "last_update", "message_count", "health_check", "issues")}
        for one in parts
    )
    shown = run("account", "check", "--bank", long)
    assert "1 account with 26 messages checked" in shown.stdout
    assert run("account", "check", "nobody", "--bank", long).returncode == 10


def test_a_new_account_is_initializing(path: Path) -> None:
    assert states(path) == ["initializing"] * 4
    say_and_die(path, 5)
    with opened(path) as bank:  # what waits to be rendered counts, and its files are no damage
        assert [one.message_count for one in conditions(bank, "a")][:3] == [5, 0, 5]
        assert [one.status for one in conditions(bank, "a")][:3] == ["active", "initializing", "active"]


@pytest.mark.parametrize(
    ("data", "says"),
    [(None, "is missing"), (b"{", "is damaged"), (b"{}", "was changed outside memorybank")],
)
def test_a_tier_that_is_failing(long: Path, data: bytes | None, says: str) -> None:
    if data is None:
        (long / SHORT).unlink()
    else:
        (long / SHORT).write_bytes(data)
    with opened(long) as bank:
        told = {one.component: one for one in conditions(bank, "a")}
    assert (told["short_term"].status, told["mid_term"].status) == ("failing", "initializing")
    assert told["whole_history"].status == "active"
    [issue] = told["short_term"].issues
    assert issue.startswith(f"{SHORT} {says}")


def test_a_history_that_cannot_be_had(long: Path, tmp_path: Path) -> None:
    target = adopted(long, tmp_path)
    (target / WHOLE).write_bytes(b"{")
    with opened(target) as bank:
        told = conditions(bank, "a")
        report = check(bank)
    assert {one.status for one in told} == {"failing"}
    assert all("does not hold all of it" in one.issues[0] for one in told)
    assert {one.path for one in report.findings} == {WHOLE}
    assert (report.ok, report.exit_code()) == (False, 1)
    assert "memorybank repair --dry-run" in report.summary()


def test_a_segment_that_only_the_journal_gives(long: Path) -> None:
    (long / segment(11)).write_bytes((long / segment(11)).read_bytes().replace(b"text 12", b"text 21"))
    assert found(long) == [("MB114", segment(11))]
    with opened(long) as bank:
        archive(bank, "a", keep_mib=0)
    assert found(long) == []
    (long / f"{segment(1)}.zst").write_bytes(b"")
    assert found(long) == [("MB114", f"{segment(1)}.zst")]
    with opened(long) as bank:
        report = check(bank, "a")
    [history] = [one for one in report.accounts[0]["components"] if one["component"] == "whole_history"]
    assert (history["status"], len(history["issues"])) == ("failing", 1)


def test_an_id_that_stands_twice_and_windows_that_are_no_windows(long: Path, tmp_path: Path) -> None:
    whole = loads((long / WHOLE).read_bytes())
    whole["messages"][-1]["id"] = whole["messages"][0]["id"] = "m3"
    (long / WHOLE).write_bytes(dumps(whole))
    target = adopted(long, tmp_path)
    assert found(target) == [("MB208", WHOLE), ("MB114", SHORT)]
    with opened(target) as bank:
        [doubled] = [one for one in Audit(bank, "a").findings() if one.rule == "MB208"]
    assert doubled.message == "the id m3 is that of messages 4, 21, 25"


def test_a_window_of_another_shape_is_the_business_of_its_schema(long: Path, tmp_path: Path) -> None:
    (long / SHORT).write_bytes(b"[]")
    (long / MID).write_bytes(b'{"messages": {}}')
    assert found(adopted(long, tmp_path)) == []


def test_the_view_names_what_is_wrong(run: Run, path: Path) -> None:
    with opened(path) as bank:
        create(bank, "b")
    say(path, 3)
    (path / MID).write_bytes(b"{}")
    shown = run("account", "show", "a", "--bank", path).stdout
    assert f"{MID} was changed outside memorybank" in shown
    checked = run("account", "check", "--bank", path)
    assert checked.returncode == 1
    assert "MB110" in checked.stdout
    assert "failing" in checked.stdout
    assert "2 accounts with 3 messages checked" in checked.stdout


def test_it_waits_for_no_rendering(path: Path) -> None:
    say(path, 15)
    with opened(path) as bank:
        store(bank, "a", [Message("user", "waits", "w")])
        audit = Audit(bank, "a")
        assert (list(audit.findings()), audit.messages) == ([], 16)


# The table of identities


def altered(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path / NAME, isolation_level=None)) as db:
        db.execute(statement)


def told(path: Path) -> list[tuple[str, str]]:
    with opened(path) as bank:
        return [(one.rule, one.severity) for one in check(bank, "a").findings]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE known SET identity=zeroblob(16) WHERE identity=(SELECT min(identity) FROM known)",
        "UPDATE known SET identity=7 WHERE identity=(SELECT min(identity) FROM known)",
        "DELETE FROM known WHERE identity=(SELECT min(identity) FROM known)",
        "INSERT INTO known VALUES (1, zeroblob(16))",
    ],
)
def test_a_table_of_other_ids_is_made_again(long: Path, statement: str) -> None:
    messages = [Message("user", f"text {one}", f"m{one}") for one in range(25)]
    with opened(long) as bank:
        assert store(bank, "a", messages).duplicates == 25
    assert told(long) == []
    say_and_die(long, 25, 30)
    altered(long, statement)
    assert told(long) == [("MB122", "warning")]
    assert told(long) == []
    with opened(long) as bank:
        assert store(bank, "a", messages).duplicates == 25


def test_a_table_that_cannot_be_read_is_made_again(long: Path) -> None:
    (long / NAME).write_bytes(b"SQLite format 3\0" + b"\xff" * 9_000)
    assert told(long) == [("MB122", "warning")]
    say(long, 3, 26)
    assert told(long) == []
    with opened(long) as bank:
        assert len(list(list_(bank, account="a"))) == 26


def test_a_table_that_is_to_be_made_anew_is_no_finding(long: Path) -> None:
    with opened(long) as bank:
        line = bank.end.seq
        store(bank, "a", [Message("user", "text", "more")])
        archive(bank, "a", keep_mib=0)
    assert told(long) == []
    altered(long, "DELETE FROM known")
    with opened(long) as bank:
        rollback(bank, seq=line, account="a", yes=True)
    assert told(long) == []  # the next message reads the history anew
    with opened(long) as bank:
        assert store(bank, "a", [Message("user", "text", "m3")]).duplicates == 1
    altered(long, "UPDATE meta SET seq=seq+1000")
    assert told(long) == []
    altered(long, "UPDATE meta SET seq=seq-1001")
    assert told(long) == []
    (long / NAME).unlink()
    assert told(long) == []


def test_while_others_write_the_table_is_left_alone(long: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    say(long, 25, 30)
    altered(long, "DELETE FROM known")
    monkeypatch.setenv("MEMORYBANK_LOCK_TIMEOUT", "0.01")
    with opened(long) as holder, holder.locked(), opened(long) as bank:
        [one] = [one for one in check(bank, "a").findings if one.rule == "MB122"]
    assert "cannot be made again now" in one.message


# What may not be read


@as_root
def test_what_may_not_be_read_is_failing_and_the_rest_is_told(long: Path) -> None:
    def told(name: str) -> dict[str, tuple[str, ...]]:
        """What the parts say where a path may not be read, and that no other command ends there."""
        place = long / "account_a" / name
        mode = place.stat().st_mode
        with opened(long) as bank, own_ids_again():
            assert check(bank).ok  # imports what root alone may read
            give_away(long)
            place.chmod(0)
            os.seteuid(OWNER)
            found = {one.component: one.issues for one in conditions(bank, "a")}
            assert [one.account for one in list_accounts(bank).accounts] == ["a"]
            assert "MB307" in {one.rule for one in check(bank).findings}
            os.seteuid(0)
            place.chmod(mode)
            give_away(long, 0)
        return found

    nothing: dict[str, tuple[str, ...]] = dict.fromkeys(TIERS, ())
    assert told("short_term.json") == nothing | {"short_term": (f"{SHORT} cannot be read",)}
    for name in ("history", ""):
        assert {one[0] for one in told(name).values()} == {"account_a cannot be read: permission denied"}


def test_a_segment_that_was_seen_damaged_or_is_gone(long: Path) -> None:
    good = (long / segment(1)).read_bytes()
    (long / segment(1)).write_bytes(good.replace(b"text 3", b"text 4"))
    with opened(long) as bank:
        assert conditions(bank, "a")[2].status == "active"  # nobody has looked yet
        check(bank, "a")
        assert conditions(bank, "a")[2].issues == (f"{segment(1)} is not what was recorded",)
        (long / segment(1)).write_bytes(good)
        assert conditions(bank, "a")[2].issues == ()
    (long / segment(1)).unlink()
    with opened(long) as bank:
        [part] = [one for one in conditions(bank, "a") if one.status == "failing"]
        assert (part.component, part.issues) == ("whole_history", (f"{segment(1)} is missing",))
