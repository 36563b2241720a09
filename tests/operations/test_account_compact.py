"""Compaction: a smaller journal, and nothing lost that is in no other place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.bank import compaction, layout
from memorybank_cli.base.errors import JournalDamaged, OperationFailed
from memorybank_cli.operations import account_compact
from memorybank_cli.operations.account_archive import archive
from memorybank_cli.operations.account_compact import CompactReport, compact
from memorybank_cli.operations.accounts import create
from memorybank_cli.operations.journal import log, prove
from memorybank_cli.operations.message_forget import forget
from memorybank_cli.operations.messages import store
from memorybank_cli.operations.rollback import rollback
from tests.accounts.sealed import small_segments
from tests.conftest import MakeBank, Run
from tests.operations.banks import adopt, backed_up, contents, journal, opened, put, repaired, rules
from tests.operations.erased import journal_lines, listed, named, places_of, said, say, short_segments
from tests.operations.retained import killed_everywhere


@pytest.fixture
def path(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two accounts of 25 and 13 messages, in segments of ten; a segment of the journal has eight lines."""
    small_segments(monkeypatch)
    short_segments(monkeypatch, 8)
    made = make_bank(1, padded=False)
    for account, count in (("alpha", 25), ("beta", 13)):
        with opened(made) as bank:
            create(bank, account)
        say(made, account, count)
    return made


