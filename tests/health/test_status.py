"""The status document of spec 000 and component health of spec 002."""

from __future__ import annotations

import pytest

from memorybank_cli.bank.schemas import Registry
from memorybank_cli.base.records import Finding
from memorybank_cli.health.status import ALERTS, COMPONENTS, Counts, component_of, components, counts, status_document

NOW = "2026-11-20T14:00:00.000000Z"
COUNTS = Counts({"trades": 450, "metrics": 2}, {"metrics": 1_700_000_000_123_456_789}, "2026-11-20T06:00:00.000000Z")


@pytest.mark.parametrize(
    ("rule", "path", "component"),
    [
        ("MB101", "trades/a.json", "trades"),
        ("MB101", "metrics/historical/a.json", "metrics"),
        ("MB101", "state/a.json", "state"),
        ("MB110", "account_a/short_term.json", "accounts"),
        ("MB101", "agents/a/x.json", "agents"),
        ("MB101", "shared/x.json", "agents"),
        ("MB401", "config/memorybank.json", "config"),
        ("MB120", ".memorybank/journal/000000000001.jsonl", "journal"),
        ("MB130", "", "snapshots"),
        ("MB501", "", "snapshots"),
        ("MB502", "", "storage"),
        ("MB306", "", "storage"),
        ("MB112", "elsewhere/x.json", "storage"),
        ("MB110", "bank.json", "storage"),
        ("MB302", "metrics", "metrics"),
        ("MB508", "", "storage"),
        ("MB509", "", "system"),
        ("MB525", "", "monitoring"),
        ("MB530", "", "system"),
        ("MB532", "", "performance"),
        ("MB533", "", "snapshots"),
        ("MB552", "", "monitoring"),
        ("MB560", ".memorybank/heartbeats/daily.json", "monitoring"),
        ("MB507", "", "monitoring"),
    ],
)
def test_which_component_a_finding_is_about(rule: str, path: str, component: str) -> None:
    assert component_of(Finding(rule, "what", path)) == component
    assert component in COMPONENTS


def test_a_healthy_bank() -> None:
    document = status_document([], COUNTS, NOW)
    assert document == {
        "memory_bank_status": {
            "last_check": NOW,
            "health_status": "healthy",
            "integrity_checks": {
                "trades": {"status": "ok", "file_count": 450, "last_validated": NOW},
                "metrics": {"status": "ok", "schema_valid": True, "last_updated": "2023-11-14T22:13:20.123456Z"},
                "state": {"status": "ok", "last_snapshot": "2026-11-20T06:00:00.000000Z"},
            },
            "alerts": [],
        }
    }
    assert Registry().misfits("status", document, 5) == []


def test_what_is_unknown_is_about_the_part_it_names() -> None:
    stale = Finding("MB507", "could not be looked at", pointer="/snapshots/saved")
    assert component_of(stale) == "snapshots"
    [row] = [one for one in components([stale], NOW) if one["status"] != "healthy"]
    assert (row["component"], row["status"]) == ("snapshots", "unknown")


def test_unknown_is_degraded_in_the_words_of_the_spec_and_an_alert_says_since_when() -> None:
    stale = Finding("MB507", f"data stale since {NOW}", pointer="/monitoring/look", detected_at=NOW)
    others = [Finding("MB303", "m", f"{number}") for number in range(ALERTS)]
    document = status_document([*others, stale], COUNTS, NOW)
    assert Registry().misfits("status", document, 5) == []
    status = document["memory_bank_status"]
    assert status["health_status"] == "degraded"
    assert status["alerts"][0] == {
        "timestamp": NOW,
        "level": "warning",
        "message": f"MB507 data stale since {NOW}",
        "component": "monitoring",
    }
    failed = Finding("MB507", "disk could not be looked at: it hangs", pointer="/storage/disk", detected_at=NOW)
    [alert] = status_document([failed], COUNTS, NOW)["memory_bank_status"]["alerts"]
    assert alert["message"] == f"MB507 disk could not be looked at: it hangs (data stale since {NOW})"


