"""One finding for many files: when it begins, what it stands for, and when it is over."""

from __future__ import annotations

from functools import partial

import pytest

from memorybank_cli.base.records import Finding
from memorybank_cli.integrity.masses import QUIET, Masses

SINCE = "2026-11-21T20:00:00.000000Z"
LATER = "2026-11-21T20:00:30.000000Z"


def gone(count: int, top: str = "trades", start: int = 0) -> list[tuple[str, str]]:
    return [(f"{top}/{number}.json", "MB111") for number in range(start, start + count)]


def test_many_files_at_once_are_one_finding_with_the_way_back() -> None:
    masses = Masses(100, 0.2, 60)
    masses.note(gone(100), lambda: 400, 0.0, SINCE)
    found = masses.finding()
    assert found is not None
    assert (found.rule, found.severity, found.path) == ("MB117", "critical", "trades")
    assert found.hint.endswith(f"memorybank rollback --at {SINCE} --path trades --dry-run")
    assert "100 recorded files of 400 within a short time: 100 gone; trades/0.json" in found.message
    assert masses.covers(Finding("MB111", "", "trades/7.json"))
    assert not masses.covers(Finding("MB111", "", "trades/100.json"))
    assert not masses.covers(Finding("MB301", "", "trades/7.json"))


def test_of_several_sections_it_is_about_the_bank() -> None:
    masses = Masses(10, 0.2, 60)
    happened = [*gone(6), *((f"state/{number}.json", "MB101") for number in range(5)), ("account_a/x.json", "MB110")]
    masses.note(happened, lambda: 50, 0.0, SINCE)
    found = masses.finding()
    assert found is not None
    assert found.path == ""
    assert "6 gone, 5 damaged, 1 changed" in found.message
    assert found.hint.endswith(f"--at {SINCE} --dry-run")


@pytest.mark.parametrize(("count", "known"), [(99, 99), (100, 501), (0, 0)])
def test_few_files_or_a_small_share_are_none(count: int, known: int) -> None:
    masses = Masses(100, 0.2, 60)
    masses.note(gone(count), partial(int, known), 0.0, SINCE)
    assert masses.finding() is None


def test_what_agents_may_change_counts_from_half_of_all_files_on() -> None:
    for known, is_mass in ((200, True), (201, False)):
        masses = Masses(100, 0.2, 60)
        happened = [(f"state/{number}.json", "changed") for number in range(100)]
        masses.note(happened, partial(int, known), 0.0, SINCE)
        assert (masses.finding() is not None) is is_mass


def test_only_what_comes_within_the_time_counts_and_the_first_moment_is_told() -> None:
    masses = Masses(100, 0.2, 60)
    masses.note(gone(60), lambda: 200, 0.0, "2026-11-21T19:58:00.000000Z")
    masses.note(gone(60, start=60), lambda: 200, 61.0, SINCE)
    assert masses.finding() is None
    masses.note(gone(60, start=120), lambda: 200, 90.0, LATER)
    found = masses.finding()
    assert found is not None
    assert f"--at {SINCE}" in found.hint
    masses.note(gone(1, start=180), lambda: 200, 95.0, LATER)
    assert "121 recorded files" in (masses.finding() or found).message


def nowhere(_path: str) -> bool:
    return False


def test_it_is_over_when_nothing_is_wrong_any_more_and_it_was_quiet() -> None:
    masses = Masses(100, 0.2, 60)
    masses.note(((f"trades/{number}.json", "changed") for number in range(150)), lambda: 200, 0.0, SINCE)
    masses.wrong = {"trades/1.json"}
    masses.settle(QUIET + 1, nowhere)
    assert masses.finding() is not None
    masses.wrong = set()
    masses.settle(QUIET - 1, nowhere)
    assert masses.finding() is not None
    masses.settle(QUIET + 1, nowhere)
    assert masses.finding() is None


def test_it_is_over_at_once_when_all_of_it_is_undone() -> None:
    masses = Masses(100, 0.2, 60)
    removed = [(f"state/{number}.json", "removed") for number in range(50)]
    masses.note([*gone(100), *removed], lambda: 200, 0.0, SINCE)
    masses.wrong = {"trades/1.json"}
    masses.settle(1.0, lambda _path: True)
    assert masses.finding() is not None
    masses.wrong = set()
    masses.settle(1.0, lambda path: path != "state/7.json")
    assert masses.finding() is not None
    masses.settle(1.0, lambda path: path.startswith("state/"))
    assert masses.finding() is None


def test_it_can_be_switched_off() -> None:
    masses = Masses(0, 0.2, 60)
    masses.note(gone(1_000), lambda: 1_000, 0.0, SINCE)
    assert masses.finding() is None
    assert not masses.is_part(Finding("MB111", "", "trades/7.json"))
