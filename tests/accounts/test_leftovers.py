"""What can still be had of an account, and the last resort: begun anew with it, and failing."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.accounts.conditions import conditions
from memorybank_cli.accounts.leftovers import begun_anew
from memorybank_cli.accounts.messages import Message
from memorybank_cli.accounts.shelf import nowhere, packed
from memorybank_cli.bank.journal import Entry
from memorybank_cli.base import clock
from memorybank_cli.base.errors import AccountDamaged
from memorybank_cli.operations.accounts import create
from memorybank_cli.operations.messages import list_, store
from memorybank_cli.operations.repair import RepairReport
from tests.accounts.sealed import INDEX, MID, SHORT, WHOLE, account_files, adopted, ids, named, say, segment, value
from tests.conftest import Run
from tests.operations.banks import backed_up, journal, opened, put, repaired, rules


@pytest.fixture
def large(path: Path, tmp_path: Path) -> Path:
    """Four messages in a segment each and one in the head, of which the journal holds the last alone."""
    with opened(path) as bank:
        create(bank, "a", short_term=2, mid_term=1)
        store(bank, "a", [Message("user", str(number) * 20_000, id=f"m{number}") for number in range(4)])
    target = adopted(path, tmp_path)
    say(target, 4, 5)
    return target


def tiers(path: Path) -> dict[str, str]:
    with opened(path) as bank:
        return {one.component: one.status for one in conditions(bank, "a")}


def begun(report: RepairReport) -> str:
    """What was lost, of an account that was begun anew."""
    assert report.unrepaired == ()
    assert {one.method for one in report.repaired} == {"reinitialised"}
    assert {one.rule for one in report.repaired} == {"MB116"}
    [lost] = [one.lost for one in report.repaired if one.path == WHOLE]
    return lost


def test_what_is_left_of_a_lost_segment(large: Path) -> None:
    (large / segment(2)).write_bytes(b"{")
    report = repaired(large)
    [left] = report.unrepaired
    assert left.path == segment(2)
    assert left.hint.startswith(f"memorybank repair --reinitialise {segment(2)} begins the account anew")
    before = account_files(large)
    assert begun(repaired(large, dry_run=True, reinitialise=True)) == "at least 1 of 5 messages"
    assert account_files(large) == before

    report = repaired(large, reinitialise=True)
    assert begun(report) == "at least 1 of 5 messages"
    kept = {one.path: one.kept for one in report.repaired if one.kept}
    assert {path: (large / where).read_bytes() for path, where in kept.items()} == {
        path: data for path, data in before.items() if path in kept
    }
    assert {segment(2), segment(3), segment(4), WHOLE, INDEX, SHORT} <= kept.keys()
    last = journal(large)[-1]
    assert last["reinitialised"] == {"a": {"kept": 4, "had": 5}}
    assert ids(large) == ["m0", "m2", "m3", "m4"]
    assert [one["seq"] for one in listed(large)] == [1, 2, 3, 4]
    assert value(large, WHOLE)["total"] == 4


def listed(path: Path) -> list[dict[str, Any]]:
    with opened(path) as bank:
        return list(list_(bank, account="a"))


def test_it_is_failing_until_the_loss_is_accepted(large: Path, run: Run) -> None:
    (large / segment(2)).unlink()
    repaired(large, reinitialise=True)
    assert rules(large) == {WHOLE: "MB116"}
    assert {tiers(large)[one] for one in ("short_term", "mid_term", "whole_history")} == {"failing"}
    for name in (SHORT, MID, WHOLE):
        assert value(large, name)["status"]["status"] == "failing"
    done = run("validate", "--bank", large, "--json")
    assert done.returncode == 1
    [found] = [one for one in done.json["findings"] if one["rule"] == "MB116"]
    assert found["severity"] == "critical"
    assert "failing a: messages were given up when it was begun anew" in run("account", "list", "--bank", large).stdout
    parts = run("account", "show", "a", "--bank", large, "--json").json["components"]
    assert [one["status"] for one in parts[:3]] == ["failing"] * 3
    assert all("begun anew" in one["issues"][0] for one in parts[:3])

    say(large, 5, 8)
    assert rules(large) == {WHOLE: "MB116"}
    assert begun_again(large) == ["m0", "m2", "m3", *named(4, 8)]

    assert run("accept", WHOLE, "--bank", large, "--reason", "known").returncode == 0
    assert journal(large)[-2]["op"] == "account.configured"
    assert rules(large) == {}
    assert tiers(large)["whole_history"] == "active"
    assert value(large, WHOLE)["status"]["status"] == "active"
    assert begun_again(large) == ["m0", "m2", "m3", *named(4, 8)]


def begun_again(path: Path) -> list[str]:
    """The messages with the head lost: what the journal and the segments give."""
    good = (path / WHOLE).read_bytes()
    (path / WHOLE).unlink()
    found = ids(path)
    assert (path / WHOLE).read_bytes() == good
    return found


def test_an_account_that_fails_goes_on_sealing(large: Path) -> None:
    (large / segment(2)).unlink()
    repaired(large, reinitialise=True)
    say(large, 5, 35)
    assert rules(large) == {WHOLE: "MB116"}
    assert begun_again(large) == ["m0", "m2", "m3", *named(4, 35)]
    assert value(large, WHOLE)["status"]["status"] == "failing"
    with opened(large) as bank:
        done = store(bank, "a", [Message("user", "again", id="m2"), Message("user", "back", id="m1")])
    assert (done.added, done.duplicates) == (1, 1)  # what was lost is no duplicate


def test_an_accepted_loss_is_no_longer_one_also_by_the_sealed_part(large: Path, run: Run) -> None:
    (large / segment(2)).unlink()
    repaired(large, reinitialise=True)
    assert run("accept", ".", "--bank", large).returncode == 0
    say(large, 5, 35)
    assert rules(large) == {}
    assert begun_again(large) == ["m0", "m2", "m3", *named(4, 35)]
    assert run("accept", ".", "--bank", large).stdout.startswith("Nothing had changed")


def test_a_rollback_brings_back_what_a_snapshot_has(large: Path, run: Run) -> None:
    backed_up(large)
    whole = listed(large)
    shutil.copytree(large.parent / "state-home", large.parent / "elsewhere")
    shutil.rmtree(large.parent / "state-home/repositories")
    (large / segment(2)).unlink()
    repaired(large, reinitialise=True)
    assert rules(large) == {WHOLE: "MB116"}
    shutil.rmtree(large.parent / "state-home")
    (large.parent / "elsewhere").rename(large.parent / "state-home")
    done = run("rollback", "--account", "a", "--yes", "--bank", large)
    assert done.returncode == 0, done.stderr
    assert rules(large) == {}
    assert listed(large) == whole


def test_where_the_windows_hold_what_a_segment_lost_nothing_is_lost(large: Path) -> None:
    whole = listed(large)
    (large / segment(3)).unlink()
    assert [one.path for one in repaired(large).unrepaired] == [segment(3)]
    assert begun(repaired(large, reinitialise=True)) == ""
    assert listed(large) == whole
    assert rules(large) == {}


@pytest.mark.parametrize(
    ("gone", "left"),
    [
        ((WHOLE, INDEX), named(5)),
        ((WHOLE, MID, SHORT), ["m0", "m1", "m3"]),
        ((MID,), ["m0", "m1", "m3", "m4"]),
    ],
)
def test_what_several_files_still_give(large: Path, gone: tuple[str, ...], left: list[str]) -> None:
    for name in (segment(3), *gone):
        (large / name).write_bytes(b"")
    shutil.rmtree(large / ".memorybank")
    shutil.rmtree(large.parent / "state-home")
    with opened(large) as bank:
        with pytest.raises(AccountDamaged):
            list(list_(bank, account="a"))
        found = begun_anew(bank, "a", nowhere)
    head = json.loads(next(one.data for one in found.files if one.path == WHOLE))
    assert head["total"] == found.kept == len(left)
    sealed = [one for file in found.files if "/history/0" in file.path for one in json.loads(file.data)["messages"]]
    assert [one["id"] for one in (*sealed, *head["messages"])] == left
    assert not found.whole  # nothing that was recorded says how many there were


def test_messages_of_the_journal_come_between_those_they_were_stored_with(long: Path) -> None:
    """Every other message of a lost segment is in the journal; what was rolled back is not among them."""
    with opened(long) as bank:
        left = begun_anew(bank, "a", nowhere)
        assert (left.kept, left.had) == (25, 25)
    for name in (WHOLE, INDEX, segment(1), segment(11), SHORT, MID):
        os.unlink(long / name)
    with opened(long) as bank:
        left = begun_anew(bank, "a", nowhere)
    found = [one["id"] for file in left.files if "/history/0" in file.path for one in json.loads(file.data)["messages"]]
    head = json.loads(next(one.data for one in left.files if one.path == WHOLE))
    assert [*found, *(one["id"] for one in head["messages"])] == named(25)


def test_content_that_was_changed_is_kept_and_not_called_whole(large: Path) -> None:
    data = (large / segment(2)).read_bytes()
    (large / segment(2)).write_bytes(data.replace(b"1111", b"1112", 1))
    assert [one.rule for one in repaired(large).unrepaired] == ["MB110"]
    assert begun(repaired(large, reinitialise=True)) == "perhaps; not all of it is what was recorded"
    assert ids(large) == named(5)
    assert listed(large)[1]["content"].startswith("1112")
    assert rules(large) == {WHOLE: "MB116"}


def test_what_was_recorded_is_taken_before_what_was_changed(large: Path) -> None:
    (large / segment(2)).unlink()
    head = json.loads((large / WHOLE).read_bytes())
    head["messages"][-1]["content"] = "forged"
    put(large / WHOLE, head)
    with opened(large) as bank:
        left = begun_anew(bank, "a", nowhere)
    found = json.loads(next(one.data for one in left.files if one.path == WHOLE))
    assert found["messages"][-1]["content"] == "text 4"


def test_archived_segments(large: Path) -> None:
    for first in (1, 2, 3, 4):
        data = (large / segment(first)).read_bytes()
        (large / segment(first).replace(".json", ".json.zst")).write_bytes(packed(data))
        (large / segment(first)).unlink()
    with opened(large) as bank:
        left = begun_anew(bank, "a", nowhere)
    assert (left.kept, left.had, left.whole) == (5, 5, True)


def test_what_is_no_message_is_left_out(large: Path) -> None:
    put(large / WHOLE, {"messages": [{"id": 5}, "text", {"id": "x", "seq": 9}], "total": "many"})
    put(large / SHORT, {"messages": 7})
    put(large / MID, [1])
    with opened(large) as bank:
        left = begun_anew(bank, "a", nowhere)
    assert (left.kept, left.had) == (5, 5)


def test_what_a_snapshot_has_by_its_digest(large: Path) -> None:
    good = {name: (large / name).read_bytes() for name in (segment(2), WHOLE)}
    for name in good:
        (large / name).unlink()
    with opened(large) as bank:
        left = begun_anew(bank, "a", lambda path, _: good.get(path))
    assert (left.kept, left.had, left.whole) == (5, 5, True)


def test_an_account_of_which_nobody_knows_when_it_was_made(large: Path) -> None:
    for name in ("account", "history_context"):
        (large / f"account_a/{name}.json").unlink()
    with opened(large) as bank:
        left = begun_anew(bank, "a", nowhere)
    made = json.loads(next(one.data for one in left.files if one.kind == "account"))["created_at"]
    assert made[:4] == clock.now()[:4]
    assert left.kept == 5


def test_lines_before_a_restore_that_nobody_understands_do_not_count(long: Path) -> None:
    with opened(long) as bank:
        strange = {"id": "x", "files": [], "reason": "test", "accounts": {"a": 5}, "edits": {"a": 5}}
        bank.commit([Entry("restore.end", strange)])
        store(bank, "a", [Message("user", "later", id="later")])
        for name in (WHOLE, INDEX, segment(1), segment(11), SHORT, MID):
            (long / name).unlink(missing_ok=True)
        left = begun_anew(bank, "a", nowhere)
        head = json.loads(next(one.data for one in left.files if one.path == WHOLE))
    assert [one["id"] for one in head["messages"]] == ["later"]
    assert not left.whole


def test_an_index_that_was_accepted_and_is_none(large: Path, run: Run) -> None:
    put(large / INDEX, {"account_id": "a"})
    assert run("accept", INDEX, "--bank", large).returncode == 0
    with opened(large) as bank:
        assert begun_anew(bank, "a", nowhere).kept == 5


def test_lines_that_hold_no_message(large: Path) -> None:
    odd = {"id": "odd", "timestamp": "2026-11-20T14:00:00.000000Z"}
    with opened(large) as bank:
        bank.commit([Entry("record.stored", {"account": "a", "kind": "message", "record": "odd"}, odd)])
        assert begun_anew(bank, "a", nowhere).kept == 5
