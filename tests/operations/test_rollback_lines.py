"""Rollback to a line of the journal: accounts exactly, other files as they were recorded by then."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from memorybank_cli.accounts.messages import Message
from memorybank_cli.bank import adopt as adopting
from memorybank_cli.bank import baseline, replacing
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.journal import Entry
from memorybank_cli.base import clock
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import OperationFailed, SnapshotNotFound, UsageError
from memorybank_cli.base.records import Progress
from memorybank_cli.operations import contents as contents_module
from memorybank_cli.operations import rollback as module
from memorybank_cli.operations.accounts import account_ids, create_account
from memorybank_cli.operations.init import init
from memorybank_cli.operations.messages import list_, store
from memorybank_cli.operations.repositories import open_repository
from memorybank_cli.operations.rollback import RollbackReport, line_at, rollback
from memorybank_cli.operations.rollback_plan import Plan
from memorybank_cli.operations.rollback_targets import SnapshotTarget
from memorybank_cli.snapshots import trees
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.sealing import Damaged
from tests.accounts.sealed import adopted, small_segments
from tests.conftest import MakeBank, Run, trade
from tests.operations.banks import adopt, backed_up, contents, journal, opened, put, repaired, rules


@pytest.fixture
def bank(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bank of which every recorded version is kept, however fast they follow each other."""
    monkeypatch.setattr(adopting, "MINUTE", 0.0)
    return make_bank(padded=False)


def end(bank: Path) -> int:
    with opened(bank) as one:
        return one.end.seq


def back(bank: Path, seq: int | None = None, **options: Any) -> RollbackReport:
    with opened(bank) as one:
        return rollback(one, seq=seq, **{"yes": True, **options})


def say(bank: Path, account: str, *numbers: int) -> None:
    with opened(bank) as one:
        create_account(one, account)
        store(one, account, [Message("user", f"text {number}", id=f"m{number}") for number in numbers])


def said(bank: Path, account: str) -> list[str]:
    with opened(bank) as one:
        return [message["id"] for message in list_(one, account=account)]


Step = tuple[str, Any]
STEPS = st.one_of(
    st.tuples(st.just("say"), st.tuples(st.sampled_from("ab"), st.integers(1, 25))),
    st.tuples(st.just("state"), st.integers(0, 3)),
    st.tuples(st.just("trade"), st.integers(0, 3)),
    st.tuples(st.just("untrade"), st.integers(0, 3)),
    st.tuples(st.just("adopt"), st.none()),
    st.tuples(st.just("back"), st.floats(0, 1)),
)


def take(bank: Bank, path: Path, step: Step, count: int, lines: list[int]) -> None:
    """One step of an agent, or of somebody who goes back."""
    what, value = step
    if what == "say":
        account, number = value
        create_account(bank, account)
        store(bank, account, [Message("user", f"text {n}", id=f"{count}-{n}") for n in range(number)])
        bank.render()
    elif what == "state":
        put(path / f"state/s{value}.json", {"bot_status": f"at {count}"})
    elif what == "trade":
        put(path / "trades/list.json", {"trades": [trade(n) for n in range(value)]})
    elif what == "untrade":
        (path / f"state/s{value}.json").unlink(missing_ok=True)
    elif what == "back":
        rollback(bank, seq=lines[int(value * (len(lines) - 1))], yes=True)
    if what in ("adopt", "back"):
        baseline.establish(bank)


@settings(
    max_examples=12,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(STEPS, min_size=3, max_size=12), chosen=st.floats(0, 1))
def test_any_history_can_be_gone_back_in(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Step], chosen: float
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        small_segments(patch)
        patch.setattr(adopting, "MINUTE", 0.0)
        path = tmp_path_factory.mktemp("bank")
        patch.setenv("MEMORYBANK_STATE_HOME", str(tmp_path_factory.mktemp("home")))
        init(Context(bank=str(path)))
        states: dict[int, dict[str, bytes]] = {}
        with opened(path) as bank:
            for count, step in enumerate(steps):
                states.setdefault(bank.end.seq, {})
                take(bank, path, step, count, sorted(states))
                baseline.establish(bank)
                bank.refresh()
                states[bank.end.seq] = contents(path)
            states = {seq: found for seq, found in states.items() if found}
            seq = sorted(states)[int(chosen * (len(states) - 1))]
            report = rollback(bank, seq=seq, yes=True)
            assert report.findings == ()
            assert contents(path) == states[seq]
            assert all(told.exact for told in report.versions.values())
            if report.restored or report.removed:
                rollback(bank, undo=True, yes=True)
            assert contents(path) == states[max(states)]
            agree_with_identities(bank)
        assert rules(path) == {}


