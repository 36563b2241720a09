"""`schema infer`: what was learnt holds at once, every file that was learnt from matches, drift is a finding."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.bank.scan import Scanner
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import NotFound, Refused, UsageError
from memorybank_cli.operations.accept import accept
from memorybank_cli.operations.inferring import InferReport, infer, unmatched
from memorybank_cli.operations.init import init
from tests.conftest import MakeBank, Run, trade
from tests.operations.banks import journal, opened, put, rules

LISTONIAN = Path(__file__).parents[3] / "shared" / "data" / "listonian"
LEG = {"leg": "long", "px": "101.25", "when": "2025-01-02T03:04:05Z"}


def inferred(path: Path, section: str, **options: Any) -> InferReport:
    with opened(path) as bank:
        return infer(bank, section, **options)


def schema_of(path: Path, kind: str) -> Any:
    return json.loads((path / f"config/schemas/{kind}.schema.json").read_text())


def own_shapes(path: Path) -> Path:
    """Trades of a shape of its own, and memories of an agent."""
    for number in range(24):
        put(path / f"trades/leg_{number}.json", {**LEG, "leg": ("long", "short")[number % 2], "oid": number})
    for number in range(4):
        put(path / f"agents/a/mood_{number}.json", {"mood": f"calm {number}", "weights": {"BTC": 1, "ETH": number}})
    put(path / "agents/a/decision.json", {"decision_id": "d", "agent_id": "a", "decision_type": "X", "timestamp": 1})
    return path


def test_what_was_learnt_is_recorded_and_holds_at_once(make_bank: MakeBank) -> None:
    path = make_bank(5, padded=False)
    report = inferred(path, "trades")
    assert [(one.kind, one.action, one.version, one.files) for one in report.schemas] == [
        ("trade", "written", 1, 5),
        ("trade_list", "covered", 1, 1),
    ]
    assert not (path / "config/schemas/trade_list.schema.json").exists()
    schema = schema_of(path, "trade")
    assert schema["required"] == list(trade(0))
    assert schema["properties"]["tx_hash"]["pattern"] == "^0x[0-9A-Fa-f]{64}$"
    assert rules(path, "MB2").get("config/schemas/trade.schema.json") is None
    assert rules(path, "MB1") == {}
    core = journal(path)[-1]
    assert (core["op"], core["reason"]) == ("restore.end", "schema infer trades")
    put(path / "trades/new.json", {**trade(9), "net_profit": "much"})
    put(path / "trades/recent_trades.json", {"trades": [{**trade(9), "gas_cost": None}]})
    found = rules(path, "MB201")
    assert found == {"trades/new.json": "MB201", "trades/recent_trades.json": "MB201"}


def test_the_same_report_knows_what_it_wrote(make_bank: MakeBank) -> None:
    path = make_bank(5, padded=False)
    with opened(path) as bank:
        assert infer(bank, "metrics").schemas[0].action == "written"
        assert "metrics" in bank.registry.own
        assert infer(bank, "metrics").schemas[0].action == "unchanged"


def test_damaged_files_are_left_out_and_listed(make_bank: MakeBank) -> None:
    path = make_bank(3)
    report = inferred(path, "trades")
    assert [one.kind for one in report.schemas] == ["trade"]
    [left] = report.left_out
    assert (left.path, left.rule) == ("trades/recent_trades.json", "MB102")


def test_again_says_what_changed_and_replaces_only_when_told(make_bank: MakeBank) -> None:
    path = make_bank(5, padded=False)
    inferred(path, "trade")
    before = (path / "config/schemas/trade.schema.json").read_bytes()
    put(path / "trades/new.json", {**{key: value for key, value in trade(6).items() if key != "error"}, "note": "x"})
    report = inferred(path, "trade")
    [one] = report.schemas
    assert (one.action, one.version) == ("differs", 1)
    assert {(change["pointer"], change["keyword"]) for change in one.changes} == {
        ("", "required"),
        ("/properties/note", "type"),
    }
    assert "--replace" in report.summary()
    assert (path / "config/schemas/trade.schema.json").read_bytes() == before
    [one] = inferred(path, "trade", replace=True).schemas
    assert (one.action, one.version) == ("replaced", 2)
    assert schema_of(path, "trade")["x-memorybank"]["version"] == 2
    assert rules(path, "MB201") == {}
    kept = [file.read_bytes() for file in (path / ".memorybank/quarantine").iterdir()]
    assert before in kept


def test_what_people_added_to_a_schema_stays(make_bank: MakeBank) -> None:
    path = make_bank(3, padded=False)
    inferred(path, "trade")
    schema = schema_of(path, "trade")
    schema["x-memorybank"] = {"version": 4, "id": "tx_hash", "references": {"/error": "decision"}}
    schema["required"].remove("error")
    put(path / "config/schemas/trade.schema.json", schema)
    with pytest.raises(Refused, match="changed outside memorybank"):
        inferred(path, "trade", replace=True)  # else what an agent wrote there would hold unseen
    assert schema_of(path, "trade") == schema
    with opened(path) as bank:
        accept(bank, "config/schemas")
    inferred(path, "trade", replace=True)
    expected = {"version": 5, "id": "tx_hash", "references": {"/error": "decision"}}
    assert schema_of(path, "trade")["x-memorybank"] == expected


@pytest.mark.parametrize("there", [b"{", b"[]", b'{"type": 7}', b" " * (1 << 20) + b"{}"])
def test_what_stands_there_and_is_no_schema_is_kept_too(make_bank: MakeBank, there: bytes) -> None:
    path = make_bank(3, padded=False)
    put(path / "config/schemas/trade.schema.json", there)
    assert inferred(path, "trade").schemas[0].action == "differs"
    assert (path / "config/schemas/trade.schema.json").read_bytes() == there
    assert inferred(path, "trade", replace=True).schemas[0].action == "replaced"
    assert schema_of(path, "trade")["x-memorybank"]["version"] == 2


def test_documents_that_name_their_version(make_bank: MakeBank) -> None:
    path = make_bank(0, padded=False)
    for number in range(4):
        put(path / f"trades/t{number}.json", {**trade(number), "schema_version": 1 + (number > 1)})
    report = inferred(path, "trade")
    assert report.schemas[0].version == 2
    assert [(one.path, one.rule) for one in report.left_out] == [
        ("trades/t0.json", "MB209"),
        ("trades/t1.json", "MB209"),
    ]
    assert rules(path, "MB209").keys() == {"trades/t0.json", "trades/t1.json"}
    # Its trades name no version, and every trade that was learnt from does.
    assert rules(path, "MB201").keys() == {"trades/recent_trades.json"}
    put(path / "trades/t4.json", {**trade(4), "schema_version": 3})
    [one] = inferred(path, "trade", replace=True).schemas
    assert (one.action, one.version) == ("replaced", 3)
    assert one.changes[0] == {"pointer": "/x-memorybank", "keyword": "version", "was": 2, "now": 3}


def test_a_member_that_names_the_record_is_told(make_bank: MakeBank) -> None:
    path = make_bank(0, padded=False)
    for number in range(3):
        put(path / f"trades/t{number}.json", {**trade(number), "trade_id": f"t-{number}", "id": 7})
    inferred(path, "trade")
    assert schema_of(path, "trade")["x-memorybank"] == {"version": 1, "id": "trade_id"}


def test_a_rehearsal_writes_nothing(make_bank: MakeBank) -> None:
    path = make_bank(3, padded=False)
    count = len(journal(path))
    report = inferred(path, "trades", dry_run=True)
    assert report.as_dict()["dry_run"] is True
    assert "--dry-run" in report.summary()
    assert report.text() is None
    assert not (path / "config/schemas").exists()
    assert len(journal(path)) == count


def test_into_a_file_or_to_stdout(make_bank: MakeBank, tmp_path: Path, run: Run) -> None:
    path = make_bank(3, padded=False)
    report = inferred(path, "trade", output=str(tmp_path / "out/mine.json"))
    assert json.loads((tmp_path / "out/mine.json").read_text())["title"] == "Trade"
    assert "nothing in the bank was changed" in report.summary()
    assert not (path / "config/schemas").exists()
    done = run("schema", "infer", "metrics", "--output", "-", "--bank", path)
    assert done.returncode == 0
    assert json.loads(done.stdout)["title"] == "Metrics"
    with pytest.raises(UsageError, match="2 kinds") as caught:
        inferred(path, "trades", output="-")
    assert "trade" in caught.value.hint


@pytest.mark.parametrize("section", ["account_alpha", "config", "bank.json", ".memorybank"])
def test_what_memorybank_writes_is_refused(make_bank: MakeBank, section: str) -> None:
    with pytest.raises(Refused):
        inferred(make_bank(0), section)


def test_what_is_not_there(make_bank: MakeBank) -> None:
    path = make_bank(0)
    with pytest.raises(NotFound) as caught:
        inferred(path, "trads")
    assert "trades" in caught.value.hint
    with pytest.raises(NotFound, match="no good document"):
        inferred(path, "shared")
    put(path / "shared/x.json", {})
    with pytest.raises(NotFound, match="no good document"):
        inferred(path, "shared")


def test_records_of_agents_that_match_need_no_schema_of_their_own(make_bank: MakeBank) -> None:
    path = own_shapes(make_bank(0, padded=False))
    report = inferred(path, "agents")
    assert [(one.kind, one.action, one.files) for one in report.schemas] == [
        ("agents", "written", 4),
        ("decision", "covered", 1),
    ]
    assert schema_of(path, "agents")["properties"]["weights"]["additionalProperties"]["type"] == "integer"
    assert [one.action for one in inferred(path, "decision").schemas] == ["written"]
    put(path / "agents/b/mood.json", {"mood": 1, "weights": {}})
    assert rules(path, "MB2")["agents/b/mood.json"] == "MB201"


def test_historical_metrics_are_a_section_of_their_own(make_bank: MakeBank) -> None:
    path = make_bank(0, padded=False)
    put(path / "metrics/historical/1.json", {"timestamp": 1_700_000_000, "metrics": {"total_profit": 1}})
    assert [one.files for one in inferred(path, "metrics").schemas] == [1]
    assert [one.kind for one in inferred(path, "metrics/historical").schemas] == ["historical_metrics"]


def test_alternatives_exclude_each_other_where_they_can(make_bank: MakeBank) -> None:
    path = make_bank(3, padded=False)
    put(path / "trades/move.json", {"from": "a", "to": "b", "amount": 1})
    inferred(path, "trade")
    assert len(schema_of(path, "trade")["oneOf"]) == 2
    put(path / "trades/both.json", {**trade(1), "from": "a", "to": "b", "amount": 1, "x": 1, "y": 1, "z": 1})
    for number in range(8):
        put(path / f"trades/part{number}.json", {"amount": 1, "from": "a", "to": "b", f"n{number}": 1})
    inferred(path, "trade", replace=True)
    assert rules(path, "MB201") == {}


def test_the_public_bank_matches_what_was_learnt_from_it(tmp_path: Path) -> None:
    if not LISTONIAN.is_dir():
        pytest.skip("the public bank is not here")
    path = tmp_path / "bank"
    shutil.copytree(LISTONIAN, path, copy_function=shutil.copyfile)
    for one in (path, *path.rglob("*")):
        one.chmod(0o700 if one.is_dir() else 0o600)
    init(Context(bank=str(path)))
    for section, shapes in (("trades", 1), ("metrics", 2), ("state", 7)):
        [schema] = inferred(path, section).schemas
        assert len(schema.alternatives) == shapes
        assert "anyOf" not in schema.schema
    assert set(rules(path, "MB2").values()) <= {"MB205", "MB206", "MB207"}


def test_sections_whose_files_match_no_schema(make_bank: MakeBank) -> None:
    path = own_shapes(make_bank(3, padded=False, adopt=False))
    report = init(Context(bank=str(path)))
    assert report.unmatched == ("trades", "agents")
    assert "memorybank schema infer trades" in report.summary()
    assert report.as_dict()["unmatched"] == ["trades", "agents"]
    with opened(path) as bank:
        assert unmatched(Scanner(bank).run()) == ["trades", "agents"]


def test_a_few_odd_files_are_no_reason(make_bank: MakeBank) -> None:
    path = make_bank(5, padded=False)
    put(path / "trades/odd.json", {"x": 1})
    assert init(Context(bank=str(path))).as_dict().keys().isdisjoint({"unmatched", "inferred"})


def test_init_learns_when_told(make_bank: MakeBank) -> None:
    path = own_shapes(make_bank(3, padded=False, adopt=False))
    report = init(Context(bank=str(path)), infer=True)
    assert [one["section"] for one in report.as_dict()["inferred"]] == ["trades", "agents"]
    assert report.unmatched == ()
    assert not [one for one in report.findings if one.rule == "MB202"]
    assert {"trade", "agents"} == {one.name.split(".")[0] for one in (path / "config/schemas").iterdir()}
    assert rules(path, "MB20") == {}


@pytest.mark.parametrize("answer", [True, False])
def test_init_asks_somebody(make_bank: MakeBank, answer: bool) -> None:
    path = own_shapes(make_bank(3, padded=False, adopt=False))
    asked: list[str] = []

    def confirm(question: str) -> bool:
        asked.append(question)
        return answer

    context = Context(bank=str(path), interactive=True, confirm=confirm)
    report = init(context)
    assert [one.partition("files of ")[2] for one in asked] == [
        "trades. Learn one from them?",
        "agents. Learn one from them?",
    ]
    assert bool(report.inferred) is answer
    assert (path / "config/schemas").exists() is answer
    assert init(replace(context, json=True)).unmatched == (() if answer else ("trades", "agents"))
    assert len(asked) == 2


def test_damaged_sections_stay_without_a_schema(make_bank: MakeBank) -> None:
    path = make_bank(0, padded=False, adopt=False)
    put(path / "shared/a.json", {})
    report = init(Context(bank=str(path)), infer=True)
    assert (report.inferred, report.unmatched) == ((), ("shared",))


def test_what_people_see(make_bank: MakeBank, run: Run) -> None:
    path = own_shapes(make_bank(3, adopt=False))
    init(Context(bank=str(path)))
    done = run("schema", "infer", "trades", "--bank", path)
    assert done.returncode == 0
    assert "trade 1: 24 files, trades/leg_0.json" in done.stdout
    assert "left out MB102 trades/recent_trades.json" in done.stdout
    assert "\nchoices: leg\n" in done.stdout
    assert "In force: trade." in done.stdout
    put(path / "trades/new.json", {**LEG, "leg": "none", "oid": 1})
    again = run("schema", "infer", "trades", "--bank", path)
    assert "trade /$defs/leg/properties/leg enum: long, short -> nothing" in again.stdout
    assert "Kept as it is: trade" in again.stdout
    assert run("schema", "infer", "trades", "--replace", "--bank", path).returncode == 0
    assert "Nothing to change." in run("schema", "infer", "trades", "--bank", path).stdout
