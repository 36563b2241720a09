"""What people see of the lines of `watch`: records of a change, who leads, and the way out of what is critical."""

from __future__ import annotations

from typing import Any

import pytest

from memorybank_cli.base.records import Finding
from memorybank_cli.cli.views import streams

WHEN = "2026-11-20T14:00:00.123456Z"


def told(**fields: Any) -> str:
    return streams.watched({"ts": WHEN, **fields}).removeprefix("2026-11-20T14:00:00Z ")


@pytest.mark.parametrize(
    ("records", "words"),
    [
        (None, ""),
        ({"added": [], "removed": [], "changed": [], "more": 0}, ""),
        ({"added": ["7", "8"], "removed": ["1"], "changed": ["x"], "more": 0}, " (changed x; added 7, 8; removed 1)"),
        ({"added": ["7"], "removed": [], "changed": [], "more": 1_200}, " (added 7; and 1,200 more)"),
        ({"added": ["\x1b[31mred"], "removed": [], "changed": [], "more": 0}, " (added \\x1b[31mred)"),
    ],
)
def test_the_records_of_a_change(records: Any, words: str) -> None:
    fields = {} if records is None else {"records": records}
    assert told(type="changed", path="trades/a.json", change="changed", **fields) == f"changed trades/a.json{words}"


def test_who_leads_is_said_where_it_is_unusual() -> None:
    ready = {"type": "ready", "watched": 3, "backend": "inotify", "findings": 0}
    assert told(**ready, role="leading") == "ready watched=3 backend=inotify findings=0"
    assert told(**ready, role="following").endswith(" role=following")


def test_the_heartbeat_is_for_programs() -> None:
    assert streams.watched({"type": "looked", "ts": WHEN, "seconds": 0.1}) == ""


def test_what_is_critical_comes_with_the_way_out() -> None:
    mass = Finding("MB117", "many files", "trades", "memorybank rollback --at T --dry-run")
    assert told(type="finding", finding=mass.as_dict()) == (
        "finding critical MB117 trades: many files\n    memorybank rollback --at T --dry-run"
    )
    plain = Finding("MB103", "it stops", "trades/a.json", "memorybank repair trades/a.json")
    assert told(type="finding", finding=plain.as_dict()) == "finding error MB103 trades/a.json: it stops"
