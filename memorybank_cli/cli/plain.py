"""Plain command lines, parsed without typer, whose import alone costs five times the start of Python.

Whatever is not plain (help, a mistake, a value that begins with a dash, joined short options) is left to the
typer command of the same signature; a test holds that both read a plain line alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from memorybank_cli.cli import call
from memorybank_cli.cli.call import COMMON, Call
from memorybank_cli.operations.signature import Parameter
from memorybank_cli.operations.table import Operation


def parse(operation: Operation, function: Callable[..., Any], arguments: list[str]) -> Call | None:
    """The call that a plain command line asks for, None for any other line."""
    own = call.parameters(function)
    try:
        given, words = _options(arguments, _spellings([*own, *COMMON]))
        given |= _positional(words, [parameter for parameter in own if parameter.positional])
    except ValueError:
        return None
    for parameter in [*own, *COMMON]:
        if parameter.name not in given:
            if parameter.required:
                return None
            given[parameter.name] = parameter.default
    return call.make(operation, function, own, given)


def _spellings(parameters: Iterable[Parameter]) -> dict[str, tuple[Parameter, bool]]:
    """Options by each way to write them, with the value that a flag gets by it."""
    found: dict[str, tuple[Parameter, bool]] = {}
    for parameter in parameters:
        if not parameter.positional:
            for words in call.declarations(parameter):
                yes, _, no = words.partition("/")
                found[yes] = (parameter, True)
                if no:
                    found[no] = (parameter, False)
    return found


def _options(arguments: list[str], spellings: dict[str, tuple[Parameter, bool]]) -> tuple[dict[str, Any], list[str]]:
    """The options' values and the words that are none. Raises ValueError for what is not plain."""
    given: dict[str, Any] = {}
    words: list[str] = []
    rest = iter(arguments)
    for word in rest:
        if word == "--":
            words += rest
        elif word == "-" or not word.startswith("-"):
            words.append(word)
        else:
            name, equals, text = word.partition("=")
            if name not in spellings or (equals and not name.startswith("--")):
                raise ValueError(word)
            parameter, flag = spellings[name]
            if parameter.kind is not bool:
                value = _option_value(parameter, text if equals else next(rest, ""))
                given[parameter.name] = (*given.get(parameter.name, ()), value) if parameter.many else value
            elif equals:
                raise ValueError(word)
            else:
                given[parameter.name] = flag
    return given, words


def _positional(words: list[str], parameters: list[Parameter]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for parameter in parameters:
        if words:
            taken, words = (words, []) if parameter.many else (words[:1], words[1:])
            values = tuple(_value(parameter, word) for word in taken)
            given[parameter.name] = values if parameter.many else values[0]
    if words:
        raise ValueError(words[0])
    return given


def _option_value(parameter: Parameter, text: str) -> Any:
    if text.startswith("-") and text != "-":
        raise ValueError(text)
    return _value(parameter, text)


def _value(parameter: Parameter, text: str) -> Any:
    """A value of the parameter's type. Raises ValueError."""
    if not text or (parameter.choices and text not in parameter.choices):
        raise ValueError(text)
    return parameter.kind(text)
