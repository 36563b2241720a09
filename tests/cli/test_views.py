"""Each registered view is there, and shows what its report says."""

from __future__ import annotations

from typing import Any

import pytest

from memorybank_cli.base.records import Finding
from memorybank_cli.cli.blocks import Block, Fields, Findings, Table, Text
from memorybank_cli.cli.commands import COMMANDS
from memorybank_cli.cli.views import checks, generic, health, migrations, snapshots, table

FINDING = Finding("MB102", "padded", "trades/a.json").as_dict()


IMPORTED = {
    "imported": 3,
    "dry_run": False,
    "plan": [{"importer": "plain_json", "score": 10, "kind": "files", "count": 3, "from": ".", "to": "state/"}] * 21,
    "assumptions": [{"text": "times are UTC", "count": 2}],
    "rejected": [{"path": "a", "reason": "cut", "kept": "q/a"}, {"path": "b", "reason": "gone", "kept": ""}],
    "skipped": [{"path": "c", "reason": "a link"}],
}


@pytest.mark.parametrize("name", [*table.VIEWS, "NoSuchReport"])
def test_every_view_can_be_loaded(name: str) -> None:
    assert callable(table.view(name))


@pytest.mark.parametrize("name", [*table.LINES, "no such command"])
def test_every_line_can_be_loaded(name: str) -> None:
    assert callable(table.line(name))


def test_lines_are_for_streams() -> None:
    assert set(table.LINES) == {name for name, operation in COMMANDS.items() if operation.stream}


def texts(blocks: list[Block]) -> list[str]:
    return [block.text for block in blocks if isinstance(block, Text)]


def test_findings_alone() -> None:
    assert checks.findings({"ok": False, "findings": [FINDING]}) == [Findings([FINDING])]


REPAIR: dict[str, Any] = {
    "repaired": [{"path": "a", "rule": "MB102", "method": "salvage", "kept": "q/a", "lost": "", "why": "only one"}],
    "unrepaired": [{"path": "b", "rule": "MB104", "reason": "nothing is left", "hint": "restore it"}],
    "dry_run": False,
}


def test_repair_shows_cures_and_what_has_none() -> None:
    blocks = checks.repair(REPAIR)
    assert blocks[0] == Table(["path", "rule", "method", "why"], [["a", "MB102", "salvage", "only one"]])
    kept = "The bytes that were replaced are in .memorybank/quarantine (--json says which)."
    assert texts(blocks) == [kept, "unrepaired MB104 b: nothing is left", "    restore it"]


def test_init_shows_import_and_repair() -> None:
    blocks = checks.init({"findings": [], "imported": IMPORTED, "repaired": REPAIR})
    [told] = [block for block in blocks if isinstance(block, Table) and block.title == "imported"]
    assert told.rows[0] == ["plain_json", 10, "files", 3, ".", "state/"]
    assert texts(blocks)[:7] == [
        "... and 1 more parts (--json shows all)",
        "assumed times are UTC (2)",
        "rejected a: cut",
        "    kept in q/a",
        "rejected b: gone",
        "left behind c: a link",
        "The bytes that were replaced are in .memorybank/quarantine (--json says which).",
    ]
    assert checks.init({"findings": []}) == [Findings([])]


def test_a_migration_shows_steps_and_lifted_documents() -> None:
    step = {"from": 1, "to": 2, "description": "fewer files", "snapshot": "s1"}
    lifted = {"path": "a", "kind": "trade", "from": 1, "to": 2, "kept": ""}
    stays = {"path": "b", "kind": "trade", "reason": "no way"}
    nothing: dict[str, Any] = {"plan": [], "assumptions": [], "rejected": [], "skipped": []}
    report = {"findings": [], **nothing, "steps": [step], "lifted": [lifted] * 21, "unliftable": [stays]}
    blocks = migrations.migrate(report)
    assert [block.title for block in blocks if isinstance(block, Table)] == ["format steps", "lifted documents"]
    assert texts(blocks) == ["... and 1 more lifted documents (--json shows all)", "unliftable b: no way"]
    report["lifted"] = [{**lifted, "kept": ".memorybank/quarantine/a"}]
    assert migrations.KEPT in migrations.migrate(report)


def test_what_cannot_be_cured_is_told_once() -> None:
    finding = {"rule": "MB101", "path": "a", "hint": "memorybank repair a"}
    other = {**finding, "path": "b"}
    left = {"rule": "MB101", "path": "a", "reason": "empty", "hint": "by hand"}
    blocks = checks.init({"findings": [finding, other], "repaired": {"repaired": [], "unrepaired": [left]}})
    assert blocks[0] == Findings([other])
    assert texts(blocks) == ["unrepaired MB101 a: empty", "    by hand"]


