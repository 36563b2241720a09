"""What an operation's signature and docstring say: its parameters, its help. Surfaces are derived from this.

Parameters before `*` are positional, keyword-only ones are options; `bank` and `context` are injected and no
part of any surface.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from memorybank_cli.operations.options import Option

INJECTED = ("bank", "context")
SECTIONS = ("Exit codes:", "Examples:")


class Parameter(NamedTuple):
    """One parameter as a surface sees it."""

    name: str
    """Its name in Python."""
    word: str
    """Its name for people: `fail-on`."""
    kind: type
    """str, int, float or bool."""
    choices: tuple[str, ...]
    """The only values allowed, empty for any."""
    many: bool
    """It may be given several times."""
    positional: bool
    variadic: bool
    """It stands as `*name` in the signature."""
    required: bool
    default: Any
    option: Option


class Text(NamedTuple):
    """A docstring in its parts."""

    summary: str
    """The first sentence, without its full stop."""
    body: str
    """Further paragraphs."""
    sections: dict[str, str]
    """`Exit codes:` and `Examples:` with their lines, unindented."""


def parameters(function: Callable[..., Any], without: Collection[str] = INJECTED) -> list[Parameter]:
    """The parameters that callers give, in order. Raises TypeError for a type that no surface can offer."""
    found = inspect.signature(function).parameters
    wanted = {name: parameter for name, parameter in found.items() if name not in without}
    annotations = {name: parameter.annotation for name, parameter in wanted.items()}
    # Only these are evaluated: the type of `bank` may stand under TYPE_CHECKING.
    holder = types.SimpleNamespace(__annotations__=annotations)
    hints = typing.get_type_hints(holder, inspect.unwrap(function).__globals__, include_extras=True)
    return [_parameter(parameter, hints[name]) for name, parameter in wanted.items()]


def injected(function: Callable[..., Any]) -> list[str]:
    """Which of `bank` and `context` an operation takes, in its order."""
    return [name for name in inspect.signature(function).parameters if name in INJECTED]


def _parameter(found: inspect.Parameter, hint: Any) -> Parameter:
    option = Option("")
    if typing.get_origin(hint) is typing.Annotated:
        hint, marker, *_ = typing.get_args(hint)
        option = marker if isinstance(marker, Option) else Option(marker)
    kind, choices, many = _kind(hint, found.name)
    variadic = found.kind is inspect.Parameter.VAR_POSITIONAL
    return Parameter(
        name=found.name,
        word=found.name.rstrip("_").replace("_", "-"),
        kind=kind,
        choices=choices,
        many=many or variadic,
        positional=found.kind is not inspect.Parameter.KEYWORD_ONLY,
        variadic=variadic,
        required=found.default is found.empty and not variadic,
        default=() if variadic else None if found.default is found.empty else found.default,
        option=option,
    )


def _kind(hint: Any, name: str) -> tuple[type, tuple[str, ...], bool]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        [hint] = [part for part in typing.get_args(hint) if part is not types.NoneType]
    many = typing.get_origin(hint) is tuple
    if many:
        hint = typing.get_args(hint)[0]
    if typing.get_origin(hint) is typing.Literal:
        return str, typing.get_args(hint), many
    if hint not in (str, int, float, bool):
        raise TypeError(f"no surface can offer the parameter '{name}' of type {hint!r}")
    return hint, (), many


def text(function: Callable[..., Any]) -> Text:
    """The docstring in its parts."""
    lines = inspect.cleandoc(function.__doc__ or "").split("\n")
    marks = [number for number, line in enumerate(lines) if line in SECTIONS]
    ends = [*marks[1:], len(lines)] if marks else []
    sections = {
        lines[start]: inspect.cleandoc("\n" + "\n".join(lines[start + 1 : end]))
        for start, end in zip(marks, ends, strict=True)
    }
    first, _, body = "\n".join(lines[: marks[0] if marks else None]).strip().partition("\n\n")
    return Text(" ".join(first.split()).rstrip("."), body.strip(), sections)
