from __future__ import annotations

import sys
from typing import Any

import pytest

from memorybank_cli.accounts.context_plan import Limits, Stretch, due, is_possible, missing_in, stretches
from memorybank_cli.accounts.contexts import LEAST, NEVER, State
from memorybank_cli.accounts.history import History
from memorybank_cli.bank.framing import Line
from memorybank_cli.base.exact_json import dumps
from tests.accounts.conversations import GARDEN, GAS, conversation

MADE = "2026-11-20T14:00:00.000000Z"
LATER = "2026-11-21T13:59:59.000000Z"
NEXT_DAY = "2026-11-21T14:00:00.000000Z"
LIMITS = Limits(50, 24)


def history(messages: list[dict[str, Any]], *spans: tuple[int, int]) -> History:
    """A history with summaries of these parts."""
    found = History("a", MADE)
    for message in messages:
        found.add_again(message, message["seq"], MADE)
    for number, (first, last) in enumerate(spans, 1):
        body = {"first": first, "last": last, "last_id": messages[last - 1]["id"], "sentences": []}
        core = {"seq": number, "ts": MADE, "op": "record.stored", "kind": "summary", "span": [first, last]}
        found.laid.lay(Line(number, "", core, dumps(body)))
    return found


def test_whether_it_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_possible()
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert not is_possible()


@pytest.mark.parametrize(
    ("count", "limits", "now", "expected"),
    [
        (0, LIMITS, NEXT_DAY, ""),
        (49, LIMITS, LATER, ""),
        (50, LIMITS, LATER, "messages"),
        (50, Limits(51, 24), LATER, ""),
        (50, Limits(0, 24), LATER, ""),
        (1, LIMITS, NEXT_DAY, "age"),
        (1, Limits(50, 0), NEXT_DAY, ""),
        (1, Limits(50, 24.5), NEXT_DAY, ""),
        (50, LIMITS, NEXT_DAY, "messages"),
    ],
)
def test_when_it_is_due(count: int, limits: Limits, now: str, expected: str) -> None:
    assert due(history(conversation([GAS[0]] * count)), limits, now) == expected


def test_only_new_messages_count() -> None:
    messages = conversation([GAS[0]] * 60)
    assert due(history(messages, (1, 11)), LIMITS, LATER) == ""
    assert due(history(messages, (1, 10)), LIMITS, LATER) == "messages"
    assert due(history(messages, (1, 60)), LIMITS, NEXT_DAY) == ""


def test_a_change_of_topic_after_what_is_summarised() -> None:
    messages = conversation(GAS, GARDEN)
    assert due(history(messages), LIMITS, LATER) == "topic"
    assert due(history(messages, (1, 8)), LIMITS, LATER) == "topic"
    assert due(history(messages, (1, 10)), LIMITS, LATER) == ""
    assert due(history(messages), Limits(0, 24), LATER) == ""
    assert due(history(messages[:8]), LIMITS, LATER) == ""


def test_the_topic_is_looked_at_after_every_few_messages_only() -> None:
    messages = conversation(GAS, GARDEN)
    assert len(messages) % LEAST == 0
    assert due(history(messages), LIMITS, LATER, closely=False) == "topic"
    assert due(history(messages[:-1]), LIMITS, LATER, closely=False) == ""
    assert due(history(messages[:-1]), LIMITS, LATER) == "topic"


def spanned(*spans: tuple[int, int]) -> State:
    return NEVER._replace(summaries=tuple({"first": first, "last": last} for first, last in spans))


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (spanned(), [(1, 20)]),
        (spanned((1, 20)), []),
        (spanned((1, 8)), [(9, 20)]),
        (spanned((3, 8), (12, 14)), [(1, 2), (9, 11), (15, 20)]),
        (spanned((1, 30)), []),
    ],
)
def test_what_is_missing(state: State, expected: list[tuple[int, int]]) -> None:
    assert missing_in(state, 20) == [Stretch(*one) for one in expected]


def test_what_is_to_be_summarised() -> None:
    messages = conversation(GAS, GARDEN)
    assert list(stretches(history([]), again=True)) == []
    assert list(stretches(history(messages, (1, 8), (9, 12)), again=False)) == [Stretch(9, 16)]
    assert list(stretches(history(messages, (3, 8)), again=False)) == [Stretch(1, 2), Stretch(3, 16)]
    assert list(stretches(history(messages, (1, 16)), again=False)) == []
    assert list(stretches(history(messages, (1, 16)), again=True)) == [Stretch(1, 16)]
    shorter = history(messages, (1, 16))
    del shorter.open[-1]
    shorter.last -= 1
    assert list(stretches(shorter, again=False)) == [Stretch(1, 15)]
