from __future__ import annotations

from typing import Any

import pytest

from memorybank_cli.alerts.routing import NORMAL, URGENT, Routing, Timing, route
from memorybank_cli.base.errors import UsageError
from tests.alerts.test_matching import alert


def routing(*routes: dict[str, Any], **options: Any) -> Routing:
    return Routing(tuple(route(f"r{number}", one) for number, one in enumerate(routes)), ("rest",), **options)


def test_the_first_route_that_fits_holds() -> None:
    found = routing(
        {"match": {"section": "state"}, "channels": ["a"]},
        {"match": {"severity": "error"}, "channels": ["b", "c"]},
        {"channels": ["d"]},
    )
    assert found.targets(alert()) == {"b": NORMAL, "c": NORMAL}
    assert list(found.targets(alert(path="state/x.json"))) == ["a"]
    assert list(found.targets(alert(severity="warning"))) == ["d"]


def test_continue_asks_the_next_ones_too() -> None:
    found = routing(
        {"channels": "a", "continue": True, "group_wait": "1s"},
        {"channels": ["a", "b"]},
        {"channels": ["c"]},
    )
    assert found.targets(alert()) == {"a": NORMAL._replace(group_wait=1.0), "b": NORMAL}


def test_what_no_route_takes_goes_to_the_rest() -> None:
    assert list(routing({"match": {"rule": "MB2"}, "channels": ["a"]}).targets(alert())) == ["rest"]
    assert list(routing().targets(alert())) == ["rest"]
    assert list(routing({"channels": ["a"], "continue": True}).targets(alert())) == ["a"]


def test_into_nothing_leads_no_route_for_security() -> None:
    found = routing({"channels": []}, {"match": {"section": "trades"}, "channels": ["b"]})
    assert found.targets(alert()) == {}
    assert list(found.targets(alert("MB303"))) == ["b"]
    assert list(found.targets(alert("MB303", path="state"))) == ["rest"]


def test_times_are_the_routes_own_then_those_for_all_then_built_in() -> None:
    found = routing({"match": {"rule": "MB1"}, "channels": ["a"], "repeat_interval": "2d"}, timing={"group_wait": 7.0})
    assert found.targets(alert()) == {"a": Timing(7.0, 300.0, 172_800.0)}
    assert found.targets(alert("MB303")) == {"rest": URGENT._replace(group_wait=7.0)}
    assert found.targets(alert("MB303", severity="warning"))["rest"] == Timing(7.0, 60.0, NORMAL.repeat_interval)
    assert routing().targets(alert(severity="critical")) == {"rest": URGENT}


def test_every_route_says_what_it_said() -> None:
    found = routing(
        {"match": {"section": "state"}, "channels": ["a"]},
        {"channels": ["b"], "continue": True},
        {"channels": ["c"]},
        {"channels": ["d"]},
    )
    assert [(one.route, one.fits, one.why) for one in found.steps(alert())] == [
        ("r0", False, "section is trades, not state"),
        ("r1", True, "every condition holds, and the next ones are asked too"),
        ("r2", True, "every condition holds"),
    ]
    assert [one.route for one in routing().steps(alert())] == ["default"]


@pytest.mark.parametrize("match", [{}, {"path": "trades/*"}])
def test_many_are_routed_as_one_is(match: dict[str, Any]) -> None:
    found = routing({"match": {"section": "trades", **match}, "channels": ["a"]}, {"channels": ["b"]})
    targets = found.targeting()
    for one in (alert(), alert(path="state/a.json"), alert(), alert("MB303"), alert(severity="critical")):
        assert targets(one) == found.targets(one)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("ops", "r: it must be an object"),
        ({"channels": ["a"], "rule": "MB1"}, "r: it has no 'rule'"),
        ({}, "r: 'channels' must be a list of names"),
        ({"channels": [7]}, "r: 'channels' must be a list of names"),
        ({"channels": [], "match": []}, "r: 'match' must be an object"),
        ({"channels": [], "match": {"rule": "x"}}, "r: 'x' is no rule"),
        ({"channels": [], "group_wait": 30}, "r: 30 is not a span of time"),
        ({"channels": [], "group_wait": "soon"}, "r: 'soon' is not a span of time"),
    ],
)
def test_what_is_no_route_is_named(value: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        route("r", value)


def test_a_route_as_json() -> None:
    one = route("r", {"match": {"rule": "MB1"}, "channels": ["a", "a"], "continue": True, "group_wait": "5s"})
    assert one.as_dict() == {
        "name": "r",
        "match": {"rule": ["MB1"]},
        "channels": ["a"],
        "continue": True,
        "group_wait": 5.0,
    }
