"""repair --aggregates: only the value's bytes change, the old ones are kept, and afterwards nothing contradicts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.base.context import Context
from memorybank_cli.operations.aggregates import rebuildings
from memorybank_cli.operations.check import validate
from memorybank_cli.operations.init import init
from memorybank_cli.operations.probes import check_bank
from tests.conftest import MakeBank, Run, trade
from tests.meaning.checking import declare, findings
from tests.operations.banks import adopt, contents, journal, opened, put, repaired

LISTONIAN = Path(__file__).resolve().parents[3] / "shared/data/listonian"


@pytest.fixture
def path(make_bank: MakeBank) -> Path:
    path = make_bank(5, padded=False)
    put(path / "trades/trade_1.json", {**trade(1), "success": False})
    adopt(path)
    return path


def rule(**fields: Any) -> dict[str, Any]:
    return {"file": "metrics/own.json", "at": "/n", "is": "count", "of": "trades", **fields}


def test_only_the_values_change(path: Path) -> None:
    text = b'{"note":"total_trades", "total_trades" : 155,\t"failed_trades":18.0 ,\r\n "stats": {"num_trades":5}}\n\n'
    put(path / "metrics/own.json", text)
    before = contents(path)
    report = repaired(path, aggregates=True)
    rows = [(one["pointer"], one["old"], one["new"], one["method"]) for one in report.as_dict()["repaired"]]
    assert rows == [("/failed_trades", 18.0, 1, "aggregate"), ("/total_trades", 155, 5, "aggregate")]
    assert (report.exit_code(), report.summary()) == (0, "2 repaired; next: memorybank validate")
    after = contents(path)
    assert after.pop("metrics/own.json") == text.replace(b"155", b"5").replace(b"18.0", b"1")
    del before["metrics/own.json"]
    assert after == before
    kept = {one.kept for one in report.repaired}
    assert [(path / one).read_bytes() for one in kept] == [text]
    assert findings(path) == []
    assert adopt(path) == []
    assert repaired(path, aggregates=True).repaired == ()


def test_it_is_journaled(path: Path) -> None:
    put(path / "metrics/own.json", {"total_trades": 155})
    repaired(path, aggregates=True)
    begin, end = journal(path)[-2:]
    assert (begin["op"], begin["reason"], end["op"]) == ("restore.begin", "repair", "restore.end")
    assert [row[0] for row in end["files"]] == ["metrics/own.json"]


def test_a_rehearsal_shows_old_and_new(path: Path, run: Run) -> None:
    data = put(path / "metrics/own.json", {"total_trades": 155})
    done = run("repair", "--aggregates", "--dry-run", "--bank", path)
    assert done.returncode == 0
    assert "metrics/own.json  /total_trades  155    5" in done.stdout
    assert done.stdout.endswith(f"1 would be repaired; next: memorybank repair --bank {path} --aggregates\n")
    [one] = run("repair", "--aggregates", "--dry-run", "--bank", path, "--json").json["repaired"]
    assert (one["rule"], one["pointer"], one["old"], one["new"], one["kept"]) == ("MB207", "/total_trades", 155, 5, "")
    assert (path / "metrics/own.json").read_bytes() == data


def test_never_unless_it_is_asked_for(path: Path) -> None:
    data = put(path / "metrics/own.json", {"total_trades": 155})
    report = repaired(path)
    assert (report.repaired, report.summary()) == ((), "Nothing is damaged.")
    assert (path / "metrics/own.json").read_bytes() == data
    assert len(findings(path, "MB207")) == 1


def test_only_where_it_is_asked_for(path: Path) -> None:
    for name in ("metrics/a.json", "metrics/deep.json", "state/a.json"):
        put(path / name, {"total_trades": 155})
    assert [one.path for one in repaired(path, "state", aggregates=True).repaired] == ["state/a.json"]
    assert [one.path for one in repaired(path, "metrics/a.json", aggregates=True).repaired] == ["metrics/a.json"]
    assert repaired(path, "trades", aggregates=True).repaired == ()
    assert [one.path for one in findings(path, "MB207")] == ["metrics/deep.json"]
    assert [one.path for one in repaired(path, ".", aggregates=True).repaired] == ["metrics/deep.json"]
    assert repaired(path, aggregates=True).summary() == "Nothing is damaged, and no total contradicts the records."


def test_what_is_damaged_is_cured_first(make_bank: MakeBank) -> None:
    path = make_bank(2, padded=False, adopt=False)
    good = put(path / "metrics/own.json", {"total_trades": 155})
    (path / "metrics/own.json").write_bytes(good + bytes(99))
    (path / "trades/trade_1.json").write_bytes((path / "trades/trade_1.json").read_bytes() + bytes(9))
    init(Context(bank=str(path)))
    assert findings(path, "MB207") == []
    report = repaired(path, aggregates=True)
    assert sorted((one.path, one.method) for one in report.repaired) == [
        ("metrics/own.json", "aggregate"),
        ("metrics/own.json", "leading-document"),
        ("trades/trade_1.json", "leading-document"),
    ]
    assert json.loads((path / "metrics/own.json").read_bytes()) == {"total_trades": 2}


def test_each_sort_of_total(path: Path) -> None:
    own = {
        "profit": 1,
        "big": 0,
        "first": "2025-01-01 00:00:00",
        "last": 1_600_000_000_000,
        "deep": [{"a/b": None}],
        "text": "5",
    }
    put(path / "metrics/own.json", own)
    put(path / "trades/trade_2.json", {**trade(2), "wei": 10**30})
    put(path / "trades/trade_3.json", {**trade(3), "wei": 1})
    declare(
        path,
        rule(at="/profit", **{"is": "sum"}, member="/net_profit"),
        rule(at="/big", **{"is": "sum"}, member="/wei"),
        rule(at="/first", **{"is": "min"}, member="/timestamp"),
        rule(at="/last", **{"is": "max"}, member="/timestamp"),
        rule(at="/deep/0/a~1b"),
        rule(at="/text"),
    )
    assert repaired(path, aggregates=True).unrepaired == ()
    text = (path / "metrics/own.json").read_text()
    assert json.loads(text) == {
        "profit": pytest.approx(0.3625),
        "big": 10**30 + 1,
        "first": "2025-03-31 00:00:26.100831",
        "last": 1_743_379_466_101,
        "deep": [{"a/b": 5}],
        "text": 5,
    }
    assert findings(path, "MB207") == []


def test_what_cannot_be_rebuilt(path: Path) -> None:
    put(path / "metrics/own.json", {"n": 5, "object": {"a": 1}})
    put(path / "trades/trade_4.json", {**trade(4), "n": 7})
    declare(
        path,
        rule(at="/gone"),
        rule(at="/object"),
        rule(at="/n", **{"is": "sum"}, member="/nobody/has/it"),
        rule(file="trades/trade_4.json"),
    )
    report = repaired(path, aggregates=True)
    assert report.repaired == ()
    assert report.exit_code() == 1
    assert {(one.path, one.reason.partition(":")[0]): one.reason.partition(": ")[2] for one in report.unrepaired} == {
        ("metrics/own.json", "/gone"): "no value stands there that could be replaced",
        ("metrics/own.json", "/object"): "another value stands there now",
        ("metrics/own.json", "/n"): "of 5 records in trades/ none has a value at '/nobody/has/it' to hold it against",
        ("trades/trade_4.json", "/n"): "only files that agents rewrite get other totals",
    }


def test_rules_that_contradict_each_other_change_nothing(path: Path) -> None:
    declare(path, rule(), rule(where={"success": False}), rule(at="/m"), rule(at="/m"))
    put(path / "metrics/own.json", b'{"n": 7, "m": 7}')
    report = repaired(path, aggregates=True)
    assert [(one["pointer"], one["new"]) for one in report.as_dict()["repaired"]] == [("/m", 5)]
    assert [one.hint for one in report.unrepaired] == ["correct config/aggregates.json"] * 2
    assert all("/n: " in one.reason and "another rule says otherwise" in one.reason for one in report.unrepaired)
    assert (path / "metrics/own.json").read_bytes() == b'{"n": 7, "m": 5}'


def test_a_document_that_changed_since_it_was_looked_at(path: Path) -> None:
    put(path / "metrics/own.json", {"total_trades": 155})
    put(path / "metrics/other.json", {"total_trades": 155})
    with opened(path) as bank:
        check_bank(bank)
        put(path / "metrics/own.json", {"total_trades": 156})
        (path / "metrics/other.json").unlink()
        found, incurable = rebuildings(bank)
    assert found == []
    assert {one.path: one.reason for one in incurable} == {
        "metrics/own.json": "/total_trades: another value stands there now",
        "metrics/other.json": "/total_trades: no such file or directory",
    }


def test_a_document_that_is_broken_since(path: Path) -> None:
    put(path / "metrics/own.json", {"total_trades": 155})
    with opened(path) as bank:
        check_bank(bank)
        put(path / "metrics/own.json", b'{"total_trades": 15x5}')
        assert [one.reason for one in rebuildings(bank)[1]] == ["/total_trades: another value stands there now"]


def test_the_public_bank_from_end_to_end(tmp_path: Path, run: Run) -> None:
    if not LISTONIAN.is_dir():
        pytest.skip("the public bank is not here")
    path = tmp_path / "listonian"
    shutil.copytree(LISTONIAN, path, copy_function=shutil.copyfile)
    for one in (path, *path.rglob("*")):
        one.chmod(0o700 if one.is_dir() else 0o600)
    assert run("init", path).returncode == 0
    found = {(one.path, one.pointer, one.found, one.expected) for one in findings(path, "MB207")}
    assert found == {
        ("metrics/performance.json", "/total_trades", "155", "450"),
        ("metrics/performance.json", "/failed_trades", "18", "82"),
        ("state/1metrics.json", "/metrics/total_trades", "0", "450"),
    }
    assert run("repair", "--bank", path).returncode == 0
    found = {(one.path, one.pointer, one.found, one.expected) for one in findings(path, "MB207")} - found
    assert found == {
        ("metrics/metrics.json", "/performance/total_trades", "28", "450"),
        ("metrics/metrics.json", "/performance/successful_trades", "26", "368"),
        ("metrics/metrics.json", "/performance/failed_trades", "2", "82"),
        ("state/metrics.json", "/total_trades", "0", "450"),
    }
    assert len(run("repair", "--aggregates", "--bank", path, "--json").json["repaired"]) == 7
    done = run("validate", "--bank", path, "--json")
    assert {one["rule"] for one in done.json["findings"]} == {"MB205", "MB206"}
    words = [one["message"] for one in done.json["findings"] if one["path"] == "trades"]
    assert [one.partition("; ")[2] for one in words] == ["as the epoch in 450 names says, UTC-4"]
    with opened(path) as bank:
        assert validate(bank, bank.context).ok
