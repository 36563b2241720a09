"""What a command line asks for, and the options that every command has."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any, NamedTuple

from memorybank_cli.base.errors import UsageError
from memorybank_cli.operations import signature
from memorybank_cli.operations.options import Option
from memorybank_cli.operations.signature import Parameter
from memorybank_cli.operations.table import Operation


def _common(
    *,
    bank: Annotated[str | None, Option("the bank; default: MEMORYBANK_BANK, or here or above", metavar="PATH")] = None,
    json: Annotated[bool, "one JSON object, or JSON lines, on stdout"] = False,
    quiet: Annotated[bool, Option("results and errors only", short="-q")] = False,
    verbose: Annotated[bool, Option("everything that is known", short="-v")] = False,
    no_color: Annotated[bool, "plain text on a terminal too"] = False,
    no_input: Annotated[bool, "never ask"] = False,
    lock_timeout: Annotated[float | None, Option("how long to wait for another process", metavar="SECONDS")] = None,
    actor: Annotated[str | None, Option("who is recorded as the author", metavar="NAME")] = None,
) -> None:
    """The options of every command; they reach operations in the Context."""


def _keys(
    *,
    password_file: Annotated[str | None, Option("the passphrase of the repository; - is stdin", metavar="FILE")] = None,
    key_file: Annotated[str | None, Option("a raw key of the repository", metavar="FILE")] = None,
    password_command: Annotated[str | None, Option("a program that prints the passphrase", metavar="CMD")] = None,
) -> None:
    """The options of every command that opens a repository; they reach operations in the Context too."""


COMMON: tuple[Parameter, ...] = tuple(signature.parameters(_common, without=()))
COMMON_NAMES = frozenset(parameter.name for parameter in COMMON)
KEYS: tuple[Parameter, ...] = tuple(signature.parameters(_keys, without=()))


class Call(NamedTuple):
    """An operation with the values given for its parameters."""

    operation: Operation
    function: Callable[..., Any]
    positional: tuple[Any, ...]
    options: dict[str, Any]
    common: dict[str, Any]
    keys: dict[str, str | None]

    @property
    def bank(self) -> str | None:
        """The bank that the line names: --bank, or the directory of init; None where it is found."""
        directory: str | None = next(iter(self.positional), None) if self.operation.name == "init" else None
        named: str | None = self.common["bank"]
        return directory or named


def parameters(function: Callable[..., Any]) -> list[Parameter]:
    """What a command takes besides the common options: its own, and those of keys where it has a `repo`."""
    own = signature.parameters(function)
    return [*own, *KEYS] if any(parameter.name == "repo" for parameter in own) else own


def make(operation: Operation, function: Callable[..., Any], own: Iterable[Parameter], given: dict[str, Any]) -> Call:
    """The call for values by parameter name; those of the common options are among them.

    Raises UsageError for an empty text.
    """
    positional: list[Any] = []
    options: dict[str, Any] = {}
    keys = {parameter.name: given[parameter.name] for parameter in own if parameter in KEYS}
    own = list(own)
    for parameter in (*own, *COMMON):
        _check_given(parameter, given[parameter.name])
    for parameter in own:
        if parameter.name in keys:
            continue
        value = tuple(given[parameter.name] or ()) if parameter.many else given[parameter.name]
        if not parameter.positional:
            options[parameter.name] = value
        elif parameter.variadic:
            positional += value
        else:
            positional.append(value)
    common = {name: given[name] for name in COMMON_NAMES}
    return Call(operation, function, tuple(positional), options, common, keys)


def _check_given(parameter: Parameter, value: Any) -> None:
    """Raises UsageError for an empty text: taken as nothing it would have the command do more than was asked for."""
    given = (value or ()) if parameter.many else (value,)
    if parameter.option.empty or value == parameter.default or "" not in given:
        return
    if parameter.positional:
        what, instead = parameter.option.metavar or parameter.word.upper(), "the argument"
    else:
        what, instead = declarations(parameter)[0], "the option"
    raise UsageError(
        f"{what} is empty", hint=f"a variable may not have been set; leave {instead} out where that is meant"
    )


def declarations(parameter: Parameter) -> list[str]:
    """How an option is written: `["--dry-run", "-n"]`, `["--verify/--no-verify"]`."""
    long = parameter.option.name or f"--{parameter.word}"
    if parameter.kind is bool and parameter.default is True:
        long = f"{long}/--no-{long.lstrip('-')}"
    return [long, parameter.option.short] if parameter.option.short else [long]
