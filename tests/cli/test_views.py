"""Each registered view is there, and shows what its report says."""

from __future__ import annotations

from typing import Any

import pytest

from memorybank_cli.base.records import Finding
from memorybank_cli.cli.blocks import Block, Fields, Findings, Table, Text
from memorybank_cli.cli.commands import COMMANDS
from memorybank_cli.cli.views import checks, generic, health, migrations, proofs, rollback, snapshots, table
from memorybank_cli.operations.drill import DrillReport
from memorybank_cli.operations.rollback import RollbackReport
from memorybank_cli.operations.rollback_plan import Told
from memorybank_cli.snapshots.documents import Meta
from memorybank_cli.snapshots.documents import make as make_document
from memorybank_cli.snapshots.verifying import Verified

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
    assert blocks[1:] == [Table(("id", "time", "files", "bytes", "notes"), [["s1", "tZ", 2, 10, ""]])]
    assert snapshots.listing({"snapshots": [], "findings": []}) == [Findings([])]


def test_suspect_snapshots_say_why() -> None:
    suspect = {**DOCUMENT, "status": "suspect", "reasons": ["gone", "empty"], "pinned": True, "tags": ["x", "y"]}
    latest = {**DOCUMENT, "latest": True}
    _, found, *below = snapshots.listing({"snapshots": [*[suspect] * 5, latest], "findings": []})
    assert isinstance(found, Table)
    assert [row[-1] for row in found.rows] == ["suspect, pinned, x, y"] * 5 + ["latest"]
    assert texts(below) == ["suspect s1: gone; empty"] * 3 + ["... and 2 more suspect ones (--json shows all)"]


def test_one_snapshot_and_what_is_in_it() -> None:
    files = [{"path": f"trades/{number}", "size": 1, "mode": 0o600} for number in range(30)]
    files += [{"path": "bank.json", "size": 5, "mode": 0o600}]
    files += [{"path": "state/a", "size": 1, "mode": 0o600, "rule": "MB102", "good": good} for good in (True, False)]
    document = {**DOCUMENT, "excluded": [".env"], "reasons": ["why"], "pinned": True}
    fields, *told, listed = snapshots.one({"snapshot": document, "files": files})
    assert isinstance(fields, Fields)
    named = [pair for pair in fields.pairs if pair[0] in ("id", "reasons", "pinned", "tags")]
    assert named == [("id", "s1"), ("reasons", ["why"]), ("pinned", True)]
    assert texts(told) == [
        "damaged MB102 state/a: its last good version is kept",
        "damaged MB102 state/a: no good version was ever recorded",
        "left out .env",
    ]
    assert listed == Table(("section", "files", "bytes"), [[".", 1, 5], ["state", 2, 2], ["trades", 30, 30]])
    assert len(snapshots.one({"snapshot": {**DOCUMENT, "excluded": []}, "files": []})) == 1


def test_versions_that_were_found() -> None:
    one = {"path": "a", "size": 9, "rule": "", "first": {"id": "s1"}, "last": {"id": "s1"}}
    bad = {**one, "size": None, "rule": "MB102", "last": {"id": "s2"}}
    record = {"kind": "trade", "id": "7", "pointer": "", "value": {"p": 1}}
    report = {"findings": [], "versions": [{**one, "records": [record], "line": 3, "text": "x\x1b"}, bad]}
    assert texts(snapshots.found(report)) == [
        "a", "  s1  9 B", "    trade 7: p 1", "    line 3: x\\x1b", "  s1 to s2  found damaged, MB102"
    ]  # fmt: skip
    many = [{**one, "path": str(number)} for number in range(21)] + [one] * 21
    told = texts(snapshots.found({"findings": [], "versions": many}))
    assert told[-1] == "... and 2 more files (--json shows all)"
    told = texts(snapshots.found({"findings": [], "versions": [one] * 21}))
    assert (len(told), told[-1]) == (22, "  ... and 1 older versions (--json shows all)")


def test_a_backup_names_what_is_damaged() -> None:
    made = {"damaged": [{"path": "a", "rule": "MB102"}], "excluded": []}
    blocks = snapshots.made({"snapshot": made, "findings": []})
    assert texts(blocks) == ["damaged MB102 a"]


def test_verifying_says_how_much_was_proved() -> None:
    report = Verified(2, 1000, 0, 0, (), frozenset()).as_dict()
    assert texts(proofs.verified(report)) == [
        "2 snapshots, 1,000 trees and blobs: everything is there; --read-data reads every byte too"
    ]
    damaged = proofs.verified({**report, "ok": False, "packs": 1, "bytes_read": 7, "findings": [FINDING]})
    assert texts(damaged) == ["2 snapshots, 1,000 trees and blobs, 1 pack read (7 B): something is damaged; see above"]
    partly = proofs.verified({**report, "packs": 2, "read_before": 3, "unread": 4})
    assert texts(partly) == [
        "2 snapshots, 1,000 trees and blobs, 2 packs read (0 B), 3 read before, 4 not read: everything is there"
    ]


