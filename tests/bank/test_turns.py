"""Going into directories by turns: what is told is what going into all of them tells, but for silent changes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from memorybank_cli.bank import rolling, turns
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.scan import Scan, Scanner
from memorybank_cli.bank.turns import Turns
from tests.conftest import MakeBank, trade
from tests.operations.banks import adopt, opened, put

DAYS = [f"trades/2026/{month:02}/{day:02}" for month in (1, 2) for day in range(1, 11)]


@pytest.fixture
def path(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bank of many directories, of which a look goes into few."""
    monkeypatch.setattr(turns, "AT_ONCE", 10)
    monkeypatch.setattr(rolling, "LEAST", 0)
    monkeypatch.setattr(turns, "_TICK_NS", -(10**12))
    path = make_bank(0)
    for number, day in enumerate(DAYS):
        for one in range(5):
            put(path / day / f"t{number}-{one}.json", trade(10 * number + one))
        os.symlink("nowhere", path / day / "link.json")
    adopt(path)
    for each in path.glob("trades/*/*/*/*.json"):
        if not each.is_symlink():
            os.utime(each, (1_700_000_000, 1_700_000_000))
    return path


def look(bank: Bank, by: Turns | None = None) -> Scan:
    return Scanner(bank, turns=by).run()


def told(scan: Scan) -> tuple[object, ...]:
    found = sorted((one.rule, one.path) for one in scan.findings)
    return (
        found,
        scan.checked,
        scan.records,
        scan.bytes,
        scan.by_section,
        scan.mtimes,
        sorted((one.path, one.pending) for one in scan.changes),
    )


def silently(path: Path) -> None:
    """Change a file as a memory map does, which nobody hears of."""
    with path.open("r+b") as file:
        file.write(b"[")


def test_each_directory_is_gone_into_within_ten_looks_and_the_counts_stay(path: Path) -> None:
    by = Turns()
    with opened(path) as bank:
        look(bank)
        whole = told(look(bank, by))
        assert not by.passed
        silently(path / DAYS[7] / "t7-0.json")
        rounds, found = [], []
        for _ in range(turns.MOST):
            scan = look(bank, by)
            rounds.append(set(by.passed))
            found.append(any(one.rule.startswith("MB1") for one in scan.findings if one.path.endswith("t7-0.json")))
            assert scan.checked == whole[1]
        gone_into = [set(DAYS) - passed for passed in rounds]
        assert set().union(*gone_into) == set(DAYS)
        assert max(map(len, gone_into)) < len(DAYS)
        assert found == sorted(found)  # once it is found it stays so
        assert found[-1]
        assert not found[0] or DAYS[7] in gone_into[0]


def test_what_is_made_removed_or_renamed_in_a_directory_is_found_by_the_next_look(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Turns, "_is_its_turn", lambda *_: False)
    by = Turns()
    with opened(path) as bank:
        look(bank)
        look(bank, by)
        assert told(look(bank, by)) == told(look(bank))
        look(bank, by)
        assert by.passed >= set(DAYS)
        put(path / DAYS[0] / "new.json", trade(1_000))
        os.unlink(path / DAYS[1] / "t1-0.json")
        os.rename(path / DAYS[2] / "t2-0.json", path / DAYS[2] / "other.json")
        (path / DAYS[3] / "inner").mkdir(mode=0o700)
        put(path / DAYS[3] / "inner/t.json", trade(1_001))
        os.unlink(path / DAYS[4] / "link.json")
        scan = look(bank, by)
        assert by.passed.isdisjoint(DAYS[:5])
        assert by.passed >= set(DAYS[5:])
        assert told(scan) == told(look(bank))


def test_a_directory_that_became_a_bank_is_left_to_itself(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Turns, "_is_its_turn", lambda *_: False)
    by = Turns()
    with opened(path) as bank:
        for _ in range(3):
            look(bank, by)
        assert "trades/2026" in by.passed  # it holds directories only
        put(path / "trades/2026/bank.json", {})
        for _ in range(3):
            scan = look(bank, by)
            assert [one.path for one in scan.findings if one.rule == "MB112"] == ["trades/2026"]
            assert by.passed.isdisjoint(DAYS)


def test_somebody_elses_look_at_a_file_counts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Turns, "_is_its_turn", lambda *_: False)
    by, file = Turns(), f"{DAYS[7]}/t7-0.json"
    with opened(path) as bank, opened(path) as other:
        look(bank)
        look(bank, by)
        silently(path / file)
        assert Scanner(other).run_on([file]).findings
        assert file in [one.path for one in look(bank, by).findings if one.rule.startswith("MB10")]


def test_nothing_is_passed_over_by_other_limits_a_full_look_or_what_was_changed_just_now(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Turns, "_is_its_turn", lambda *_: False)
    by = Turns()
    with opened(path) as bank:
        look(bank)
        look(bank, by)
        scanner = Scanner(bank, turns=by)
        scanner.rules = scanner.rules._replace(limits={**scanner.rules.limits, "trades": 1})
        scanner.run()
        assert not by.passed
        look(bank, by)
        assert not by.passed
        look(bank, by)
        assert by.passed
        Scanner(bank, turns=by).run(full=True)
        assert not by.passed
        monkeypatch.setattr(turns, "_TICK_NS", 10**12)
        by = Turns()
        look(bank, by)
        look(bank, by)
        assert not by.passed
