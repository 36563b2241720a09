"""Accepting and rolling back from the live view: what is called for a finding, what is asked, and what comes of it."""

from __future__ import annotations

import os
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import Refused
from memorybank_cli.base.records import QUIET
from memorybank_cli.cli.live.actions import Actions, rollback_options
from tests.conftest import MakeBank, trade
from tests.operations.banks import backed_up, put, rules

PATIENCE = 30.0


def finding(path: str = "", hint: str = "") -> dict[str, Any]:
    return {"rule": "MB113", "path": path, "hint": hint}


@pytest.mark.parametrize(
    ("path", "hint", "options"),
    [
        ("trades/a.json", "", {"path": ("trades/a.json",)}),
        ("trades/a b.json", "memorybank rollback --path 'trades/a b.json'", {"path": ("trades/a b.json",)}),
        ("trades/a.json", "memorybank accept trades/a.json; memorybank rollback", {"path": ("trades/a.json",)}),
        ("", "memorybank rollback --at 2026-11-20T14:00:00Z --dry-run", {"at": "2026-11-20T14:00:00Z"}),
        ("trades", "memorybank rollback --at 2h --path trades --dry-run", {"at": "2h", "path": ("trades",)}),
        ("", "memorybank rollback --seq 12", {"seq": 12}),
        ("account_a/x.json", "memorybank rollback --account a for an older state", {"account": "a"}),
    ],
)
def test_what_a_rollback_is_called_with(path: str, hint: str, options: dict[str, Any]) -> None:
    assert rollback_options(finding(path, hint)) == options


def test_what_names_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no file and no time"):
        rollback_options(finding(hint="memorybank backup"))
    with pytest.raises(Refused, match="about the whole bank"):
        Desk(tmp_path).actions.accept(finding(hint="memorybank backup"))


class Desk:
    """Actions on a bank, and what they post."""

    def __init__(self, path: Path) -> None:
        self.posted: SimpleQueue[dict[str, Any]] = SimpleQueue()
        self.actions = Actions(Context(bank=str(path)), str(path), self.posted.put, QUIET)

    def next(self, kind: str) -> dict[str, Any]:
        line = self.posted.get(timeout=PATIENCE)
        assert line["type"] == kind, line
        return line


def test_accepting_asks_first(make_bank: MakeBank) -> None:
    path = make_bank(2, padded=False)
    put(path / "trades/trade_1.json", trade(9))
    desk = Desk(path)
    desk.actions.accept(finding("trades/trade_1.json"))
    assert desk.next("asked")["text"] == "Accept trades/trade_1.json as it is now?"
    assert desk.actions.running
    desk.actions.answer(False)
    assert desk.next("done") == {"type": "done", "text": "nothing was changed", "trouble": False}
    assert rules(path) == {"trades/trade_1.json": "MB113"}
    desk.actions.close()
    assert not desk.actions.running


def test_paths_are_those_of_the_bank_wherever_one_stands(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_bank(2, padded=False)
    odd = path / "state/it's \\x.json"
    put(odd, {"a": 1})
    backed_up(path)
    odd.unlink()
    put(path / "trades/trade_1.json", trade(9))
    desk = Desk(path)
    with monkeypatch.context() as here:
        here.chdir(path / "trades")
        desk.actions.accept(finding("trades/trade_1.json"))
        desk.next("asked")
        desk.actions.answer(True)
        assert desk.next("done")["text"] == "1 change accepted"
        desk.actions.roll_back(finding("state/it's \\\\x.json"))
        assert desk.next("page")["title"] == "What would change"
        desk.next("asked")
        desk.actions.answer(True)
        assert desk.next("done")["text"].startswith("1 file restored")
        desk.actions.close()
    assert odd.exists()


def test_the_end_is_a_no(make_bank: MakeBank) -> None:
    path = make_bank(2, padded=False)
    put(path / "trades/trade_1.json", trade(9))
    desk = Desk(path)
    desk.actions.accept(finding("trades/trade_1.json"))
    desk.next("asked")
    desk.actions.close()
    assert desk.next("done")["text"] == "nothing was changed"
    assert rules(path) == {"trades/trade_1.json": "MB113"}


def test_a_failure_of_the_system_is_told(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, os.strerror(28), "/bank/x")

    path = make_bank(2, padded=False)
    monkeypatch.setattr("memorybank_cli.operations.rollback.rollback", fail)
    desk = Desk(path)
    desk.actions.roll_back(finding("trades/trade_1.json"))
    done = desk.next("done")
    assert done["trouble"]
    assert "the disk is full" in done["text"]
    desk.actions.close()


def test_a_crash_is_reported_and_told(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    path = make_bank(2, padded=False)
    monkeypatch.setattr("memorybank_cli.operations.rollback.rollback", fail)
    desk = Desk(path)
    desk.actions.roll_back(finding("trades/trade_1.json"))
    done = desk.next("done")
    assert (done["trouble"], done["text"].partition(";")[0]) == (True, "an internal error")
    [report] = home.rglob("crash-*.txt")
    assert "ZeroDivisionError" in report.read_text()
    desk.actions.close()


def test_a_passphrase_is_asked_for(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.actions.answer("a secret")
    assert desk.actions.context.ask_secret("Passphrase") == "a secret"
    assert desk.next("asked") == {"type": "asked", "text": "Passphrase", "secret": True}
    desk.actions.answer("")
    with pytest.raises(Refused, match="no passphrase"):
        desk.actions.context.ask_secret("Passphrase")
