"""From what documents have in common to a schema of them: JSON Schema 2020-12 that every one of them matches."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from memorybank_cli.bank.annotations import KEYWORD
from memorybank_cli.bank.narrowing import is_light
from memorybank_cli.bank.schemas import LARGEST, URN
from memorybank_cli.bank.validators import META
from memorybank_cli.meaning.families import Family
from memorybank_cli.meaning.formats import FORMS
from memorybank_cli.meaning.names import are_data, in_words, is_growing, is_kind, is_moment
from memorybank_cli.meaning.schema_differences import differences
from memorybank_cli.meaning.shapes import DEEPEST, Shape, merged

CHOICE_SAMPLES = 20
"""So many texts must have come before a few different ones count as a choice."""
PER_WORD = 10
WHOLE_SAMPLES = 3
"""So many numbers without a fraction, not all zero, are integers; fewer may be whole by chance."""
TELLING_SAMPLES = 3
"""A word such as `type: fill` tells a shape when so many documents have it."""
MAP_KEYS = 12
FIXED = 20
"""Members that are there in all of so many objects are no keys of a map, however alike their values are."""
_SECONDS = (946_684_800, 4_102_444_800)  # the years 2000 to 2100
_TYPES = ("objects", "arrays", "texts", "floats", "integers", "booleans", "nulls")
_NAMES = ("object", "array", "string", "number", "integer", "boolean", "null")


def schema_of(kind: str, families: Sequence[Family], annotations: dict[str, Any], exclusive: bool) -> dict[str, Any]:
    """The schema of documents of a kind; several families become `oneOf`, or `anyOf` where not `exclusive`.

    It is small enough to be used, whatever the documents are.
    """
    drafts = (_document(kind, families, annotations, exclusive, depth) for depth in range(DEEPEST, -1, -1))
    return next(draft for draft in drafts if is_light(draft, LARGEST // 4))


def distinct(families: Sequence[Family]) -> list[Family]:
    """The families with those joined that come to the same shape: maps with other keys; given ones are used up."""
    found: list[tuple[Family, dict[str, Any]]] = []
    for family in families:
        body = _schema(family.shape, DEEPEST)
        same = next(
            (one for one, other in found if family.version == one.version and not differences(body, other)), None
        )
        if same is None:
            found.append((family, body))
        else:
            same.join(family)
    return [family for family, _ in found]


def alternatives_of(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """The schema of each family in a schema of `schema_of`, in their order."""
    return list(schema["$defs"].values()) if "$defs" in schema else [schema]


def _document(
    kind: str, families: Sequence[Family], annotations: dict[str, Any], exclusive: bool, depth: int
) -> dict[str, Any]:
    count = sum(family.count for family in families)
    head = {
        "$schema": META,
        "$id": URN + kind,
        "title": in_words(kind),
        "description": f"Learnt from {_files(count)}" + ("." if len(families) > 1 else f"{_such_as(families[0])}."),
        KEYWORD: annotations,
    }
    if len(families) == 1:
        return head | _whole(families[0], depth)
    telling, words = _telling(families)
    definitions: dict[str, Any] = {}
    for number, family in enumerate(families):
        name = _title(family, words[number]) or "shape"
        name = name if name != "shape" and name not in definitions else f"shape_{number + 1}"
        body = _whole(family, depth)
        if words[number] and telling in body.get("properties", {}):
            body["properties"][telling] = _choice(words[number])
        told = f"{family.count:,} of {_files(count)}{_such_as(family)}."
        definitions[name] = {"title": in_words(name), "description": told, **body}
    return head | {
        "oneOf" if exclusive else "anyOf": [{"$ref": f"#/$defs/{name}"} for name in definitions],
        "$defs": definitions,
    }


def _files(count: int) -> str:
    return f"{count:,} file" + ("s" if count != 1 else "")


def _such_as(family: Family) -> str:
    paths = ", ".join(family.examples)
    return (", such as " if family.count > len(family.examples) else ": ") + paths


def _whole(family: Family, depth: int) -> dict[str, Any]:
    """The keywords for whole documents."""
    if family.is_empty:
        return {"type": "object", "maxProperties": 0}
    return {"type": "null"} if _types(family.shape) == ["null"] else _schema(family.shape, depth)


def _telling(families: Sequence[Family]) -> tuple[str, list[list[str]]]:
    """A member such as `type` by whose words the families can be told apart, and the words of each; '' for none."""
    names = dict.fromkeys(name for family in families for name in family.shape.members if is_kind(name))
    for name in names:
        words = [_words(family, name) for family in families]
        flat = [word for one in words for word in one]
        if sum(map(bool, words)) > 1 and len(set(flat)) == len(flat):
            return name, words
    return "", [[] for _ in families]


def _words(family: Family, name: str) -> list[str]:
    """The few words that a member has in all of a family's documents, once these are enough to tell."""
    found = family.shape.members.get(name)
    if found is None or not found.words or not found.texts == found.count == family.count >= TELLING_SAMPLES:
        return []
    return sorted(found.words)


