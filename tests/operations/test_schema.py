"""`schema list`, `show` and `check`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import NotFound, OperationFailed, UsageError
from memorybank_cli.operations.schema import SchemaCheck, check, list_, show
from tests.conftest import MakeBank, Run
from tests.operations.banks import adopt, opened, put

OWN = {"title": "Mine", "type": "object", "required": ["oid"], "x-memorybank": {"version": 3}}


def with_own(path: Path, **schemas: Any) -> Path:
    from memorybank_cli.operations.accept import accept

    for name, schema in schemas.items():
        put(path / f"config/schemas/{name}.schema.json", schema)
    with opened(path) as bank:
        accept(bank, str(path / "config"))
    return path


def checked(path: Path | None, *names: str) -> SchemaCheck:
    if path is None:
        return check(None, Context(), *names)
    with opened(path) as bank:
        return check(bank, bank.context, *names)


def test_the_list_says_what_is_in_force_where(make_bank: MakeBank) -> None:
    path = with_own(make_bank(3), trade=OWN)
    put(path / "agents/a/d.json", {"decision_id": "d", "agent_id": "a", "decision_type": "X", "timestamp": 1})
    adopt(path)
    with opened(path) as bank:
        rows = {one.name: one for one in list_(bank).schemas}
    assert rows["trade"] == ("trade", "Mine", 3, "bank", 3, True, True)
    assert rows["decision"] == ("decision", "Decision", 1, "built-in", 1, False, True)
    assert rows["metrics"].bound
    assert (rows["account"].files, rows["account"].replaceable) == (0, False)


def test_without_a_bank_the_built_in_ones_are_listed(run: Run, tmp_path: Path) -> None:
    done = run("schema", "list", "--json", cwd=tmp_path)
    assert done.returncode == 0
    rows = done.json["schemas"]
    assert {one["origin"] for one in rows} == {"built-in"}
    assert {"decision", "pattern", "signal", "agent_state", "prediction"} <= {one["name"] for one in rows}
    shown = run("schema", "list", cwd=tmp_path).stdout
    assert shown.startswith("for what agents write: agent_state, corruption_event, decision, ")
    assert "for memorybank's own files (--json)" in shown


def test_people_see_first_what_matters_in_this_bank(make_bank: MakeBank, run: Run) -> None:
    shown = run("schema", "list", "--bank", make_bank(3)).stdout
    assert [line.split()[0] for line in shown.splitlines()[1:5]] == ["bank", "metrics", "state", "trade"]
    assert "without files here: agent_state," in shown


def test_a_schema_is_shown_as_its_file_would_be(run: Run, tmp_path: Path) -> None:
    text = run("schema", "show", "decision", cwd=tmp_path).stdout
    assert json.loads(text)["title"] == "Decision"
    found = run("schema", "show", "decision", "--json", cwd=tmp_path).json
    assert (found["name"], found["origin"], found["version"]) == ("decision", "built-in", 1)
    assert found["schema"] == json.loads(text)


def test_a_misspelt_name_gets_a_suggestion() -> None:
    with pytest.raises(NotFound) as caught:
        show(None, "decisoin")
    assert "decision" in caught.value.hint
    with pytest.raises(NotFound):
        checked(None, "decisoin")


def test_all_built_in_schemas_are_good() -> None:
    report = checked(None)
    assert report.exit_code() == 0
    assert len(report.schemas) > 30
    assert all(one.files is None for one in report.schemas)
    assert report.summary() == f"{len(report.schemas)} schemas are good."


def test_how_many_files_match(make_bank: MakeBank) -> None:
    path = make_bank(3)
    put(path / "trades/odd.json", {"x": 1})
    [one] = checked(path, "trade").schemas
    assert (one.origin, one.ok, one.files, one.matching, one.misfits) == ("built-in", True, 4, 3, ("trades/odd.json",))
    [one] = checked(path, "account").schemas
    assert (one.ok, one.files) == (True, None)


def test_the_banks_own_are_checked_by_default(make_bank: MakeBank, run: Run) -> None:
    path = with_own(make_bank(2), trade=OWN, mine={"type": "nonsense"}, other={"x-memorybank": {"version": "2"}})
    report = checked(path)
    assert report.exit_code() == 1
    assert [(one.name, one.ok) for one in report.schemas] == [("mine", False), ("other", False), ("trade", True)]
    assert report.schemas[1].problems[0].pointer == "/x-memorybank/version"
    assert "mine, other" in report.summary()
    shown = run("schema", "check", "--bank", path)
    assert shown.returncode == 1
    assert "other at /x-memorybank/version: expected integer" in shown.stdout
    assert "trade does not fit trades/trade_0.json, trades/trade_1.json" in shown.stdout


def test_a_file_is_held_against_the_files_of_its_kind(make_bank: MakeBank, tmp_path: Path) -> None:
    path = make_bank(3)
    put(tmp_path / "trade.schema.json", OWN)
    put(tmp_path / "decision.json", {"type": "object", "properties": {"a": {"$ref": "urn:memorybank:schema:trade"}}})
    mine, decision = checked(path, str(tmp_path / "trade.schema.json"), str(tmp_path / "decision.json")).schemas
    assert (mine.name, mine.origin, mine.files, mine.matching) == ("trade", "file", 3, 0)
    assert (decision.name, decision.ok, decision.files) == ("decision", True, 0)
    put(tmp_path / "trade.schema.json", {"$ref": "other.json"})
    report = checked(path, str(tmp_path / "trade.schema.json"))
    assert not report.schemas[0].ok
    assert report.as_dict()["ok"] is False


def test_what_is_no_schema_file(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no file"):
        checked(None, str(tmp_path / "x.json"))
    put(tmp_path / "x.json", b"{")
    with pytest.raises(UsageError, match="not a JSON document"):
        checked(None, str(tmp_path / "x.json"))
    put(tmp_path / "x.json", b" " * (1 << 20) + b"{}")
    with pytest.raises(UsageError, match="larger"):
        checked(None, str(tmp_path / "x.json"))
    (tmp_path / "d.json").mkdir()
    with pytest.raises(OperationFailed):
        checked(None, str(tmp_path / "d.json"))