def test_accepted_paths() -> None:
    blocks = checks.accept({"accepted": ["a"], "skipped": ["b"]})
    assert texts(blocks) == ["accepted a", "damaged b"]
    unfit = [{"rule": "MB201", "path": "a"}]
    assert checks.accept({"accepted": ["a"], "skipped": [], "findings": unfit})[-1] == Findings(unfit)


DOCUMENT = {"id": "s1", "time": "t", "status": "good", "files": 2, "bytes": 10, "tags": [], "root": "x", "digest": "y"}


def test_snapshots_are_a_row_each() -> None:
    blocks = snapshots.listing({"snapshots": [DOCUMENT], "findings": [], "repository": "r"})
    assert blocks[1] == Table(("id", "time", "status", "files", "bytes", "tags"), [["s1", "tZ", "good", 2, 10, []]])
    assert snapshots.listing({"snapshots": [], "findings": []}) == [Findings([])]


def test_one_snapshot_and_its_files() -> None:
    files = [{"path": str(number), "size": 1, "mode": 0o600} for number in range(30)]
    fields, listed, more = snapshots.one({"snapshot": DOCUMENT, "files": files})
    assert isinstance(fields, Fields)
    assert ("id", "s1") in fields.pairs
    assert isinstance(listed, Table)
    assert len(listed.rows) == 20
    assert texts([more]) == ["... and 10 more files (--json shows all)"]
    assert len(snapshots.one({"snapshot": DOCUMENT, "files": []})) == 1


def test_a_backup_names_what_is_damaged() -> None:
    blocks = snapshots.made({"snapshot": {"damaged": [{"path": "a", "rule": "MB102"}]}, "findings": []})
    assert texts(blocks) == ["damaged MB102 a"]


def test_verifying_says_how_much_was_proved() -> None:
    report = {"ok": True, "snapshots": 2, "checked": 1000, "packs": 0, "bytes_read": 0, "findings": []}
    assert texts(snapshots.verified(report)) == ["2 snapshots, 1,000 trees and blobs: everything is there"]
    damaged = snapshots.verified({**report, "ok": False, "packs": 1, "findings": [FINDING]})
    assert texts(damaged) == ["2 snapshots, 1,000 trees and blobs, 1 packs read: something is damaged; see above"]


def test_restoring_and_rolling_back() -> None:
    blocks = snapshots.restored({"path": "/x", "files": 2, "bytes": 1000, "findings": []})
    assert texts(blocks) == ["2 files, 1000 B restored to /x"]
    report = {"restored": ["a"], "removed": ["b"], "findings": [], "dry_run": True}
    assert texts(snapshots.rolled_back(report)) == ["would be restored a", "would be removed b"]
    assert texts(snapshots.rolled_back({**report, "dry_run": False})) == ["restored a", "removed b"]


def test_health_shows_parts_and_samples() -> None:
    components = [{"component": "trades", "status": "error", "issues": ["x", "y"], "last_check": "t"}]
    report = {"score": 70, "status": "error", "components": components, "findings": [FINDING], "samples": {"files": 3}}
    report["explain"] = True
    blocks = health.health(report)
    assert blocks[:2] == [Findings([FINDING]), Table(("component", "status", "issues"), [["trades", "error", 2]])]
    assert blocks[-1] == Fields([("files", 3)])
    assert len(health.health({**report, "samples": {}})) == 2


def test_status_shows_the_bank_its_changes_and_alerts() -> None:
    alerts = [{"level": "error", "message": str(number)} for number in range(25)] + [{"level": "info", "message": "no"}]
    document = {"integrity_checks": {"state": {"last_snapshot": None}}, "alerts": alerts}
    report = {
        "memory_bank_status": document,
        "changes": [{"path": "a", "change": "new"}],
        "head": {"seq": 1200, "hash": "0123456789abcdef"},
        "sections": {"trades": 3, "state": 0},
        "path": "/bank",
        "bank_id": "id",
    }
    fields, *rest = health.status(report)
    assert isinstance(fields, Fields)
    assert ("files", "trades 3") in fields.pairs
    assert ("journal", "1,200 lines, 0123456789ab") in fields.pairs
    shown = texts(rest)
    assert shown[:2] == ["pending new a", "error 0"]
    assert shown[-1] == "error 24"
    assert len(shown) == 26


def test_long_lists_are_cut() -> None:
    blocks = generic.lines("accepted", [str(number) for number in range(1000)])
    assert len(blocks) == 21
    assert texts(blocks)[-1] == "... and 980 more accepted (--json shows all)"
