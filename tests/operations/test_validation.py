"""The document of a final validation: every number in it is one of the bank's own."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.bank.catalog import Catalog
from memorybank_cli.base import clock
from memorybank_cli.base.records import Finding
from memorybank_cli.operations.accept import accept
from memorybank_cli.operations.accounts import create_account
from memorybank_cli.operations.check import validate
from memorybank_cli.operations.components import part_of
from memorybank_cli.operations.health import health
from tests.conftest import MakeBank, Run, trade
from tests.operations.banks import backed_up, opened, put


def reported(path: Path, *paths: str, **options: Any) -> dict[str, Any]:
    """The JSON of a report, read back."""
    with opened(path) as bank:
        validate(bank, bank.context, *paths, report=str(path.parent / "report.json"), **options)
    found: dict[str, Any] = json.loads((path.parent / "report.json").read_bytes())
    return found


def part(document: dict[str, Any], name: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = [one for one in document["components"] if one["component"] == name]
    assert len(found) == 1
    return found[0]


def test_a_bank_with_everything(make_bank: MakeBank) -> None:
    path = make_bank(5)
    put(path / "agents/a/odd.json", {"any": "thing"})
    put(path / "config/schemas/own.schema.json", {"type": "object"})
    with opened(path) as bank:
        accept(bank, "config/schemas/own.schema.json")
        create_account(bank, "ann")
    snapshot = backed_up(path).as_dict()["snapshot"]
    with opened(path) as bank:
        health(bank)
    put(path / "state/state.json", {"bot_status": "stopped", "timestamp": []})
    put(path / "trades/trade_0.json", trade(9))
    document = reported(path, full=True)
    with opened(path) as bank:
        assert document["bank"] == {
            "id": bank.bank_id,
            "path": str(path),
            "format": bank.format,
            "head": {"seq": bank.end.seq, "hash": bank.end.hash},
        }
        files = bank.catalog.sections()
    assert (document["verdict"], document["ok"], document["fail_on"]) == ("failed", False, "error")
    assert document["program"].startswith("memorybank ")
    assert [one["component"] for one in document["components"]] == [
        "trades", "metrics", "state", "accounts", "agents", "config",
        "journal", "catalog", "permissions", "monitoring", "snapshots",
    ]  # fmt: skip
    trades = part(document, "trades")
    assert (trades["status"], trades["files"], trades["records"]) == ("error", 6, 5)
    assert trades["last_validated"] == document["checked_at"]
    newest = max((path / "trades").iterdir(), key=os.path.getmtime)
    assert clock.parse(trades["last_updated"]).timestamp() == pytest.approx(newest.stat().st_mtime, abs=0.001)
    assert part(document, "accounts")["note"] == "1 account"
    assert part(document, "config")["note"] == "1 schema of its own"
    assert (part(document, "agents")["files"], part(document, "agents")["status"]) == (1, "ok")
    assert part(document, "journal")["records"] == document["bank"]["head"]["seq"]
    assert part(document, "catalog")["files"] == sum(files.values())
    assert f"mode {path.stat().st_mode & 0o7777:04o}" in part(document, "permissions")["note"]
    assert (part(document, "monitoring")["status"], part(document, "monitoring")["note"]) == (
        "ok",
        "health was checked lately",
    )
    last = part(document, "snapshots")
    assert (last["files"], last["last_updated"], snapshot["id"] in last["note"]) == (
        snapshot["files"],
        snapshot["time"],
        True,
    )
    status = document["memory_bank_status"]
    assert status["integrity_checks"]["trades"]["file_count"] == 6
    assert "the bytes of 1 snapshot" in [one["what"] for one in document["not_checked"]]
    assert [one["command"] for one in document["next_steps"]] == [
        "memorybank repair --dry-run",
        "memorybank accept PATH",
        "memorybank schema show KIND",
        "memorybank schema infer agents",
        "memorybank validate --report FILE",
        "memorybank backup",
    ]


def test_a_bank_with_nothing_to_say(make_bank: MakeBank) -> None:
    path = make_bank(0, padded=False)
    document = reported(path, only=("MB1",))
    assert (document["verdict"], document["next_steps"]) == (
        "passed",
        [{"command": "memorybank backup", "why": "there is no good snapshot to go back to"}],
    )
    assert {one["component"]: one["status"] for one in document["components"]} == {
        "trades": "ok",
        "metrics": "ok",
        "state": "ok",
        "accounts": "none",
        "config": "ok",
        "journal": "ok",
        "catalog": "ok",
        "permissions": "ok",
        "monitoring": "none",
        "snapshots": "none",
    }
    assert {"what": "findings of other families", "why": "only MB1 was asked for"} in document["not_checked"]
    backed_up(path)
    assert reported(path, only=("MB1",))["next_steps"] == [
        {"command": "memorybank watch", "why": "keeps looking while agents write"}
    ]
    put(path / "state/more.json", {"bot_status": "stopped", "last_update": "2025-03-31T00:15:26"})
    assert reported(path, only=("MB1",))["next_steps"] == [
        {"command": "memorybank backup", "why": "records the 1 pending change and makes a snapshot"}
    ]
    put(path / "state/local.json", {"timestamp": "2026-11-20T14:00:00"})
    assert reported(path)["verdict"] == "passed with warnings"


def test_what_was_not_read_is_counted(make_bank: MakeBank) -> None:
    path = make_bank(30, padded=False)
    for one in path.rglob("*.json"):
        os.utime(one, (1_700_000_000, 1_700_000_000))
    reported(path, full=True)
    whats = [one["what"] for one in reported(path)["not_checked"]]
    with opened(path) as bank:
        total = sum(bank.catalog.sections().values())
    [unread] = [one for one in whats if one.startswith("the bytes of")]
    assert 0 < int(unread.split()[3]) <= total
    assert not [one["what"] for one in reported(path, full=True)["not_checked"] if "bytes" in one["what"]]


def test_a_part_of_a_bank(make_bank: MakeBank) -> None:
    document = reported(make_bank(3, padded=False), "trades")
    statuses = {one["component"]: one["status"] for one in document["components"]}
    assert (statuses["trades"], statuses["metrics"], statuses["journal"]) == ("ok", "not checked", "not checked")
    assert document["not_checked"][0]["why"] == "only trades was asked for"


def test_the_root_of_a_bank_is_all_of_it(make_bank: MakeBank) -> None:
    path = make_bank(3, padded=False)
    for paths in ([str(path)], [str(path), "trades"]):
        document = reported(path, *paths)
        assert part(document, "journal")["status"] == "ok"
        assert document["checked"] == reported(path)["checked"]


def test_a_repository_that_cannot_be_read(make_bank: MakeBank, home: Path) -> None:
    path = make_bank(1, padded=False)
    backed_up(path)
    [config] = [one for one in home.rglob("config.json") if (one.parent / "snapshots").is_dir()]
    config.chmod(0o600)
    config.write_bytes(b"{}")
    document = reported(path)
    assert part(document, "snapshots")["status"] == "not checked"
    assert document["not_checked"][-1]["what"] == "the snapshots"
    assert document["not_checked"][-1]["why"].startswith("the repository cannot be read: ")


@pytest.mark.parametrize(("age", "status", "words"), [(7_300, "ok", "2 hours ago"), (200_000, "warning", "56 hours")])
def test_when_health_was_last_checked(make_bank: MakeBank, age: int, status: str, words: str) -> None:
    path = make_bank(0, padded=False)
    moment = clock.from_ns(clock.now_ns() - age * 10**9)
    put(path / ".memorybank/status.json", {"memory_bank_status": {"last_check": moment}})
    found = part(reported(path), "monitoring")
    assert (found["status"], found["last_updated"]) == (status, moment)
    assert words in found["note"]


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"memory_bank_status": {"last_check": "noon"}}', b'{"a": 1}'])
def test_a_status_document_that_says_nothing(make_bank: MakeBank, data: bytes) -> None:
    path = make_bank(0, padded=False)
    put(path / ".memorybank/status.json", data)
    assert part(reported(path), "monitoring")["status"] == "none"


def test_a_catalog_in_memory(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_bank(1, padded=False)
    monkeypatch.setattr(Catalog, "_connect", Catalog.replaced)
    monkeypatch.setattr(Catalog, "_open", _refused)
    found = part(reported(path), "catalog")
    assert (found["status"], found["note"]) == ("warning", "kept in memory only: its place cannot be written")


def _refused(_: Catalog, name: str) -> None:
    raise OSError(name)


@pytest.mark.parametrize(
    ("rule", "path", "component"),
    [
        ("MB122", "", "catalog"),
        ("MB303", "trades", "permissions"),
        ("MB102", "trades/a.json", "trades"),
        ("MB120", "x", "journal"),
        ("MB201", "account_a/short_term.json", "accounts"),
    ],
)
def test_which_component_a_finding_is_about(rule: str, path: str, component: str) -> None:
    assert part_of(Finding(rule, "x", path)) == component


def test_the_same_for_people(run: Run, make_bank: MakeBank, tmp_path: Path) -> None:
    path = make_bank(2)
    put(path / "trades/a|b`c<d>_e.json", b"{")
    done = run("validate", "--bank", path, "--report", "report.md", cwd=tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert done.returncode == 1
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings == [
        "# Validation of a memory bank",
        "## Components",
        "## Findings",
        "### error MB102 trailing-bytes",
        "### error MB103 truncated",
        "## Not checked",
        "## Next steps",
    ]
    assert "- ``trades/a|b`c<d>_e.json``: " in text
    assert "| trades | **error** | 4 | 2 | " in text
    assert "\n\n\n" not in text
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