def test_a_drill_tells_the_time_to_recovery_and_what_came_along() -> None:
    document = make_document("0" * 64, 2, 9, Meta("bank", status="suspect", reasons=("it shrank",)))
    known = (Finding("MB103", "cut", "b"), Finding("MB103", "cut", "a"), Finding("MB202", "odd", "a"))
    report = DrillReport(document, "/repo", 2, 9, 1, (), 0.0, 0.25, (), known, kept="/there").as_dict()
    fields = proofs.drilled(report)[1]
    assert isinstance(fields, Fields)
    assert dict(fields.pairs) == {
        "restored": "2 files, 9 B, in 0.00 s",
        "validated": "1 record, 0 accounts, in 0.25 s",
        "time to recovery": "0.25 s",
        "came along": "3 known findings (MB103, MB202; see --json)",
        "suspect": "it shrank",
        "kept": "/there",
    }


def test_restoring_and_rolling_back() -> None:
    blocks = snapshots.restored({"path": "/x", "files": 2, "bytes": 1000, "findings": []})
    assert texts(blocks) == ["2 files, 1000 B restored to /x"]
    report = RollbackReport(("a",), ("b",), "line 3", None, (), dry_run=True).as_dict()
    assert texts(rollback.rolled_back(report)) == ["would be restored a", "would be removed b"]
    assert texts(rollback.rolled_back({**report, "dry_run": False})) == ["restored a", "removed b"]


def test_a_rollback_names_changes_older_versions_and_what_it_kept() -> None:
    versions = {"a": Told(3, 2, "then", "journal", exact=False), "b": Told(3, None, "then", "snapshot", exact=False)}
    changes = tuple(
        {"path": path, "what": "added", "kind": kind, "id": "m1", "pointer": "", "after": 1, "summary": ""}
        for path, kind in (("a", "file"), ("a", "trade"), ("account_x/whole_history.json", "message"))
    )
    report = RollbackReport(
        ("a",),
        (),
        "line 3",
        None,
        (),
        dry_run=True,
        versions=versions,
        changes=changes,
        more_changes=3,
        kept={"a": ".memorybank/q"},
        left=("c",),
    ).as_dict()
    shown = texts(rollback.rolled_back(report))
    assert shown == [
        "messages of account_x: 1 added",
        "  added message m1: 1",
        "would be restored a",
        "  trade m1: 1",
        "... and 3 more changes (--json shows more)",
        "earlier version a: of line 2, then",
        "earlier version b: of snapshot, then",
        "kept a in .memorybank/q",
        "changed since, left as it is: c",
    ]


def test_health_shows_parts_and_samples() -> None:
    components = [{"component": "trades", "status": "error", "issues": ["x", "y"], "last_check": "t"}]
    report = {"score": 70, "status": "error", "components": components, "findings": [FINDING], "samples": {"files": 3}}
    probe: dict[str, Any] = {"probe": "disk", "group": "system", "component": "storage", "status": "healthy"}
    probe |= {"cadence_seconds": 5.0, "seconds": 0.0004}
    report |= {"explain": True, "memory": [], "probes": [probe], "recorded": None}
    blocks = health.health(report)
    table = blocks[3]
    assert isinstance(table, Table)
    assert table.rows == [["disk", "system", "storage", "healthy", "5 s", "0.4 ms"]]
    assert health.health({**report, "recorded": "metrics/x.json"})[-1] == Text("recorded metrics/x.json")
    assert blocks[:2] == [Findings([FINDING]), Table(("component", "status", "issues"), [["trades", "error", 2]])]
    assert blocks[-1] == Fields([("files", "3")])
    assert len(health.health({**report, "explain": False, "samples": {}})) == 1


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("disk_free_bytes", 5 << 30, "5.0 GiB"),
        ("write_p95_seconds", 0.0625, "62.5 ms"),
        ("drill_age_seconds", 0, "0 s"),
        ("drill_age_seconds", 119, "119 s"),
        ("drill_age_seconds", 120, "2 min"),
        ("drill_age_seconds", 7_200 * 1.25, "2.5 h"),
        ("drill_age_seconds", 3 * 86_400, "3 days"),
        ("write_error_rate", 0.05, "0.05"),
        ("files", 12_345, "12,345"),
    ],
)
def test_samples_have_the_unit_that_their_name_says(name: str, value: float, text: str) -> None:
    assert health.shown(name, value) == text


