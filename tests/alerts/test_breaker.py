from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from memorybank_cli.alerts.breaker import FIRST_OPEN, FIRST_WAIT, LONGEST_OPEN, OPENS_AT, Breaker, Moment


def most() -> float:
    return 1.0


def least() -> float:
    return 0.0


def at(seconds: float, boot: str = "one") -> Moment:
    return Moment(boot, seconds)


def after(failures: int, draw: Callable[[], float] = most, asked: float = 0.0) -> Breaker:
    """Of a channel that failed so often, the last time at second 1,000."""
    breaker = Breaker()
    for _ in range(failures):
        breaker = breaker.failed(at(1_000), "it hangs", "look", asked, draw)
    return breaker


def test_one_that_never_failed_may_be_tried() -> None:
    assert Breaker().left(at(0)) == 0
    assert Breaker().state(at(0)) == "closed"


def test_the_wait_doubles_and_is_drawn_by_lot() -> None:
    longest = [after(number).wait for number in range(1, OPENS_AT)]
    assert longest == [FIRST_WAIT * 2**number for number in range(OPENS_AT - 1)]
    assert [after(number, least).wait for number in range(1, OPENS_AT)] == [0.0] * (OPENS_AT - 1)
    assert len({Breaker().failed(at(0), "it hangs").wait for _ in range(20)}) > 1


def test_it_opens_after_some_failures_and_stays_so_longer_each_time() -> None:
    breaker = after(OPENS_AT)
    assert breaker.wait == FIRST_OPEN
    assert after(OPENS_AT, least).wait == FIRST_OPEN / 2
    assert (breaker.state(at(1_000)), breaker.state(at(1_000 + FIRST_OPEN - 1))) == ("open", "open")
    assert breaker.state(at(1_000 + FIRST_OPEN)) == "half-open"
    assert after(OPENS_AT - 1).state(at(1_000)) == "closed"
    assert after(OPENS_AT + 1).wait == 2 * FIRST_OPEN
    assert after(10_000).wait == LONGEST_OPEN


def test_it_remembers_since_when_and_why_last() -> None:
    first = after(1)
    second = first.failed(at(1_001), "refused", "check")
    assert second.since == first.since != ""
    assert (second.reason, second.hint) == ("refused", "check")


def test_a_receiver_may_ask_for_more() -> None:
    assert after(1, asked=100.0).wait == 100.0
    assert after(OPENS_AT, asked=1.0).wait == FIRST_OPEN


@pytest.mark.parametrize("now", [at(999), at(1_000_000), at(1_000, "two"), at(2_000, "two"), at(5, "")])
def test_another_start_of_the_machine_waits_for_nothing(now: Moment) -> None:
    assert after(OPENS_AT).left(now) == 0
    assert after(OPENS_AT).state(now) == "half-open"


def test_the_clock_on_the_wall_moves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    breaker = Breaker(OPENS_AT - 1).failed(Moment.now(), "it hangs", draw=most)
    for clock in (4e9, 0.0):
        monkeypatch.setattr(time, "time", lambda clock=clock: clock)
        monkeypatch.setattr(time, "time_ns", lambda clock=clock: int(clock * 10**9))
        assert 0 < breaker.left(Moment.now()) <= FIRST_OPEN
        assert breaker.state(Moment.now()) == "open"


def test_moments() -> None:
    now = Moment.now()
    assert now.since(now) == 0
    assert (at(5).since(at(3)), at(3).since(at(5)), at(5).since(at(3, "two"))) == (2.0, None, None)
    assert Moment.now().since(now) is not None
