from __future__ import annotations

import pytest

from memorybank_cli.alerts.inhibition import TABLE, Inhibitions
from memorybank_cli.alerts.values import Alert
from memorybank_cli.base.records import Severity
from memorybank_cli.base.rules import RULES

NOW = "2026-11-20T14:00:00.000000Z"


def alert(rule: str, path: str = "", severity: Severity | None = None, seen: str = NOW) -> Alert:
    return Alert(rule + path, rule, severity or RULES[rule].severity, path, "", "", "firing", NOW, seen)


@pytest.mark.parametrize(
    ("cause", "effect", "inhibited"),
    [
        (alert("MB101", "trades/a.json"), alert("MB201", "trades/a.json"), True),
        (alert("MB101", "trades/a.json"), alert("MB201", "trades/b.json"), False),
        (alert("MB115", "trades/a.json"), alert("MB113", "trades/a.json"), True),
        (alert("MB101", "trades/a.json"), alert("MB102", "trades/a.json"), False),
        (alert("MB117", "trades"), alert("MB113", "trades/x/a.json"), True),
        (alert("MB117", "trades"), alert("MB113", "state/a.json"), False),
        (alert("MB117", ""), alert("MB113", "state/a.json"), True),
        (alert("MB117", "trades"), alert("MB113", "trades2/a.json"), False),
        (alert("MB118"), alert("MB201", "trades/a.json"), True),
        (alert("MB118"), alert("MB502"), True),
        (alert("MB118"), alert("MB303", "trades"), False),
        (alert("MB118"), alert("MB401", "config/memorybank.json"), False),
        (alert("MB307", "trades"), alert("MB111", "trades/a.json"), True),
        (alert("MB120"), alert("MB122"), True),
        (alert("MB120"), alert("MB101", "trades/a.json"), False),
        (alert("MB502"), alert("MB504"), True),
        (alert("MB502"), alert("MB504", severity="error"), False),
        (alert("MB506", "account_a"), alert("MB505", "account_a"), True),
    ],
)
def test_the_table(cause: Alert, effect: Alert, inhibited: bool) -> None:
    found = Inhibitions([cause, effect]).of(effect)
    assert (found is not None) == inhibited
    if found is not None:
        assert found[0] == cause
        assert found[1] in {row.why for row in TABLE}


def test_without_a_cause_everything_is_told() -> None:
    everything = [alert(rule, "trades/a.json") for rule in RULES]
    assert not any(Inhibitions([one]).of(one) for one in everything)


def test_of_several_causes_at_one_place_the_worst_counts() -> None:
    causes = [
        alert("MB101", "a.json", "warning"),
        alert("MB102", "a.json", "error"),
        alert("MB103", "a.json", "warning"),
    ]
    found = Inhibitions(causes).of(alert("MB201", "a.json"))
    assert found is not None
    assert found[0].rule == "MB102"


def test_every_row_names_rules_that_there_are() -> None:
    for row in TABLE:
        for beginning in (*row.causes, *row.effects):
            assert any(rule.startswith(beginning) for rule in RULES), beginning


def test_a_cause_that_nobody_has_seen_for_long_explains_nothing() -> None:
    effect = alert("MB201", "a.json")
    for seen, explains in (("2026-11-20T13:45:01.000000Z", True), ("2026-11-20T13:44:59.000000Z", False)):
        found = Inhibitions([alert("MB101", "a.json", seen=seen), effect])
        assert (found.of(effect) is not None) == explains
