from __future__ import annotations

from typing import Any

import pytest

from memorybank_cli.alerts.matching import Matcher, matcher
from memorybank_cli.alerts.values import Alert
from memorybank_cli.base.errors import UsageError
from memorybank_cli.base.records import Severity


def alert(rule: str = "MB101", path: str = "trades/a.json", severity: Severity = "error") -> Alert:
    return Alert("f" * 16, rule, severity, path, "message", "hint", "firing", "2026", "2026")


@pytest.mark.parametrize(
    ("conditions", "fits"),
    [
        ({}, True),
        ({"rule": "MB101"}, True),
        ({"rule": "MB1"}, True),
        ({"rule": ["MB2", "MB10"]}, True),
        ({"rule": "MB2"}, False),
        ({"family": "data"}, True),
        ({"family": ["security", "performance"]}, False),
        ({"severity": "warning"}, True),
        ({"severity": "error"}, True),
        ({"severity": "critical"}, False),
        ({"section": "trades"}, True),
        ({"section": ["state", "bank"]}, False),
        ({"path": "trades/*.json"}, True),
        ({"path": ["x", "*"]}, True),
        ({"path": "trades"}, False),
        ({"rule": "MB101", "path": "state/*"}, False),
    ],
)
def test_every_condition_must_hold(conditions: dict[str, Any], fits: bool) -> None:
    found = matcher(conditions)
    assert found.fits(alert()) == fits
    assert bool(found.why_not(alert())) != fits
    assert matcher(found.as_dict()) == found


@pytest.mark.parametrize(
    ("rule", "path", "family", "section"),
    [
        ("MB101", "trades/a.json", "data", "trades"),
        ("MB302", "trades", "data", "trades"),
        ("MB303", "trades", "security", "trades"),
        ("MB309", "bank.json", "security", ""),
        ("MB306", "", "data", ""),
        ("MB307", "trades/a.json", "data", "trades"),
        ("MB401", "config/memorybank.json", "security", "config"),
        ("MB502", "", "performance", ""),
        ("MB601", "", "prediction", ""),
    ],
)
def test_families_and_sections(rule: str, path: str, family: str, section: str) -> None:
    one = alert(rule, path)
    assert (one.family, one.section) == (family, section)
    assert matcher({"family": family, "section": section or "bank"}).fits(one)


def test_the_reason_is_the_first_condition_that_fails() -> None:
    one = alert(severity="warning")
    assert matcher({"rule": "MB2", "path": "x"}).why_not(one) == "rule is MB101, not MB2"
    assert matcher({"family": "security"}).why_not(one) == "family is data, not security"
    assert matcher({"severity": "error"}).why_not(one) == "severity is warning, below error"
    assert matcher({"section": ["a", "b"]}).why_not(alert(path="")) == "section is bank, not a or b"
    assert matcher({"path": "x"}).why_not(one) == "path is 'trades/a.json', which does not fit x"


@pytest.mark.parametrize(
    ("conditions", "words"),
    [
        ({"colour": "red"}, "there is no condition 'colour'"),
        ({"rule": "trades"}, "'trades' is no rule"),
        ({"rule": "MBx"}, "'MBx' is no rule"),
        ({"family": "MB1"}, "there is no family 'MB1'"),
        ({"severity": "bad"}, "severity must be one word"),
        ({"severity": ["error", "warning"]}, "severity must be one word"),
        ({"path": 7}, "'path' must be a word or a list of words"),
        ({"path": [""]}, "'path' must be a word or a list of words"),
    ],
)
def test_what_is_no_condition_is_named(conditions: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        matcher(conditions)


def test_a_matcher_in_words() -> None:
    assert str(matcher({"rule": ["MB1", "MB2"], "severity": "error"})) == "rule MB1 or MB2, severity error"
    assert str(Matcher()) == "every alert"