def _choice(words: list[str]) -> dict[str, Any]:
    return {"const": words[0]} if len(words) == 1 else {"enum": words}


def _title(family: Family, words: list[str]) -> str:
    """A name for a family: its word, else what the names of its files have in common; '' where that says nothing."""
    if family.is_empty:
        return "empty"
    stems = [path.rpartition("/")[2].removesuffix(".json") for path in family.examples]
    common = words[0] if len(words) == 1 else os.path.commonprefix(stems)  # noqa: RUF071 - by characters
    name = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in common)
    name = name.strip("_0123456789").lower()
    return name if len(name) > 2 else ""


def _schema(shape: Shape, depth: int, name: str = "") -> dict[str, Any]:
    """The keywords for the values at one place."""
    types = _types(shape)
    if types == ["null"]:
        return {"$comment": "null in every document"}
    schema: dict[str, Any] = {"type": types[0] if len(types) == 1 else types}
    if shape.texts:
        schema |= _text(shape, types, name)
    if shape.floats or shape.integers:
        schema |= _number(shape, name)
    if shape.objects and depth:
        schema |= _object(shape, depth, name)
    if shape.arrays and shape.items is not None and depth:
        schema["items"] = _schema(shape.items, depth - 1, name)
    return schema


def _types(shape: Shape) -> list[str]:
    found = [name for attribute, name in zip(_TYPES, _NAMES, strict=True) if getattr(shape, attribute)]
    if "number" in found:
        return [name for name in found if name != "integer"]
    if shape.integers and (shape.integers < WHOLE_SAMPLES or shape.low == shape.high == 0):
        return ["number" if name == "integer" else name for name in found]
    return found


def _text(shape: Shape, types: list[str], name: str) -> dict[str, Any]:
    if shape.forms:
        return dict(FORMS[shape.forms[0]].keywords)
    words = shape.words
    few = words is not None and len(words) > 1 and set(types) <= {"string", "null"} and not is_growing(name)
    if words is not None and few and shape.texts >= max(CHOICE_SAMPLES, PER_WORD * len(words)):
        return {"enum": [*sorted(words), *([None] if shape.nulls else [])]}
    return {}


def _number(shape: Shape, name: str) -> dict[str, Any]:
    if is_moment(name):
        for unit, factor in (("seconds", 1), ("milliseconds", 1_000)):
            if shape.low >= _SECONDS[0] * factor and shape.high <= _SECONDS[1] * factor:
                return {"$comment": f"{unit} since the epoch"}
    if shape.low == shape.high:
        return {}
    return {"$comment": f"{_shown(shape.low)} to {_shown(shape.high)}"}


def _shown(number: float) -> str:
    return f"{number:.0f}" if number == int(number) and abs(number) < 1e15 else f"{number:.6g}"


def _object(shape: Shape, depth: int, name: str) -> dict[str, Any]:
    values = _entries(shape)
    if values is not None:
        return {"additionalProperties": _schema(values, depth - 1, name)} if values.count else {}
    required = [name for name, inner in shape.members.items() if inner.count == shape.objects]
    properties = {}
    for member, inner in shape.members.items():
        keywords = _schema(inner, depth - 1, member)
        if inner.count < shape.objects:
            told = f"; {keywords['$comment']}" if "$comment" in keywords else ""
            keywords["$comment"] = f"in {inner.count:,} of {shape.objects:,}{told}"
        properties[member] = keywords
    return ({"required": required} if required else {}) | ({"properties": properties} if properties else {})


def _entries(shape: Shape) -> Shape | None:
    """The common shape of an object's values where its keys are data; None where they are names of members."""
    if shape.entries is not None:
        return shape.entries
    members = shape.members
    kinds = {"number" if kind == "integer" else kind for inner in members.values() for kind in _types(inner)}
    if len(kinds - {"null"}) != 1:
        return None
    present = sum(one.count for one in members.values())
    sparse = len(members) >= MAP_KEYS and present * 2 < shape.objects * len(members)
    fixed = shape.objects >= FIXED and present == shape.objects * len(members)
    if sparse or are_data(members) or (not fixed and _are_alike(list(members.values()))):
        return merged(map(_copy, members.values()))
    return None


def _are_alike(shapes: list[Shape]) -> bool:
    """Whether three places or more hold objects with the same members: one kind of record by name."""
    names = shapes[0].members.keys()
    return len(shapes) > 2 and len(names) > 1 and all(one.members.keys() == names for one in shapes)


def _copy(shape: Shape) -> Shape:
    from memorybank_cli.meaning.shapes import from_json

    return from_json(shape.to_json())