def test_what_is_free_is_told_with_what_there_is() -> None:
    samples: dict[str, float] = {"disk_free_bytes": 1 << 30, "disk_size_bytes": 4 << 30, "inodes_free": 5}
    assert list(health._samples(samples)) == [("disk free", "1.0 GiB of 4.0 GiB"), ("inodes free", "5")]


def series(name: str, *values: float | None) -> dict[str, Any]:
    known = [one for one in values if one is not None]
    return {
        "name": name,
        "values": list(values),
        "least": min(known),
        "mean": sum(known) / len(known),
        "most": max(known),
        "last": known[-1],
    }


HISTORY = {"from": "2026-11-20T13:00:00.000000Z", "to": "2026-11-20T14:00:00.000000Z"}


def test_a_chart_of_one_sample() -> None:
    values = [None, 0, *range(0, 101, 25), None, 100]
    assert texts(health.history({**HISTORY, "series": [series("score", *values)]})) == [
        "score: last 100, mean 50",
        "100 |      █ █",
        "    |      █ █",
        "    |     ██ █",
        "    |    ▁██ █",
        "    |    ███ █",
        "    |   ▁███ █",
        "    |   ████ █",
        "  0 | ▁▁████ █",
        "    +2026-11-20T13:00:00Z2026-11-20T14:00:00Z",
    ]


def test_many_samples_are_a_line_each() -> None:
    shown = [series("disk_free_bytes", 1 << 30, None, 2 << 30), series("disk_size_bytes", 1), series("files", 5, 5)]
    [table] = health.history({**HISTORY, "series": [*shown, series("score", *range(60))]})
    assert isinstance(table, Table)
    assert table.title == "2026-11-20T13:00:00Z to 2026-11-20T14:00:00Z"
    assert table.rows == [
        ["disk free", "2.0 GiB", "1.0 GiB", "2.0 GiB", "▁ █"],
        ["files", "5", "5", "5", "▅▅"],
        ["score", "59", "0", "59", "▁▁▂▂▂▃▃▄▄▄▅▅▅▆▆▇▇▇██"],
    ]
    assert health.history({**HISTORY, "series": []}) == []
    assert health.sparkline([]) == ""


def test_status_shows_the_bank_its_changes_and_alerts() -> None:
    alerts = [{"level": "error", "message": f"MB101 {number}"} for number in range(25)]
    alerts += [{"level": "error", "message": "MB102 a"}, {"level": "info", "message": "MB112 no"}]
    counts = [("error", "MB101", 450), ("error", "MB102", 1), ("warning", "MB303", 7), ("info", "MB112", 3)]
    document = {"integrity_checks": {"state": {"last_snapshot": None}}, "alerts": alerts}
    report = {
        "memory_bank_status": document,
        "changes": [{"path": "a", "change": "new"}],
        "head": {"seq": 1200, "hash": "0123456789abcdef"},
        "sections": {"trades": 3, "state": 0},
        "path": "/bank",
        "bank_id": "id",
        "last_drill": {},
        "snapshots_unknown": "",
        "snapshots_elsewhere": "",
        "counts": [{"level": level, "rule": rule, "count": count} for level, rule, count in counts],
    }
    fields, *rest = health.status(report)
    assert isinstance(fields, Fields)
    assert ("files", "trades 3") in fields.pairs
    assert ("journal", "1,200 lines, 0123456789ab") in fields.pairs
    assert texts(rest) == [
        "pending new a",
        "error MB101 0 (and 449 more)",
        "error MB102 a",
        "warning MB303: 7 findings",
    ]
    (unknown, *_) = health.status({**report, "snapshots_unknown": "no key is named"})
    assert isinstance(unknown, Fields)
    assert ("last snapshot", "not known: no key is named") in unknown.pairs
    document["integrity_checks"] = {"state": {"last_snapshot": "2026-11-20T14:00:00.000000Z"}}
    (elsewhere, *_) = health.status({**report, "snapshots_elsewhere": "/mnt/my disk"})
    assert isinstance(elsewhere, Fields)
    (said,) = [value for name, value in elsewhere.pairs if name == "last snapshot"]
    assert said.startswith("none in the default repository; the last one, of 2026-11-20")
    assert said.endswith("is in /mnt/my disk (memorybank config set repository '/mnt/my disk')")


def test_long_lists_are_cut() -> None:
    blocks = generic.lines("accepted", [str(number) for number in range(1000)])
    assert len(blocks) == 21
    assert texts(blocks)[-1] == "... and 980 more accepted (--json shows all)"
