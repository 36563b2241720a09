"""The documents of one kind, by which members they have: families that differ clearly become alternatives."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from memorybank_cli.bank.annotations import version_of
from memorybank_cli.meaning.names import are_data
from memorybank_cli.meaning.shapes import Room, Shape, from_json

SETS = 64
"""So many sets of members are told apart while reading; a document with another one joins the nearest."""
ALTERNATIVES = 12
ALIKE = 0.5
"""Sets of members are alike when they share this part of all that either has."""
EXAMPLES = 3
_REMEMBERED = 1_000
_ANY_KEY = "*"


class Signature(NamedTuple):
    """What tells documents apart at first sight: the version they name, their type, their members."""

    version: int | None
    type: str
    names: frozenset[str]

    def likeness(self, other: Signature) -> float:
        """From 0, nothing in common, to 1; below 0 where they must not be mixed at all."""
        if (self.version, self.type) != (other.version, other.type):
            return -1.0
        either = len(self.names | other.names)
        return len(self.names & other.names) / either if either else 1.0


class Family:
    """Documents that are alike: how many, a few of their paths, and their common shape."""

    __slots__ = ("count", "examples", "shape", "signatures")

    def __init__(self, signature: Signature, count: int = 0, examples: Iterable[str] = (), shape: Any = None) -> None:
        self.signatures = [signature]
        self.count = count
        self.examples = list(examples)
        self.shape: Shape = shape or Shape()

    @property
    def version(self) -> int | None:
        """The version that all its documents name."""
        return self.signatures[0].version

    @property
    def is_empty(self) -> bool:
        """Whether its documents are empty objects."""
        return all(one.type == "dict" and not one.names for one in self.signatures)

    def join(self, other: Family) -> None:
        """Take in another family, which is used up."""
        self.signatures += other.signatures
        self.count += other.count
        self.examples = (self.examples + other.examples)[:EXAMPLES]
        self.shape.merge(other.shape)

    def likeness(self, other: Family) -> float:
        """How alike the two nearest sets of members are."""
        return max(one.likeness(two) for one in self.signatures for two in other.signatures)


class Families:
    """What the documents of one kind have in common, in bounded memory however many there are."""

    def __init__(self) -> None:
        self.by_signature: dict[Signature, Family] = {}
        self._room = Room()
        self._known: dict[tuple[str, ...], Family] = {}

    @property
    def count(self) -> int:
        """How many documents there were."""
        return sum(family.count for family in self.by_signature.values())

    def add(self, value: Any, path: str) -> None:
        """Take in one document."""
        key = tuple(value) if type(value) is dict and "schema_version" not in value and len(value) < 100 else None
        family = self._known.get(key) if key is not None else None
        if family is None:
            family = self._family(signature_of(value))
            if key is not None and len(self._known) < _REMEMBERED:
                self._known[key] = family
        family.count += 1
        if len(family.examples) < EXAMPLES:
            family.examples.append(path)
        family.shape.add(value, self._room)

    def _family(self, signature: Signature) -> Family:
        found = self.by_signature.get(signature)
        if found is None and len(self.by_signature) >= SETS:
            nearest = max(self.by_signature, key=signature.likeness)
            if nearest.likeness(signature) >= 0 or len(self.by_signature) >= 2 * SETS:
                found = self.by_signature[nearest]
        if found is None:
            found = self.by_signature[signature] = Family(signature)
        return found

    def merge(self, other: Families) -> None:
        """Take in the documents that another one took in."""
        for signature, family in other.by_signature.items():
            mine = self._family(signature)
            mine.count += family.count
            mine.examples = (mine.examples + family.examples)[:EXAMPLES]
            mine.shape.merge(family.shape)

    def take_older(self) -> tuple[list[Family], int | None]:
        """Take out the families of documents that name a version below the newest one; those, and the newest one."""
        newest = max((one.version for one in self.by_signature.values() if one.version is not None), default=None)
        older = {
            signature: one
            for signature, one in self.by_signature.items()
            if one.version is not None and newest is not None and one.version < newest
        }
        self.by_signature = {key: one for key, one in self.by_signature.items() if key not in older}
        return list(older.values()), newest

    def alternatives(self) -> list[Family]:
        """The families that differ clearly, the largest first; this object is used up."""
        found: list[Family] = []
        for family in sorted(self.by_signature.values(), key=lambda one: -one.count):
            alike = [one for one in found if one.likeness(family) >= ALIKE]
            if not alike:
                found.append(family)
                continue
            alike[0].join(family)
            for other in alike[1:]:  # it is like both, so they are one
                alike[0].join(other)
                found.remove(other)
        while len(found) > ALTERNATIVES:
            last = found.pop()
            max(found, key=last.likeness).join(last)
        return sorted(found, key=lambda one: -one.count)

    def to_json(self) -> list[Any]:
        """As JSON can hold it."""
        return [
            [one.version, one.type, sorted(one.names), family.count, family.examples, family.shape.to_json()]
            for one, family in self.by_signature.items()
        ]


def families_from_json(found: list[Any]) -> Families:
    """What `to_json` wrote."""
    families = Families()
    for version, kind, names, count, examples, shape in found:
        signature = Signature(version, kind, frozenset(names))
        families.by_signature[signature] = Family(signature, count, examples, from_json(shape))
    return families


def signature_of(value: Any) -> Signature:
    """The signature of a document; where its keys are data they don't tell documents apart."""
    if not isinstance(value, dict):
        return Signature(None, type(value).__name__, frozenset())
    names = [_ANY_KEY] if are_data(value) else value
    return Signature(version_of(value), "dict", frozenset(names))
