"""Lifting: documents of an older version come to the present one, as one journaled act, or stay with a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from memorybank_cli.operations.accept import accept
from memorybank_cli.operations.lifting import Lifted, LiftedFile, lift
from tests.conftest import MakeBank
from tests.operations.banks import adopt, journal, opened, put, rules

SCHEMA = {
    "type": "object",
    "required": ["price", "timestamp"],
    "properties": {"price": {"type": "number"}, "timestamp": True},
    "x-memorybank": {
        "version": 3,
        "lifts": {
            "1": [{"op": "move", "from": "/px", "path": "/price"}],
            "2": [{"op": "add", "path": "/fee", "value": 0}],
        },
    },
}


def bank_with(path: Path, *documents: Any) -> Path:
    """Trades that were recorded before the schema got its present version."""
    for number, document in enumerate(documents):
        put(path / f"trades/t{number}.json", document)
    adopt(path)
    put(path / "config/schemas/trade.schema.json", SCHEMA)
    with opened(path) as bank:
        accept(bank, str(path / "config"))
    return path


def lifted(path: Path, dry_run: bool = False) -> Lifted:
    with opened(path) as bank:
        return lift(bank, dry_run)


def old(**members: Any) -> dict[str, Any]:
    return {"timestamp": 1_700_000_000, "schema_version": 1, "px": 2.5, **members}


def test_documents_of_append_only_and_open_sections_are_lifted(make_bank: MakeBank) -> None:
    path = bank_with(make_bank(0, padded=False), old(), {"timestamp": 1, "schema_version": 2, "price": 10**30})
    assert rules(path, "MB209").keys() == {"trades/t0.json", "trades/t1.json"}
    report = lifted(path)
    assert report.paths == (
        LiftedFile("trades/t0.json", "trade", 1, 3),
        LiftedFile("trades/t1.json", "trade", 2, 3),
    )
    assert report.unliftable == ()
    there = json.loads((path / "trades/t0.json").read_text())
    assert there == {"timestamp": 1_700_000_000, "schema_version": 3, "price": 2.5, "fee": 0}
    assert json.loads((path / "trades/t1.json").read_text())["price"] == 10**30
    assert rules(path, "MB209") == {}
    assert rules(path, "MB1") == {}
    assert rules(path, "MB201").keys() == {"trades/recent_trades.json"}  # its trades have no price
    assert [core["op"] for core in journal(path)[-2:]] == ["restore.begin", "restore.end"]
    kept = (path / report.kept["trades/t0.json"]).read_bytes()
    assert json.loads(kept) == old()


def test_what_does_not_match_afterwards_stays(make_bank: MakeBank) -> None:
    path = bank_with(make_bank(0, padded=False), old(px="much"), {"timestamp": 1, "schema_version": 1}, old())
    before = (path / "trades/t0.json").read_bytes()
    report = lifted(path)
    assert [one.path for one in report.paths] == ["trades/t2.json"]
    reasons = {one.path: one.reason for one in report.unliftable}
    assert reasons["trades/t0.json"] == "lifted it does not match at /price: expected number, found 'much'"
    assert reasons["trades/t1.json"] == "change 1 from version 1, move '/px', cannot be made"
    assert (path / "trades/t0.json").read_bytes() == before


def test_a_rehearsal_changes_nothing(make_bank: MakeBank) -> None:
    path = bank_with(make_bank(0, padded=False), old())
    count = len(journal(path))
    assert len(lifted(path, dry_run=True).paths) == 1
    assert json.loads((path / "trades/t0.json").read_text()) == old()
    assert len(journal(path)) == count


def test_a_change_that_nobody_accepted_is_not_lifted(make_bank: MakeBank) -> None:
    path = bank_with(make_bank(0, padded=False), old())
    put(path / "trades/t0.json", old(px=9))
    report = lifted(path)
    assert report.paths == ()
    assert "changed outside memorybank" in report.unliftable[0].reason
    assert json.loads((path / "trades/t0.json").read_text()) == old(px=9)


def test_a_newer_version_is_an_error_where_the_schema_is_bound(make_bank: MakeBank) -> None:
    path = bank_with(make_bank(0, padded=False), old(schema_version=4))
    assert rules(path, "MB2")["trades/t0.json"] == "MB203"
    assert lifted(path).paths == ()


def test_nothing_to_lift_writes_nothing(make_bank: MakeBank) -> None:
    path = make_bank(2, padded=False)
    count = len(journal(path))
    assert lifted(path) == Lifted((), ())
    assert len(journal(path)) == count


def test_compact_documents_stay_compact(make_bank: MakeBank) -> None:
    path = bank_with(make_bank(0, padded=False), json.dumps(old()).encode(), json.dumps(old()).encode() + b"\n")
    lifted(path)
    assert b"\n" not in (path / "trades/t0.json").read_bytes()
    assert (path / "trades/t1.json").read_bytes().count(b"\n") == 1


def test_a_file_that_changes_meanwhile_is_left_alone(make_bank: MakeBank) -> None:
    path = bank_with(make_bank(0, padded=False), old())
    with opened(path) as bank:
        from memorybank_cli.bank.scan import Scanner

        scan = Scanner(bank).run()
        put(path / "trades/t0.json", b"{")
        assert lift(bank, scan=scan) == Lifted((), ())
