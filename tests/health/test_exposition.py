"""Prometheus' text and Nagios' lines: names and labels that hold anything, numbers without loss."""

from __future__ import annotations

import re
from typing import Any

import pytest

from memorybank_cli.base.records import Finding
from memorybank_cli.health.exposition import LINES, Facts, nagios, nagios_failure, prometheus
from memorybank_cli.health.score import score
from memorybank_cli.health.status import components

NOW = "2026-11-20T14:00:00.500000Z"


def facts(*findings: Finding, **more: Any) -> Facts:
    known = score(findings)
    made = Facts("/srv/bank", known, findings, {"files": 5}, components(findings, NOW), [("a", "mid_term", False)], NOW)
    return made._replace(**more)


def parsed(text: str) -> dict[str, dict[str, str]]:
    """Values by metric and labels, as a strict reader of the format 0.0.4 takes them."""
    found: dict[str, dict[str, str]] = {}
    helped, typed = set(), set()
    for line in text.split("\n")[:-1]:
        if match := re.fullmatch(r"# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)", line):
            assert match[1] not in helped
            helped.add(match[1])
        elif match := re.fullmatch(r"# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) gauge", line):
            assert match[1] in helped
            typed.add(match[1])
        else:
            match = re.fullmatch(
                r'([a-z_]+)\{((?:[a-z]+="(?:[^"\\\n]|\\["\\n])*",?)+)\} (-?[0-9.e+-]+|NaN|[+-]Inf)', line
            )
            assert match, line
            assert match[1] in typed
            assert match[2] not in found.get(match[1], {}), "no series twice"
            found.setdefault(match[1], {})[match[2]] = match[3]
    return found


def test_every_metric_with_its_labels() -> None:
    found = parsed(
        prometheus(facts(Finding("MB102", "m", "trades/a.json"), Finding("MB102", "m"), Finding("MB501", "m")))
    )
    assert found["memorybank_health_score"] == {'bank="/srv/bank"': "48"}
    assert found["memorybank_health_status"]['bank="/srv/bank",status="error"'] == "1"
    assert sum(map(int, found["memorybank_health_status"].values())) == 1
    assert found["memorybank_findings"] == {
        'bank="/srv/bank",rule="MB102",severity="error"': "2",
        'bank="/srv/bank",rule="MB501",severity="warning"': "1",
    }
    assert found["memorybank_files"] == {'bank="/srv/bank"': "5"}
    assert found["memorybank_last_check_timestamp_seconds"] == {'bank="/srv/bank"': "1795183200.5"}
    assert found["memorybank_component_up"] == {'bank="/srv/bank",account="a",component="mid_term"': "0"}
    assert found["memorybank_component_status"]['bank="/srv/bank",component="trades",status="error"'] == "1"


def test_a_bank_without_findings_and_accounts() -> None:
    found = parsed(prometheus(facts(parts=[])))
    assert {"memorybank_findings", "memorybank_component_up"}.isdisjoint(found)
    assert found["memorybank_health_score"] == {'bank="/srv/bank"': "100"}


def test_labels_are_escaped() -> None:
    [(labels, _)] = parsed(prometheus(facts(bank='/a "b"\\x0a\n')))["memorybank_health_score"].items()
    assert labels == 'bank="/a \\"b\\"\\\\x0a\\n"'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (86_005_727_232, "86005727232"),
        (86_005_727_232.0, "86005727232"),
        (0.000041, "4.1e-05"),
        (1 / 3, "0.3333333333333333"),
        (float("nan"), "NaN"),
        (float("inf"), "+Inf"),
        (float("-inf"), "-Inf"),
    ],
)
def test_numbers_without_loss(value: float, text: str) -> None:
    assert parsed(prometheus(facts(samples={"bytes": value})))["memorybank_bytes"] == {'bank="/srv/bank"': text}


def test_nagios() -> None:
    assert nagios(facts()) == "MEMORYBANK OK - 100 of 100: all good | score=100;97:;51:;0;100 files=5\n"
    found = [Finding("MB501", "old | 5"), Finding("MB102", "NULs\nfollow", "trades/a.json"), Finding("MB202", "m", "x")]
    samples = {"disk_free_bytes": 5, "snapshot_age_seconds": 1.5, "files": 2}
    performance = "score=48;97:;51:;0;100 disk_free_bytes=5B snapshot_age_seconds=1.5s files=2"
    assert nagios(facts(*found, samples=samples)).splitlines() == [
        f"MEMORYBANK CRITICAL - 48 of 100: MB102, MB501 | {performance}",
        "error MB102 trades/a.json: NULs\\x0afollow",
        "warning MB501 the bank: old / 5",
    ]
    assert nagios(facts(Finding("MB507", "m"))).startswith("MEMORYBANK UNKNOWN - 75 of 100: MB507 |")


def test_nagios_is_shown_the_worst() -> None:
    found = [Finding("MB501", "m", str(number)) for number in range(LINES + 5)]
    lines = nagios(facts(*found, Finding("MB101", "m"))).splitlines()
    assert (len(lines), lines[1], lines[-1]) == (LINES + 2, "error MB101 the bank: m", "and 6 more findings")


def test_nagios_where_nothing_could_be_looked_at() -> None:
    assert nagios_failure("no bank | here\n") == "MEMORYBANK UNKNOWN - no bank / here\\x0a\n"
