from __future__ import annotations

from collections.abc import Iterator
from math import inf
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.alerts.grouping import SHOWN, Grouping, forget_terminals
from memorybank_cli.alerts.ledger import Ledger
from memorybank_cli.alerts.routing import Routing, route
from memorybank_cli.alerts.settings import Policy
from memorybank_cli.alerts.silences import Silence
from memorybank_cli.alerts.values import Notice
from memorybank_cli.base.records import Finding
from tests.alerts.feeding import damage, ledger, open_to_others, pass_time


class Told:
    """One bank's ledger and grouping, and what was told."""

    def __init__(self, book: Ledger, policy: Policy) -> None:
        self.book, self.policy = book, policy
        self.grouping = Grouping(book, policy, "/bank")
        self.due_in = inf

    def look(self, *findings: Finding) -> None:
        self.book.looked(findings, "watch")

    def now(self, after: float = 0.0, silences: tuple[Silence, ...] = (), *, at_once: bool = False) -> list[Notice]:
        pass_time(self.book.store, after)
        with self.book.store.writing():
            notices, self.due_in = self.grouping.notices(silences, at_once)
        return notices

    def brief(self, after: float = 0.0, **options: Any) -> list[tuple[str, int, int]]:
        return [(one.group, one.firing, one.resolved) for one in self.now(after, **options)]


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    with ledger(tmp_path) as book:
        yield Told(book, Policy(Routing(default=("log",))))


def to(*channels: str, **timing: str) -> Policy:
    return Policy(Routing((route("r", {"channels": list(channels), **timing}),), ("log",)))


def test_a_group_waits_for_more_of_it_then_tells_all_at_once(told: Told) -> None:
    told.look(damage("trades/a.json"))
    assert told.brief() == []
    assert told.due_in == pytest.approx(30, abs=1)
    told.look(damage("trades/a.json"), damage("trades/b.json"), damage("state/c.json"))
    assert told.brief(20) == []
    assert told.due_in == pytest.approx(10, abs=1)
    assert told.brief(10.1) == [("data error trades", 2, 0)]
    assert told.brief(20) == [("data error state", 1, 0)]
    assert told.brief(60) == []


def test_a_notice_says_what_where_and_who_for(told: Told) -> None:
    told.look(damage("trades/a.json"))
    told.now()
    [notice] = told.now(31)
    assert (notice.channel, notice.bank, notice.group) == ("log", "/bank", "data error trades")
    assert [one.path for one in notice.alerts] == ["trades/a.json"]
    assert notice.as_dict()["alerts"][0]["hint"] == "memorybank repair trades/a.json"
    assert notice.id != ""


def test_what_comes_later_waits_for_the_interval(told: Told) -> None:
    told.look(damage("trades/a.json"))
    told.now()
    assert told.brief(31) == [("data error trades", 1, 0)]
    told.look(damage("trades/a.json"), damage("trades/b.json"))
    assert told.brief(100) == []
    assert told.due_in == pytest.approx(200, abs=2)
    assert told.brief(201) == [("data error trades", 2, 0)]


def test_the_end_is_told_too_and_only_once(told: Told) -> None:
    told.look(damage("trades/a.json"), damage("trades/b.json"))
    told.now()
    told.now(31)
    told.look(damage("trades/b.json"))
    told.now()
    [notice] = told.now(301)
    assert (notice.firing, notice.resolved) == (1, 1)
    assert [(one.path, one.state) for one in notice.alerts] == [
        ("trades/a.json", "resolved"),
        ("trades/b.json", "firing"),
    ]
    told.look()
    told.now()
    assert told.brief(301) == [("data error trades", 0, 1)]
    assert told.brief(100_000) == []
    assert told.due_in == inf


def test_what_was_over_before_it_was_told_is_not_told(told: Told) -> None:
    told.look(damage())
    told.now()
    told.look()
    assert told.brief(31) == []
    assert told.brief(1_000) == []


def test_the_next_one_of_a_group_waits_anew(told: Told) -> None:
    told.look(damage("trades/a.json"))
    told.now()
    told.look()
    assert told.brief(10) == []
    assert told.due_in == inf
    told.look(damage("trades/b.json"))
    assert told.brief(100) == []
    assert told.brief(31) == [("data error trades", 1, 0)]


