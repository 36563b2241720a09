"""The health of accounts: each part as spec 002 has it, the samples, and each threshold from both sides."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli import open_bank
from memorybank_cli.accounts import conditions
from memorybank_cli.accounts.messages import Message
from memorybank_cli.accounts.replay import not_whole
from memorybank_cli.bank.bank import Bank
from memorybank_cli.base import clock
from memorybank_cli.base.settings import BY_NAME
from memorybank_cli.health.responses import measured
from memorybank_cli.operations import memory_health
from memorybank_cli.operations.health import HealthReport, health
from memorybank_cli.operations.memory_health import ENOUGH, messages_per_day
from memorybank_cli.operations.messages import store
from tests.accounts.sealed import say_and_die
from tests.conftest import MakeBank, Run
from tests.operations.banks import backed_up, opened, repaired
from tests.operations.here import run

__all__ = ("run",)  # a fixture

TIERS = ["short_term", "mid_term", "whole_history", "history_context"]


@pytest.fixture
def path(make_bank: MakeBank) -> Path:
    """A bank with the accounts a, which has 60 messages, and b, which has none."""
    made = make_bank(0, padded=False)
    with open_bank(made) as bank:
        bank.create_account("b")
        bank.create_account("a").add_many({"role": "user", "content": f"text {number}"} for number in range(60))
    backed_up(made)
    return made


def report(path: Path) -> HealthReport:
    with opened(path) as bank:
        found = health(bank)
    assert isinstance(found, HealthReport)
    return found


def found(path: Path) -> dict[str, str]:
    """Rules of the family and their messages."""
    return {one.rule: one.message for one in report(path).findings if one.rule.startswith("MB50")}


def test_each_part_of_each_account(path: Path, run: Run) -> None:
    done = run("health", "--json", "--bank", path)
    assert done.returncode == 0
    parts = {(one["account"], one["component"]): one for one in done.json["memory"]}
    assert list(parts) == [(account, tier) for account in "ab" for tier in TIERS]
    assert parts["a", "short_term"]["status"] == parts["a", "whole_history"]["status"] == "active"
    assert parts["b", "short_term"]["status"] == "initializing"
    counts = [parts["a", tier]["message_count"] for tier in TIERS[:3]]
    assert counts == [50, 10, 60]
    for (account, tier), one in parts.items():
        assert one["issues"] == []
        assert one["storage_bytes"] == (path / f"account_{account}/{tier}.json").stat().st_size
        assert datetime.fromisoformat(one["last_check"]) <= datetime.now(UTC)
    assert (
        parts["a", "short_term"]["last_update"]
        == json.loads((path / "account_a/short_term.json").read_bytes())["status"]["last_update"]
    )


def test_samples(path: Path) -> None:
    samples = report(path).samples
    assert (samples["accounts"], samples["messages"], samples["failing_components"]) == (2, 60, 0)
    sizes = (path / f"account_{account}/{tier}.json" for account in "ab" for tier in TIERS)
    assert samples["account_storage_bytes"] == sum(one.stat().st_size for one in sizes)
    assert samples["messages_per_day"] == 60
    assert samples["write_error_rate"] == 0
    assert 0 < samples["write_p50_seconds"] <= samples["write_p95_seconds"] < 60


def test_a_failing_part_is_told_once(path: Path) -> None:
    (path / "account_a/mid_term.json").write_bytes(b"{")
    done = report(path)
    [part] = [one for one in done.memory if one.status == "failing"]
    assert (part.account, part.component) == ("a", "mid_term")
    assert part.issues[0].startswith("account_a/mid_term.json is damaged")
    assert {one.rule for one in done.findings} == {"MB103"}
    assert done.samples["failing_components"] == 1
    repaired(path)
    assert report(path).samples["failing_components"] == 0


def test_where_files_are_as_recorded_the_journal_is_not_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To read it for each of many accounts made a look at their health take seconds."""

    def told(bank: Bank) -> list[tuple[Any, ...]]:
        return [(*one[:4], one.issues) for account in "ab" for one in conditions.conditions(bank, account)]

    with opened(path) as bank:
        with monkeypatch.context() as patch:
            patch.setattr(conditions, "_as_recorded", lambda *_: None)
            expected = told(bank)
        with monkeypatch.context() as patch:
            patch.setattr(conditions, "read_history", lambda *_, **__: pytest.fail("the journal is read"))
            assert told(bank) == expected
    (path / "account_a/whole_history.json").write_bytes(b"{}")  # what it tells is not what was recorded
    with opened(path) as bank:
        assert [one[:4] for one in told(bank)[:2]] == [one[:4] for one in expected[:2]]


