"""Undoing a rollback: exactly the bytes that it replaced, where nothing was changed since."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.accounts.messages import Message
from memorybank_cli.bank.bank import Bank
from memorybank_cli.base.errors import NotFound, UsageError
from memorybank_cli.cli.views.streams import event
from memorybank_cli.operations import rollback as module
from memorybank_cli.operations.accounts import create_account
from memorybank_cli.operations.journal import log
from memorybank_cli.operations.messages import list_, store
from memorybank_cli.operations.rollback import RollbackReport, rollback
from tests.conftest import MakeBank, trade
from tests.operations.banks import adopt, backed_up, contents, journal, opened, put, rules

BROKEN = b'{"timestamp" "2025"}'
STATE = "state/state.json"


@pytest.fixture
def bank(make_bank: MakeBank) -> Path:
    return make_bank(padded=False)


def back(bank: Path, **options: Any) -> RollbackReport:
    with opened(bank) as one:
        return rollback(one, **{"yes": True, **options})


def undo(bank: Path, **options: Any) -> RollbackReport:
    return back(bank, undo=True, **options)


def say(bank: Path, *numbers: int) -> None:
    with opened(bank) as one:
        create_account(one, "a")
        store(one, "a", [Message("user", f"text {number}", id=f"m{number}") for number in numbers])


def said(bank: Path) -> list[str]:
    with opened(bank) as one:
        return [message["id"] for message in list_(one, account="a")]


def spoiled(bank: Path) -> dict[str, bytes]:
    """Something of everything: changed, damaged, removed, new, large, with odd modes; what is there then."""
    put(bank / STATE, {"bot_status": "stopped"})
    (bank / STATE).chmod(0o640)
    put(bank / "trades/trade_0.json", {**trade(0), "success": False})
    put(bank / "trades/trade_1.json", BROKEN)
    (bank / "trades/trade_2.json").unlink()
    put(bank / "trades/trade_9.json", trade(9))
    put(bank / "docs/new/note.md", os.urandom(100_000))
    put(bank / "metrics/huge.json", {"noise": os.urandom(2_500_000).hex()})
    (bank / "metrics/metrics.json").write_bytes(b"\0" * 100)
    return contents(bank)


def test_it_puts_back_exactly_what_was_replaced(bank: Path) -> None:
    say(bank, 1, 2)
    before = contents(bank)
    backed_up(bank)
    say(bank, 3)
    found = spoiled(bank)
    modes = {name: ((bank / name).stat().st_mode, (bank / name).stat().st_mtime_ns) for name in found}
    wrong = rules(bank)
    back(bank)
    assert contents(bank) == before
    report = undo(bank)
    assert contents(bank) == found
    assert (report.findings, report.left) == ((), ())
    assert {name: ((bank / name).stat().st_mode, (bank / name).stat().st_mtime_ns) for name in report.restored} == {
        name: modes[name] for name in report.restored
    }
    assert said(bank) == ["m1", "m2", "m3"]
    damaged = ("trades/trade_1.json", "metrics/metrics.json")
    assert {name: rule for name, rule in wrong.items() if name in damaged} == {
        name: rule for name, rule in rules(bank).items() if name in damaged
    }
    undo(bank)
    assert contents(bank) == before
    assert said(bank) == ["m1", "m2"]
    undo(bank)
    assert contents(bank) == found
    with opened(bank) as one:
        assert store(one, "a", [Message("user", "text", id=f"m{n}") for n in (1, 2, 3, 4)]).added == 1


def test_what_was_changed_since_is_named_and_left(bank: Path) -> None:
    say(bank, 1)
    backed_up(bank)
    put(bank / STATE, {"bot_status": "stopped"})
    put(bank / "metrics/metrics.json", {"gas_price": 1})
    say(bank, 2)
    found = contents(bank)
    back(bank)
    say(bank, 7)
    since = put(bank / STATE, {"bot_status": "since"})
    report = undo(bank)
    assert report.restored == ("metrics/metrics.json",)
    assert STATE in report.left
    assert "account_a/whole_history.json" in report.left
    assert report.exit_code() == 1
    assert (bank / STATE).read_bytes() == since
    assert (bank / "metrics/metrics.json").read_bytes() == found["metrics/metrics.json"]
    assert said(bank) == ["m1", "m7"]


def test_of_one_file_only(bank: Path) -> None:
    backed_up(bank)
    put(bank / STATE, {"bot_status": "stopped"})
    put(bank / "metrics/metrics.json", {"gas_price": 1})
    back(bank)
    assert undo(bank, path=(STATE,)).restored == (STATE,)


def test_without_a_rollback_or_with_a_record(bank: Path) -> None:
    with pytest.raises(NotFound, match="no rollback to undo"):
        undo(bank)
    with pytest.raises(UsageError):
        undo(bank, record=("t1",))


def test_what_is_kept_nowhere_any_more_is_named(bank: Path, home: Path) -> None:
    backed_up(bank)
    put(bank / "docs/note.md", os.urandom(100_000))
    back(bank)
    for pack in home.rglob("packs/*/*"):
        pack.unlink()
    for cache in home.rglob("index/*"):
        cache.unlink()
    with opened(bank) as one:
        report = rollback(one, undo=True, dry_run=True)
    assert [(one.rule, one.path) for one in report.findings] == [("MB131", "docs/note.md")]


def test_what_agents_wrote_between_the_plan_and_the_swap_is_kept_and_named(
    bank: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a watcher adopted it right away, so that it is what the journal says."""
    say(bank, 1)
    before = contents(bank)
    backed_up(bank)
    put(bank / STATE, {"bot_status": "stopped"})
    large = {"bot_status": "theirs", "noise": "n" * 20_000}
    real = module.replace
    written: dict[str, bytes] = {}

    def interfered(one: Bank, *arguments: Any, **fields: Any) -> Any:
        written[STATE] = put(bank / STATE, large)
        written["state/fresh.json"] = put(bank / "state/fresh.json", large)
        adopt(bank)
        say(bank, 2)
        return real(one, *arguments, **fields)

    monkeypatch.setattr(module, "replace", interfered)
    report = back(bank)
    monkeypatch.undo()
    assert (bank / report.kept[STATE]).read_bytes() == written[STATE]
    assert "account_a/whole_history.json" not in report.kept
    assert contents(bank) == {**before, "state/fresh.json": written["state/fresh.json"], **account(bank)}
    undo(bank)
    assert (bank / STATE).read_bytes() == written[STATE]


