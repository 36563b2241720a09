"""Damaged files of accounts come back by themselves where nothing is lost by it, and never otherwise."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli import AccountDamaged, open_bank
from memorybank_cli.accounts.messages import Message
from memorybank_cli.base.context import Context
from memorybank_cli.base.records import Progress
from memorybank_cli.operations.accounts import account_ids, check_account
from memorybank_cli.operations.init import init
from memorybank_cli.operations.messages import list_, store
from memorybank_cli.operations.recovering import mend, recover
from memorybank_cli.operations.watching import Watching
from tests.accounts.conftest import long, path
from tests.accounts.sealed import INDEX, MID, SHORT, WHOLE, account_files, adopted, named, segment
from tests.broken_os import broken, failing
from tests.conftest import Run
from tests.operations.banks import backed_up, journal, journal_file, opened, put, rules
from tests.operations.owners import OWNER, as_root, give_away, own_ids_again, public_place

__all__ = ("long", "path")  # fixtures

SMALL = ("account_a/account.json", "account_a/history_context.json", INDEX, MID, SHORT, WHOLE)


class Notes(Progress):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def entered(path: Path) -> tuple[list[str], list[str]]:
    """The ids of the messages that a new opening finds, and what was said meanwhile."""
    notes = Notes()
    with opened(path, progress=notes) as bank:
        return [one["id"] for one in list_(bank, account="a")], notes.notes


def damage(path: Path, how: str) -> None:
    if how == "gone":
        path.unlink()
    elif how == "a directory":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes({"empty": b"", "cut": path.read_bytes()[:-20], "nulls": bytes(50)}[how])


@pytest.mark.parametrize("how", ["gone", "a directory", "empty", "cut", "nulls"])
@pytest.mark.parametrize("name", SMALL)
def test_one_damaged_file_comes_back_when_the_account_is_used(long: Path, name: str, how: str) -> None:
    good = account_files(long)
    damage(long / name, how)
    found, notes = entered(long)
    assert found == named(25)
    assert account_files(long) == good
    assert rules(long) == {}
    [note] = notes
    assert note.startswith(f"{name} was damaged (MB1")
    last = journal(long)[-1]
    assert (last["op"], last["reason"], last["automatic"]) == ("restore.end", "repair", True)
    assert [row[0] for row in last["files"]] == [name]
    kept = last["kept"].get(name)
    assert (kept is None) == (how == "gone")
    assert kept is None or (long / kept).exists()


def test_the_whole_directory_comes_back(long: Path) -> None:
    good = account_files(long)
    shutil.rmtree(long / "account_a")
    with opened(long) as bank:
        assert account_ids(bank) == ["a"]
    assert entered(long)[0] == named(25)
    assert account_files(long) == good


def test_a_message_that_is_added_to_a_lost_account(long: Path) -> None:
    shutil.rmtree(long / "account_a")
    with open_bank(long) as bank:
        assert bank.account("a").add(role="user", content="x", id="m3").duplicates == 1
        assert bank.account("a").add(role="user", content="x", id="m25").total == 26
    assert entered(long) == (named(26), [])


def test_what_is_sound_costs_nothing_and_writes_nothing(long: Path) -> None:
    lines = journal(long)
    assert entered(long) == (named(25), [])
    with opened(long) as bank:
        assert recover(bank, "a") == ()
    assert journal(long) == lines


def test_an_account_is_looked_at_once_for_each_opening(long: Path) -> None:
    with opened(long) as bank:
        check_account(bank, "a")
        (long / SHORT).unlink()
        assert recover(bank, "a") == ()
    with opened(long) as bank:
        assert [one.path for one in recover(bank, "a")] == [SHORT]


def test_what_somebody_wrote_is_left_to_people(long: Path) -> None:
    written = put(long / SHORT, {"messages": []})
    assert entered(long) == (named(25), [])
    assert (long / SHORT).read_bytes() == written
    assert rules(long) == {SHORT: "MB110"}


def test_a_loss_is_left_to_people_and_nothing_is_shorter_by_silence(long: Path, tmp_path: Path) -> None:
    """The journal of an adopted account does not hold its messages."""
    target = adopted(long, tmp_path)
    (target / segment(1)).write_bytes(b"")
    (target / WHOLE).write_bytes(b"{")
    shutil.rmtree(target / ".memorybank/journal")
    before = account_files(target)
    with opened(target) as bank, pytest.raises(AccountDamaged):
        list(list_(bank, account="a"))
    assert account_files(target) == before


def test_what_only_a_snapshot_has(long: Path, tmp_path: Path) -> None:
    target = adopted(long, tmp_path)
    backed_up(target)
    good = account_files(target)
    for name in (WHOLE, INDEX, segment(1), segment(11)):
        (target / name).unlink()
    assert entered(target)[0] == named(25)
    assert account_files(target) == good


def test_while_somebody_holds_the_lock_readers_go_around(long: Path) -> None:
    (long / WHOLE).write_bytes(b"{")
    with opened(long) as holder, holder.locked():
        assert entered(long) == (named(25), [])
        assert (long / WHOLE).read_bytes() == b"{"
    assert len(entered(long)[1]) == 1


def test_while_the_journal_is_damaged_nothing_is_written(long: Path) -> None:
    file = journal_file(long)
    data = file.read_bytes()
    file.write_bytes(data[:300] + b"?" + data[301:])
    for one in (long / ".memorybank").glob("catalog*"):
        one.unlink()
    (long / SHORT).unlink()
    with opened(long) as bank:
        assert mend(bank, [SHORT]) == ()
    assert not (long / SHORT).exists()


def test_a_disk_that_fails_is_said_and_the_reader_goes_around(long: Path) -> None:
    (long / SHORT).unlink()
    with broken(rename=failing(5), link=failing(5), mkdir=failing(5)):
        found, notes = entered(long)
    assert found == named(25)
    assert notes[0].startswith("damaged files are left as they are: ")
    assert len(entered(long)[1]) == 1


@as_root
def test_a_directory_that_cannot_be_read() -> None:
    with public_place() as place, own_ids_again():
        init(Context(bank=str(place / "bank")), account=("a",))
        with opened(place / "bank") as bank:
            give_away(place / "bank")
            (place / "bank/account_a").chmod(0)
            os.seteuid(OWNER)
            assert recover(bank, "a") == ()
            os.seteuid(0)
            (place / "bank/account_a").chmod(0o700)


def test_a_command_says_what_it_recovered(long: Path, run: Run) -> None:
    (long / SHORT).write_bytes(b"{")
    done = run("message", "list", "--account", "a", "--last", "1", "--bank", long)
    assert done.returncode == 0
    assert done.stderr.startswith(f"{SHORT} was damaged (MB103) and was made again, from the history's other files; ")


# By the watcher


def watched(path: Path, run: Run, *options: str) -> list[dict[str, Any]]:
    done = run("watch", "--once", "--json", "--bank", path, *options)
    assert done.returncode == 0
    return [one for one in done.lines if one["type"] in ("finding", "recovered", "resolved") and one["path"]]


def test_the_watcher_recovers(long: Path, run: Run) -> None:
    good = account_files(long)
    (long / segment(1)).write_bytes(b"")
    (long / MID).unlink()
    lines = watched(long, run)
    told = [(one["type"], one["path"]) for one in lines]
    both = {segment(1), MID}
    assert [one[0] for one in told] == ["finding"] * 2 + ["recovered"] * 2 + ["resolved"] * 2
    assert set(told) == {(kind, name) for kind in ("finding", "recovered", "resolved") for name in both}
    [cured] = [one for one in lines if one["type"] == "recovered" and one["path"] == segment(1)]
    assert (cured["method"], cured["rule"], cured["lost"]) == ("rebuilt", "MB104", "")
    assert (long / cured["kept"]).read_bytes() == b""
    assert account_files(long) == good


def test_a_watcher_that_only_reports(long: Path, run: Run) -> None:
    (long / MID).unlink()
    assert [one["type"] for one in watched(long, run, "--no-adopt")] == ["finding"]
    assert not (long / MID).exists()


def test_a_watcher_leaves_what_agents_wrote(long: Path, run: Run) -> None:
    put(long / "trades/one.json", b"{")
    assert [one["type"] for one in watched(long, run)] == ["finding"]
    assert (long / "trades/one.json").read_bytes() == b"{"


def test_a_watcher_for_people(long: Path, run: Run) -> None:
    (long / MID).write_bytes(b"")
    [line] = [one for one in run("watch", "--once", "--bank", long).stdout.splitlines() if "recovered" in one]
    assert f"recovered {MID} (MB104), from the history's other files; the damaged bytes are in .memorybank" in line


def test_a_watcher_gives_up_until_the_damage_changes(path: Path, tmp_path: Path) -> None:
    with opened(path) as bank:
        store(bank, "a", [Message("user", str(number) * 20_000, id=f"m{number}") for number in range(4)])
    target = adopted(path, tmp_path)
    good = (target / segment(2)).read_bytes()
    (target / segment(2)).unlink()
    with opened(target) as bank:
        watch = Watching(bank, Context(), adopt=True)

        def kinds() -> list[str]:
            return [one["type"] for one in watch.everything() if one["type"] not in ("changed", "health", "looked")]

        assert kinds() == ["finding"]
        assert {watch.teller.open[one].path for one in watch.acting.healer._given_up} == {segment(2)}
        assert kinds() == []
        (target / segment(2)).write_bytes(good)
        assert kinds() == ["resolved"]
        assert not watch.acting.healer._given_up
        with opened(target) as holder, holder.locked():
            (target / SHORT).unlink()
            bank.lock_timeout = 0.1
            assert kinds() == ["finding"]
            bank.lock_timeout = 30.0
        assert kinds() == ["recovered", "resolved"]
        watch.close()
