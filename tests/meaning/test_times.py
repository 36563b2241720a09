"""MB205 and MB206: one a section, with what the epochs say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.base.records import Finding
from tests.conftest import MakeBank, trade
from tests.meaning.checking import findings
from tests.operations.banks import put

NOON = 1_743_422_400


@pytest.fixture
def path(make_bank: MakeBank) -> Path:
    return make_bank(0, padded=False)


def found(path: Path, rule: str) -> list[Finding]:
    return findings(path, rule)


def test_a_bank_whose_times_have_zones(make_bank: MakeBank) -> None:
    assert findings(make_bank(3, padded=False)) == []


def test_the_zone_that_names_say(path: Path) -> None:
    for number in range(3):
        local = f"2025-03-31T08:00:0{number}.100831"
        put(path / f"trades/trade_{NOON + number}.json", {**trade(1), "timestamp": local})
    [one] = found(path, "MB205")
    assert (one.path, one.severity) == ("trades", "warning")
    assert one.message == (
        "3 times in 3 files have no zone, such as '2025-03-31T08:00:00.100831' at '/timestamp' of"
        " trades/trade_1743422400.json; as the epoch in 3 names says, UTC-4"
    )
    [one] = found(path, "MB206")
    assert (one.path, one.pointer) == (f"trades/trade_{NOON}.json", "/timestamp")
    assert one.message == "3 times differ from the epoch in the file's name: 4 h earlier, read as UTC"
    assert (one.expected, one.found) == ("2025-03-31T12:00:00.000000Z", "'2025-03-31T08:00:00.100831'")


EARLY, LATE = "2025-03-31T08:00:00", "2025-03-31T17:30:00"


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ({"a": EARLY}, "1 time in 1 file has no zone, such as"),
        ({f"t_{NOON}": "2025-03-31T12:00:00"}, "; as the epoch in the name says, UTC"),
        ({f"t_{NOON}": EARLY, "b": EARLY}, "; as the epoch in the name says, UTC-4"),
        ({f"t_{NOON}": EARLY, f"u_{NOON}": LATE, f"v_{NOON}": EARLY}, "; as the epoch in 2 of 3 names says, UTC-4"),
    ],
)
def test_how_it_is_said(path: Path, rows: dict[str, str], words: str) -> None:
    for name, text in rows.items():
        put(path / f"state/{name}.json", {"timestamp": text})
    [one] = found(path, "MB205")
    assert words in one.message
    assert one.path == "state"


def test_the_zone_that_epochs_beside_them_say(path: Path) -> None:
    put(path / "state/a.json", {"timestamp": NOON, "iso_timestamp": "2025-03-31T17:30:00"})
    [one] = found(path, "MB205")
    assert one.message.endswith("; as the epoch beside it says, UTC+5:30")
    put(path / "state/b.json", {"timestamp": NOON, "iso_timestamp": "2025-03-31T17:30:00"})
    [one] = found(path, "MB205")
    assert one.message.endswith("; as 2 epochs beside them say, UTC+5:30")
    [one] = found(path, "MB206")
    assert one.message == "2 times differ from the epoch beside it: 5 h 30 min later, read as UTC"


def test_one_for_each_section_and_span(path: Path) -> None:
    def twice(text: str) -> dict[str, Any]:
        return {**trade(1), "open_timestamp": NOON * 1_000, "open_date": text}

    put(path / "trades/a.json", twice("2025-03-31T11:00:00Z"))
    put(path / f"trades/b_{NOON}.json", twice("2025-03-31T12:00:00Z") | {"timestamp": "2025-03-31T11:00:00Z"})
    put(path / "trades/c.json", twice("2025-03-30T12:07:00Z"))
    put(path / "state/d.json", {"open_timestamp": NOON, "open_date": "2025-03-31T11:00:00Z"})
    rows = {(one.path, one.message) for one in found(path, "MB206")}
    assert rows == {
        ("state/d.json", "the time differs from the epoch beside it: 1 h earlier, read as UTC"),
        ("trades/a.json", "the time differs from the epoch beside it: 1 h earlier, read as UTC"),
        ("trades/c.json", "the time differs from the epoch beside it, not by whole quarters of an hour"),
    }


def test_names_and_members_together(path: Path) -> None:
    put(
        path / f"trades/b_{NOON}.json",
        {"timestamp": "2025-03-31T11:00:00Z", "open_ts": NOON, "open_date": "2025-03-31T11:00:00Z"},
    )
    [one] = found(path, "MB206")
    assert one.message == ("2 times differ from the epoch in the file's name or beside it: 1 h earlier, read as UTC")


def test_a_zone_that_was_added_is_no_finding_any_more(path: Path) -> None:
    put(path / "state/a.json", {"timestamp": "2025-03-31T12:00:00"})
    assert len(found(path, "MB205")) == 1
    put(path / "state/a.json", {"timestamp": "2025-03-31T12:00:00Z"})
    assert found(path, "MB205") == []


@pytest.mark.parametrize(
    ("name", "text", "hint"),
    [
        ("a", EARLY, f"{EARLY}Z where it is UTC, else its offset, as in {EARLY}-04:00"),
        (f"t_{NOON}", EARLY, "2025-03-31T08:00:00-04:00 or 2025-03-31T12:00:00Z"),
        (f"t_{NOON}", LATE, "2025-03-31T17:30:00+05:30 or 2025-03-31T12:00:00Z"),
        (f"t_{NOON}", "2025-03-31T12:00:00.5", "2025-03-31T12:00:00.5Z"),
    ],
)
def test_the_hint_is_its_own_example_with_the_zone_it_seems_to_have(
    path: Path, name: str, text: str, hint: str
) -> None:
    put(path / f"state/{name}.json", {"timestamp": text})
    [one] = found(path, "MB205")
    assert one.hint == f"let the writer add the zone: {hint}"
