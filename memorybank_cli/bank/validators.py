"""The two libraries that judge documents by a schema, behind one shape.

`jsonschema_rs` does the work: compiled, with a regex engine of linear time. `jsonschema` stands in where it is
not installed, and is the reference in tests. Neither reads a file or the network: every `$ref` is looked up
through the function that the caller gives.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from memorybank_cli.bank.misfits import Fault, pointer, shorten
from memorybank_cli.bank.patterns import UnusableSchema, in_python, is_date, is_time, is_uuid, original
from memorybank_cli.base.names import escape_text

if TYPE_CHECKING:
    import jsonschema
    import jsonschema_rs

META = "https://json-schema.org/draft/2020-12/schema"
DRAFTS = (
    META,
    "https://json-schema.org/draft/2019-09/schema",
    "http://json-schema.org/draft-07/schema",
    "http://json-schema.org/draft-06/schema",
    "http://json-schema.org/draft-04/schema",
)

DESCRIBED = frozenset({"pattern", "format"})
"""Keywords whose value says less to people than the description beside it."""

NAMING = frozenset({"required", "additionalProperties", "unevaluatedProperties", "anyOf", "oneOf"})
"""Keywords beside which the names of members say what may be meant."""

LookUp = Callable[[str], Any]
"""The schema that a URI names; raises LookupError."""


class Validator(NamedTuple):
    """A compiled schema: whether a value matches, and where it does not. A value is what JSON can hold."""

    matches: Callable[[Any], bool]
    faults: Callable[[Any], Iterator[Fault]]


def build(schema: Any, look_up: LookUp) -> Validator:
    """A validator of whichever library is installed. Raises UnusableSchema."""
    try:
        import jsonschema_rs  # noqa: F401
    except ImportError:
        return build_reference(schema, look_up)
    return build_compiled(schema, look_up)


def build_compiled(schema: Any, look_up: LookUp) -> Validator:
    """A validator of jsonschema_rs. Raises UnusableSchema."""
    import jsonschema_rs

    missing: list[str] = []

    def retrieve(uri: str) -> Any:
        try:
            return look_up(uri)
        except LookupError:
            missing.append(uri)
            raise

    try:
        validator = jsonschema_rs.validator_for(
            schema, validate_formats=True, retriever=retrieve, pattern_options=jsonschema_rs.RegexOptions()
        )
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
        raise _unusable(error, missing) from None

    places: dict[str, Any] = {}

    def asking(error: jsonschema_rs.ValidationError) -> Any:
        place = (error.absolute_keyword_location or "#" + pointer(error.schema_path)).rpartition("/")[0]
        if place not in places:
            places[place] = target(place, schema, look_up)[0]
        return places[place]

    def faults(value: Any) -> Iterator[Fault]:
        return (_from_compiled(error, asking) for error in validator.iter_errors(value))

    return Validator(validator.is_valid, faults)


def _unusable(error: Exception, missing: list[str]) -> UnusableSchema:
    import jsonschema_rs

    if missing:
        return UnusableSchema(_not_there(missing[0]))
    if not isinstance(error, jsonschema_rs.ValidationError):
        return UnusableSchema(escape_text(str(error)[:200]))
    if error.kind.name == "format" and error.kind.value == "regex":
        reason = f"the pattern {shorten(error.instance)} is not supported; look-around and back-references never are"
        return UnusableSchema(reason, error.instance_path)
    return UnusableSchema(escape_text(error.message[:200]), error.instance_path)


def target(reference: str, root: Any, look_up: LookUp) -> tuple[Any, Any]:
    """What a reference points to and the document it is in, as far as URI and JSON Pointer tell; else None."""
    from urllib.parse import unquote

    uri, _, fragment = reference.partition("#")
    try:
        node = root = look_up(uri) if uri and uri != root.get("$id") else root
        for part in unquote(fragment).split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            node = node[int(key)] if isinstance(node, list) else node[key]
    except (LookupError, ValueError, TypeError):
        return None, root
    return node, root


def _description(schema: Any) -> str:
    words = schema.get("description") if isinstance(schema, dict) else None
    return words if isinstance(words, str) else ""


def _known(schema: Any) -> Collection[str]:
    """The members that a schema names."""
    members = schema.get("properties") if isinstance(schema, dict) else None
    return members if isinstance(members, dict) else ()


def _from_compiled(
    error: jsonschema_rs.ValidationError, asking: Callable[[jsonschema_rs.ValidationError], Any]
) -> Fault:
    """The fault that an error is; `asking` gives the schema whose keyword is not satisfied."""
    keyword, expected, found = error.kind.name, error.kind.value, error.instance
    if keyword == "propertyNames":
        keyword, expected, found = expected.kind.name, expected.kind.value, expected.instance
    context = getattr(error.kind, "context", ()) if keyword in ("anyOf", "oneOf") else ()
    branches = tuple(tuple(_from_compiled(inner, asking) for inner in branch) for branch in context)
    wanted = _description(asking(error)) if keyword in DESCRIBED else ""
    known = _known(asking(error)) if keyword in NAMING else ()
    return Fault(keyword, expected, tuple(error.instance_path), found, branches, wanted, known)


def build_reference(schema: Any, look_up: LookUp) -> Validator:
    """A validator of jsonschema, which is some 90 times slower. Raises UnusableSchema."""
    from jsonschema import Draft202012Validator
    from jsonschema.validators import validator_for
    from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]
    from referencing import Registry, Resource
    from referencing.jsonschema import DRAFT202012

    found: dict[str, Resource[Any]] = {}

    def retrieve(uri: str) -> Resource[Any]:
        if uri not in found:
            found[uri] = Resource.from_contents(in_python(look_up(uri)), default_specification=DRAFT202012)
        return found[uri]

    registry: Registry[Any] = REGISTRY.combine(Registry(retrieve=retrieve))  # type: ignore[call-arg]
    translated = in_python(schema)
    closed(translated, registry)
    registry = registry.with_resources(found.items()).crawl()  # what is retrieved later is forgotten at once
    validator = validator_for(translated, default=Draft202012Validator)(
        translated, registry=registry, format_checker=_formats()
    )

    def faults(value: Any) -> Iterator[Fault]:
        for error in validator.iter_errors(value):
            yield from _from_reference(error)

    return Validator(validator.is_valid, faults)


def closed(schema: Any, registry: Any) -> None:
    """Follows every `$ref` from a schema through a `referencing.Registry`. Raises UnusableSchema for a loose end."""
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    top = DRAFT202012.detect(schema).create_resource(schema)
    waiting, seen = [(top, registry.resolver_with_root(top))], set[int]()
    while waiting:
        resource, resolver = waiting.pop()
        if id(resource.contents) in seen:
            continue
        seen.add(id(resource.contents))
        waiting += [(inner, resolver.in_subresource(inner)) for inner in resource.subresources()]
        for reference in _references(resource.contents):
            try:
                found = resolver.lookup(reference)
            except Unresolvable as error:
                raise UnusableSchema(_not_there(error.ref)) from None
            waiting.append((DRAFT202012.create_resource(found.contents), found.resolver))


def _references(schema: Any) -> list[str]:
    values = [schema.get("$ref"), schema.get("$dynamicRef")] if isinstance(schema, dict) else []
    return [value for value in values if isinstance(value, str)]


def _not_there(uri: str) -> str:
    return f"it refers to {shorten(uri)}, which is not in the registry"


def _from_reference(error: jsonschema.ValidationError) -> Iterator[Fault]:
    keyword, path = str(error.validator or "falseSchema"), tuple(error.absolute_path)
    expected: Any = error.validator_value
    found: Any = error.instance
    known = _known(error.schema) if keyword in NAMING else ()
    if keyword in ("anyOf", "oneOf"):
        branches: list[list[Fault]] = [[] for _ in expected]
        for inner in error.context or ():
            branch = branches[int(inner.schema_path[0])]
            branch += (fault for fault in _from_reference(inner) if not _is_repeated(fault, branch))
        yield Fault(keyword, expected, path, found, tuple(map(tuple, branches)), known=known)
    elif keyword == "required":
        yield from (Fault(keyword, name, path, found, known=known) for name in expected if name not in found)
    elif keyword == "dependentRequired":
        names = [name for member, needed in expected.items() if member in found for name in needed]
        yield from (Fault("required", name, path, found) for name in names if name not in found)
    elif keyword in ("additionalProperties", "unevaluatedProperties"):
        yield Fault(keyword, _unknown_members(error), path, found, known=known)
    elif keyword in DESCRIBED:
        yield Fault(keyword, original(expected), path, found, wanted=_description(error.schema))
    else:
        yield Fault(keyword, expected, path, found)


def _is_repeated(fault: Fault, others: list[Fault]) -> bool:
    """Whether it is a missing member that was told already: jsonschema repeats the error for each of several."""
    return fault.keyword == "required" and (fault.path, fault.expected) in (
        (one.path, one.expected) for one in others if one.keyword == "required"
    )


def _unknown_members(error: jsonschema.ValidationError) -> list[str]:
    schema: dict[str, Any] = error.schema if isinstance(error.schema, dict) else {}
    patterns = [re.compile(pattern) for pattern in schema.get("patternProperties", ())]
    known = schema.get("properties", {})
    members: Any = error.instance
    return [name for name in members if name not in known and not any(one.search(name) for one in patterns)]


@cache
def _formats() -> jsonschema.FormatChecker:
    from jsonschema import FormatChecker

    checker = FormatChecker()
    checker.checkers = {**checker.checkers, "date-time": (is_time, ()), "date": (is_date, ()), "uuid": (is_uuid, ())}
    return checker