@pytest.mark.parametrize(
    "place", ["", "memory_bank_status", "integrity_checks", "trades", "metrics", "state", "alerts"]
)
def test_the_schema_takes_the_exact_shape_only(place: str) -> None:
    document = status_document([Finding("MB101", "m", "trades/a.json")], COUNTS, NOW)
    status = document["memory_bank_status"]
    checks = status["integrity_checks"]
    places = {
        "": document,
        "memory_bank_status": status,
        "integrity_checks": checks,
        **checks,
        "alerts": status["alerts"][0],
    }
    places[place]["more"] = {"status": "ok"}
    assert Registry().misfits("status", document, 5)


def test_an_empty_bank() -> None:
    checks = status_document([], Counts({}, {}, None), NOW)["memory_bank_status"]["integrity_checks"]
    assert (checks["trades"]["file_count"], checks["metrics"]["last_updated"], checks["state"]["last_snapshot"]) == (
        0,
        None,
        None,
    )


def test_damage_shows_where_it_is() -> None:
    found = [
        Finding("MB102", "NULs follow", "trades/a.json", detected_at=NOW),
        Finding("MB301", "too large", "state/a.json", detected_at=NOW),
        Finding("MB201", "no number", "metrics/a.json", detected_at=NOW),
        Finding("MB115", "bit rot", "", detected_at=NOW),
    ]
    document = status_document(iter(found), COUNTS, NOW)
    status = document["memory_bank_status"]
    assert status["health_status"] == "error"
    checks = status["integrity_checks"]
    assert [checks[name]["status"] for name in ("trades", "metrics", "state")] == ["error", "error", "ok"]
    assert checks["metrics"]["schema_valid"] is False
    assert status["alerts"] == [
        {"timestamp": NOW, "level": "error", "message": "MB115 bit rot", "component": "storage"},
        {"timestamp": NOW, "level": "error", "message": "MB102 trades/a.json: NULs follow", "component": "trades"},
        {"timestamp": NOW, "level": "error", "message": "MB201 metrics/a.json: no number", "component": "metrics"},
        {"timestamp": NOW, "level": "warning", "message": "MB301 state/a.json: too large", "component": "state"},
    ]
    assert Registry().misfits("status", document, 5) == []


@pytest.mark.parametrize(("rule", "valid"), [("MB102", False), ("MB203", False), ("MB302", True), ("MB208", True)])
def test_what_is_no_document_is_none_of_any_schema(rule: str, valid: bool) -> None:
    document = status_document([Finding(rule, "m", "metrics/metrics.json")], COUNTS, NOW)
    assert document["memory_bank_status"]["integrity_checks"]["metrics"]["schema_valid"] is valid


def test_alerts_and_issues_are_bounded() -> None:
    found = [Finding("MB101", "what", f"trades/{number}.json") for number in range(ALERTS + 5)]
    assert len(status_document(found, COUNTS, NOW)["memory_bank_status"]["alerts"]) == ALERTS
    [trades] = [one for one in components(found, NOW) if one["component"] == "trades"]
    assert len(trades["issues"]) == ALERTS


def test_every_component_has_its_health() -> None:
    found = [Finding("MB102", "NULs follow", "trades/a.json"), Finding("MB501", "no snapshot")]
    rows = components(found, NOW)
    assert [one["component"] for one in rows] == list(COMPONENTS)
    by_name = {one["component"]: one for one in rows}
    assert by_name["trades"] == {
        "component": "trades",
        "status": "error",
        "last_check": NOW,
        "issues": ["MB102 trades/a.json: NULs follow"],
    }
    assert by_name["snapshots"]["status"] == "degraded"
    assert by_name["metrics"] == {"component": "metrics", "status": "healthy", "last_check": NOW, "issues": []}


def test_damage_that_counts_is_never_hidden_by_lesser_alerts() -> None:
    found = [Finding("MB202", "no schema", f"agents/{number}.json") for number in range(ALERTS)]
    found.append(Finding("MB101", "broken", "trades/a.json"))
    alerts = status_document(found, COUNTS, NOW)["memory_bank_status"]["alerts"]
    assert len(alerts) == ALERTS
    assert any("MB101" in one["message"] for one in alerts)


def test_every_finding_is_counted() -> None:
    found = [Finding("MB303", "m")] + [Finding("MB101", "m", f"trades/{n}.json") for n in range(2 * ALERTS)]
    assert counts([*found, Finding("MB115", "m", "x")]) == [
        {"level": "error", "rule": "MB115", "count": 1},
        {"level": "error", "rule": "MB101", "count": 2 * ALERTS},
        {"level": "warning", "rule": "MB303", "count": 1},
    ]
