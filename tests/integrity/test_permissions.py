"""Modes against what was recorded, owners against the bank's, groups against what was first seen."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from memorybank_cli.bank.events import EventStore
from memorybank_cli.bank.scan import Scanner
from memorybank_cli.base.context import Context
from memorybank_cli.base.records import Finding
from memorybank_cli.integrity import permissions
from memorybank_cli.integrity.permissions import Permissions
from memorybank_cli.operations.accept import accept
from memorybank_cli.operations.init import init
from tests.conftest import MakeBank, trade, write_json
from tests.operations.banks import opened

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
OTHER = 12_345


class Monitor:
    """A monitor of one bank that goes on from look to look."""

    def __init__(self, path: Path, one: Permissions) -> None:
        self.path, self.one = path, one

    def look(self) -> dict[str, str]:
        """By path the rule, after a look at everything."""
        Scanner(self.one.bank, look=self.one.hear).run()
        return {finding.path: finding.rule for finding in self.one.findings()}

    def some(self, *paths: str) -> list[Finding]:
        Scanner(self.one.bank).run_on(paths)
        return self.one.of(paths)


@contextmanager
def monitored(path: Path, keep: bool = True) -> Iterator[Monitor]:
    with opened(path) as bank, closing(EventStore(bank.root)) as store:
        yield Monitor(path, Permissions(bank, store, keep))


@pytest.fixture
def monitor(make_bank: MakeBank) -> Iterator[Monitor]:
    path = make_bank(15, padded=False)
    with monitored(path) as one:
        assert one.look() == {}
        yield one


def test_a_mode_that_allows_more_is_found_with_its_cure(monitor: Monitor) -> None:
    target = monitor.path / "trades/trade_1.json"
    target.chmod(0o644)
    [found] = monitor.some("trades/trade_1.json")
    assert (found.rule, found.severity) == ("MB308", "warning")
    assert found.message == "the mode was 0600 and is 0644"
    assert monitor.look() == {"trades/trade_1.json": "MB308"}
    command, _, _ = found.hint.partition(", or")
    subprocess.run(shlex.split(command), check=True)
    assert monitor.some("trades/trade_1.json") == []
    assert monitor.look() == {}


@pytest.mark.parametrize("mode", [0o400, 0o700, 0o600])
def test_what_allows_nobody_else_anything_is_none(monitor: Monitor, mode: int) -> None:
    (monitor.path / "trades/trade_1.json").chmod(mode)
    assert monitor.look() == {}


@pytest.mark.parametrize("mode", [0o4600, 0o2600, 0o1600, 0o610, 0o602])
def test_what_allows_others_anything_is_found(monitor: Monitor, mode: int) -> None:
    (monitor.path / "trades/trade_1.json").chmod(mode)
    assert monitor.look() == {"trades/trade_1.json": "MB308"}


def test_a_mode_that_is_accepted_is_what_was_recorded(monitor: Monitor) -> None:
    (monitor.path / "trades/trade_1.json").chmod(0o644)
    (monitor.path / "state/state.json").chmod(0o644)
    assert set(monitor.look()) == {"trades/trade_1.json", "state/state.json"}
    with opened(monitor.path) as bank:
        assert accept(bank, "trades").accepted == ("trades/trade_1.json",)
    monitor.one.bank.refresh()
    assert set(monitor.look()) == {"state/state.json"}


def test_new_content_with_another_mode_is_no_change_of_permissions(monitor: Monitor) -> None:
    target = monitor.path / "state/state.json"
    write_json(target, {"bot_status": "stopped", "last_update": "2025-04-08T01:00:35Z"})
    target.chmod(0o644)
    assert monitor.some("state/state.json") == []
    assert monitor.look() == {}


def test_many_of_one_directory_are_one_finding(monitor: Monitor) -> None:
    for number in range(12):
        (monitor.path / f"trades/trade_{number}.json").chmod(0o666)
    (monitor.path / "metrics/metrics.json").chmod(0o666)
    assert monitor.look() == {"trades": "MB308", "metrics/metrics.json": "MB308"}
    [found] = [one for one in monitor.one.findings() if one.path == "trades"]
    assert found.message.startswith("12 files in here; of trades/trade_0.json: the mode was 0600")


@root_only
def test_an_owner_that_is_not_the_banks(monitor: Monitor) -> None:
    os.chown(monitor.path / "trades/trade_1.json", OTHER, -1)
    os.chown(monitor.path / "state", OTHER, -1)
    assert monitor.look() == {"trades/trade_1.json": "MB304", "state": "MB304"}
    [found] = monitor.some("trades/trade_1.json")
    assert f"belongs to {OTHER}" in found.message
    os.chown(monitor.path / "trades/trade_1.json", 0, -1)
    os.chown(monitor.path / "state", 0, -1)
    assert monitor.look() == {}


@root_only
def test_a_group_that_no_file_of_the_directory_had(monitor: Monitor) -> None:
    target = monitor.path / "trades/trade_1.json"
    os.chown(target, -1, OTHER)
    [found] = monitor.some("trades/trade_1.json")
    assert found.rule == "MB309"
    assert monitor.look() == {"trades/trade_1.json": "MB309"}
    assert monitor.look() == {"trades/trade_1.json": "MB309"}
    os.chown(target, -1, 0)
    assert monitor.look() == {}


@root_only
def test_groups_that_were_there_first_are_usual_also_for_the_next_watch(make_bank: MakeBank) -> None:
    path = make_bank(2, padded=False)
    os.chown(path / "trades/trade_0.json", -1, OTHER)
    with monitored(path) as one:
        assert one.look() == {}
    with monitored(path) as one:
        os.chown(path / "trades/trade_1.json", -1, OTHER)
        assert one.look() == {}
        os.chown(path / "trades/trade_1.json", -1, OTHER + 1)
        assert one.look() == {"trades/trade_1.json": "MB309"}
        write_json(path / "trades/new.json", trade(9))
        assert one.look() == {"trades/trade_1.json": "MB309"}
        with opened(path) as bank:
            accept(bank, "trades/trade_1.json")
    with monitored(path) as one:
        assert one.look() == {}


@root_only
def test_a_check_that_keeps_nothing(make_bank: MakeBank) -> None:
    path = make_bank(2, padded=False)
    with monitored(path, keep=False) as one:
        assert one.look() == {}
        assert one.one.store.db.execute("SELECT count(*) FROM ownership").fetchone()[0] == 0


@root_only
def test_in_a_groups_bank_the_group_may(tmp_path: Path) -> None:
    path = tmp_path / "shared"
    write_json(path / "trades/a.json", trade(1))
    init(Context(bank=str(path)), group="daemon")
    with monitored(path) as one:
        assert one.look() == {}
        os.chown(path / "trades/a.json", OTHER, OTHER)
        (path / "trades/a.json").chmod(0o660)
        assert one.look() == {}
        assert one.some("trades/a.json") == []
        (path / "trades/a.json").chmod(0o666)
        assert one.look() == {"trades/a.json": "MB308"}


def test_names_of_users_and_groups() -> None:
    assert permissions.user(0) == "root"
    assert permissions.user(999_999) == "999999"
    assert permissions.group(999_999) == "999999"
    assert permissions.group(0)
