"""Repair: each damaged file gets the first cure of the contract's order that can be had, and no other."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.base import clock, digests
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import JournalDamaged
from memorybank_cli.operations.accept import accept
from memorybank_cli.operations.accounts import create_account
from memorybank_cli.operations.cures import Cure
from memorybank_cli.operations.messages import add, list_
from memorybank_cli.operations.repair import RepairReport, repair
from tests.conftest import MakeBank, Run, trade
from tests.operations.banks import adopt, backed_up, contents, journal, journal_file, opened, put, repaired, rules

LARGE = "x" * 20_000  # more than the journal keeps of a version
BROKEN = b'{"timestamp" "2025"}'
RECENT = "trades/recent_trades.json"


@pytest.fixture
def bank(make_bank: MakeBank) -> Path:
    return make_bank(padded=False)


def only(report: RepairReport) -> Cure:
    """The one cure of a report that left nothing."""
    assert report.unrepaired == ()
    assert report.exit_code() == 0
    (cure,) = report.repaired
    return cure


def kept(path: Path, cure: Cure) -> bytes:
    return (path / cure.kept).read_bytes()


# Open files: salvage, then what was recorded


def test_an_open_file_is_salvaged_before_an_older_version_is_taken(bank: Path) -> None:
    newer = json.dumps({"trades": [trade(9)]}).encode()
    put(bank / RECENT, newer + bytes(100))
    cure = only(repaired(bank))
    assert (cure.method, cure.rule, cure.lost) == ("leading-document", "MB102", "")
    assert cure.why == "newer than the last recorded version"
    assert (bank / RECENT).read_bytes() == newer
    assert kept(bank, cure) == newer + bytes(100)
    assert rules(bank) == {}


def test_a_truncated_open_file_keeps_its_complete_records_and_what_was_lost_is_named(bank: Path) -> None:
    text = json.dumps({"trades": [trade(7), trade(8)]}).encode()
    put(bank / RECENT, text[:-20])
    cure = only(repaired(bank))
    assert cure.method == "complete-records"
    assert "after record 1" in cure.lost
    assert json.loads((bank / RECENT).read_bytes()) == {"trades": [trade(7)]}


def test_an_open_file_that_was_found_damaged_is_salvaged(make_bank: MakeBank) -> None:
    bank = make_bank(padded=True)
    before = (bank / RECENT).read_bytes()
    cure = only(repaired(bank))
    assert (cure.path, cure.method, cure.why) == (RECENT, "leading-document", "no good version was ever recorded")
    assert (bank / RECENT).read_bytes() == before.rstrip(b"\0")
    assert kept(bank, cure) == before


def test_an_open_file_that_nothing_salvages_gets_the_journals_version(bank: Path) -> None:
    good = (bank / "state/state.json").read_bytes()
    put(bank / "state/state.json", BROKEN)
    cure = only(repaired(bank))
    assert (cure.method, cure.why) == ("journal", "nothing could be salvaged from what is there")
    assert (bank / "state/state.json").read_bytes() == good
    assert kept(bank, cure) == BROKEN


def test_an_open_file_too_large_for_the_journal_comes_from_a_snapshot(bank: Path) -> None:
    good = put(bank / "state/state.json", {"bot_status": LARGE})
    made = backed_up(bank).document
    assert made is not None
    put(bank / "state/state.json", bytes(3))
    cure = only(repaired(bank))
    assert (cure.rule, cure.method) == ("MB104", "snapshot")
    assert made.id in cure.why
    assert (bank / "state/state.json").read_bytes() == good


@pytest.mark.parametrize("older", [{"bot_status": "running"}, [1, 2]], ids=["a known shape", "no known shape"])
def test_an_open_file_whose_last_version_is_nowhere_gets_an_older_one(bank: Path, older: Any) -> None:
    good = put(bank / "state/more.json", older)
    adopt(bank)
    put(bank / "state/more.json", {"bot_status": LARGE})
    adopt(bank)
    put(bank / "state/more.json", b"")
    cure = only(repaired(bank))
    assert cure.method == "journal"
    assert "recorded at 20" in cure.why
    assert (bank / "state/more.json").read_bytes() == good


def test_an_older_version_may_come_from_a_snapshot(bank: Path) -> None:
    good = put(bank / "state/more.json", {"bot_status": LARGE})
    made = backed_up(bank).document
    assert made is not None
    put(bank / "state/more.json", {"bot_status": LARGE * 2})
    adopt(bank)
    put(bank / "state/more.json", b"")
    cure = only(repaired(bank))
    assert cure.method == "snapshot"
    assert f"the newest good one, in snapshot {made.id}" in cure.why
    assert (bank / "state/more.json").read_bytes() == good


def test_an_open_file_without_any_version_stays_unless_it_may_be_emptied(bank: Path) -> None:
    put(bank / "state/more.json", BROKEN)
    report = repaired(bank)
    assert report.exit_code() == 1
    assert report.repaired == ()
    (left,) = report.unrepaired
    assert (left.path, left.rule) == ("state/more.json", "MB101")
    assert "no good version was ever recorded" in left.reason
    assert "memorybank repair --reinitialise state/more.json empties it" in left.hint
    assert (bank / "state/more.json").read_bytes() == BROKEN
    cure = only(repaired(bank, reinitialise=True))
    assert cure.method == "reinitialised"
    assert kept(bank, cure) == BROKEN
    assert json.loads((bank / "state/more.json").read_bytes()) == {}
    assert rules(bank) == {}


def test_files_of_agents_without_a_schema_are_open_too(bank: Path) -> None:
    put(bank / "agents/one/memory.json", {"version": 1})
    adopt(bank)
    put(bank / "agents/one/memory.json", b'{"version": 2}' + bytes(10))
    cure = only(repaired(bank))
    assert cure.method == "leading-document"
    assert (bank / "agents/one/memory.json").read_bytes() == b'{"version": 2}'


# Append files: the recorded digest, or nothing


def test_an_append_file_that_still_begins_with_what_was_recorded_is_salvaged(bank: Path) -> None:
    good = (bank / "trades/trade_0.json").read_bytes()
    put(bank / "trades/trade_0.json", good + bytes(10))
    cure = only(repaired(bank))
    assert (cure.method, cure.why) == ("leading-document", "it is the recorded version, byte for byte")
    assert (bank / "trades/trade_0.json").read_bytes() == good


@pytest.mark.parametrize(
    "damage", [BROKEN, b"", bytes(9), b'{"timestamp": "2025-01-01T00:00:00Z"}\0', b'{"a": 1, "a": 2}', b"\xff\xfe{"]
)
def test_an_append_file_gets_the_recorded_version_from_the_journal(bank: Path, damage: bytes) -> None:
    good = (bank / "trades/trade_0.json").read_bytes()
    put(bank / "trades/trade_0.json", damage)
    cure = only(repaired(bank))
    assert (cure.method, cure.why) == ("journal", "an append-only file gets the version that was recorded")
    assert (bank / "trades/trade_0.json").read_bytes() == good
    assert kept(bank, cure) == damage


def test_an_append_file_too_large_for_the_journal_comes_from_a_snapshot_or_stays(bank: Path) -> None:
    good = put(bank / "trades/large.json", {**trade(1), "strategy": LARGE})
    adopt(bank)
    put(bank / "trades/large.json", BROKEN)
    report = repaired(bank)
    (left,) = report.unrepaired
    assert report.exit_code() == 1
    assert digests.of(good)[:12] in left.reason
    assert "in neither the journal nor a snapshot" in left.reason
    assert (bank / "trades/large.json").read_bytes() == BROKEN

    put(bank / "trades/large.json", good)
    made = backed_up(bank).document
    assert made is not None
    put(bank / "trades/large.json", BROKEN)
    cure = only(repaired(bank))
    assert (cure.method, made.id in cure.why) == ("snapshot", True)
    assert (bank / "trades/large.json").read_bytes() == good


def test_an_append_file_is_never_cured_by_another_version(bank: Path) -> None:
    put(bank / "trades/grown.json", trade(1))
    adopt(bank)
    put(bank / "trades/grown.json", {**trade(1), "strategy": LARGE})
    with opened(bank) as one:
        accept(one, "trades/grown.json")
    put(bank / "trades/grown.json", json.dumps(trade(1)).encode() + b"\0")
    assert [one.path for one in repaired(bank, reinitialise=True).unrepaired] == ["trades/grown.json"]


def test_an_append_file_that_was_never_good_is_salvaged(bank: Path) -> None:
    put(bank / "trades/new.json", json.dumps(trade(5)).encode() + bytes(3))
    adopt(bank)
    cure = only(repaired(bank))
    assert (cure.method, cure.why) == ("leading-document", "no good version was ever recorded")
    put(bank / "trades/hopeless.json", BROKEN)
    assert [one.path for one in repaired(bank).unrepaired] == ["trades/hopeless.json"]


def test_an_append_file_that_is_gone_comes_back_and_one_that_was_changed_is_no_damage(bank: Path) -> None:
    good = (bank / "trades/trade_0.json").read_bytes()
    (bank / "trades/trade_0.json").unlink()
    changed = put(bank / "trades/trade_1.json", {**trade(1), "success": False})
    cure = only(repaired(bank))
    assert (cure.path, cure.rule, cure.method, cure.kept) == ("trades/trade_0.json", "MB111", "journal", "")
    assert (bank / "trades/trade_0.json").read_bytes() == good
    assert (bank / "trades/trade_1.json").read_bytes() == changed
    assert rules(bank) == {"trades/trade_1.json": "MB113"}


# Managed files: rebuilt, then what was recorded


def test_an_accounts_files_are_rebuilt_from_the_journal(bank: Path) -> None:
    with opened(bank) as one:
        create_account(one, "alpha")
        for number in range(60):
            add(one, Context(), f"message {number}", account="alpha", role="user")
    good = contents(bank)
    for name in ("short_term", "mid_term", "whole_history", "account", "history_context"):
        put(bank / f"account_alpha/{name}.json", b'{"messages": [')
    report = repaired(bank)
    assert {one.method for one in report.repaired} == {"rebuilt"}
    assert {one.why for one in report.repaired} == {"the journal holds every message"}
    assert len(report.repaired) == 5
    assert contents(bank) == good
    with opened(bank) as one:
        assert len(list(list_(one, account="alpha"))) == 60
    assert rules(bank) == {}


def test_other_managed_files_get_their_recorded_version(bank: Path) -> None:
    good = (bank / "bank.json").read_bytes()
    put(bank / "bank.json", good + b"garbage")
    cure = only(repaired(bank))
    assert (cure.method, cure.why) == ("journal", "it is the version that memorybank recorded")
    assert (bank / "bank.json").read_bytes() == good


def test_a_managed_file_too_large_for_the_journal_comes_from_a_snapshot(bank: Path) -> None:
    good = put(bank / "config/notes.json", {"text": LARGE})
    with opened(bank) as one:
        accept(one, "config/notes.json")
    made = backed_up(bank).document
    assert made is not None
    put(bank / "config/notes.json", b"{")
    cure = only(repaired(bank))
    assert (cure.method, made.id in cure.why) == ("snapshot", True)
    assert (bank / "config/notes.json").read_bytes() == good


def test_a_managed_file_that_was_never_good_stays(bank: Path) -> None:
    put(bank / "config/alerts_config.json", b'{"routes": []}' + bytes(4))
    report = repaired(bank, reinitialise=True)
    assert [(one.path, one.rule) for one in report.unrepaired] == [("config/alerts_config.json", "MB102")]
    assert report.exit_code() == 1


# What stands where a file should be, and bit rot


@pytest.mark.parametrize("kind", ["directory", "link", "pipe"])
def test_what_stands_in_a_files_place_goes_to_quarantine_whole(bank: Path, kind: str) -> None:
    path = bank / "trades/trade_0.json"
    good = path.read_bytes()
    path.unlink()
    if kind == "directory":
        put(path / "inner.json", b"[]")
    elif kind == "link":
        path.symlink_to(bank / "state/state.json")
    else:
        os.mkfifo(path)
    cure = only(repaired(bank))
    assert (cure.rule, cure.method) == ("MB111", "journal")
    assert path.read_bytes() == good
    assert path.stat().st_mode & 0o777 == 0o600
    assert not path.is_symlink()
    assert os.path.lexists(bank / cure.kept)
    assert rules(bank) == {}


def rot(bank: Path, path: str, data: bytes) -> None:
    """Other content under the stat that the catalog knows, as a failing disk leaves it."""
    with opened(bank) as one:
        put(bank / path, data, age=3600)
        info, (directory, _, name) = (bank / path).stat(), path.rpartition("/")
        with one.catalog.writing():
            one.catalog.db.execute(
                "UPDATE files SET s_size=?, s_mtime=?, s_ctime=?, s_inode=?, s_hashed=? WHERE dir=? AND name=?",
                (
                    info.st_size,
                    info.st_mtime_ns,
                    info.st_ctime_ns,
                    info.st_ino,
                    clock.now_ns() - 10**9,
                    directory,
                    name,
                ),
            )


@pytest.mark.parametrize("path", ["trades/trade_0.json", "state/state.json"])
@pytest.mark.parametrize("broken", [True, False])
def test_bit_rot_stays_found_is_never_adopted_and_is_cured(bank: Path, path: str, broken: bool) -> None:
    good = (bank / path).read_bytes()
    rules(bank)
    rotten = good.replace(b":", b"z", 1) if broken else good.replace(b"20", b"60", 1)
    rot(bank, path, rotten)
    for _ in range(3):
        assert rules(bank) == {path: "MB115"}
    assert adopt(bank) == []
    report = backed_up(bank)
    assert report.damaged == ({"path": path, "rule": "MB115"},)
    cure = only(repaired(bank))
    assert (cure.rule, cure.method) == ("MB115", "journal")
    assert (bank / path).read_bytes() == good
    assert kept(bank, cure) == rotten
    assert rules(bank) == {}


# The run as a whole


def test_a_rehearsal_says_the_same_and_changes_nothing(make_bank: MakeBank) -> None:
    bank = make_bank()
    put(bank / "trades/trade_0.json", BROKEN)
    put(bank / "state/more.json", BROKEN)
    (bank / "trades/trade_1.json").unlink()
    rules(bank)
    before = {name: data for name, data in contents(bank, private=True).items() if "catalog" not in name}
    rehearsal = repaired(bank, dry_run=True)
    after = {name: data for name, data in contents(bank, private=True).items() if "catalog" not in name}
    assert after == before
    assert rehearsal.exit_code() == 1
    assert "3 would be repaired, 1 cannot be; next: memorybank repair" in rehearsal.summary()
    real = repaired(bank)
    strip = [{**one, "kept": ""} for one in real.as_dict()["repaired"]]
    assert rehearsal.as_dict() == {**real.as_dict(), "repaired": strip, "dry_run": True}
    assert real.summary() == "3 repaired, 1 cannot be; next: memorybank validate"


def test_only_the_paths_that_are_named_are_repaired(make_bank: MakeBank) -> None:
    bank = make_bank()
    put(bank / "state/state.json", BROKEN)
    assert [one.path for one in repaired(bank, "trades").repaired] == [RECENT]
    assert rules(bank) == {"state/state.json": "MB101"}
    assert [one.path for one in repaired(bank, "state/state.json").repaired] == ["state/state.json"]
    assert repaired(bank).summary() == "Nothing is damaged."


def test_a_cure_is_journaled_and_keeps_the_mode(make_bank: MakeBank) -> None:
    bank = make_bank()
    (bank / RECENT).chmod(0o640)
    cure = only(repaired(bank))
    assert (bank / RECENT).stat().st_mode & 0o777 == 0o640
    begin, end = [one for one in journal(bank) if one["op"].startswith("restore.")]
    assert (begin["op"], end["op"], end["reason"]) == ("restore.begin", "restore.end", "repair")
    assert end["methods"] == {RECENT: "leading-document"}
    assert end["kept"] == {RECENT: cure.kept}
    assert list((bank / ".memorybank/tmp").iterdir()) == []


def test_the_command(make_bank: MakeBank, run: Run) -> None:
    bank = make_bank()
    assert run("validate", cwd=bank).returncode == 1
    rehearsal = run("repair", "--dry-run", "--json", cwd=bank)
    assert (rehearsal.returncode, rehearsal.json["repaired"][0]["method"]) == (0, "leading-document")
    done = run("repair", cwd=bank)
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 repaired; next: memorybank validate" in done.stdout
    assert RECENT in done.stdout
    assert run("validate", cwd=bank).returncode == 0
    put(bank / "state/more.json", BROKEN)
    left = run("repair", "--json", cwd=bank)
    assert (left.returncode, left.json["repaired"]) == (1, [])
    assert set(left.json["unrepaired"][0]) == {"path", "rule", "reason", "hint"}


# Damage of the journal


def write_some(bank: Path) -> None:
    """A few lines more."""
    for number in range(20, 24):
        put(bank / f"trades/trade_{number}.json", trade(number))
        adopt(bank)


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("catalog", [True, False], ids=["catalog", "no catalog"])
@pytest.mark.parametrize("how", ["flipped", "garbage", "cut"])
def test_a_damaged_journal_refuses_writing_until_repair_names_the_gap(
    bank: Path, run: Run, how: str, catalog: bool
) -> None:
    write_some(bank)
    segment = journal_file(bank)
    lines = segment.read_bytes().splitlines(keepends=True)
    if how == "flipped":
        flip(segment, len(b"".join(lines[:3])) + lines[3].index(b'"op"') + 8)
    elif how == "garbage":
        segment.write_bytes(b"".join([*lines[:3], b"nonsense\n", *lines[4:]]))
    else:
        segment.write_bytes(b"".join(lines[:3]))
    damaged, rule = segment.read_bytes(), "MB121" if how == "cut" else "MB120"
    if not catalog:
        for one in (bank / ".memorybank").glob("catalog*"):
            one.unlink()
    if how != "flipped" or not catalog:  # else only a proof of the whole chain sees it, see below
        checked = run("validate", "--json", cwd=bank)
        assert checked.returncode == 1
        assert rule in {one["rule"] for one in checked.json["findings"]}
        refused = run("account", "create", "alpha", "--json", cwd=bank)
        assert (refused.returncode, refused.error["code"]) == (3, "journal_damaged")
        assert "memorybank repair" in refused.error["hint"]
        assert run("backup", cwd=bank).returncode == 3
        assert run("status", cwd=bank).returncode == 0
        assert run("log", cwd=bank).returncode == 0
    verified = run("log", "--verify", "--json", cwd=bank)
    assert (verified.returncode, verified.json["ok"]) == (1, False)
    assert rule in {one["rule"] for one in verified.json["findings"]}
    rehearsal = run("repair", "-n", "--json", cwd=bank)
    assert [one["method"] for one in rehearsal.json["repaired"]] == ["new-segment"]
    assert segment.read_bytes() == damaged

    done = run("repair", "--json", cwd=bank)
    assert done.returncode == 0, done.stderr
    assert [(one["rule"], one["method"]) for one in done.json["repaired"]] == [(rule, "new-segment")]
    assert segment.read_bytes() == damaged
    assert journal_file(bank) != segment
    assert json.loads(journal_file(bank).read_bytes().splitlines()[0])["core"]["op"] == "journal.gap"

    verified = run("log", "--verify", "--json", cwd=bank)
    assert (verified.returncode, verified.json["ok"]) == (0, True), verified.stdout
    assert run("repair", cwd=bank).stdout == "Nothing is damaged.\n"
    assert run("account", "create", "alpha", cwd=bank).returncode == 0
    assert run("message", "add", "hello", "--account", "alpha", "--role", "user", cwd=bank).returncode == 0
    assert len(run("message", "list", "--account", "alpha", "--json", cwd=bank).lines) == 1
    assert run("backup", cwd=bank).returncode == 0
    assert run("validate", cwd=bank).returncode == 0
    put(bank / "trades/trade_20.json", BROKEN)
    assert run("repair", cwd=bank).returncode == 0
    assert json.loads((bank / "trades/trade_20.json").read_bytes()) == trade(20)
    for one in (bank / ".memorybank").glob("catalog*"):
        one.unlink()
    assert run("validate", cwd=bank).returncode == 0


def test_repair_of_paths_says_that_the_journal_comes_first(bank: Path) -> None:
    write_some(bank)
    segment = journal_file(bank)
    segment.write_bytes(b"".join(segment.read_bytes().splitlines(keepends=True)[:4]))
    put(bank / "trades/trade_0.json", BROKEN)
    with pytest.raises(JournalDamaged) as failed:
        repaired(bank, "trades/trade_0.json")
    assert "memorybank repair" in failed.value.hint
    assert (bank / "trades/trade_0.json").read_bytes() == BROKEN
    assert {one.method for one in repaired(bank).repaired} == {"new-segment", "journal"}
    assert rules(bank) == {}


def test_what_is_left_of_one_record_is_no_record(make_bank: MakeBank) -> None:
    """A trade cut short has nothing complete in it, though one of its members is."""
    bank = make_bank(1, padded=False)
    put(bank / "trades/a.json", b'{"opportunity": {"dex": "a"}, "fills": [{"id": 1}, {"id": 2}, {"i')
    report = repaired(bank)
    assert ([one.path for one in report.unrepaired], report.repaired) == (["trades/a.json"], ())


@pytest.mark.parametrize("marked", [True, False], ids=["a mark is known", "no mark is known"])
def test_a_bank_that_lost_its_journal_begins_anew_and_keeps_its_messages(
    make_bank: MakeBank, run: Run, home: Path, marked: bool
) -> None:
    bank = make_bank(2, padded=False)
    assert run("account", "create", "a", cwd=bank).returncode == 0
    assert run("message", "add", "one", "--account", "a", "--role", "user", cwd=bank).returncode == 0
    shutil.rmtree(bank / ".memorybank")
    if not marked:
        shutil.rmtree(home)
    listed = run("message", "list", "--account", "a", "--json", cwd=bank)
    assert [line["content"] for line in listed.lines] == ["one"]
    add = ("message", "add", "two", "--account", "a", "--role", "user")
    assert run(*add, cwd=bank).returncode == (3 if marked else 0)
    if marked:
        assert "MB121" in {one["rule"] for one in run("validate", "--json", cwd=bank).json["findings"]}
        assert run("repair", cwd=bank).returncode == 0
        assert run(*add, cwd=bank).returncode == 0
    listed = run("message", "list", "--account", "a", "--json", cwd=bank)
    assert [line["content"] for line in listed.lines] == ["one", "two"]
    assert run("validate", "--json", cwd=bank).json["ok"]
    for catalog in (bank / ".memorybank").glob("catalog*"):
        catalog.unlink()
    assert run("validate", "--json", cwd=bank).json["ok"]
    assert run("log", "--verify", "--json", cwd=bank).json["ok"]


def test_an_append_file_is_not_offered_to_be_emptied(bank: Path) -> None:
    put(bank / "trades/new.json", BROKEN)
    (left,) = repaired(bank).unrepaired
    assert (left.path, left.hint) == ("trades/new.json", "correct it by hand, then memorybank validate")


def test_a_rehearsal_names_the_same_command(bank: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(bank / "state/a b.json", BROKEN)
    put(bank / "state/more.json", BROKEN)
    monkeypatch.chdir(bank / "state")

    def told(*paths: str) -> str:
        with opened(bank) as one:
            return repair(one, *paths, dry_run=True, reinitialise=True).summary().partition("next: ")[2]

    assert told() == "memorybank repair --reinitialise"
    assert told("a b.json", "more.json") == "memorybank repair --reinitialise 'a b.json' more.json"
    assert told(*["more.json"] * 11) == "the same without --dry-run"