def agree_with_identities(bank: Bank) -> None:
    """Each message that an account holds is known there, and no other."""
    for account in account_ids(bank):
        held = [message["id"] for message in list_(bank, account=account)]
        again = store(bank, account, [Message("user", "text", id=name) for name in (*held, "another")])
        assert (again.added, again.duplicates) == (1, len(held))


def test_a_removed_account_comes_back_and_a_new_one_of_its_name_is_another(
    bank: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_segments(monkeypatch)
    before = end(bank)
    say(bank, "a", *range(25))
    full = end(bank)
    assert len(back(bank, before, account="a").removed) == 8
    with opened(bank) as one:
        assert create_account(one, "a")
        assert store(one, "a", [Message("user", "another", id="m3")]).added == 1
    assert said(bank, "a") == ["m3"]
    for name in contents(bank):
        if name.startswith("account_a/"):
            (bank / name).unlink()
    assert said(bank, "a") == ["m3"]  # by the journal alone
    back(bank, full, account="a")
    assert said(bank, "a") == [f"m{number}" for number in range(25)]
    with opened(bank) as one:
        assert store(one, "a", [Message("user", "text", id=f"m{n}") for n in range(26)]).added == 1
    assert rules(bank) == {}
    with pytest.raises(SnapshotNotFound):
        back(bank, full, account="never")


def test_an_account_that_is_in_no_snapshot_is_gone_with_its_messages(bank: Path) -> None:
    backed_up(bank)
    say(bank, "a", 1, 2)
    with opened(bank) as one:
        rollback(one, yes=True)
        assert create_account(one, "a")
        assert list(list_(one, account="a")) == []
        assert store(one, "a", [Message("user", "text", id="m1")]).added == 1


def test_a_version_that_nobody_keeps_becomes_the_nearest_earlier_one(bank: Path) -> None:
    path = bank / "state/state.json"
    large = put(path, {"noise": "x" * 20_000, "n": 1})
    backed_up(bank)
    held = end(bank)
    put(path, {"noise": "y" * 20_000, "n": 2})
    adopt(bank)
    lost = end(bank)
    put(path, {"n": 3})
    adopt(bank)
    rehearsed = back(bank, lost, dry_run=True)
    told = rehearsed.versions["state/state.json"]
    assert (told.exact, told.source) == (False, "snapshot")
    assert told.got is not None
    assert told.got < told.wanted <= lost
    report = back(bank, lost)
    assert report.versions == rehearsed.versions
    assert "1 of them in an earlier version" in report.summary()
    assert path.read_bytes() == large
    assert report.exit_code() == 0
    assert back(bank, held).restored == ()
    assert rules(bank) == {}


def test_a_version_that_cannot_be_had_at_all_is_named_and_stays(bank: Path) -> None:
    path = bank / "state/fresh.json"
    put(path, {"noise": "x" * 20_000})
    adopt(bank)
    lost = end(bank)
    now = put(path, {"noise": "z" * 20_000})
    adopt(bank)
    put(bank / "state/state.json", {"bot_status": "stopped"})
    report = back(bank, lost)
    assert [(one.rule, one.path) for one in report.findings] == [("MB131", "state/fresh.json")]
    assert report.exit_code() == 1
    assert report.restored == ("state/state.json",)
    assert path.read_bytes() == now


def test_a_version_in_quarantine_and_one_of_several_blobs(bank: Path) -> None:
    path, blobs = bank / "state/state.json", bank / "metrics/large.json"
    data = put(path, {"noise": "q" * 20_000})
    several = put(blobs, {"noise": random.Random(7).randbytes(2_300_000).hex()})
    backed_up(bank)
    there = end(bank)
    put(path, b'{"damaged')
    put(blobs, {"noise": []})
    adopt(bank)
    report = back(bank, there)
    assert {name: told.source for name, told in report.versions.items()} == dict.fromkeys(
        ("state/state.json", "metrics/large.json"), "snapshot"
    )
    assert (path.read_bytes(), blobs.read_bytes()) == (data, several)


def test_files_that_were_not_there_go_and_removed_ones_come_back(bank: Path) -> None:
    before, line = contents(bank), end(bank)
    put(bank / "docs/odd\nname \xff.md", b"new")
    (bank / "state/state.json").unlink()
    (bank / "trades/trade_1.json").unlink()
    adopt(bank)
    report = back(bank, line)
    assert report.removed == ("docs/odd\\x0aname ÿ.md",)
    assert contents(bank) == before
    with opened(bank) as one:
        assert rollback(one, undo=True, yes=True).removed == ("state/state.json", "trades/trade_1.json")


def test_only_a_part_and_a_section(bank: Path) -> None:
    line = end(bank)
    put(bank / "state/state.json", {"bot_status": "stopped"})
    put(bank / "metrics/metrics.json", {"gas_price": 1})
    put(bank / "state/new.json", {"bot_status": "new"})
    report = back(bank, line, path=("state",))
    assert (report.restored, report.removed) == (("state/state.json",), ("state/new.json",))
    with pytest.raises(SnapshotNotFound, match="is not in line"):
        back(bank, line, path=("state/never.json",))


def test_a_line_that_is_none(bank: Path) -> None:
    for seq in (0, -1, 10**6):
        with pytest.raises(SnapshotNotFound, match="the journal has no line"):
            back(bank, seq)
    with pytest.raises(UsageError):
        back(bank, 1, at="1h")
    with pytest.raises(UsageError):
        back(bank, 1, undo=True)


@pytest.mark.parametrize(
    ("times", "wanted", "line"),
    [
        ([10, 11, 12, 13], 12, 3),
        ([10, 11, 12, 13], 9, 0),
        ([10, 11, 12, 13], 99, 4),
        ([10, 90, 91, 11, 12, 13, 14], 12, 5),  # ten years ahead, and back
        ([10, 11, 12, 1, 13, 14], 11, 2),  # a start without a clock
        ([10, 11, 12, 8, 9, 10, 11, 12, 13], 11, 7),  # set back an hour
    ],
)
def test_the_line_of_a_time_when_clocks_jump(
    bank: Path, monkeypatch: pytest.MonkeyPatch, times: list[int], wanted: int, line: int
) -> None:
    with opened(bank) as one:
        first = one.end.seq
        for time in times:
            monkeypatch.setattr(clock, "now", lambda time=time: f"20{time:02d}-01-01T00:00:00.000000Z")
            say_line(one)
        monkeypatch.setattr(one.journal, "times", partial(after, one.journal.times(), first))
        found = line_at(one, f"20{wanted:02d}-06-01T00:00:00.000000Z")
    assert found == (first + line if line else 0)


def say_line(bank: Bank) -> None:
    bank.commit([Entry("test.happened", {})])


def after(times: Any, first: int) -> Any:
    return (one for one in times if one[0] > first)


def test_the_state_at_a_time(bank: Path) -> None:
    before = contents(bank)
    moment = journal(bank)[-1]["ts"]
    put(bank / "state/state.json", {"bot_status": "stopped"})
    adopt(bank)
    with opened(bank) as one:
        report = rollback(one, at=moment, yes=True)
    assert report.from_.startswith("line ")
    assert contents(bank) == before


def test_where_the_journal_does_not_reach_a_snapshot_is_taken(bank: Path) -> None:
    class Notes(Progress):
        def note(self, text: str) -> None:
            notes.append(text)

    notes: list[str] = []
    before = contents(bank)
    made = backed_up(bank).document
    assert made is not None
    seq = end(bank)
    for one in (bank / ".memorybank/journal").iterdir():
        one.unlink()
    repaired(bank)
    assert journal(bank)[0]["seq"] > seq
    put(bank / "state/state.json", {"bot_status": "stopped"})
    adopt(bank)
    with opened(bank, progress=Notes()) as opened_one:
        report = rollback(opened_one, seq=seq, yes=True)
    assert report.from_ == made.id
    assert contents(bank) == before
    assert any("does not reach back so far" in text for text in notes)
    with pytest.raises(SnapshotNotFound, match="does not reach back"):
        back(bank, 1)


def test_a_bank_whose_files_are_all_gone_or_damaged(bank: Path) -> None:
    say(bank, "a", 1, 2, 3)
    backed_up(bank)
    before, line = contents(bank), end(bank)
    for name in before:
        if name != "bank.json":
            (bank / name).unlink() if len(name) % 2 else (bank / name).write_bytes(b"\0" * 50)
    report = back(bank, line)
    assert contents(bank) == before
    assert report.findings == ()
    assert rules(bank) == {}


def test_in_json_and_for_people(bank: Path, run: Run) -> None:
    line = end(bank)
    put(bank / "state/state.json", {"bot_status": "stopped", "last_update": "2025-04-08T01:00:34Z"})
    shown = run("rollback", "--seq", str(line), "--dry-run", "--json", cwd=bank).json
    assert shown["from"] == f"line {line}"
    assert shown["versions"][0]["path"] == "state/state.json"
    (change,) = shown["changes"]
    assert (change["path"], change["what"], change["id"]) == ("state/state.json", "changed", "bot_status")
    assert (change["fields"][0]["before"], change["fields"][0]["after"]) == ("stopped", "running")
    text = run("rollback", "--seq", str(line), "--dry-run", cwd=bank).stdout
    assert text.splitlines()[:2] == [
        "would be restored state/state.json",
        "  changed member bot_status: 'stopped' -> 'running'",
    ]
    done = run("rollback", "--seq", str(line), "--yes", cwd=bank)
    assert "to undo: memorybank rollback --undo" in done.stdout
    assert json.loads((bank / "state/state.json").read_bytes())["bot_status"] == "running"
    again = run("rollback", "--undo", "--yes", cwd=bank)
    assert again.returncode == 0, again.stderr
    assert json.loads((bank / "state/state.json").read_bytes())["bot_status"] == "stopped"


def test_an_adopted_account_that_is_gone_comes_back_from_what_is_kept_of_it(bank: Path, tmp_path: Path) -> None:
    say(bank, "a", *range(5))
    fresh = adopted(bank, tmp_path)
    backed_up(fresh)
    line = end(fresh)
    before = contents(fresh)
    for name in before:
        if name.startswith("account_a/"):
            (fresh / name).unlink()
    for path in (fresh / "account_a").iterdir():
        path.rmdir()
    (fresh / "account_a").rmdir()
    assert back(fresh, line).findings == ()
    assert contents(fresh) == before
    assert said(fresh, "a") == [f"m{number}" for number in range(5)]


def test_an_account_that_nothing_tells_of_any_more_stays_and_is_named(bank: Path, tmp_path: Path) -> None:
    say(bank, "a", *range(5))
    fresh = adopted(bank, tmp_path)
    line = end(fresh)
    (fresh / "account_a/whole_history.json").write_bytes(b"{")
    found = contents(fresh)
    report = back(fresh, line)
    assert [(one.rule, one.path) for one in report.findings] == [("MB131", "account_a/whole_history.json")]
    assert contents(fresh) == found


def test_a_line_that_is_lost_is_the_one_before_the_gap(bank: Path) -> None:
    before, line = contents(bank), end(bank)
    put(bank / "state/state.json", {"bot_status": "stopped"})
    adopt(bank)
    lost = end(bank)
    put(bank / "state/state.json", {"bot_status": "gone"})
    adopt(bank)
    (segment,) = (bank / ".memorybank/journal").iterdir()
    raw = segment.read_bytes().splitlines(keepends=True)
    raw[lost - 1] = b"x" * 50 + b"\n"
    segment.write_bytes(b"".join(raw))
    for one in (bank / ".memorybank").glob("catalog*"):
        one.unlink()
    repaired(bank)
    assert back(bank, lost).from_ == f"line {line}"
    assert contents(bank) == before


def test_a_bank_keeps_its_identity(bank: Path) -> None:
    line = end(bank)
    shutil.copytree(bank, bank.parent / "copy")
    copy = bank.parent / "copy"
    init(Context(bank=str(copy)), new_id=True)
    name = (copy / "bank.json").read_bytes()
    put(copy / "state/state.json", {"bot_status": "stopped"})
    assert back(copy, line).restored == ("state/state.json",)
    assert (copy / "bank.json").read_bytes() == name


def test_what_only_a_snapshot_from_before_a_gap_has(bank: Path) -> None:
    path = bank / "state/state.json"
    kept = put(path, {"noise": "a" * 20_000})
    made = backed_up(bank).document
    assert made is not None
    put(path, {"noise": "b" * 20_000})
    for one in (bank / ".memorybank/journal").iterdir():
        one.unlink()
    repaired(bank)
    line = end(bank)
    put(path, {"noise": "c" * 20_000})
    report = back(bank, line)
    assert path.read_bytes() == kept
    told = report.versions["state/state.json"]
    assert (told.got, told.time, told.source, told.exact) == (None, made.time, "snapshot", False)


def test_segments_that_were_sealed_meanwhile_go_too(bank: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_segments(monkeypatch)
    say(bank, "a", *range(5))
    line, before = end(bank), contents(bank)
    say(bank, "a", *range(5, 9))
    real = module.replace

    def interfered(one: Bank, *arguments: Any, **fields: Any) -> Any:
        say(bank, "a", *range(9, 35))
        return real(one, *arguments, **fields)

    monkeypatch.setattr(module, "replace", interfered)
    back(bank, line)
    assert contents(bank) == before
    assert said(bank, "a") == [f"m{number}" for number in range(5)]
    assert rules(bank) == {}
    monkeypatch.setattr(module, "replace", real)
    with opened(bank) as one:
        rollback(one, undo=True, yes=True)
    assert said(bank, "a") == [f"m{number}" for number in range(35)]


def test_what_goes_away_between_the_plan_and_the_act_stops_it(bank: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, line = bank / "state/state.json", end(bank)
    now = put(path, {"bot_status": "stopped"})
    adopt(bank)
    found = contents_module.Contents.find

    def other(self: Any, *arguments: Any) -> Any:
        there = found(self, *arguments)
        return None if there is None else there._replace(read=lambda: iter((b'{"bot_status": "other"}',)))

    monkeypatch.setattr(contents_module.Contents, "find", other)
    with pytest.raises(OperationFailed, match="cannot be had any more"):
        back(bank, line)
    assert path.read_bytes() == now
    assert list((bank / ".memorybank/tmp").iterdir()) == []


def test_a_directory_that_cannot_be_read_of_the_snapshot(bank: Path) -> None:
    put(bank / "docs/inner/note.md", b"one")
    made = backed_up(bank).document
    assert made is not None
    put(bank / "docs/inner/note.md", b"two")
    put(bank / "state/state.json", {"bot_status": "stopped"})
    with opened(bank) as one, open_repository(one, None) as repository:
        blobs = Blobs(repository)
        inner = trees.find(blobs, made.root, "docs/inner")
        assert isinstance(inner, trees.DirectoryEntry)
        get = blobs.get

        def damaged(name: str) -> bytes:
            if name == inner.tree:
                raise Damaged("it is gone")
            return get(name)

        blobs.get = damaged  # type: ignore[method-assign]
        target = SnapshotTarget(one, blobs, made)
        plan = Plan(one, target, []).compare()
        assert plan.restored_paths == ["state/state.json"]
        assert plan.removed == []
        assert [(found.rule, found.path) for found in target.findings] == [("MB130", "docs/inner")]
        whole = SnapshotTarget(one, blobs, replace(made, root=inner.tree))
        with pytest.raises(Damaged):
            Plan(one, whole, []).compare()


def test_many_files_in_several_parts(bank: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replacing, "ROWS", 5)
    say(bank, "a", 1, 2)
    for number in range(12):
        put(bank / f"state/s{number}.json", {"n": number})
    adopt(bank)
    before, line = contents(bank), end(bank)
    say(bank, "a", 3)
    for number in range(12):
        put(bank / f"state/s{number}.json", {"n": -number})
    adopt(bank)
    after = contents(bank)
    assert len(back(bank, line).restored) > 10
    assert contents(bank) == before
    with opened(bank) as one:
        rollback(one, undo=True, yes=True)
    assert contents(bank) == after
    assert len(back(bank, end(bank), dry_run=True).restored) == 0
    assert said(bank, "a") == ["m1", "m2", "m3"]
