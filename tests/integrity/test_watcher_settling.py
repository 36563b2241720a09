from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.integrity.settling import Settling, topmost


def test_a_changed_path_is_ready_after_it_was_quiet() -> None:
    settling = Settling(quiet=1.0, most=10.0)
    settling.changed("a", 0.0)
    settling.changed("a", 0.9)
    assert settling.take(1.8) == frozenset()
    assert settling.waiting() == {"a"}
    assert settling.take(1.9) == {"a"}
    assert settling.waiting() == frozenset()


def test_a_path_that_never_rests_is_ready_at_most_after_the_limit() -> None:
    settling = Settling(quiet=1.0, most=3.0)
    for tenth in range(30):
        settling.changed("a", tenth / 10)
        assert settling.take(tenth / 10) == frozenset()
    settling.changed("a", 3.0)
    assert settling.take(3.0) == {"a"}


def test_closing_makes_it_shorter_and_a_further_change_longer_again() -> None:
    settling = Settling(quiet=1.0, most=10.0)
    settling.changed("a", 0.0)
    settling.changed("b", 0.0)
    settling.closed("a", 0.0)
    settling.closed("b", 0.0)
    settling.changed("b", 0.05)
    assert settling.take(0.11) == {"a"}
    assert settling.take(1.04) == frozenset()
    assert settling.take(1.05) == {"b"}


def test_a_complete_path_is_ready_at_once_and_once_only() -> None:
    settling = Settling(quiet=1.0, most=10.0)
    settling.changed("a", 0.0)
    settling.complete("a")
    assert settling.due() == -math.inf
    assert settling.take(0.0) == {"a"}
    assert settling.take(100.0) == frozenset()
    assert settling.due() == math.inf


def test_a_change_after_completion_is_reported_again() -> None:
    settling = Settling(quiet=1.0, most=10.0)
    settling.complete("a")
    settling.changed("a", 0.0)
    assert settling.take(0.0) == {"a"}
    assert settling.take(1.0) == {"a"}


Steps = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(("changed", "closed", "complete", "take")), st.integers(0, 40)),
    max_size=60,
)


@given(Steps)
def test_whatever_happens_nothing_is_lost_or_late(steps: list[tuple[str, str, int]]) -> None:
    settling, now = Settling(quiet=1.0, most=3.0), 0.0
    ready: set[str] = set()
    waiting: dict[str, float] = {}
    for path, what, tenths in steps:
        now += tenths / 10
        if what == "take":
            taken = settling.take(now)
            late = {path for path, first in waiting.items() if now >= first + 3.0}
            assert ready | late <= taken <= ready | waiting.keys()
            assert waiting.keys() - settling.waiting() <= taken
            assert settling.due() > now
            ready = set()
            waiting = {path: first for path, first in waiting.items() if path in settling.waiting()}
        elif what == "complete":
            settling.complete(path)
            ready.add(path)
            waiting.pop(path, None)
        else:
            (settling.closed if what == "closed" else settling.changed)(path, now)
            waiting.setdefault(path, now)
        assert settling.waiting() == waiting.keys()
    assert settling.take(now + 3.0) == ready | waiting.keys()
    assert settling.due() == math.inf


def test_topmost_keeps_what_is_not_below_another() -> None:
    assert topmost(["a/b/c", "a", "ab", "x/y", "x/y/z/w"]) == {"a", "ab", "x/y"}
    assert topmost(["a", "", "b/c"]) == {""}
    assert topmost([]) == frozenset()