def test_groups_of_long_ago_are_forgotten(told: Told) -> None:
    told.look(damage("trades/a.json"))
    told.now()
    told.now(31)
    told.look(damage("trades/a.json"), damage("state/a.json"))
    told.now()
    pass_time(told.book.store, 86_401)
    told.book.prune(1)
    names = [row["name"] for row in told.book.store.db.execute("SELECT name FROM alert_groups")]
    assert names == ["data error state"]


def test_as_long_as_it_fires_it_is_repeated(told: Told) -> None:
    told.look(damage())
    told.now()
    told.now(31)
    assert told.brief(14_000) == []
    assert told.due_in == pytest.approx(400, abs=2)
    assert told.brief(401) == [("data error trades", 1, 0)]
    assert told.brief(14_000) == []


def test_what_is_acknowledged_is_not_repeated(told: Told) -> None:
    told.look(damage())
    told.now()
    told.now(31)
    told.book.acknowledge(told.book.firing()[0].fingerprint, "me", "seen")
    assert told.brief(20_000) == []


def test_what_flaps_is_told_once_in_its_refractory_time(told: Told) -> None:
    messages: list[tuple[str, int, int]] = []
    for _ in range(20):
        told.look(damage())
        messages += told.brief()
        messages += told.brief(31)
        told.look()
        messages += told.brief()
        messages += told.brief(10)
    # 41 s a turn: it is told, 300 s later that it was over, and then that it is there again.
    assert len(messages) <= 6
    assert told.book.resolved()[0].times == 20


def test_one_that_stays_after_its_refractory_time_is_told(told: Told) -> None:
    told.look(damage())
    told.now()
    told.now(31)
    told.look()
    told.now()
    assert told.brief(301) == [("data error trades", 0, 1)]
    told.look(damage())
    told.look()
    told.look(damage())
    assert told.brief() == []
    assert told.due_in == pytest.approx(300, abs=2)
    told.now(301)
    assert told.brief(31) == [("data error trades", 1, 0)]


def test_what_is_worse_is_told_anew(told: Told) -> None:
    told.look(Finding("MB301", "big", "trades/a.json"))
    told.now()
    assert told.brief(31) == [("data warning trades", 1, 0)]
    told.look(Finding("MB301", "no room", "trades/a.json", level="error"))
    told.now()
    assert told.brief(31) == [("data error trades", 1, 0)]
    told.look()
    told.now()
    assert told.brief(301) == [("data error trades", 0, 1)]


def test_what_is_critical_or_security_waits_less(told: Told) -> None:
    told.look(open_to_others(), Finding("MB115", "bit rot", "trades/a.json"), damage("state/b.json"))
    told.now()
    assert told.brief(6) == [("security warning trades", 1, 0), ("data critical trades", 1, 0)]
    assert told.brief(3_601) == [("data critical trades", 1, 0), ("data error state", 1, 0)]
    assert told.brief(10_801) == [
        ("security warning trades", 1, 0),
        ("data critical trades", 1, 0),
    ]


def test_security_is_repeated_until_somebody_acknowledges_it(told: Told) -> None:
    told.look(open_to_others())
    told.now()
    told.now(6)
    told.look()
    for _ in range(5):
        assert told.brief(14_401) == [("security warning trades", 1, 0)]
    told.book.acknowledge(told.book.firing()[0].fingerprint, "me", "seen")
    told.now()
    assert told.brief(61) == [("security warning trades", 0, 1)]


def test_security_is_told_however_often_it_comes_back(told: Told) -> None:
    for _ in range(3):
        told.look(open_to_others())
        told.now()
        assert told.brief(61) == [("security warning trades", 1, 0)]
        told.book.acknowledge(told.book.firing()[0].fingerprint, "me", "seen")
        told.look()
        told.now()
        assert told.brief(61) == [("security warning trades", 0, 1)]


def test_a_process_that_ends_waits_for_nothing(told: Told) -> None:
    told.look(damage())
    assert told.brief(at_once=True) == [("data error trades", 1, 0)]
    told.look(damage(), damage("trades/b.json"))
    assert told.brief(at_once=True) == []  # the next process tells it when the interval is over
    assert told.brief(301) == [("data error trades", 2, 0)]


