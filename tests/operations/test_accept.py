"""`accept`: an outside change is recorded as wanted; a damaged file never is."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from memorybank_cli.base.errors import NotFound, Refused, UsageError
from memorybank_cli.base.records import Progress
from memorybank_cli.operations.accept import AcceptReport, accept
from tests.conftest import MakeBank, Run, trade
from tests.operations.banks import journal, opened, put, rules


def accepted(path: Path, *paths: str, reason: str = "") -> AcceptReport:
    with opened(path) as bank:
        return accept(bank, *paths, reason=reason)


def lines(path: Path, op: str = "file.accepted") -> list[str]:
    return [row[0] for core in journal(path) if core["op"] == op for row in core["files"]]


def test_a_changed_append_file(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(3, padded=False)
    put(path / "trades/trade_1.json", trade(7))
    put(path / "trades/trade_2.json", trade(8))
    done = run("accept", "trades/trade_1.json", "--reason", "corrected the fee", "--bank", path, "--json")
    assert done.returncode == 0
    assert done.json["accepted"] == ["trades/trade_1.json"]
    assert rules(path) == {"trades/trade_2.json": "MB113"}
    [core] = [one for one in journal(path) if one["op"] == "file.accepted"]
    assert core["reason"] == "corrected the fee"
    assert run("log", "--verify", "--bank", path).returncode == 0


def test_a_managed_file_and_one_that_appeared(make_bank: MakeBank) -> None:
    path = make_bank(0, padded=False)
    put(path / "config/memorybank.json", {"lock_timeout": 5})
    put(path / "account_x/short_term.json", {"messages": []})
    assert set(rules(path)) == {"config/memorybank.json", "account_x/short_term.json"}
    assert accepted(path, "config", "account_x").accepted == ("account_x/short_term.json", "config/memorybank.json")
    assert rules(path) == {}


def test_a_file_that_was_removed(make_bank: MakeBank) -> None:
    path = make_bank(3, padded=False)
    (path / "trades/trade_1.json").unlink()
    assert rules(path) == {"trades/trade_1.json": "MB111"}
    assert accepted(path, "trades/trade_1.json").accepted == ("trades/trade_1.json",)
    assert rules(path) == {}


@pytest.mark.parametrize("asked", ["trades", "trades/old", "."])
def test_a_directory_that_was_removed(make_bank: MakeBank, asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_bank(0, padded=False)
    put(path / "trades/old/a.json", trade(1))
    put(path / "trades/old/b.json", trade(2))
    accepted(path, ".")
    for one in (path / "trades/old").iterdir():
        one.unlink()
    (path / "trades/old").rmdir()
    monkeypatch.chdir(path)
    assert accepted(path, asked).accepted == ("trades/old/a.json", "trades/old/b.json")
    assert rules(path) == {}


def test_what_agents_may_change_is_accepted_by_name(make_bank: MakeBank) -> None:
    path = make_bank(0, padded=False)
    put(path / "metrics/metrics.json", {"gas_price": 36})
    (path / "state/state.json").unlink()
    assert accepted(path, "state", "metrics", reason="cleaned up").accepted == (
        "metrics/metrics.json",
        "state/state.json",
    )
    assert sorted(lines(path)) == ["metrics/metrics.json", "state/state.json"]
    assert "state/state.json" not in lines(path, "file.removed")


def test_everything_else_is_adopted_by_policy(make_bank: MakeBank) -> None:
    path = make_bank(1, padded=False)
    put(path / "trades/trade_0.json", trade(7))
    put(path / "metrics/metrics.json", {"gas_price": 36})
    assert accepted(path, "trades").accepted == ("trades/trade_0.json",)
    assert lines(path) == ["trades/trade_0.json"]
    assert "metrics/metrics.json" in lines(path, "file.adopted")


def test_a_damaged_file_is_refused(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(1)
    put(path / "trades/trade_0.json", b'{"timestamp": 1')
    before = len(journal(path))
    done = run("accept", "trades/trade_0.json", "--bank", path, "--json")
    assert (done.returncode, done.error["code"]) == (13, "refused")
    assert done.error["hint"] == f"memorybank repair --bank {path} trades/trade_0.json"
    with pytest.raises(Refused):
        accepted(path, "trades/recent_trades.json")
    assert len(journal(path)) == before
    assert rules(path)["trades/trade_0.json"] == "MB103"


def test_of_a_directory_the_damaged_ones_stay_findings(make_bank: MakeBank) -> None:
    path = make_bank(2)
    put(path / "trades/trade_0.json", trade(7))
    report = accepted(path, "trades")
    assert report == AcceptReport(("trades/trade_0.json",), ("trades/recent_trades.json",))
    assert report.summary() == "1 change accepted; 1 damaged ones stay findings: memorybank repair"
    assert accepted(path, "trades").summary().startswith("Nothing had changed; 1 damaged")


def test_nothing_had_changed(make_bank: MakeBank) -> None:
    path = make_bank(1, padded=False)
    before = journal(path)
    assert accepted(path, ".").summary() == "Nothing had changed."
    assert journal(path) == before


def test_which_files(make_bank: MakeBank) -> None:
    path = make_bank(1)
    with pytest.raises(UsageError, match="which files"):
        accepted(path)
    with pytest.raises(NotFound):
        accepted(path, "trades/never.json")


def test_before_there_is_a_baseline(make_bank: MakeBank) -> None:
    path = make_bank(1, padded=False)
    shutil.rmtree(path / ".memorybank")
    shutil.rmtree(os.environ["MEMORYBANK_STATE_HOME"])
    assert accepted(path, "trades").accepted == ()
    assert rules(path) == {}


def test_an_accepted_config_loosens_nothing(make_bank: MakeBank) -> None:
    path = make_bank(1, padded=False)
    put(path / "config/memorybank.json", {"exclude": ["trades/*"]})
    notes: list[str] = []

    class Notes(Progress):
        def note(self, text: str) -> None:
            notes.append(text)

    with opened(path, progress=Notes()) as bank:
        accept(bank, "config/memorybank.json")
    assert notes == ["some settings in the config stay without effect until: memorybank config trust"]
    with opened(path) as bank:
        assert bank.settings["exclude"] == ()
    assert rules(path) == {}


def test_a_config_that_does_not_fit_is_recorded_and_told(make_bank: MakeBank) -> None:
    path = make_bank(0, padded=False)
    put(path / "config/aggregates.json", {"aggregates": [{"at": 1}]})
    report = accepted(path, "config/aggregates.json")
    assert report.accepted == ("config/aggregates.json",)
    assert {(one.rule, one.path) for one in report.findings} == {("MB201", "config/aggregates.json")}
    assert "config/aggregates.json does not fit its schema" in report.summary()
    put(path / "config/aggregates.json", {"aggregates": []})
    report = accepted(path, "config/aggregates.json")
    assert (report.findings, report.summary()) == ((), "1 change accepted")
