"""The commands by name, and which of them a command line means."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any, NamedTuple

from memorybank_cli.base.errors import UsageError
from memorybank_cli.operations.table import GROUPS, OPERATIONS, Operation

PROGRAM = "memorybank"
_AT = "memorybank_cli.cli."
# Commands about the command line itself.
SURFACE: dict[str, Operation] = {
    row.name: row
    for row in (
        Operation(
            "generate completion",
            f"{_AT}completion:completion",
            "none",
            "Write the completion scripts of bash, zsh and fish",
        ),
        Operation("generate man", f"{_AT}manual:man", "none", "Write the man pages"),
    )
}
COMMANDS: dict[str, Operation] = {**OPERATIONS, **SURFACE}
TITLES: dict[str, str] = {**GROUPS, "generate": "Files for the shell and for man"}


class Meant(NamedTuple):
    """What a command line begins with: an operation, a group alone, or neither."""

    operation: Operation | None
    group: str
    rest: list[str]


def find(arguments: list[str]) -> Meant:
    """The command that a line names. Raises UsageError for one that is not there."""
    for count in (3, 2, 1):
        operation = COMMANDS.get(" ".join(arguments[:count]))
        if operation is not None and len(arguments) >= count:
            return Meant(operation, "", arguments[count:])
    if not arguments or arguments[0].startswith("-"):
        return Meant(None, "", arguments)
    inner = arguments[:2]
    group = " ".join(inner) if " ".join(inner) in TITLES else arguments[0]
    rest = arguments[len(group.split()) :]
    if group not in TITLES:
        raise _unknown(group, below(""))
    if rest and not rest[0].startswith("-"):
        raise _unknown(rest[0], below(group), f"{group} ")
    return Meant(None, group, rest)


def below(group: str) -> dict[str, str]:
    """The words that may follow a group's ('' for the program's name), each with what it is about."""
    prefix = f"{group} " if group else ""
    found: dict[str, str] = {}
    for name, row in COMMANDS.items():
        if name.startswith(prefix):
            word, _, more = name.removeprefix(prefix).partition(" ")
            found.setdefault(word, TITLES[prefix + word] if more else row.summary)
    return found


def load(operation: Operation) -> Callable[..., Any]:
    """The function of an operation, its module imported now."""
    module, _, name = operation.target.partition(":")
    function: Callable[..., Any] = getattr(import_module(module), name)
    return function


def _unknown(word: str, known: Iterable[str], before: str = "") -> UsageError:
    from memorybank_cli.base.names import escape_text
    from memorybank_cli.base.suggestions import did_you_mean

    hint = did_you_mean(word, known, f"{PROGRAM} {before}--help lists the commands", f"{PROGRAM} {before}")
    return UsageError(f"there is no command '{before}{escape_text(word)}'", hint=hint)