def test_what_was_told_is_known_to_the_next_process(tmp_path: Path) -> None:
    for count in (1, 0, 0):
        with ledger(tmp_path) as book:
            one = Told(book, Policy(Routing(default=("log",))))
            one.look(damage())
            assert len(one.now(at_once=True)) == count


def test_each_channel_is_told_by_its_own_routes(tmp_path: Path) -> None:
    routes = (
        route("a", {"match": {"family": "security"}, "channels": ["pager"], "continue": True, "group_wait": "0s"}),
        route("b", {"match": {"section": "trades"}, "channels": ["ops", "pager"]}),
    )
    with ledger(tmp_path) as book:
        one = Told(book, Policy(Routing(routes, ("log",))))
        one.look(open_to_others(), damage("trades/a.json"), damage("state/a.json"))
        assert [(each.channel, each.group) for each in one.now()] == [("pager", "security warning trades")]
        assert sorted((each.channel, each.group) for each in one.now(31)) == [
            ("log", "data error state"),
            ("ops", "data error trades"),
            ("ops", "security warning trades"),
            ("pager", "data error trades"),
        ]


def test_the_terminal_is_told_where_there_is_one(tmp_path: Path) -> None:
    with ledger(tmp_path) as book:
        one = Told(book, to("terminal", "log", group_wait="0s"))
        one.look(damage())
        assert [each.channel for each in one.now()] == ["log"]
        one.grouping.terminal = "terminal:7"
        assert [each.channel for each in one.now()] == ["terminal"]
        one.grouping.terminal = "terminal:8"  # another process, whose reader has seen nothing
        assert [each.channel for each in one.now()] == ["terminal"]
        with book.store.writing() as db:
            forget_terminals(db, lambda process: process == "8")
        rows = [tuple(row) for row in book.store.db.execute("SELECT DISTINCT channel FROM alert_told ORDER BY 1")]
        assert rows == [("log",), ("terminal:8",)]


def test_what_a_worse_one_explains_is_not_told(told: Told) -> None:
    told.look(damage("trades/a.json"), Finding("MB201", "no price", "trades/a.json"))
    told.now()
    [notice] = told.now(31)
    assert [one.rule for one in notice.alerts] == ["MB101"]
    told.look(Finding("MB201", "no price", "trades/a.json"))
    told.now()
    [notice] = told.now(301)
    assert [(one.rule, one.state) for one in notice.alerts] == [("MB201", "firing"), ("MB101", "resolved")]


def test_a_channel_is_never_told_more_than_its_allowance(told: Told) -> None:
    told.look(*(damage(f"account_{number}/x.json") for number in range(40)))
    told.now()
    messages = told.now(31)
    assert [one.firing for one in messages] == [1, 1, 1, 1, 36]
    assert messages[-1].group == "36 groups"
    assert len(messages[-1].alerts) == SHOWN
    told.look(*(damage(f"account_{number}/y.json") for number in range(60)))
    told.now()
    assert told.now(31) == []
    assert told.due_in == pytest.approx(29, abs=1)
    [late] = told.now(30)
    assert (late.firing, late.resolved) == (20, 0)  # groups that were told wait for their interval


def test_what_is_urgent_comes_first_when_messages_are_few(told: Told) -> None:
    told.look(
        *(damage(f"account_{number}/x.json") for number in range(40)),
        open_to_others("zzz"),
        Finding("MB115", "bit rot", "trades/a.json"),
    )
    told.now()
    told.now(6)  # two messages
    messages = told.now(25)
    assert [one.firing for one in messages] == [1, 1, 38]


def test_one_setting_says_how_many_messages(tmp_path: Path) -> None:
    with ledger(tmp_path) as book:
        one = Told(book, Policy(Routing(default=("log",)), messages=1))
        one.look(damage("a/a.json"), damage("b/b.json"))
        one.now()
        assert one.brief(31) == [("2 groups", 2, 0)]


def test_the_end_of_what_a_former_route_told_is_told_there(tmp_path: Path) -> None:
    with ledger(tmp_path) as book:
        before = Told(book, to("ops", group_wait="0s"))
        before.look(damage())
        assert [one.channel for one in before.now()] == ["ops"]
        after = Told(book, to("log", group_wait="0s"))
        assert [one.channel for one in after.now()] == ["log"]
        after.look()
        assert sorted((one.channel, one.resolved) for one in after.now(301)) == [("log", 1), ("ops", 1)]
