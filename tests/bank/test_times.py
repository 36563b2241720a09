"""The times in one document: without a zone, and told twice."""

from __future__ import annotations

from typing import Any

import pytest

from memorybank_cli.bank.times import gather

NOON = 1_743_422_400
MICROSECONDS = NOON * 1_000_000


def gathered(value: Any, name: str = "a.json", kind: str = "state", records: Any = (), member: str = "") -> Any:
    found: dict[str, Any] = {}
    gather(name, kind, value, records, member, found)
    return found


def test_a_document_in_which_all_is_well_adds_nothing() -> None:
    document = {
        "timestamp": "2025-03-31T12:00:00Z",
        "zoned": "2025-03-31T08:00:00-04:00",
        "day": "2025-03-31",
        "note": "2025-03-31 was a Monday, I think",
        "open_timestamp": NOON * 1_000,
        "open_date": "2025-03-31 12:00:00+00:00",
        "wei": 10**30,
        "price": 1_800_000_000.5,
        "inner": {"list": [{"at": "2025-03-31T12:00:00Z"}, 1, None]},
    }
    assert gathered(document, f"state_{NOON}.json") == {}
    assert gathered([]) == gathered("2025-03-31T12:00:00") == gathered(None) == {}


def test_times_without_a_zone_are_counted_wherever_they_stand() -> None:
    document = {
        "a/b": {"last": "2025-03-31T12:00:00"},
        "list": [{"at": "2025-03-31 12:00"}, {"at": "stands for all of them"}],
        "texts": ["2025-03-31T12:00:00.123456", "2025-03-31T12:00:01"],
        "nested": [[{"at": "2025-03-31T12:00:00"}], []],
    }
    assert gathered(document)["naive"] == [4, "/a~1b/last", "2025-03-31T12:00:00"]


def test_records_of_a_list_are_each_looked_at() -> None:
    records = [{"timestamp": "2025-03-31T12:00:00"}, {"timestamp": "2025-03-31T12:00:00Z"}, 7]
    records += [{"timestamp": "2025-03-31T12:00:01"}]
    assert gathered({"trades": records}, "a.json", "trade_list", records, "trades")["naive"][:2] == [
        2,
        "/trades/0/timestamp",
    ]
    assert gathered(records, "a.json", "trade_list", records)["naive"][:2] == [2, "/0/timestamp"]
    document = {"last_update": "2025-03-31T12:00:00", "trades": records[1:2]}
    assert gathered(document, "a.json", "trade_list", records[1:2], "trades")["naive"][1] == "/last_update"


@pytest.mark.parametrize(
    ("own", "count"),
    [
        ({"timestamp": "2025-03-31T12:00:00Z"}, 0),
        ({"opened_at": "2025-03-31T12:00:00+02:00"}, 0),
        ({"timestamp": "2025-03-31T12:00:00"}, 3),
        ({"timestamp": NOON}, 2),
        ({"timestamp": "one day"}, 2),
        ({}, 2),
    ],
)
def test_a_trade_whose_own_time_has_a_zone_is_taken_at_its_word(own: dict[str, Any], count: int) -> None:
    inside = {"fills": [{"at": "2025-03-31T12:00:00"}], "risk": {"at": "2025-03-31T12:00:00"}}
    assert gathered({**own, **inside}, kind="trade").get("naive", [0])[0] == count
    assert gathered({**own, **inside}, kind="decision")["naive"][0] >= 2


@pytest.mark.parametrize(
    ("text", "group", "zones"),
    [
        ("2025-03-31T08:00:00", "-240", {"-240": [0, 1]}),
        ("2025-03-31T12:00:00", None, {"0": [0, 1]}),
        ("2025-03-31T17:30:00.5Z", "330", None),
        ("2025-03-31T12:07:00Z", "varies", None),
        ("2025-03-31T12:07:00", "varies", None),
        ("2025-04-30T12:00:00Z", "varies", None),
        ("2025-03-31T12:00:59Z", None, None),
    ],
)
def test_an_epoch_beside_a_text(text: str, group: str | None, zones: Any) -> None:
    found = gathered({"inner": {"timestamp": NOON, "iso_timestamp": text}})
    assert found.get("apart") == (group and {group: [0, 1, "/inner/iso_timestamp", MICROSECONDS, text]})
    assert found.get("zones") == zones


def test_each_epoch_and_text_counts() -> None:
    early = "2025-03-31T08:00:00Z"
    records = [{"open_timestamp": NOON * 1_000, "open_date": early, "close_ts": NOON, "close_date": early}] * 3
    assert gathered(records, records=records)["apart"]["-240"][:3] == [0, 6, "/0/open_date"]


@pytest.mark.parametrize(
    ("text", "group", "zones"),
    [
        ("2025-03-31T08:00:00.100831", "-240", {"-240": [1, 0]}),
        ("2025-03-31T12:00:00", None, {"0": [1, 0]}),
        ("2025-03-31T11:40:00Z", "varies", None),
        ("2025-03-31T11:46:00Z", None, None),
        ("2025-03-31T11:45:00Z", "-15", None),
        ("2025-04-02T12:00:00Z", None, None),
        ("2025-04-02T12:00:00", None, None),
    ],
)
def test_the_epoch_in_a_name(text: str, group: str | None, zones: Any) -> None:
    found = gathered({"timestamp": text}, f"trade_{NOON}.json", "trade")
    assert found.get("apart") == (group and {group: [1, 0, "/timestamp", MICROSECONDS, text]})
    assert found.get("zones") == zones


def test_the_name_may_mean_any_time_of_the_record() -> None:
    trade = {"opened_at": "2025-03-31T08:00:00Z", "closed_at": "2025-03-31T12:01:00Z"}
    assert gathered(trade, f"trade_{NOON}.json", "trade") == {}
    assert gathered({"opened_at": None, "note": 1}, f"trade_{NOON}.json", "trade") == {}
    assert gathered([{"opened_at": "2025-03-31T08:00:00Z"}], f"trade_{NOON}.json", "trade_list") == {}
    assert gathered({"ts": NOON * 1_000 + 3_600_000}, f"trade_{NOON}.json", "trade")["apart"] == {
        "60": [1, 0, "/ts", MICROSECONDS, str(NOON * 1_000 + 3_600_000)]
    }
