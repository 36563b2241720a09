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
    waiting = sum(one.last - one.first + 1 for one in missing(history))
    if not waiting:
        return ""
    if limits.messages and waiting >= limits.messages:
        return "messages"
    since = clock.parse(state.moment or history.created_at)
    if limits.hours and clock.parse(now) - since >= timedelta(hours=limits.hours):
        return "age"
    look = limits.messages and waiting >= LEAST and (closely or waiting % LEAST == 0)
    return "topic" if look and _turned(history, state) else ""


def _turned(history: History, state: State) -> bool:
    """Whether the topic changed after the last message that is summarised."""
    from memorybank_cli.accounts.context_topics import turns

    first = state.summaries[-1]["first"] if state.summaries else 1
    messages = list(history.stretch(first, history.last))
    known = state.summaries[-1]["last"] if state.summaries else 0
    new = sum(one["seq"] <= known for one in messages)
    return any(turn.at >= new for turn in turns(messages))


def missing(history: History) -> list[Stretch]:
    """What no summary stands for though there are messages, oldest first. Raises AccountDamaged."""
    found = missing_in(history.context, history.last)
    if history.gone:
        found = [one for one in found if next(history.stretch(one.first, one.last), None) is not None]
    return found


def summarised(history: History) -> int:
    """How many messages the summaries stand for. Raises AccountDamaged."""
    if not history.gone:
        return history.context.covered
    return history.total - sum(1 for one in missing(history) for _ in history.stretch(one.first, one.last))


def missing_in(state: State, end: int) -> list[Stretch]:
    """What no summary stands for of the positions up to `end`, oldest first."""
    found, position = [], 0
    for one in state.summaries:
        if one["first"] > position + 1:
            found.append(Stretch(position + 1, one["first"] - 1))
        position = one["last"]
    return [*found, Stretch(position + 1, end)] if position < end else found


def stretches(history: History, again: bool, after: int = 0) -> Iterator[Stretch]:
    """What is to be summarised, oldest first: what is missing, the last topic anew; with `again` all after a position.

    All of it too where the summaries do not fit the messages any more. Raises AccountDamaged.
    """
    state, end = history.context, history.last
    if again or not all(fits(history, one) for one in state.summaries[-1:]):
        yield from [Stretch(after + 1, end)] if end > after else ()
        return
    for one in missing(history):
        whole = one.last == end and state.summaries and state.summaries[-1]["last"] == one.first - 1
        yield Stretch(state.summaries[-1]["first"], end) if whole else one


def fits(history: History, summary: Summary) -> bool:
    """Whether the last message that a summary stands for is still where it was."""
    there = next(history.stretch(summary["last"], summary["last"]), None)
    return there is not None and there["id"] == summary["last_id"]
