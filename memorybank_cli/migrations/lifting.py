"""Lifting a document to the present version of its schema, by the JSON Patches (RFC 6902) that the schema tells.

A patch is data: nothing in it is executed, and what it may build is bounded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from memorybank_cli.bank.annotations import VERSION, Annotations, version_of
from memorybank_cli.bank.misfits import shorten
from memorybank_cli.bank.narrowing import is_light

LARGEST = 1_000_000
"""So many values a lifted document may have: a patch that copies a document into itself doubles it each time."""


class Unliftable(ValueError):
    """A document that the lifts of its schema do not bring to the present version; why."""


def lift(value: Any, annotations: Annotations) -> Any:
    """A document of an older version as one of the present version, which it names; the given one stays as it is.

    Whether it matches the schema is not looked at. Raises Unliftable.
    """
    import copy

    version, present = version_of(value), annotations.version
    if version is None or present is None or version >= present:
        raise Unliftable("it names no older version")
    lifted = copy.deepcopy(value)
    for step in range(version, present):
        if step not in annotations.lifts:
            raise Unliftable(f"the schema tells no way from version {step} to {step + 1}")
        lifted = _patched(lifted, annotations.lifts[step], step)
        lifted[VERSION] = step + 1
    return lifted


def _patched(value: Any, changes: Iterable[Mapping[str, Any]], step: int) -> Any:
    from jsonpatch import JsonPatch, JsonPatchException, JsonPointerException

    for number, change in enumerate(changes, 1):
        # The errors quote the whole document, so their words are not used.
        told = f"change {number} from version {step}, {change['op']} {shorten(change.get('from', change['path']))},"
        try:
            value = JsonPatch([dict(change)]).apply(value, in_place=True)
        except (JsonPatchException, JsonPointerException, RecursionError):
            raise Unliftable(f"{told} cannot be made") from None
        if change["op"] == "copy" and not is_light(value, LARGEST):
            raise Unliftable(f"{told} makes more than {LARGEST:,} values of it")
    return value
