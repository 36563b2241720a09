"""How well a change of topic is found: precision and recall on conversations of which the changes are known.

    python -m benchmarks.topics memory_bank_en.json [--choose]

The file holds conversations of many users, each over several days:
`{user: {"history": {day: [{"query", "response"}]}}}`
(the data of zhongwanjun/MemoryBank-SiliconFriend, MIT). Each day is a conversation of its own about its own topics, so
joined together a user's days change the topic where a day ends, and nothing else tells where: no times are given. A
topic that changes within a day is not labelled, and counts against precision where it is found.

The numbers in `context_topics` are those that `--choose` finds best for every second user, from the first on; how good
they are is measured with the other users.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple
from unittest import mock

from memorybank_cli.accounts import context_topics
from memorybank_cli.accounts.context_topics import turns
from memorybank_cli.accounts.context_words import words
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

    @property
    def precision(self) -> float:
        """The share of those found that are changes."""
        return self.right / max(1, self.right + self.wrong)

    @property
    def recall(self) -> float:
        """The share of the changes that are found."""
        return self.right / max(1, self.right + self.missed)

    @property
    def f1(self) -> float:
        """The harmonic mean of both."""
        return 2 * self.precision * self.recall / max(1e-9, self.precision + self.recall)

    def __str__(self) -> str:
        return f"{self.precision:5.2f}     {self.recall:5.2f}  {self.f1:5.2f}"


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


def summed(find: Find, conversations: Sequence[Labelled], near: int = 0) -> Score:
    """The score over all conversations."""
    found = [score(one, find(one.messages), near) for one in conversations]
    return Score(*map(sum, zip(*found, strict=True)))


BLOCKS, DEPTHS, CUES = (3, 4, 5, 6, 8), (0.04, 0.08, 0.12, 0.16, 0.2, 0.25, 0.3), (0.0, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4)


def choices(users: dict[str, Any]) -> list[tuple[float, dict[str, float]]]:
    """Every choice of numbers with its mean F1 over the ways to find and both forms of the set, the best first."""
    sets = [labelled(users, greetings) for greetings in (True, False)]
    found = []
    with mock.patch.object(context_topics, "words", cache(lambda text: tuple(words(text)))):
        for block, depth, cue in itertools.product(BLOCKS, DEPTHS, CUES):
            numbers = {"BLOCK": block, "DEPTH": depth, "CUE": cue}
            with mock.patch.dict(vars(context_topics), numbers):
                scores = [summed(find, one).f1 for find in (afterwards, meanwhile) for one in sets]
            found.append((sum(scores) / len(scores), numbers))
    return sorted(found, key=lambda one: -one[0])


def main() -> None:
    """Print the table, or the best choices."""
    parser = argparse.ArgumentParser(prog="benchmarks.topics", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("file", help="conversations by user and day, as JSON")
    parser.add_argument("--choose", action="store_true", help="try the numbers on the users that are there for it")
    given = parser.parse_args()
    with open(given.file, encoding="utf-8") as file:
        users = list(json.load(file).items())
    chosen_by, others = dict(users[::2]), dict(users[1::2])
    if given.choose:
        for mean, numbers in choices(chosen_by)[:10]:
            print(f"{mean:.3f}", *(f"{name}={value}" for name, value in numbers.items()))
        return
    _table("users that nothing was chosen by", others)
    _table("users that the numbers were chosen by", chosen_by)


def _table(title: str, users: dict[str, Any]) -> None:
    changes = sum(len(one.changes) for one in labelled(users, greetings=True))
    print(f"{title}: {len(users)}, {changes} changes of topic; near: within one exchange")
    print(f"{'found':<11} {'messages':<18} precision recall  F1    near: precision recall  F1")
    for find in (afterwards, meanwhile):
        for greetings in (True, False):
            _row(find, labelled(users, greetings), "as they are" if greetings else "without greetings")
    with mock.patch.object(context_topics, "CUE", 0.0):
        _row(afterwards, labelled(users, greetings=True), "by words alone")
    print()


def _row(find: Find, conversations: list[Labelled], name: str) -> None:
    exact, close = (summed(find, conversations, near) for near in (0, NEAR))
    print(f"{find.__name__:<11} {name:<18} {exact}{'':12}{close}")


if __name__ == "__main__":
    main()
