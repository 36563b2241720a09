from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.accounts.contexts import NEVER, Laid, State, laid_over, parsed, rendered
from memorybank_cli.bank.framing import Line
from memorybank_cli.base.exact_json import dumps

MADE = "2026-11-20T14:00:00.000000Z"


def summary(first: int, last: int, text: str = "") -> dict[str, Any]:
    return {"id": f"{first}-{last}{text}", "first": first, "last": last, "last_id": f"m{last}", "sentences": []}


def line(seq: int, first: int, last: int, value: Any = None, **core: Any) -> Line:
    fields = {
        "seq": seq,
        "ts": f"2026-11-20T15:00:{seq:02d}.000000Z",
        "op": "record.stored",
        "span": [first, last],
        **core,
    }
    return Line(seq, "", fields, None if value is None else dumps(value))


def spans(state: State) -> list[tuple[int, int]]:
    return [(one["first"], one["last"]) for one in state.summaries]


def test_a_later_summary_takes_the_place_of_those_it_overlaps() -> None:
    lines = [line(5, 1, 8, summary(1, 8)), line(6, 9, 12, summary(9, 12)), line(9, 9, 20, summary(9, 20), reason="age")]
    state = laid_over(NEVER, lines)
    assert spans(state) == [(1, 8), (9, 20)]
    assert (state.seq, state.reason, state.covered, state.upto) == (9, "age", 20, 20)
    assert state.moment == "2026-11-20T15:00:09.000000Z"
    assert laid_over(state, lines) == state


def test_a_line_without_data_leaves_a_gap() -> None:
    state = laid_over(NEVER, [line(5, 1, 8, summary(1, 8)), line(6, 9, 12, summary(9, 12)), line(7, 1, 8)])
    assert spans(state) == [(9, 12)]
    assert (state.covered, state.upto) == (4, 0)
    assert state.status == "active"


@pytest.mark.parametrize("span", [None, [1], ["1", 2], 7])
def test_a_line_of_somebody_else_changes_nothing(span: Any) -> None:
    before = laid_over(NEVER, [line(5, 1, 8, summary(1, 8))])
    after = laid_over(before, [line(6, 0, 0, {"text": "?"}, span=span)])
    assert after.summaries == before.summaries


def test_status() -> None:
    assert NEVER.status == "initializing"
    assert NEVER._replace(whole=False).status == "failing"


def test_lines_that_begin_with_the_account_need_no_base() -> None:
    def no_base() -> State:
        raise AssertionError

    laid = Laid()
    laid.begin(line(3, 0, 0))
    laid.lay(line(5, 1, 8, summary(1, 8)))
    assert spans(laid.state(no_base)) == [(1, 8)]


def test_other_lines_are_laid_over_the_base() -> None:
    laid = Laid()
    laid.lay(line(4, 1, 4, summary(1, 4, "known")))
    laid.lay(line(6, 9, 12, summary(9, 12)))
    base = laid_over(NEVER, [line(5, 1, 8, summary(1, 8))])
    assert spans(laid.state(lambda: base)) == [(1, 8), (9, 12)]


SPANS = st.tuples(st.integers(1, 30), st.integers(0, 9)).map(lambda one: (one[0], one[0] + one[1]))


@given(st.lists(SPANS, max_size=12))
def test_what_is_rendered_is_read_again_and_nothing_overlaps(given_spans: list[tuple[int, int]]) -> None:
    lines = [line(seq, *span, summary(*span)) for seq, span in enumerate(given_spans, 1)]
    state = laid_over(State(0, MADE, "", ()), lines)
    assert parsed(rendered("a", MADE, state)) == state
    ends = [end for span in spans(state) for end in span]
    assert ends == sorted(ends)
    assert not given_spans or spans(state).count(given_spans[-1]) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'{"seq": 1}',
        b'{"seq": 1, "status": {"last_update": "", "status": "active"}, "summaries": [{"text": "mine"}]}',
        b'{"seq": 1, "status": {"last_update": "", "status": "active"}, "summaries": [7]}',
        b'{"seq": "x", "status": {"last_update": "", "status": "active"}, "summaries": []}',
    ],
)
def test_what_is_no_context(data: bytes) -> None:
    with pytest.raises(ValueError, match="no context"):
        parsed(data)
