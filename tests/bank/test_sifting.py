"""A directory in which a few files changed: the others are not gone into, and are counted all the same."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from memorybank_cli.bank import sifting
from memorybank_cli.bank.rows import Known
from memorybank_cli.bank.scan import Scan, Scanner
from memorybank_cli.bank.settled import as_row
from memorybank_cli.base.walk import Entry, Listing
from tests.conftest import MakeBank, trade
from tests.operations.banks import adopt, opened, put

ENTRY = Entry("a.json", 10, 1, 2, 3, 0o100600, 1, 0)
KNOWN = Known("a.json", 10, 1, 2, 3, "5a" * 32, 1, True, True, "trade", "T1")
CHANGING = {"read", "findings", "changes", "outside", "damaged"}
LIMITS = {"trades": 100}


def plain(entry: Entry, known: Known, fresh: tuple[str, ...] = ()) -> list[str]:
    return list(sifting.plain(Listing("trades", -1, [entry], [], [], []), {known.name: known}, LIMITS, fresh))


def test_a_file_whose_stat_stayed_is_plain() -> None:
    assert plain(ENTRY, KNOWN) == ["a.json"]


@pytest.mark.parametrize(
    "entry",
    [
        ENTRY._replace(name="b.json"),
        ENTRY._replace(size=11),
        ENTRY._replace(mtime_ns=5),
        ENTRY._replace(ctime_ns=5),
        ENTRY._replace(inode=5),
        ENTRY._replace(links=2),
    ],
)
def test_any_other_stat_is_gone_into(entry: Entry) -> None:
    assert plain(entry, KNOWN) == []


def test_what_was_not_plain_is_gone_into() -> None:
    assert plain(ENTRY, KNOWN._replace(plain=False)) == []


def test_what_is_due_to_be_read_again_is_gone_into() -> None:
    assert plain(ENTRY, KNOWN, ("trades/a.json",)) == []


def test_what_is_over_a_limit_is_gone_into() -> None:
    big = ENTRY._replace(size=101)
    assert plain(big, KNOWN._replace(size=101)) == []


@pytest.fixture
def bank(make_bank: MakeBank) -> Path:
    """Two directories of settled trades, recorded; in one of them a few were touched since."""
    path = make_bank(padded=False)
    for day in ("01", "02"):
        for number in range(40):
            put(
                path / f"trades/2026/{day}/t{number:02}.json",
                {**trade(number), "trade_id": f"{day}-{number}"},
                age=3600,
            )
    put(path / "trades/2026/01/note.txt", b"words", age=3600)
    adopt(path)
    adopt(path)
    return path


def looked(path: Path, full: bool) -> Scan:
    with opened(path) as bank:
        return Scanner(bank).run(full)


def summary(one: Scan) -> dict[str, object]:
    """All of a scan but how, and when, it read the files."""
    changes = (one.changes, one.outside, one.damaged)
    found = [as_row(finding) for finding in one.findings], [[row[:2] for row in rows] for rows in changes]
    rest = {name: value for name, value in vars(one).items() if name not in CHANGING}
    return {**rest, "found": found}


def changed(path: Path) -> None:
    day = path / "trades/2026/01"
    put(day / "t03.json", b"{", age=1800)
    put(day / "t04.json", {**trade(99), "trade_id": "new"}, age=1800)
    put(day / "t50.json", {**trade(50), "trade_id": "01-5"}, age=1800)
    (day / "t05.json").unlink()
    os.utime(day / "t06.json")


def test_a_look_at_a_few_says_what_a_look_at_all_says(bank: Path) -> None:
    changed(bank)
    found = looked(bank, full=False)
    assert found.read < 30
    everything = looked(bank, full=True)
    assert everything.read == everything.checked == found.checked
    assert summary(found) == summary(everything)
    assert {one.rule for one in found.findings} >= {"MB111"}


def test_the_facts_are_those_of_all_files(bank: Path) -> None:
    changed(bank)
    with opened(bank) as one:
        few, every = Scanner(one), Scanner(one)
        few.run()
        every.run(full=True)
        assert few.facts.value() == every.facts.value()


def test_rows_come_singly_where_they_are_few(bank: Path) -> None:
    with opened(bank) as one:
        known = one.catalog.sound("trades/2026/02")
        but_one = {name: row for name, row in known.items() if name != "t07.json"}
        whole = one.catalog.rows("trades/2026/02")
        assert sifting.rows(one.catalog, "trades/2026/02", known, but_one) == {"t07.json": whole["t07.json"]}
        assert sifting.rows(one.catalog, "trades/2026/02", known, {}) == whole