def test_a_history_that_cannot_be_had_is_a_finding_of_its_own(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(*_: Any, **__: Any) -> None:
        raise not_whole("a")

    monkeypatch.setattr(conditions, "_as_recorded", lambda *_: None)
    monkeypatch.setattr(conditions, "read_history", damaged)
    done = report(path)
    assert [one.status for one in done.memory] == ["failing"] * 8
    [one, _] = [one for one in done.findings if one.rule == "MB506"]
    assert one.path == "account_a"
    assert one.message.startswith("short_term, mid_term, whole_history, history_context of this account are failing: ")
    assert done.exit_code() == 1


def test_a_catalog_that_cannot_be_kept(path: Path) -> None:
    with opened(path) as bank:
        bank.catalog.in_memory = True
        done = health(bank)
        bank.catalog.in_memory = False
    assert isinstance(done, HealthReport)
    [one] = [one for one in done.findings if one.rule == "MB506"]
    assert (one.severity, one.path) == ("warning", ".memorybank")


# Thresholds


def set_to(monkeypatch: pytest.MonkeyPatch, **settings: object) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(BY_NAME[f"health.{name}"].variable, str(value))


def test_capacity(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_to(monkeypatch, account_mib=1)
    assert found(path) == {}
    with open_bank(path) as bank:
        bank.account("a").add_many({"role": "user", "content": "x" * 400_000} for _ in range(2))
    assert found(path) == {"MB503": "1.5 MiB of 1 MiB"}
    set_to(monkeypatch, account_mib=0)
    assert found(path) == {}


def calls(path: Path, good: int, bad: int = 0) -> None:
    @measured("read")
    def call(_bank: object, fails: bool) -> None:
        if fails:
            raise OSError

    with opened(path) as bank:
        for number in range(good + bad):
            try:
                call(bank, number >= good)
            except OSError:
                continue


def test_slow_calls(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_to(monkeypatch, response_ms=1)
    with opened(path) as bank, bank.catalog.writing():
        slow = [2_000_000] * (ENOUGH - 1)
        bank.catalog.set_meta("responses", {"read": {"calls": slow, "last": "2026-11-20T14:00:00.000000Z"}})
    assert "MB504" not in found(path)
    calls(path, 1)
    assert found(path) == {"MB504": "one in twenty of the last 20 reads of messages took 2.00 s or longer"}
    set_to(monkeypatch, response_ms=3_000)
    assert found(path) == {}
    set_to(monkeypatch, response_ms=0)
    assert found(path) == {}


@pytest.mark.parametrize(
    ("last", "told"), [(timedelta(hours=23), True), (timedelta(hours=25), False), ("yesterday", False), (None, False)]
)
def test_calls_of_last_month_say_nothing_of_now(path: Path, last: timedelta | str | None, told: bool) -> None:
    moment = clock.show(datetime.now(UTC) - last) if isinstance(last, timedelta) else last
    with opened(path) as bank, bank.catalog.writing():
        bank.catalog.set_meta("responses", {"read": {"calls": [-1] * ENOUGH, "last": moment}})
    done = report(path)
    assert ("MB504" in {one.rule for one in done.findings}) == told
    assert ("read_error_rate" in done.samples) == told


def test_calls_that_fail(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls(path, 19)
    assert found(path) == {}
    calls(path, 0, 1)
    assert found(path) == {}  # 5 % may
    calls(path, 0, 1)
    assert found(path) == {"MB504": "10% of the last 21 reads of messages failed"}
    assert report(path).samples["read_error_rate"] == 0.095
    set_to(monkeypatch, error_rate=0)
    assert found(path) == {}


def test_files_behind_the_journal(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_to(monkeypatch, lag_seconds=0.000_001)
    assert found(path) == {}
    say_and_die(path, 3)
    message = found(path)["MB505"]
    assert message.startswith("its files are ")
    assert "behind the journal, from line " in message
    assert found(path) == {}  # the look before rendered them at its end
    say_and_die(path, 3, 5)
    set_to(monkeypatch, lag_seconds=3_600)
    assert found(path) == {}


def test_messages_per_day(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime.now(UTC)

    def rate() -> float:
        with opened(path) as bank:
            return messages_per_day(bank)

    def said(number: int, age: timedelta, first: timedelta = timedelta(0)) -> None:
        """Messages that came one by one, the last of them so long ago, the first so much before that."""
        with opened(path) as bank:
            for one in range(number):
                moment = now - age - first * (1 - one / number)
                monkeypatch.setattr(clock, "now", lambda moment=moment: clock.show(moment))
                store(bank, "b", [Message("user", "x", timestamp="2020-01-01T00:00:00Z", id=f"{age}{one}")])
        monkeypatch.undo()

    assert rate() == 60  # by when they came, whatever time they say themselves
    hour = timedelta(hours=1)
    monkeypatch.setattr(memory_health, "LINES", 0)
    assert rate() == 0
    monkeypatch.undo()
    said(40, 2 * hour, 2 * hour)
    assert rate() == 100
    monkeypatch.setattr(memory_health, "LINES", 40)
    assert rate() == pytest.approx(39 * 6, abs=12)  # about forty in four hours


# For people and other programs


def test_what_people_and_programs_see(path: Path, run: Run) -> None:
    (path / "account_a/mid_term.json").unlink()
    shown = run("health", "--bank", path).stdout
    assert "a        short_term       active" in shown
    assert "a        mid_term         failing" in shown
    text = run("health", "--format", "prometheus", "--bank", path).stdout
    assert f'memorybank_component_up{{bank="{path}",account="a",component="mid_term"}} 0\n' in text
    assert f'memorybank_component_up{{bank="{path}",account="b",component="mid_term"}} 1\n' in text
    assert f'memorybank_messages{{bank="{path}"}} 60\n' in text


def test_of_many_accounts_people_see_those_that_fail(path: Path, run: Run) -> None:
    with open_bank(path) as bank:
        for number in range(5):
            bank.create_account(f"c{number}")
    (path / "account_c3/mid_term.json").unlink()
    shown = run("health", "--bank", path).stdout
    assert "c3       mid_term" in shown
    assert "short_term" not in shown
    assert "27 more parts of accounts: --json tells of each" in shown


def test_a_line_of_which_the_time_rotted_counts_for_nothing(path: Path) -> None:
    with opened(path) as bank:
        before = messages_per_day(bank)
    (segment,) = (path / ".memorybank/journal").glob("*.jsonl")
    data = segment.read_bytes()
    at = data.rindex(b'"ts":"', 0, data.index(b"\n", data.index(b'"kind":"message"'))) + len(b'"ts":"')
    segment.write_bytes(data[:at] + b"x" + data[at + 1 :])
    with opened(path) as bank:
        assert messages_per_day(bank) < before
