"""Where a conversation turns to another topic: TextTiling (Hearst 1997) over the TF-IDF of its messages.

Between two messages the words of a few before are held against those of a few after. Where they have much less in
common than further back and further on, the topic changes; a greeting, or words with which people change the subject,
speak for it too. An answer belongs to what it answers, so a topic begins with a message that is none.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from memorybank_cli.accounts.context_words import words
from memorybank_cli.accounts.contexts import LEAST

Vector = dict[str, float]

BLOCK = 5
"""Messages on each side that are held against each other."""
DEPTH = 0.16
"""How deep a cut must be: what two sides lack of what is common around, on a scale from 0 to 2, and the cues."""
CUE = 0.25
"""What a greeting counts for; other words that end or begin a topic half of it."""

_ANSWERING = frozenset({"assistant", "tool", "function", "system"})
_BEGINNING = 200  # characters in which a cue is looked for, at either end of a message
_GREETING = re.compile(
    r"\W*(?:hi|hello|hey|good\s+(?:morning|afternoon|evening|day)|greetings|long\s+time\s+no\s+see|hola|bonjour|hallo)\b"
    r"|\W*(?:你好|您好|早上好|晚上好)",
    re.IGNORECASE,
)
_SUBJECT = re.compile(
    r"\bby\s+the\s+way\b|\banother\s+(?:question|thing|topic)\b|\bchang\w+\s+(?:of|the)\s+(?:topic|subject)\b|\bnew\s+topic\b"
    r"|\blet['\u2019]?s\s+(?:talk|chat)\s+about\b|\bon\s+(?:a|another)\s+(?:different|note)\b"
    r"|\bi(?:['\u2019]d|\s+would)?\s+(?:want(?:ed)?|like)\s+to\s+(?:ask|talk|chat|discuss|share)\b",
    re.IGNORECASE,
)
_PARTING = re.compile(
    r"\b(?:good\s?bye|bye|see\s+you|good\s+night|talk\s+to\s+you\s+later|you['\u2019]?re\s+welcome|no\s+problem|my\s+pleasure"
    r"|have\s+a\s+(?:good|great|nice)|good\s+luck|anytime|take\s+care|look(?:ing)?\s+forward)\b",
    re.IGNORECASE,
)


class Turn(NamedTuple):
    """A change of topic: the index of the first message of the new one, and how deep the cut is."""

    at: int
    depth: float


def turns(messages: Sequence[Mapping[str, Any]]) -> list[Turn]:
    """Where the topic changes, in order; of each message its `role` and `content` count.

    Nothing within `LEAST` messages of an end: of so few nobody can say that they are a topic.
    """
    may_begin = [one["role"] not in _ANSWERING for one in messages]
    anybody = not any(may_begin)
    deep = []
    for at, depth in _depths(_smoothed(_similarities(_vectors([list(words(one["content"])) for one in messages])))):
        if LEAST <= at <= len(messages) - LEAST and (anybody or may_begin[at]):
            found = Turn(at, depth + _cues(messages[at - 1]["content"], messages[at]["content"]))
            deep += [found] if found.depth >= DEPTH else []
    taken: list[Turn] = []
    for turn in sorted(deep, key=lambda one: (-one.depth, one.at)):
        if all(abs(turn.at - one.at) >= LEAST for one in taken):
            taken.append(turn)
    return sorted(taken)


def _cues(before: str, after: str) -> float:
    found = CUE if _GREETING.match(after[:_BEGINNING]) else 0.0
    found += CUE / 2 if _SUBJECT.search(after[:_BEGINNING]) else 0.0
    return found + (CUE / 2 if _PARTING.search(before[-_BEGINNING:]) else 0.0)


def _vectors(texts: Sequence[Sequence[str]]) -> list[Vector]:
    """The TF-IDF of each message, as a sparse vector."""
    inside = Counter(word for text in texts for word in set(text))
    rarity = {word: math.log((1 + len(texts)) / count) for word, count in inside.items()}
    return [{word: (1 + math.log(count)) * rarity[word] for word, count in Counter(text).items()} for text in texts]


def _similarities(vectors: Sequence[Vector]) -> list[float]:
    """For each gap, from that after the first message on, what both sides have in common: 0 to 1."""
    return [
        _cosine(_sum(vectors[max(0, at - BLOCK) : at]), _sum(vectors[at : at + BLOCK])) for at in range(1, len(vectors))
    ]


def _sum(vectors: Sequence[Vector]) -> Vector:
    found: Vector = {}
    for one in vectors:
        for word, weight in one.items():
            found[word] = found.get(word, 0.0) + weight
    return found


def _cosine(one: Vector, other: Vector) -> float:
    product = math.fsum(weight * other[word] for word, weight in one.items() if word in other)
    return product / (_length(one) * _length(other)) if product else 0.0


def _length(vector: Vector) -> float:
    return math.sqrt(math.fsum(weight * weight for weight in vector.values()))


def _smoothed(values: Sequence[float]) -> list[float]:
    """Each value with a quarter of each neighbour's, so that one odd message makes no valley."""
    padded = [*values[:1], *values, *values[-1:]]
    return [(left + 2 * here + right) / 4 for left, here, right in zip(padded, padded[1:], padded[2:], strict=False)]


def _depths(similarities: Sequence[float]) -> Iterator[Turn]:
    """For each gap how far one climbs from there on either side before it goes down again."""
    for index, here in enumerate(similarities):
        left = _climbed(similarities[at] for at in range(index, -1, -1))
        right = _climbed(similarities[at] for at in range(index, len(similarities)))
        yield Turn(index + 1, left + right - 2 * here)


def _climbed(similarities: Iterable[float]) -> float:
    """How high it goes before it goes down."""
    highest = 0.0
    for one in similarities:
        if one < highest:
            break
        highest = one
    return highest
