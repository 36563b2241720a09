"""An account's context: summaries of its messages, which are records of their own, and the file that shows them.

A summary stands for the messages from one position to another. A later one takes the place of those it overlaps, so the
newest part can be told anew while it grows, and what was lost or forgotten leaves a gap that is filled again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from memorybank_cli.accounts.segments import document
from memorybank_cli.bank.framing import Line
from memorybank_cli.base.exact_json import FlawedJSON, dumps, loads

SUMMARY = "summary"
LEAST = 4
"""Messages that a topic has at least; after as many new ones it is looked at again."""
Summary = dict[str, Any]
"""`id`, `first` and `last` (positions), `first_id` and `last_id`, `from` and `to` (times), `topics` and `entities`
(texts), `sentences`: each with the id of its `message`, the `role`, the `text`, its `marks` and its `weight`; and
`messages`, the ids of all from which anything in it is taken."""


class State(NamedTuple):
    """What is known of an account's context as of one journal line."""

    seq: int
    """The line that changed it last, 0 where that is not known."""
    moment: str
    """When that was; '' for never."""
    reason: str
    """Why: messages, age, topic or request; '' for never."""
    summaries: tuple[Summary, ...]
    """Oldest first; no two overlap."""
    whole: bool = True
    """Whether nothing of it was lost."""

    @property
    def status(self) -> str:
        """The word of spec 002."""
        return "failing" if not self.whole else "active" if self.summaries else "initializing"

    @property
    def covered(self) -> int:
        """How many messages its summaries stand for."""
        return sum(one["last"] - one["first"] + 1 for one in self.summaries)

    @property
    def upto(self) -> int:
        """The position up to which every message is summarised."""
        position = 0
        for one in self.summaries:
            if one["first"] != position + 1:
                break
            position = one["last"]
        return position


NEVER = State(0, "", "", ())


def laid_over(state: State, lines: Iterable[Line]) -> State:
    """The state after lines that store summaries; those that it knows already change nothing.

    It is whole again then: a refresh fills what is missing.
    """
    kept = list(state.summaries)
    for line in lines:
        if line.seq <= state.seq:
            continue
        first, last = _span(line)
        kept = _beside(kept, first, last)
        if line.data is not None and is_summary(line.value):
            kept.append(line.value)
        reason = str(line.core.get("reason", ""))
        state = State(line.seq, str(line.core["ts"]), reason, ())
    return state._replace(summaries=tuple(sorted(kept, key=_first)))


def laid_between(summaries: Iterable[Summary], later: Sequence[Summary]) -> list[Summary]:
    """Summaries after these took the place of those that they overlap."""
    kept = list(summaries)
    for one in later:
        kept = _beside(kept, one["first"], one["last"])
    return sorted([*kept, *later], key=_first)


def _beside(summaries: Iterable[Summary], first: int, last: int) -> list[Summary]:
    return [one for one in summaries if one["last"] < first or one["first"] > last]


def _first(summary: Summary) -> int:
    return int(summary["first"])


def _span(line: Line) -> tuple[int, int]:
    found = line.core.get("span")
    if isinstance(found, list) and len(found) == 2 and all(type(one) is int for one in found):
        return found[0], found[1]
    return 0, 0


def is_summary(value: Any) -> bool:
    """Whether a value of unknown origin can be taken for a summary."""
    return (
        isinstance(value, dict)
        and type(value.get("first")) is int
        and type(value.get("last")) is int
        and 0 < value["first"] <= value["last"]
        and isinstance(value.get("sentences"), list)
    )


class Laid:
    """What the lines of one way to a history say of its context; all of it where they begin with the account."""

    def __init__(self) -> None:
        self._lines: list[Line] = []
        self._begun: State | None = None
        self._known: State | None = None

    def begin(self, line: Line) -> None:
        """The account was made by this line: there was nothing before."""
        self._begun, self._known = State(line.seq, str(line.core["ts"]), "", ()), None

    def lay(self, line: Line) -> None:
        """One line that stores a summary."""
        self._known = None
        if self._begun is None:
            self._lines.append(line)
        else:
            self._begun = laid_over(self._begun, (line,))

    def settle(self, state: State) -> None:
        """Have this be the context, whatever the lines say."""
        self._known = state

    def state(self, base: Callable[[], State]) -> State:
        """The context; `base` gives what it was before these lines where they don't begin with the account."""
        if self._known is None:
            self._known = self._begun or laid_over(base(), self._lines)
        return self._known


def rendered(account: str, created_at: str, state: State) -> bytes:
    """The bytes of history_context.json."""
    moment = state.moment or created_at
    fields = {
        "account_id": account,
        "seq": state.seq,
        "status": {
            "status": state.status,
            "last_update": moment,
            "message_count": state.covered,
            "health_check": moment,
        },
        "created_at": created_at,
        "reason": state.reason,
    }
    return document(fields, "summaries", [dumps(one) for one in state.summaries])


def parsed(data: bytes) -> State:
    """The state that a history_context.json shows. Raises ValueError for bytes that show none."""
    try:
        value = loads(data)
        summaries = value["summaries"]
        state = State(
            int(value["seq"]),
            str(value["status"]["last_update"]),
            str(value.get("reason", "")),
            tuple(summaries),
            value["status"]["status"] != "failing",
        )
    except (FlawedJSON, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"no context: {error}") from None
    if not all(map(is_summary, summaries)):
        raise ValueError("no context: what it lists are no summaries")
    return state
