"""Which sentences of a conversation say the most: by how central, how new and how important they are.

The only module that needs scikit-learn; it is imported when sentences are ranked and never before.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from memorybank_cli.accounts.context_words import marks, words

CENTRALITY, PRIORITY = 0.6, 0.4
"""What each counts for; they add up to 1. What says less, or says it again, counts for less of both."""
PRIORITIES = {"decision": 1.0, "commitment": 0.8, "number": 0.5, "name": 0.4, "question": 0.3}
ENOUGH = 5
"""Words that carry meaning; a sentence with fewer counts for less."""
_STEPS = 30  # of the walk between sentences; it has settled long before
_DAMPING = 0.85  # of LexRank (Erkan and Radev 2004)
_DIGITS = 4  # the last ones of a float depend on the processor


class Sentence(NamedTuple):
    """One sentence of a message, by the message's index."""

    message: int
    text: str


class Ranked(NamedTuple):
    """A chosen sentence with its marks and its weight, 0 to 1."""

    sentence: Sentence
    marks: list[str]
    weight: float


def chosen(parts: Sequence[Sequence[Sentence]], counts: Sequence[int], before: Sequence[str]) -> list[list[Ranked]]:
    """Of each part of a conversation the best sentences, this many, in their order.

    `before` are sentences that were told already: what repeats them is not new. The same result for the same input.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = [*before, *(one.text for part in parts for one in part)]
    if not any(any(words(text)) for text in texts):  # nothing to weigh
        pairs = zip(parts, counts, strict=True)
        return [[Ranked(one, marks(one.text), 0.0) for one in part[:count]] for part, count in pairs]
    weighed = TfidfVectorizer(analyzer=_analyzed, sublinear_tf=True).fit_transform(texts)
    told = weighed[: len(before)]
    found, at = [], len(before)
    for part, count in zip(parts, counts, strict=True):
        rows = weighed[at : at + len(part)]
        found.append(_best(part, rows, told, count))
        at += len(part)
    return found


def _analyzed(text: str) -> list[str]:
    return list(words(text))


def _best(part: Sequence[Sentence], rows: Any, told: Any, count: int) -> list[Ranked]:
    if not part:
        return []
    alike = (rows @ rows.T).toarray()
    central = _centrality(alike)
    marked = [marks(one.text) for one in part]
    urgent = [max((PRIORITIES[mark] for mark in one), default=0.0) for one in marked]
    repeated = [min(1.0, float(one)) for one in (rows @ told.T).toarray().max(axis=1, initial=0.0)]
    worth = [
        min(1.0, sum(1 for _ in words(one.text)) / ENOUGH) * (CENTRALITY * central[at] + PRIORITY * urgent[at])
        for at, one in enumerate(part)
    ]
    weights: dict[int, float] = {}
    for _ in range(min(count, len(part))):
        left = (at for at in range(len(part)) if at not in weights)
        weight, back = max(
            (round(worth[at] * (1 - max(repeated[at], _likest(alike, at, weights)) ** 2), _DIGITS), -at) for at in left
        )
        if weights and weight <= 0:
            break  # nothing is left that is not said already
        weights[-back] = weight
    return [Ranked(part[at], marked[at], weights[at]) for at in sorted(weights)]


def _likest(alike: Any, index: int, taken: Collection[int]) -> float:
    return max((min(1.0, float(alike[index][one])) for one in taken), default=0.0)


def _centrality(alike: Any) -> list[float]:
    """LexRank: how often a walk from sentence to sentence, to similar ones more likely, comes by; the most is 1."""
    import numpy as np

    size = len(alike)
    sums = alike.sum(axis=1, keepdims=True)
    walk = np.divide(alike, sums, out=np.full_like(alike, 1 / size), where=sums > 0)
    rank = np.full(size, 1 / size)
    for _ in range(_STEPS):
        rank = (1 - _DAMPING) / size + _DAMPING * (rank @ walk)
    return [float(one) for one in rank / rank.max()]
