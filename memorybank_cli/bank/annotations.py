"""What a schema says of its documents beyond their shape: the keyword `x-memorybank`.

Its own shape is the schema `annotations`; validators leave it alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

KEYWORD = "x-memorybank"
VERSION = "schema_version"
"""The member in which a document says its version; a document without it is not judged by version."""


class Annotations(NamedTuple):
    """What one schema says; everything may be left out."""

    version: int | None = None
    """The version of the documents that the schema describes."""
    id: tuple[str, ...] = ()
    """Members of which the first that is there names the record."""
    names: tuple[str, ...] = ()
    """JSON Pointers with `*` to the ids of all that a document holds, where it is no record but a list of such."""
    references: Mapping[str, str] = {}
    """JSON Pointer to the id of another record → the kind of that record; `*` in it stands for every array item."""
    lifts: Mapping[int, tuple[Mapping[str, Any], ...]] = {}
    """Version → the JSON Patch that makes a document of it one of the next version."""


NONE = Annotations()


def annotations_of(schema: Mapping[str, Any]) -> Annotations:
    """The annotations of a schema that has passed its check."""
    found = schema.get(KEYWORD)
    if not found:
        return NONE
    name = found.get("id", ())
    names = (name,) if isinstance(name, str) else tuple(name)
    return Annotations(
        found.get("version"),
        tuple(one for one in names if not _is_for_all(one)),
        tuple(filter(_is_for_all, names)),
        found.get("references", {}),
        {int(version): tuple(changes) for version, changes in found.get("lifts", {}).items()},
    )


def _is_for_all(name: str) -> bool:
    return name.startswith("/") and "*" in name.split("/")


def version_of(value: Any) -> int | None:
    """The version that a document names; None where it names none."""
    version = value.get(VERSION) if isinstance(value, dict) else None
    return version if isinstance(version, int) and not isinstance(version, bool) else None
