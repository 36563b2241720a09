"""How well a change of topic is found: precision and recall on conversations of which the changes are known.

    python -m benchmarks.topics memory_bank_en.json

The file holds conversations of many users, each over several days:
`{user: {"history": {day: [{"query", "response"}]}}}`
(the data of zhongwanjun/MemoryBank-SiliconFriend, MIT). Each day is a conversation of its own about its own topics, so
joined together a user's days change the topic where a day ends, and nothing else tells where: no times are given. A
topic that changes within a day is not labelled, and counts against precision where it is found.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from memorybank_cli.accounts import context_topics
from memorybank_cli.accounts.context_topics import turns
from memorybank_cli.accounts.contexts import LEAST

NEAR = 2
"""Messages, one exchange, by which a change may be missed where `near` is measured."""
_GREETING = re.compile(r"\s*(?:hi|hello|hey|good (?:morning|evening|afternoon))\b[^.!?,]*[.!?,]\s*", re.IGNORECASE)

Message = dict[str, Any]
Find = Callable[[list[Message]], list[int]]


class Labelled(NamedTuple):
    """A conversation, and the indexes of the messages with which a topic begins."""

    messages: list[Message]
    changes: list[int]


class Score(NamedTuple):
    """Counts of changes: found where there is one, found where there is none, not found."""

    right: int
    wrong: int
    missed: int

    def __str__(self) -> str:
        precision, recall = self.right / max(1, self.right + self.wrong), self.right / max(1, self.right + self.missed)
        return f"{precision:5.2f}     {recall:5.2f}  {2 * precision * recall / max(1e-9, precision + recall):5.2f}"


def labelled(document: dict[str, Any], greetings: bool) -> list[Labelled]:
    """The labelled set; without the greeting of each day where that would give the change away."""
    return [_joined(user["history"].values(), greetings) for user in document.values()]


def _joined(days: Any, greetings: bool) -> Labelled:
    found = Labelled([], [])
    for day in days:
        if day and found.messages:
            found.changes.append(len(found.messages))
        for number, exchange in enumerate(day):
            for role, name in (("user", "query"), ("assistant", "response")):
                text = exchange[name] if greetings or number else _GREETING.sub("", exchange[name], count=1)
                found.messages.append({"role": role, "content": text})
    return found


def score(one: Labelled, found: list[int], near: int = 0) -> Score:
    """Each change counts once, for the one found nearest to it."""
    left, right = set(one.changes), 0
    for at in found:
        hits = [change for change in left if abs(change - at) <= near]
        if hits:
            left.discard(min(hits, key=lambda change: abs(change - at)))
            right += 1
    return Score(right, len(found) - right, len(left))


def afterwards(messages: list[Message]) -> list[int]:
    """Changes found in the whole conversation, as a refresh cuts it."""
    return [turn.at for turn in turns(messages)]


def meanwhile(messages: list[Message]) -> list[int]:
    """Changes found while the messages come, as they set off a refresh: looked for after each `LEAST` new ones."""
    return list(_meanwhile(messages))


def _meanwhile(messages: list[Message]) -> Iterator[int]:
    start = told = 0
    for end in range(LEAST, len(messages) + 1):
        if (end - told) % LEAST:
            continue
        new = [start + turn.at for turn in turns(messages[start:end]) if start + turn.at >= told]
        if new:
            yield from new
            start, told = new[-1], end


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="benchmarks.topics", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("file", help="conversations by user and day, as JSON")
    with open(parser.parse_args().file, encoding="utf-8") as file:
        document = json.load(file)
    changes = sum(len(one.changes) for one in labelled(document, greetings=True))
    print(f"{len(document)} users, {changes} changes of topic; near: within one exchange")
    print(f"{'found':<11} {'messages':<18} precision recall  F1    near: precision recall  F1")
    for found in (afterwards, meanwhile):
        for greetings in (True, False):
            _row(found, labelled(document, greetings), "as they are" if greetings else "without greetings")
    context_topics.CUE = 0.0
    _row(afterwards, labelled(document, greetings=True), "by words alone")


def _row(find: Find, conversations: list[Labelled], name: str) -> None:
    found = [(one, find(one.messages)) for one in conversations]
    exact, close = (
        Score(*map(sum, zip(*(score(one, at, near) for one, at in found), strict=True))) for near in (0, NEAR)
    )
    print(f"{find.__name__:<11} {name:<18} {exact}{'':12}{close}")


if __name__ == "__main__":
    main()
