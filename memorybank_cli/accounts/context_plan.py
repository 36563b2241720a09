"""When an account's context is due to be made again, whether it can be, and of which messages."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from importlib.util import find_spec
from typing import NamedTuple

from memorybank_cli.accounts.contexts import LEAST, State, Summary
from memorybank_cli.accounts.history import History
from memorybank_cli.base import clock


class Limits(NamedTuple):
    """What makes a context due; 0 for what never does."""

    messages: int
    """That many new messages."""
    hours: float
    """New messages, and so many hours since it was made last."""


class Stretch(NamedTuple):
    """Positions of consecutive messages that are to be summarised."""

    first: int
    last: int


def is_possible() -> bool:
    """Whether scikit-learn, which summaries need, is installed; it is not imported."""
    return find_spec("sklearn") is not None


def due(history: History, limits: Limits, now: str, *, closely: bool = True) -> str:
    """Why the context is due: messages, age, topic; '' where it is not. Raises AccountDamaged.

    The topic is looked at after every few messages only, unless `closely`: that reads them.
    """
    state = history.context
    missing = sum(one.last - one.first + 1 for one in missing_in(state, history.total))
    if not missing:
        return ""
    if limits.messages and missing >= limits.messages:
        return "messages"
    since = clock.parse(state.moment or history.created_at)
    if limits.hours and clock.parse(now) - since >= timedelta(hours=limits.hours):
        return "age"
    look = limits.messages and missing >= LEAST and (closely or missing % LEAST == 0)
    return "topic" if look and _turned(history, state) else ""


def _turned(history: History, state: State) -> bool:
    """Whether the topic changed after the last message that is summarised."""
    from memorybank_cli.accounts.context_topics import turns

    first = state.summaries[-1]["first"] if state.summaries else 1
    messages = list(history.stretch(first, history.total))
    new = state.upto - first + 1
    return any(turn.at >= new for turn in turns(messages))


def missing_in(state: State, total: int) -> list[Stretch]:
    """What no summary stands for, oldest first."""
    found, position = [], 0
    for one in state.summaries:
        if one["first"] > position + 1:
            found.append(Stretch(position + 1, one["first"] - 1))
        position = one["last"]
    return [*found, Stretch(position + 1, total)] if position < total else found


def stretches(history: History, again: bool) -> Iterator[Stretch]:
    """What is to be summarised, oldest first: what is missing, the last topic anew; with `again` all.

    All of it too where the summaries do not fit the messages any more. Raises AccountDamaged.
    """
    state, total = history.context, history.total
    if again or not all(fits(history, one) for one in state.summaries[-1:]):
        yield from [Stretch(1, total)] if total else ()
        return
    for one in missing_in(state, total):
        whole = one.last == total and state.summaries and state.summaries[-1]["last"] == one.first - 1
        yield Stretch(state.summaries[-1]["first"], total) if whole else one


def fits(history: History, summary: Summary) -> bool:
    """Whether the last message that a summary stands for is still where it was."""
    there = next(history.stretch(summary["last"], summary["last"]), None)
    return there is not None and there["id"] == summary["last_id"]
