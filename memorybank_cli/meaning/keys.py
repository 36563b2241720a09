"""Which member names a record: told by the names of members, proved by their values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from memorybank_cli.meaning.families import Family
from memorybank_cli.meaning.shapes import Shape

SURE = ("id", "uuid")
MOST = 4
ENOUGH = 20
"""A member that merely ends in `_id` must differ in so many documents to be taken for the record's own."""


def identities(kind: str, families: Sequence[Family]) -> tuple[str, ...]:
    """Members that may name a record, the likeliest first: in every document, a text or an integer."""
    known = [_names(one.shape) for one in families]
    common = [name for name in known[0] if all(name in other for other in known)]
    sure = [name for name in (f"{kind}_id", *SURE) if name in common]
    others = [name for name in common if name.endswith("_id") and name not in sure]
    many = sum(one.count for one in families) >= ENOUGH
    return tuple(sure + (others if many else []))[:MOST]


def _names(shape: Shape) -> list[str]:
    def named(inner: Shape) -> bool:
        return inner.count == shape.objects == inner.texts + inner.integers

    return [name for name, inner in shape.members.items() if named(inner)]


def identity(numbers: Mapping[str, Sequence[int]], families: Sequence[Family]) -> str:
    """The first member whose values differ in all documents; '' where there is none, or just one document."""
    count = sum(one.count for one in families)
    found = (name for name, values in numbers.items() if 1 < count == len(values) == len(set(values)))
    return next(found, "")
