"""Which sentences of a conversation say the most: by how central, how new and how important they are.

The only module that needs scikit-learn; it is imported when sentences are ranked and never before.
"""

from __future__ import annotations

from collections.abc import Sequence
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

    texts = [list(words(text)) for text in (*before, *(one.text for part in parts for one in part))]
    if not any(texts):  # nothing to weigh
        pairs = zip(parts, counts, strict=True)
        return [[Ranked(one, marks(one.text), 0.0) for one in part[:count]] for part, count in pairs]
    weighed = TfidfVectorizer(analyzer=_itself, sublinear_tf=True).fit_transform(texts)
    told = weighed[: len(before)]
    found, at = [], len(before)
    for part, count in zip(parts, counts, strict=True):
        here = slice(at, at + len(part))
        found.append(_best(part, [len(text) for text in texts[here]], weighed[here], told, count))
        at = here.stop
    return found


def _itself(text: list[str]) -> list[str]:
    return text


def _best(part: Sequence[Sentence], lengths: Sequence[int], rows: Any, told: Any, count: int) -> list[Ranked]:
    import numpy as np

    if not part:
        return []
    alike = np.minimum((rows @ rows.T).toarray(), 1.0)
    marked = [marks(one.text) for one in part]
    urgent = np.array([max((PRIORITIES[mark] for mark in one), default=0.0) for one in marked])
    says = np.minimum(np.array(lengths) / ENOUGH, 1.0)
    worth = says * (CENTRALITY * _centrality(alike) + PRIORITY * urgent)
    said = np.minimum((rows @ told.T).toarray().max(axis=1, initial=0.0), 1.0)
    weights: dict[int, float] = {}
    for _ in range(min(count, len(part))):
        left = np.round(worth * (1 - said**2), _DIGITS)
        left[list(weights)] = -1.0
        at = int(left.argmax())  # the first of equals
        if weights and left[at] <= 0:
            break  # nothing is left that is not said already
        weights[at] = float(left[at])
        said = np.maximum(said, alike[at])
    return [Ranked(part[at], marked[at], weights[at]) for at in sorted(weights)]


def _centrality(alike: Any) -> Any:
    """LexRank: how often a walk from sentence to sentence, to similar ones more likely, comes by; the most is 1."""
    import numpy as np

    size = len(alike)
    sums = alike.sum(axis=1, keepdims=True)
    walk = np.divide(alike, sums, out=np.full_like(alike, 1 / size), where=sums > 0)
    rank = np.full(size, 1 / size)
    for _ in range(_STEPS):
        rank = (1 - _DAMPING) / size + _DAMPING * (rank @ walk)
    return rank / rank.max()
