"""The status document of spec 000, and component health of spec 002: renderings of findings, nothing of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from memorybank_cli.base import clock
from memorybank_cli.base.records import Finding, at_least
from memorybank_cli.health.score import NOT_KNOWN, UNKNOWN, Word, rank, word

COMPONENTS = (
    "trades",
    "metrics",
    "state",
    "accounts",
    "agents",
    "config",
    "journal",
    "snapshots",
    "storage",
    "system",
    "performance",
    "monitoring",
)
ALERTS = 50
STALE = "data stale since"
"""The words of an alert of what is unknown."""
_BY_FAMILY = {
    "MB12": "journal",
    "MB13": "snapshots",
    "MB501": "snapshots",
    "MB502": "storage",
    "MB504": "accounts",
    "MB306": "storage",
    "MB508": "storage",
    "MB509": "system",
    "MB52": "monitoring",
    "MB530": "system",
    "MB531": "system",
    "MB532": "performance",
    "MB53": "snapshots",
    "MB55": "monitoring",
    "MB56": "monitoring",
}
_NO_SHAPE = ("MB10", "MB201", "MB203")
"""Rules of what no schema fits: bytes that are no JSON document are none of any shape."""
_OF_SPEC: dict[Word, str] = {"unknown": "degraded"}
"""The words that spec 000 does not have; an alert says what is not known, and since when."""


class Counts(NamedTuple):
    """What the status document tells besides findings."""

    files: Mapping[str, int]
    """Files by section."""
    mtimes: Mapping[str, int]
    """Newest change by section, in nanoseconds."""
    last_snapshot: str | None
    """When the newest good snapshot was made."""


def component_of(finding: Finding) -> str:
    """Which part of the bank a finding is about."""
    if finding.rule == UNKNOWN:
        return finding.pointer.strip("/").partition("/")[0] or "monitoring"
    for prefix, component in _BY_FAMILY.items():
        if finding.rule.startswith(prefix):
            return component
    top = finding.path.partition("/")[0]
    if top.startswith("account_"):
        return "accounts"
    return {"shared": "agents"}.get(top, top if top in COMPONENTS else "storage")


def status_document(findings: Iterable[Finding], counts: Counts, checked_at: str) -> dict[str, Any]:
    """`memory_bank_status` as spec 000 has it, whole."""
    listed = list(findings)
    now = word(listed)
    broken = {component_of(one) for one in listed if at_least([one], "error")}

    def status(name: str) -> str:
        return "error" if name in broken else "ok"

    shape = any(component_of(one) == "metrics" and one.rule.startswith(_NO_SHAPE) for one in listed)
    checks = {
        "trades": {
            "status": status("trades"),
            "file_count": counts.files.get("trades", 0),
            "last_validated": checked_at,
        },
        "metrics": {"status": status("metrics"), "schema_valid": not shape, "last_updated": _moment(counts, "metrics")},
        "state": {"status": status("state"), "last_snapshot": counts.last_snapshot},
    }
    document = {
        "last_check": checked_at,
        "health_status": _OF_SPEC.get(now, now),
        "integrity_checks": checks,
        "alerts": [_alert(one) for one in _worst_first(listed)[:ALERTS]],
    }
    return {"memory_bank_status": document}


def _worst_first(findings: list[Finding]) -> list[Finding]:
    return sorted(findings, key=rank, reverse=True)


def _moment(counts: Counts, section: str) -> str | None:
    mtime = counts.mtimes.get(section, 0)
    return clock.from_ns(mtime) if mtime else None


def counts(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """How many there are of each `level` and `rule`, the worst first."""
    found = Counter((_level(one), one.rule) for one in _worst_first(list(findings)))
    return [{"level": level, "rule": rule, "count": count} for (level, rule), count in found.items()]


def _level(finding: Finding) -> str:
    return "error" if finding.severity == "critical" else finding.severity


def _alert(finding: Finding) -> dict[str, str]:
    message = (
        f"{finding.rule} {finding.path}: {finding.message}" if finding.path else f"{finding.rule} {finding.message}"
    )
    if finding.rule in NOT_KNOWN and STALE not in message:
        message = f"{message} ({STALE} {finding.detected_at})"
    return {
        "timestamp": finding.detected_at,
        "level": _level(finding),
        "message": message,
        "component": component_of(finding),
    }


def components(findings: Iterable[Finding], checked_at: str) -> list[dict[str, Any]]:
    """Component health as spec 002 has it, for every part of the bank."""
    by_component: dict[str, list[Finding]] = {name: [] for name in COMPONENTS}
    for finding in findings:
        by_component[component_of(finding)].append(finding)
    return [
        {
            "component": name,
            "status": word(found),
            "last_check": checked_at,
            "issues": [f"{one.rule} {one.path}: {one.message}" for one in _worst_first(found)[:ALERTS]],
        }
        for name, found in by_component.items()
    ]
