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
    references: Mapping[str, str] = {}
    """JSON Pointer to the id of another record → the kind of that record."""
    lifts: Mapping[int, tuple[Mapping[str, Any], ...]] = {}
    """Version → the JSON Patch that makes a document of it one of the next version."""


NONE = Annotations()


def annotations_of(schema: Mapping[str, Any]) -> Annotations:
    """The annotations of a schema that has passed its check."""
    found = schema.get(KEYWORD)
    if not found:
        return NONE
    name = found.get("id", ())
    return Annotations(
        found.get("version"),
        (name,) if isinstance(name, str) else tuple(name),
        found.get("references", {}),
        {int(version): tuple(changes) for version, changes in found.get("lifts", {}).items()},
    )


def version_of(value: Any) -> int | None:
    """The version that a document names; None where it names none."""
    version = value.get(VERSION) if isinstance(value, dict) else None
    return version if isinstance(version, int) and not isinstance(version, bool) else None
