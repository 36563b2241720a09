"""The registry of schemas: what kinds of documents there are, and whether a document is of its kind.

The built-in schemas lie in `memorybank_cli/schemas` of an installed package, or in `schemas/` beside the package
in a source tree. A bank may bring its own; those of kinds that only memorybank writes cannot be replaced.
Nothing is loaded or compiled before it is asked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cache, cached_property
from typing import Any

from memorybank_cli.bank.annotations import KEYWORD, NONE, Annotations, annotations_of
from memorybank_cli.bank.layout import RECORDS
from memorybank_cli.bank.misfits import Misfit, describe, pointer, shorten
from memorybank_cli.bank.narrowing import Narrowed, is_light, narrow
from memorybank_cli.bank.patterns import UnusableSchema
from memorybank_cli.bank.validators import DRAFTS, META, Validator, build, target
from memorybank_cli.base.errors import NotFound, OperationFailed, UsageError

URN = "urn:memorybank:schema:"
SUFFIX = ".schema.json"
REPLACEABLE = frozenset({"trade", "trade_list", "metrics", "historical_metrics", "state", *RECORDS})
"""Kinds that agents write: a bank's own schema of that name takes the place of the built-in one."""
EXPANSION = 20_000
"""A schema may have so many parts once every `$ref` is followed; more is a bomb, not a schema."""
LARGEST = 20_000
"""A schema may have so many values: saying what is wrong with a hostile one costs kilobytes for each."""
_HINT = "memorybank validate config/schemas shows all that is wrong; a $ref may name only schemas of the registry"