def account(bank: Path) -> dict[str, bytes]:
    return {name: data for name, data in contents(bank).items() if name.startswith("account_a/")}


def test_a_message_that_came_meanwhile_is_gone_from_the_account_and_undo_brings_it_back(
    bank: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(bank, 1)
    with opened(bank) as one:
        line = one.end.seq
    say(bank, 2)
    real = module.replace

    def interfered(one: Bank, *arguments: Any, **fields: Any) -> Any:
        say(bank, 3)
        return real(one, *arguments, **fields)

    monkeypatch.setattr(module, "replace", interfered)
    report = back(bank, seq=line, account="a")
    monkeypatch.undo()
    assert said(bank) == ["m1"]
    assert "account_a/whole_history.json" in report.kept
    undo(bank)
    assert said(bank) == ["m1", "m2", "m3"]
    assert rules(bank) == {}


def test_a_message_that_came_meanwhile_stays_where_a_single_one_goes(
    bank: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(bank, 1)
    with opened(bank) as one:
        line = one.end.seq
    say(bank, 2)
    real = module.replace

    def interfered(one: Bank, *arguments: Any, **fields: Any) -> Any:
        say(bank, 3)
        return real(one, *arguments, **fields)

    monkeypatch.setattr(module, "replace", interfered)
    back(bank, seq=line, record=("m2",))
    monkeypatch.undo()
    assert said(bank) == ["m1", "m3"]
    undo(bank)
    assert said(bank) == ["m1", "m2", "m3"]


def test_the_journal_tells_it_as_one_act(bank: Path) -> None:
    backed_up(bank)
    put(bank / STATE, {"bot_status": "stopped"})
    first = back(bank)
    undo(bank)
    ends = [line for line in journal(bank) if line["op"] == "restore.end"]
    assert [one["reason"] for one in ends] == ["rollback", "rollback"]
    assert ends[0]["safety"] == first.safety_snapshot
    assert ends[1]["undoes"] == ends[0]["id"]
    with opened(bank) as one:
        told: Any = log(one)
        events = list(told)
    shown = [event(line) for line in events if line["op"].startswith("restore.")]
    assert [" ".join(line.split()[2:6]) for line in shown] == [
        "restore.end (rollback to snapshot)",
        "restore.end (undo to line",
    ]
    assert json.loads((bank / STATE).read_bytes())["bot_status"] == "stopped"