@pytest.fixture
def aged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The undo window is over for everything."""
    monkeypatch.setattr(account_compact, "WINDOW_DAYS", -1)


def compacted(path: Path, *arguments: str, **options: Any) -> CompactReport:
    with opened(path) as bank:
        return compact(bank, *arguments, **options)


def check(path: Path) -> None:
    """Every message is there, whatever is asked, and the chain is proved."""
    assert listed(path, "alpha") == named(25)
    assert listed(path, "beta") == named(13)
    assert rules(path) == {}
    with opened(path) as bank:
        assert prove(bank).ok


def without_data(path: Path) -> list[str]:
    """The messages whose content the journal does not hold any more."""
    return [
        f"{line['core']['account'][0]}{line['core']['record']}"
        for line in journal_lines(path)
        if line["core"]["op"] == "record.stored" and line["core"]["kind"] == "message" and "data" not in line
    ]


def segments(path: Path) -> list[str]:
    return sorted(one.name for one in (path / layout.JOURNAL).iterdir())


@pytest.mark.usefixtures("aged")
def test_old_segments_are_compressed_and_sealed_messages_leave_them(path: Path) -> None:
    before = {line["core"]["seq"]: (line["core"], line["hash"]) for line in journal_lines(path)}
    events = events_of(path)
    done = compacted(path)
    assert done.after < done.before
    assert all(name.endswith(".zst") for name in segments(path)[:-2])
    gone = without_data(path)
    assert set(gone) <= {f"am{n}" for n in range(20)} | {f"bm{n}" for n in range(10)}
    assert len(gone) >= 25
    after = {line["core"]["seq"]: (line["core"], line["hash"]) for line in journal_lines(path)}
    assert {seq: after[seq] for seq in before} == before
    assert events_of(path)[: len(events)] == events
    check(path)
    told = [line["core"]["segments"] for line in journal_lines(path) if line["core"]["op"] == "journal.compacted"]
    assert [one[:2] for segments in told for one in segments] == [[one.segment, one.lines] for one in done.segments]


def events_of(path: Path) -> list[Any]:
    with opened(path) as bank:
        return list(log(bank))  # type: ignore[arg-type]


def test_what_is_young_stays_while_there_is_room(path: Path) -> None:
    before = contents(path, private=True)
    done = compacted(path)
    assert done.segments == ()
    assert done.summary().startswith("Nothing to compact: the journal has ")
    assert {name for name in contents(path, private=True) if "jsonl" in name} == {n for n in before if "jsonl" in n}


def test_past_the_budget_the_oldest_goes_first(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORYBANK_UNDO_BUDGET_MIB", "0")
    done = compacted(path)
    assert all(one.after < one.before for one in done.segments)
    assert len(without_data(path)) >= 25
    check(path)
    again = compacted(path).segments
    assert all(one.segment > done.segments[-1].segment for one in again)  # begun by the lines that tell of it


def test_within_a_budget_only_as_much_as_must(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of young segments first what compressing brings, then the data of the oldest."""
    with opened(path) as bank:
        may_go = account_compact.dispensable(bank)
        whole = compaction.total(bank)
        monkeypatch.setenv("MEMORYBANK_UNDO_BUDGET_MIB", "0")
        everything = compaction.plan(bank, may_go)
        monkeypatch.setattr(compaction, "MIB", 1)
        least = whole - sum(one.told.before - one.told.after for one in everything)
        droppable = {one.told.segment for one in everything if one.told.lines}
        for budget in (whole - 1_000, (whole + least) // 2, least):
            monkeypatch.setenv("MEMORYBANK_UNDO_BUDGET_MIB", str(budget))
            steps = compaction.plan(bank, may_go)
            left = whole - sum(one.told.before - one.told.after for one in steps)
            assert left <= budget
            assert 0 < len(steps) <= len(everything)
            drops = [one.drops for one in steps if one.told.segment in droppable]
            assert drops == sorted(drops, reverse=True)
        assert any(drops)
    check(path)


def test_one_account_only(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORYBANK_UNDO_BUDGET_MIB", "0")
    compacted(path, "beta")
    assert {one[0] for one in without_data(path)} == {"b"}
    check(path)


@pytest.mark.usefixtures("aged")
def test_a_lost_segment_of_the_history_keeps_its_messages_in_the_journal(path: Path) -> None:
    (path / "account_alpha/history/000000000001.json").unlink()
    compacted(path)
    assert {one[0] for one in without_data(path)} == {"b"}
    repaired(path)
    check(path)


@pytest.mark.usefixtures("aged")
def test_replaced_versions_go_and_what_holds_now_stays(path: Path) -> None:
    for number in range(4):
        put(path / "state/state.json", {"bot_status": f"version {number} of it"}, age=300)
        adopt(path)
    say(path, "beta", 13, 25)
    with opened(path) as bank:
        bank.journal.closes = True
    say(path, "beta", 25, 40)
    compacted(path)
    assert [one for one in places_of(path, "version 1 of it") if "journal" in one] == []
    assert [one for one in places_of(path, "version 3 of it") if "journal" in one] != []
    (path / "state/state.json").write_bytes(b"{")
    repaired(path)
    assert json.loads((path / "state/state.json").read_bytes()) == {"bot_status": "version 3 of it"}


@pytest.mark.usefixtures("aged")
def test_a_rollback_to_a_line_that_was_compacted(path: Path) -> None:
    seqs = {(line["account"], line["record"]): line["seq"] for line in journal(path) if line["op"] == "record.stored"}
    compacted(path)
    with opened(path) as bank:
        done = rollback(bank, seq=seqs["alpha", "m17"], account="alpha", yes=True)
        assert done.findings == ()
    assert listed(path, "alpha") == named(18)
    assert rules(path) == {}
    say(path, "alpha", 18, 30)
    assert listed(path, "alpha") == named(30)


@pytest.mark.usefixtures("aged")
def test_a_lost_head_comes_back_after_it(path: Path) -> None:
    compacted(path)
    before = contents(path)
    for name in ("whole_history", "short_term", "mid_term"):
        (path / f"account_alpha/{name}.json").unlink()
    assert repaired(path).exit_code() == 0
    assert contents(path) == before
    check(path)


@pytest.mark.usefixtures("aged")
def test_lost_history_is_never_a_shorter_one(path: Path) -> None:
    compacted(path)
    for one in (path / "account_alpha/history").iterdir():
        one.unlink()
    (path / "account_alpha/whole_history.json").unlink()
    report = repaired(path)
    assert report.exit_code() == 1
    assert any("account_alpha" in one.path for one in report.unrepaired)


@pytest.mark.usefixtures("aged")
def test_a_damaged_segment_stays_as_evidence(path: Path) -> None:
    victim = sorted((path / layout.JOURNAL).iterdir())[1]
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 0x10
    victim.write_bytes(data)
    (path / ".memorybank/catalog.sqlite").unlink()
    with pytest.raises(JournalDamaged):
        compacted(path)
    repaired(path)
    compacted(path)
    assert victim.read_bytes() == bytes(data)


@pytest.mark.usefixtures("aged")
@pytest.mark.parametrize("forgets", [False, True])
def test_a_writer_that_slept_meanwhile_goes_on_behind_the_others(path: Path, forgets: bool) -> None:
    with opened(path) as sleeper:
        store(sleeper, "alpha", said("alpha", 25, 26))
        say(path, "alpha", 26, 60)
        if forgets:
            with opened(path) as bank:
                forget(bank, "m3", account="alpha", yes=True)
        compacted(path)
        assert any(name.endswith(".zst") for name in segments(path))
        assert store(sleeper, "alpha", said("alpha", 59, 62)).added == 2
    assert listed(path, "alpha") == named(62, without=(3,) if forgets else ())
    assert rules(path) == {}
    with opened(path) as bank:
        assert prove(bank).ok


def test_what_came_between_is_seen(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORYBANK_UNDO_BUDGET_MIB", "0")
    monkeypatch.setattr(compaction, "overdue", lambda *_arguments: 0)
    plan = compaction.plan

    def slow(*arguments: Any, **options: Any) -> Any:
        found = plan(*arguments, **options)
        with opened(path) as bank:
            rollback(bank, seq=journal(path)[-30]["seq"], account="beta", yes=True)
        return found

    monkeypatch.setattr(compaction, "plan", slow)
    with pytest.raises(OperationFailed, match="meanwhile"):
        compacted(path)
    assert without_data(path) == []


def test_the_command(path: Path, run: Run) -> None:
    env = {"MEMORYBANK_UNDO_BUDGET_MIB": "0"}
    say(path, "alpha", 25, 60)
    done = run("account", "compact", "--bank", path, "--dry-run", "--json", env=env)
    assert done.returncode == 0
    assert done.json["dry_run"] is True
    assert set(done.json) == {"segments", "before", "after", "dry_run"}
    assert run("account", "compact", "nobody", "--bank", path).returncode == 10


@pytest.mark.no_cover
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.usefixtures("aged")
def test_killed_anywhere_everything_is_there(path: Path) -> None:
    dropped = []

    def after() -> None:
        check(path)
        dropped.append(len(without_data(path)))
        told = sum(line["core"]["op"] == "journal.compacted" for line in journal_lines(path))
        assert told or not dropped[-1]

    assert killed_everywhere(path, lambda: compacted(path), after) > 20
    assert dropped == sorted(dropped)
    assert dropped[-1] >= 25


@pytest.mark.usefixtures("aged")
def test_an_archive_is_had_back_from_a_snapshot_of_the_plain_segment(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backed_up(path)
    monkeypatch.setenv("MEMORYBANK_UNDO_BUDGET_MIB", "0")  # the journal keeps no version of a file
    with opened(path) as bank:
        archive(bank, "alpha", keep_mib=0)
    assert compacted(path).segments
    good = contents(path)
    packed = "account_alpha/history/000000000001.json.zst"
    (path / packed).write_bytes(good[packed][:-9])
    assert repaired(path).unrepaired == ()
    assert contents(path) == good
    check(path)
