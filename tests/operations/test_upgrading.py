"""Format steps, with steps of the test's own: taken, refused, failed, killed, and what an older format still can."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.replacing import Replacement, replace_files
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import FormatMismatch, OperationFailed, Refused, UsageError
from memorybank_cli.migrations.steps import STEPS, Step, chosen, newest
from memorybank_cli.operations.backup import backup
from memorybank_cli.operations.check import validate
from memorybank_cli.operations.journal import log, prove
from memorybank_cli.operations.migrate import MigrateReport, bring_up_to_date, migrate
from memorybank_cli.operations.opening import open_bank
from memorybank_cli.operations.repair import repair
from memorybank_cli.operations.snapshots import list_ as snapshots
from memorybank_cli.operations.snapshots import restore
from memorybank_cli.operations.status import status
from memorybank_cli.operations.upgrading import Applied
from tests.broken_os import killed, put_back
from tests.conftest import MakeBank, Run
from tests.operations.banks import contents, journal, opened, put

NEW = b'{"bot_status": "running", "lifted": true}'
ADDED = "docs/format.md"


def fine(_bank: Bank) -> Sequence[str]:
    return ()


def lift(bank: Bank) -> None:
    replace_files(
        bank,
        [
            Replacement("state/state.json", NEW, kind="state"),
            Replacement(ADDED, b"two"),
            Replacement("trades/trade_0.json", None),
        ],
        "step",
    )


def step(number: int = 1, apply: Callable[[Bank], None] = lift, check: Callable[[Bank], Sequence[str]] = fine) -> Step:
    return Step(number, f"step {number}", check, apply)


def damage(bank: Bank) -> None:
    lift(bank)
    replace_files(bank, [Replacement("state/state.json", b'{"cut', kind="state")], "step")


def fail(bank: Bank) -> None:
    lift(bank)
    raise ValueError("it broke")


def nothing(_bank: Bank) -> None:
    """A step that changes no file."""


@pytest.fixture
def path(make_bank: MakeBank) -> Path:
    return make_bank(3, padded=False)


def brought(path: Path, *steps: Step, to: int | None = None, dry_run: bool = False) -> MigrateReport:
    return bring_up_to_date(Context(bank=str(path)), str(path), to, dry_run, True, steps)


def form(path: Path) -> int:
    return int(json.loads((path / layout.BANK).read_bytes())["format"])


def is_whole(path: Path, number: int) -> bool:
    with closing(open_bank(Context(bank=str(path)), writes=number)) as bank:
        return prove(bank).ok and bank.format == number and not list(bank.root.listing(layout.SCRATCH))


def test_there_is_no_step_yet(run: Run, path: Path) -> None:
    assert STEPS == ()
    assert newest(STEPS) == layout.FORMAT
    done = run("migrate", "--bank", path, "--json")
    assert (done.returncode, done.json["steps"], done.json["lifted"]) == (0, [], [])
    assert "Everything is up to date." in run("migrate", "--bank", path).stdout
    assert run("migrate", "--to", "2", "--bank", path).returncode == 2


def test_a_step_is_taken(path: Path) -> None:
    report = brought(path, step())
    [applied] = report.as_dict()["steps"]
    assert (applied["from"], applied["to"], applied["description"]) == (1, 2, "step 1")
    assert "1 format step taken" in report.summary()
    assert form(path) == 2
    assert (path / "state/state.json").read_bytes() == NEW
    assert is_whole(path, 2)
    lines = journal(path)
    [begun] = [one for one in lines if one["op"] == "migrate.begin"]
    assert begun["snapshot"] == applied["snapshot"]
    assert lines[[one["op"] for one in lines].index("migrate.end")]["document"]["format"] == 2
    with closing(open_bank(Context(bank=str(path)), writes=2)) as bank:
        assert validate(bank, bank.context).exit_code() == 0
        assert {one.tags for one in snapshots(bank).snapshots} == {("before-migrate",)}
        expected = bank.catalog.row(layout.BANK).expected
        assert expected is not None
        assert expected.sha == bank.catalog.row(layout.BANK).seen.sha  # type: ignore[union-attr]
    with pytest.raises(FormatMismatch, match="format 2, this program writes 1") as caught:
        open_bank(Context(bank=str(path)))
    assert "newer memorybank" in caught.value.hint


def test_several_steps_and_a_limit(path: Path) -> None:
    steps = step(1), step(2, nothing), step(3, nothing)
    with pytest.raises(UsageError, match="cannot be brought to format 5"):
        brought(path, *steps, to=5)
    assert [one.to_format for one in brought(path, *steps, to=3, dry_run=True).steps] == [2, 3]
    assert form(path) == 1
    assert [one.to_format for one in brought(path, *steps, to=3).steps] == [2, 3]
    assert form(path) == 3
    assert [one.to_format for one in brought(path, *steps).steps] == [4]
    with pytest.raises(UsageError, match="cannot be brought to format 1"):
        brought(path, *steps, to=1)
    assert is_whole(path, 4)
    assert list(chosen(steps, 4, None)) == []


def test_a_rehearsal_writes_nothing(path: Path) -> None:
    before = contents(path, private=True)
    report = brought(path, step(), dry_run=True)
    assert report.steps == (Applied(1, 2, "step 1", None),)
    assert "would be taken" in report.summary()
    assert {name: data for name, data in contents(path, private=True).items() if "catalog" not in name} == {
        name: data for name, data in before.items() if "catalog" not in name
    }


def test_a_step_that_does_not_fit_this_bank(path: Path) -> None:
    before = contents(path)
    with pytest.raises(Refused, match="two agents; no state"):
        brought(path, step(check=lambda _: ["two agents", "no state"]))
    assert contents(path) == before
    assert "migrate.begin" not in [one["op"] for one in journal(path)]


def test_without_a_snapshot_there_is_no_step(path: Path, home: Path) -> None:
    before = contents(path)
    (home / "repositories").write_bytes(b"a file in the way")
    with pytest.raises(Refused, match="no whole snapshot"):
        brought(path, step())
    assert contents(path) == before
    assert form(path) == 1


@pytest.mark.parametrize(("apply", "words"), [(fail, "it broke"), (damage, "MB103")])
def test_a_step_that_fails_is_undone(path: Path, apply: Callable[[Bank], None], words: str) -> None:
    put(path / "trades/bad.json", b'{"cut')
    before = contents(path)
    with pytest.raises(OperationFailed, match=words) as caught:
        brought(path, step(apply=apply))
    assert "put back as it was" in caught.value.message
    after = contents(path)
    assert {name: data for name, data in after.items() if name != layout.README} == {
        name: data for name, data in before.items() if name != layout.README
    }
    assert is_whole(path, 1)
    assert words in [one for one in journal(path) if one["op"] == "migrate.end"][-1]["undone"]
    assert brought(path, step()).steps
    assert is_whole(path, 2)


def test_damage_that_was_there_before_hinders_no_step(path: Path) -> None:
    put(path / "trades/bad.json", b'{"cut')
    brought(path, step())
    assert (path / "trades/bad.json").read_bytes() == b'{"cut'


def test_messages_come_back_too(path: Path) -> None:
    from memorybank_cli.accounts.messages import Message
    from memorybank_cli.operations.accounts import create_account
    from memorybank_cli.operations.messages import store

    with opened(path) as bank:
        create_account(bank, "a")
        store(bank, "a", [Message("user", "before", "1")])

    def add(bank: Bank) -> None:
        store(bank, "a", [Message("user", "during", "2")])
        bank.render()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        brought(path, step(apply=add))
    whole = json.loads((path / "account_a/whole_history.json").read_bytes())
    assert [one["id"] for one in whole["messages"]] == ["1"]
    with opened(path) as bank:
        store(bank, "a", [Message("user", "after", "3")])
    whole = json.loads((path / "account_a/whole_history.json").read_bytes())
    assert [one["id"] for one in whole["messages"]] == ["1", "3"]


def test_the_format_before_can_be_read(path: Path, tmp_path: Path) -> None:
    with opened(path) as bank:
        backup(bank)
    put(path / "state/new.json", {"bot_status": "x"})
    before = contents(path)
    with closing(open_bank(Context(bank=str(path)), writes=2)) as bank:
        assert bank.format == 1
        assert validate(bank, bank.context).exit_code() == 0
        assert status(bank).as_dict()["changes"] == [{"path": "state/new.json", "change": "new"}]
        assert [one["op"] for one in log(bank)]  # type: ignore[union-attr]
        assert prove(bank).ok
        assert restore(bank, to=str(tmp_path / "out")).files == len(before) - 1
        for write in (lambda: backup(bank), lambda: bank.commit([]), lambda: bank.record_gap({})):
            with pytest.raises(FormatMismatch) as caught:
                write()
            assert caught.value.exit_code == 14
            assert "memorybank migrate" in caught.value.hint
        put(path / "state/bad.json", b'{"a": 1}\0')
        with pytest.raises(FormatMismatch):
            repair(bank)
    (path / "state/bad.json").unlink()
    assert contents(path) == before
    with pytest.raises(FormatMismatch, match="this program writes 3"):
        open_bank(Context(bank=str(path)), writes=3)


@pytest.mark.parametrize("number", [0, "1", None])
def test_a_format_that_never_was(path: Path, number: object) -> None:
    document = json.loads((path / layout.BANK).read_bytes())
    (path / layout.BANK).write_text(json.dumps({**document, "format": number}))
    with pytest.raises(FormatMismatch):
        migrate(Context(bank=str(path)))


def test_a_newer_bank(run: Run, path: Path) -> None:
    document = json.loads((path / layout.BANK).read_bytes())
    (path / layout.BANK).write_text(json.dumps({**document, "format": 7}))
    for command in ("migrate", "status", "validate", "backup"):
        done = run(command, "--bank", path, "--json")
        assert (done.returncode, done.error["code"]) == (14, "format_mismatch")
        assert "newer memorybank" in done.error["hint"]


def test_what_does_not_go_together(path: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--as goes with --from"):
        migrate(Context(bank=str(path)), as_="plain_json")
    with pytest.raises(UsageError, match="--to does not go with --from"):
        migrate(Context(bank=str(path)), from_=str(tmp_path), to=1)


def test_a_format_beyond_the_steps(path: Path) -> None:
    brought(path, step())
    with pytest.raises(FormatMismatch, match="format 2, this program writes 1"):
        brought(path)


def test_somebody_has_to_say_yes(path: Path) -> None:
    with pytest.raises(UsageError, match="nobody to ask"):
        bring_up_to_date(Context(bank=str(path)), str(path), None, False, False, (step(),))
    assert form(path) == 1


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.no_cover
def test_a_kill_at_any_step_leaves_the_old_format_or_the_new(path: Path, home: Path, tmp_path: Path) -> None:
    (path / "trades/late.json").write_bytes((path / "trades/trade_1.json").read_bytes())
    places = {path: tmp_path / "store/bank", home: tmp_path / "store/home"}
    for place, copy in places.items():
        shutil.copytree(place, copy)
    before = {name: data for name, data in contents(path).items() if name != layout.README}
    outcomes: list[int] = []

    def kill(number: int) -> bool:
        """Kill it there, look at what the next opening makes of it, do it again; whether it got that far."""
        reached = killed(lambda: brought(path, step()), number)
        with closing(open_bank(Context(bank=str(path)), writes=2)) as bank:
            outcomes.append(bank.format)
        assert is_whole(path, 2) if outcomes[-1] == 2 else prove_old(path)
        found = {name: data for name, data in contents(path).items() if name != layout.README and ".mb-" not in name}
        if outcomes[-1] == 1:
            assert found == before
        else:
            assert (found["state/state.json"], found[ADDED]) == (NEW, b"two")
            assert "trades/trade_0.json" not in found
        brought(path, step())
        assert form(path) == 2
        put_back(places)
        return reached

    number = 1
    while kill(number):
        number += 13
    for last in range(number - 12, number):  # the end is near: each step of it
        kill(last)
    assert number > 100
    assert set(outcomes) == {1, 2}


def prove_old(path: Path) -> bool:
    """The old program opens it too."""
    with opened(path) as bank:
        return prove(bank).ok and not os.listdir(path / layout.SCRATCH)
