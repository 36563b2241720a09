"""What may stand at the end of a command line that is being typed: commands, options, values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from memorybank_cli.cli import values
from memorybank_cli.cli.call import COMMON, declarations, parameters
from memorybank_cli.cli.commands import COMMANDS, TITLES, below, load
from memorybank_cli.cli.values import Places, Value
from memorybank_cli.operations.signature import Parameter
from memorybank_cli.operations.table import Operation

_HELP = Value("--help", "show the help")


class Candidates(NamedTuple):
    """Words that fit, each a whole word of the line; and whether the shell should offer files or directories."""

    words: list[Value]
    places: Places = ""


class _Typed(NamedTuple):
    """What stands before the word that is being typed, after the command."""

    given: dict[str, Any]
    """Options by parameter name, with the last value of each."""
    positional: int
    open_option: Parameter | None
    """The option whose value comes next."""
    only_words: bool
    """`--` was typed: nothing after it is an option."""


def find(line: list[str]) -> Candidates:
    """What fits the last word of `line`, which follows the program's name and may be empty. Raises for odd lines."""
    *before, word = line
    for count in (3, 2, 1):
        operation = COMMANDS.get(" ".join(before[:count]))
        if operation is not None and len(before) >= count:
            return _of_command(operation, before[count:], word)
    return Candidates(_fitting(_commands(before), word))


def _commands(before: list[str]) -> Iterator[Value]:
    group = " ".join(before)
    if not group or group in TITLES:
        yield from (Value(word, about) for word, about in below(group).items())
    if not before:
        yield Value("--version", "show the version")
    yield _HELP


def _of_command(operation: Operation, before: list[str], word: str) -> Candidates:
    own = parameters(load(operation))
    options = {spelling: one for one in (*own, *COMMON) if not one.positional for spelling in _spellings(one)}
    typed = _read(before, options)
    name, equals, _ = word.partition("=")
    if typed.open_option is not None:
        return _values(operation, typed.open_option, typed, word)
    if word.startswith("-") and not typed.only_words:
        if equals and name in options:
            return _values(operation, options[name], typed, word, f"{name}=")
        return Candidates(_fitting(_options(options, typed), word))
    places = [one for one in own if one.positional]
    here = places[typed.positional :] or [one for one in places if one.many]
    if here:
        return _values(operation, here[0], typed, word)
    return Candidates([] if word or typed.only_words else _options(options, typed))


def _values(operation: Operation, parameter: Parameter, typed: _Typed, word: str, prefix: str = "") -> Candidates:
    known = (Value(prefix + one.text, one.help) for one in values.of(operation.name, parameter, typed.given))
    return Candidates(_fitting(known, word), values.places(parameter))


def _read(words: list[str], options: dict[str, Parameter]) -> _Typed:
    given: dict[str, Any] = {}
    positional, only_words = 0, False
    open_option: Parameter | None = None
    for word in words:
        name, equals, text = word.partition("=")
        if open_option is not None:
            given[open_option.name], open_option = word, None
        elif only_words or not word.startswith("-") or word == "-":
            positional += 1
        elif word == "--":
            only_words = True
        elif name in options:
            given[options[name].name] = text
            open_option = None if equals or options[name].kind is bool else options[name]
    return _Typed(given, positional, open_option, only_words)


def _options(options: dict[str, Parameter], typed: _Typed) -> list[Value]:
    """Options in their long form that may still be given."""
    free = {name: one for name, one in options.items() if one.many or one.name not in typed.given}
    shown = [Value(name, one.option.help) for name, one in free.items() if name[:2] == "--" and not one.option.hidden]
    return [*shown, _HELP]


def _spellings(parameter: Parameter) -> list[str]:
    return [part for words in declarations(parameter) for part in words.split("/")]


def _fitting(found: Iterator[Value] | list[Value], word: str) -> list[Value]:
    return [one for one in found if one.text.startswith(word)]