class Registry:
    """The built-in schemas, and `extra` ones by name.

    An extra schema is looked at only when it is used. One that is no good never hinders the others, and where it
    would replace a built-in one, that one stays in force.
    """

    def __init__(self, extra: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        built_in = _built_in()
        self.ignored = tuple(sorted(name for name in extra or {} if name in built_in and name not in REPLACEABLE))
        """Names of extra schemas that would replace one of a kind that only memorybank writes."""
        self._extra = {name: dict(schema) for name, schema in (extra or {}).items() if name not in self.ignored}
        self._documents: dict[str, dict[str, Any]] = {}
        self._flaws: dict[str, list[Misfit]] = {}
        self._validators: dict[str, Validator] = {}
        self._matches: dict[str, Callable[[Any], bool]] = {}
        self._annotations: dict[str, Annotations] = {}

    @property
    def own(self) -> frozenset[str]:
        """Names of the schemas that the bank brings itself; a kind of that name is bound to it."""
        return frozenset(self._extra)

    def names(self) -> list[str]:
        """The names of all schemas, in order."""
        return sorted({*_built_in(), *self._extra})

    def document(self, name: str) -> dict[str, Any]:
        """The schema by that name. Raises NotFound with the nearest names."""
        if name in self._extra:
            return self._extra[name]
        if name not in _built_in():
            raise _unknown(name, self.names())
        return self._load(name)

    def annotations(self, name: str) -> Annotations:
        """What the schema in force by that name says beyond the shape; nothing where there is none or it is no good."""
        if name not in self._annotations:
            known = name in _built_in() or (name in self._extra and not self._flaw(name))
            self._annotations[name] = annotations_of(self._in_force(name)) if known else NONE
        return self._annotations[name]

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal characters that change when any schema, built-in or extra, changes."""
        import json
        from hashlib import sha256

        total = sha256()
        for name in sorted(_built_in()):
            content = _read(name)
            total.update(b"%s\0%d\0" % (name.encode(), len(content)) + content)
        total.update(json.dumps(self._extra, sort_keys=True).encode())
        return total.hexdigest()[:16]

    def matches(self, name: str, value: Any) -> bool:
        """Whether a JSON value is of the kind `name`; what JSON cannot hold is of none.

        Raises NotFound, and UsageError for an extra schema that cannot be used.
        """
        found = self._matches.get(name) or self._judge(name).matches
        try:
            return found(value)
        except RecursionError:
            raise _endless(name) from None
        except ValueError:
            return False

    def misfits(self, name: str, value: Any, limit: int = 20) -> list[Misfit]:
        """Where a JSON value is not of the kind `name`, at most `limit` places, the outermost first; [] if it is.

        Of a large document the first places are looked for, or only that it does not match is said.
        """
        validator = self._judge(name)
        try:
            part = Narrowed(value) if is_light(value) else None
            if part is None and validator.matches(value):
                return []
            part = part or narrow(value, validator.matches)
            if part is None:
                return [Misfit("", "does not match; the document is too large to say where")]
            return [
                one._replace(pointer=part.widened(one.pointer)) for one in describe(validator.faults(part.value), limit)
            ]
        except RecursionError:
            raise _endless(name) from None
        except ValueError as error:
            return [Misfit("", f"not a JSON value: {error}")]

    def check(self, document: Any) -> list[Misfit]:
        """What is wrong with a schema itself; its `$ref`s are looked up among the schemas of this registry."""
        if not isinstance(document, dict):
            return [Misfit("", f"expected a schema, which is an object, found {shorten(document)}")]
        if not is_light(document, LARGEST):
            return [Misfit("", f"it is too large: a schema of more than {LARGEST:,} values is not used")]
        draft = document.get("$schema", META)
        if not isinstance(draft, str) or draft.rstrip("#") not in DRAFTS:
            return [Misfit("/$schema", f"expected a draft of JSON Schema such as {META}, found {shorten(draft)}")]
        try:
            wrong = describe(build({"$schema": draft, "$ref": draft}, self._look_up).faults(document), 20)
            if not wrong:
                _measure(document, self._look_up)
                build(document, self._look_up)
                wrong = self._misannotated(document)
        except UnusableSchema as error:
            return [Misfit(pointer(error.path), str(error))]
        except RecursionError:
            return [Misfit("", "it is nested too deeply")]
        return wrong

    def _misannotated(self, document: dict[str, Any]) -> list[Misfit]:
        found = document.get(KEYWORD, {})
        place = f"/{KEYWORD}"
        return [one._replace(pointer=place + one.pointer) for one in self.misfits("annotations", found)]

    def unusable(self) -> dict[str, Misfit]:
        """The extra schemas that cannot be used, with the first reason; a built-in one of that name stays in force."""
        return {name: self._flaw(name)[0] for name in sorted(self._extra) if self._flaw(name)}

    def _flaw(self, name: str) -> list[Misfit]:
        if name not in self._flaws:
            self._flaws[name] = []  # good until shown otherwise: schemas may refer to each other in a circle
            self._flaws[name] = self.check(self._extra[name])
        return self._flaws[name]

    def _judge(self, name: str) -> Validator:
        if name not in self._validators:
            try:
                document = self._in_force(name)
                self._validators[name] = build(document, self._look_up)
            except UnusableSchema as error:
                raise _unusable(name, Misfit(pointer(error.path), str(error))) from None
            self._matches[name] = self._validators[name].matches
        return self._validators[name]

    def _in_force(self, name: str) -> dict[str, Any]:
        if name not in self._extra or not (wrong := self._flaw(name)):
            return self.document(name)
        if name in _built_in():
            return self._load(name)
        raise _unusable(name, wrong[0])

    def _load(self, name: str) -> dict[str, Any]:
        if name not in self._documents:
            self._documents[name] = _parse(_read(name), name)
        return self._documents[name]

    def _look_up(self, uri: str) -> dict[str, Any]:
        """The schema that a URI names: a built-in or extra one by name, or an extra one by its `$id`."""
        name = uri.removeprefix(URN)
        if name != uri and (name in self._extra or name in _built_in()):
            return self._in_force(name)
        for schema in self._extra.values():
            if schema.get("$id") == uri:
                return schema
        raise LookupError(uri)


def read_schema(data: bytes, label: str = "the schema", registry: Registry | None = None) -> dict[str, Any]:
    """A user's schema from its bytes, checked. Raises UsageError, naming `label`, for anything else."""
    document = _parse(data, label)
    if wrong := (registry or Registry()).check(document):
        raise _unusable(label, wrong[0])
    return document


def _parse(data: bytes, label: str) -> dict[str, Any]:
    from memorybank_cli.base.exact_json import FlawedJSON, loads

    try:
        document = loads(data)
    except FlawedJSON as error:
        raise UsageError(f"{label} is not a JSON document: {error}", hint="a schema is a JSON file") from None
    if not isinstance(document, dict):
        raise UsageError(f"{label} is not a schema: expected an object, found {shorten(document)}")
    return document


def _measure(document: dict[str, Any], look_up: Callable[[str], Any]) -> None:
    """Counts the parts of a schema with every `$ref` followed. Raises UnusableSchema when there are too many.

    Ten levels of two references each to the next are 1,024 parts, forty are a check that never ends.
    """
    sizes: dict[int, int] = {}

    def size(node: Any, root: Any) -> int:
        if not isinstance(node, dict | list):
            return 0
        if id(node) in sizes:
            return sizes[id(node)]
        sizes[id(node)] = 1  # a reference back to where we are is followed once, by the document and not by the schema
        total = 1 + sum(size(inner, root) for inner in (node.values() if isinstance(node, dict) else node))
        if isinstance(node, dict) and isinstance(reference := node.get("$ref"), str):
            total += size(*target(reference, root, look_up))
        sizes[id(node)] = total
        if total > EXPANSION:
            raise UnusableSchema(f"it has more than {EXPANSION:,} parts once its references are followed")
        return total

    size(document, document)


def _unusable(name: str, first: Misfit) -> UsageError:
    place = f" at {shorten(first.pointer)}" if first.pointer else ""
    return UsageError(f"schema {shorten(name)} cannot be used{place}: {first.message}", hint=_HINT)


def _endless(name: str) -> UsageError:
    return UsageError(f"schema {shorten(name)} cannot be used: it refers to itself without end", hint=_HINT)


def _unknown(name: str, names: list[str]) -> NotFound:
    from memorybank_cli.base.suggestions import did_you_mean

    hint = did_you_mean(name, names, f"there are {', '.join(names)}")
    return NotFound(f"there is no schema {shorten(name)}", hint=hint)


def _directory() -> str:
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for place in (os.path.join(package, "schemas"), os.path.join(os.path.dirname(package), "schemas")):
        if os.path.exists(os.path.join(place, "bank" + SUFFIX)):
            return place
    raise OperationFailed("the schemas of memorybank are missing", hint="install memorybank-cli again", path=package)


@cache
def _built_in() -> dict[str, str]:
    """Paths of the built-in schemas by name; looked for once in a process."""
    place = _directory()
    names = (name.removesuffix(SUFFIX) for name in os.listdir(place) if name.endswith(SUFFIX))
    return {name: os.path.join(place, name + SUFFIX) for name in names}


def _read(name: str) -> bytes:
    with open(_built_in()[name], "rb") as file:
        return file.read()
