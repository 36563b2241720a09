"""Whatever happens in whatever order: who is told knows in the end what fires, and need not read too much."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from memorybank_cli.alerts.grouping import SHOWN, Grouping
from memorybank_cli.alerts.ledger import Ledger
from memorybank_cli.alerts.matching import matcher
from memorybank_cli.alerts.routing import Routing
from memorybank_cli.alerts.settings import Policy
from memorybank_cli.alerts.silences import Silences
from memorybank_cli.alerts.values import Notice
from memorybank_cli.base.records import Finding
from tests.alerts.feeding import ledger, pass_time

RULES = ("MB101", "MB201", "MB303", "MB115", "MB504")
PATHS = ("trades/a.json", "trades/b.json", "state/a.json", "account_a/x.json", "account_b/x.json", "account_c/x.json")
FINDINGS = st.sets(st.tuples(st.sampled_from(RULES), st.sampled_from(PATHS)), max_size=12)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("look"), FINDINGS),
        st.tuples(st.just("pass"), st.sampled_from((1, 7, 40, 70, 400, 5_000))),
        st.tuples(st.just("silence"), st.sampled_from(("trades", "state"))),
        st.tuples(st.just("ack"), st.integers(0, 11)),
    ),
    min_size=3,
    max_size=15,
)


class Reader:
    """Somebody who reads one channel, as far as messages name alerts."""

    def __init__(self) -> None:
        self.fires: dict[str, bool] = {}
        self.messages = 0

    def read(self, notices: list[Notice]) -> None:
        self.messages += len(notices)
        for notice in notices:
            assert notice.firing + notice.resolved > 0
            assert 0 < len(notice.alerts) <= SHOWN
            for one in notice.alerts:
                self.fires[one.fingerprint] = one.state == "firing"


class World:
    def __init__(self, book: Ledger) -> None:
        self.book, self.reader, self.seconds = book, Reader(), 0.0
        self.grouping = Grouping(book, Policy(Routing(default=("log",))), "/bank")
        self.there: list[Finding] = []

    def step(self, what: str, with_what: Any) -> None:
        if what == "look":
            self.there = [Finding(rule, "x", path) for rule, path in sorted(with_what)]
            self.book.looked(self.there, "health")
        elif what == "pass":
            self.wait(with_what)
        elif what == "silence":
            until = datetime.now(UTC) + timedelta(hours=1)
            Silences(self.book.store).add(matcher({"section": with_what}), "x", "me", until)
        else:
            firing = self.book.firing()
            if with_what < len(firing):
                self.book.acknowledge(firing[with_what].fingerprint, "me", "seen")
        self.tell()

    def wait(self, seconds: float) -> None:
        pass_time(self.book.store, seconds)
        self.seconds += seconds

    def tell(self) -> None:
        with self.book.store.writing():
            notices, due_in = self.grouping.notices(Silences(self.book.store).active())
        assert due_in > 0
        self.reader.read(notices)


@settings(max_examples=40)
@given(STEPS)
def test_in_the_end_everybody_knows(steps: list[tuple[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as place, ledger(Path(place)) as book:
        world = World(book)
        for what, with_what in steps:
            world.step(what, with_what)
        assert world.reader.messages <= 5 + world.seconds / 60 + len(steps) / 60 + 1
        for _ in range(12):  # nothing new for hours: silences end, refractory times and intervals are over
            world.wait(1_500)
            book.looked(world.there, "health")
            world.tell()
        damaged = {one.path for one in world.there if one.rule in ("MB101", "MB115")}  # mutes the file's MB201
        for alert in book.firing():
            if alert.acked_at is None and not (alert.rule == "MB201" and alert.path in damaged):
                assert world.reader.fires.get(alert.fingerprint), alert
        for alert in book.resolved():
            assert not world.reader.fires.get(alert.fingerprint), alert
        assert world.reader.messages <= 5 + world.seconds / 60 + 2
