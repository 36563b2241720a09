"""Warnings before the system's limits bite, with a number to raise them to."""

from __future__ import annotations

import pytest

from memorybank_cli.integrity import limits
from memorybank_cli.integrity.limits import Load, findings

QUIET = Load("inotify", {}, 10, frozenset(), 0, 0.0)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = {"max_user_watches": 100, "max_queued_events": 1_000, "max_user_instances": 128}
    monkeypatch.setattr(limits, "limit", numbers.get)


def rules(load: Load, slow: float = 10.0) -> dict[str, str]:
    return {one.rule: f"{one.message} {one.hint}" for one in findings(load, slow)}


def test_nothing_is_said_on_a_quiet_day() -> None:
    assert rules(QUIET._replace(watched=79, queued=499, seconds=10.0)) == {}


def test_watches_that_run_out_and_that_ran_out() -> None:
    assert "80 of the 100 watches" in rules(QUIET._replace(watched=80))["MB521"]
    refused = rules(QUIET._replace(watched=99, unwatched=frozenset("abcd")))
    assert refused.keys() == {"MB520"}
    assert "4 directories cannot be watched (a, b, c)" in refused["MB520"]
    assert "sudo sysctl fs.inotify.max_user_watches=206" in refused["MB520"]


def test_a_queue_that_fills_and_that_overflowed() -> None:
    assert "500 events waited at once" in rules(QUIET._replace(queued=500))["MB522"]
    over = rules(QUIET._replace(queued=1_001))["MB522"]
    assert "overflowed" in over
    assert "sudo sysctl fs.inotify.max_queued_events=4000" in over


def test_lag() -> None:
    assert "took 11 s" in rules(QUIET._replace(seconds=11.0))["MB523"]
    assert rules(QUIET._replace(seconds=11.0), slow=0.0) == {}


def test_polling_says_why() -> None:
    polled = QUIET._replace(backend="polling", queued=5_000)
    assert "the file system is remote" in rules(polled)["MB524"]
    refused = polled._replace(refused={"inotify": "no room"})
    assert "inotify: no room" in rules(refused)["MB524"]
    assert "max_user_instances=256," in limits.findings(refused, 10.0)[0].hint
    assert "machine that has the disk" in limits.findings(polled, 10.0)[0].hint


def test_where_the_system_has_no_such_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "limit", {}.get)
    assert rules(QUIET._replace(watched=10**6, queued=10**6)) == {}
    assert rules(QUIET._replace(unwatched=frozenset("a"))).keys() == {"MB520"}


def test_the_limits_of_this_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert limits.limit("no_such_limit") is None
    found = limits.limit("max_queued_events")
    assert found is None or found > 0
