from __future__ import annotations

from memorybank_cli.base.records import QUIET, SEVERITIES, Finding, Progress, at_least, worst
from memorybank_cli.base.rules import RULES


def test_a_finding_has_the_shape_of_the_contract() -> None:
    finding = Finding("MB102", "NULs follow", "trades/a.json", "repair it", "/a/0", 7, None, "5", "6", "now")
    assert finding.as_dict() == {
        "rule": "MB102",
        "name": "trailing-bytes",
        "severity": "error",
        "path": "trades/a.json",
        "message": "NULs follow",
        "hint": "repair it",
        "pointer": "/a/0",
        "line": 7,
        "expected": "5",
        "found": "6",
        "fingerprint": finding.fingerprint,
        "detected_at": "now",
    }
    assert Finding("MB102", "x").detected_at.endswith("Z")


def test_a_fingerprint_is_of_the_trouble_and_its_place() -> None:
    one = Finding("MB101", "a", "p", pointer="/x")
    assert one.fingerprint == Finding("MB101", "b", "p", "hint", "/x", 9).fingerprint
    others = [
        Finding("MB102", "a", "p", pointer="/x"),
        Finding("MB101", "a", "q", pointer="/x"),
        Finding("MB101", "a", "p"),
    ]
    assert len({one.fingerprint, *(other.fingerprint for other in others)}) == 4
    assert len(one.fingerprint) == 16
    assert Finding("MB101", "a", pointer="/\ud800").fingerprint


def test_severity_is_that_of_the_rule_or_the_given_one() -> None:
    assert Finding("MB120", "x").severity == RULES["MB120"].severity
    assert Finding("MB102", "x", level="info").severity == "info"


def test_the_worst_and_the_floor() -> None:
    some = [Finding("MB102", "x", level=level) for level in ("warning", "info", "error")]
    assert worst(some) == "error"
    assert worst([]) is None
    assert [at_least(some, floor) for floor in SEVERITIES] == [True, True, True, False]
    assert not at_least([], "info")


def test_quiet_progress_does_nothing() -> None:
    assert isinstance(QUIET, Progress)
    QUIET.start("work", 3)
    QUIET.advance()
    QUIET.note("x")
    QUIET.finish()
