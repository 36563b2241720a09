"""The typer application: built as far as a command line needs it, or whole for help and the reference."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated

import typer
from typer._click.exceptions import BadOptionUsage  # Typer 0.26 to 0.28 carry Click here
from typer.main import get_command

from memorybank_cli.cli import derive
from memorybank_cli.cli.call import Call
from memorybank_cli.cli.commands import COMMANDS, PROGRAM, TITLES, Meant, load
from memorybank_cli.operations.table import Operation

ABOUT = "Make a directory of JSON files a memory that can be trusted: checked, recorded, every change can be undone."
_MORE = "memorybank COMMAND --help tells more; --bank, --json and the other common options follow the command."


def answer(meant: Meant) -> Call | int:
    """What a line asks for as typer reads it; an exit code where it was answered already, as by --help.

    Raises typer's errors for wrong usage.
    """
    if meant.operation is not None:
        app, prefix = single(meant.operation), f"{PROGRAM} {meant.operation.name}"
    elif meant.group:
        app, prefix = group(meant.group), f"{PROGRAM} {meant.group}"
    else:
        app, prefix = listing(), PROGRAM
    try:
        found = get_command(app).main(meant.rest, prog_name=prefix, standalone_mode=False)
    except BadOptionUsage as error:
        error.command = prefix  # type: ignore[attr-defined]  # the parser does not say of which command it is
        raise
    return found if isinstance(found, Call) else int(found or 0)


def whole() -> typer.Typer:
    """The application with every command derived in full; imports every operation."""
    return _tree(COMMANDS.values(), lambda app, operation: derive.add(app, operation, load(operation)))


def listing() -> typer.Typer:
    """The application with names and summaries only; imports no operation."""
    return _tree(COMMANDS.values(), derive.add_listed)


def single(operation: Operation) -> typer.Typer:
    """One command alone."""
    app = _new()
    derive.add(app, operation, load(operation))
    return app


def group(name: str) -> typer.Typer:
    """The listing of one group."""
    groups = {name: _new(TITLES[name])}
    for operation in COMMANDS.values():
        if f"{operation.group} ".startswith(f"{name} "):
            derive.add_listed(_within(groups, operation.group), operation)
    return groups[name]


def _tree(operations: Iterable[Operation], add: Callable[[typer.Typer, Operation], None]) -> typer.Typer:
    groups = {"": _new(ABOUT, _root)}
    for operation in operations:
        add(_within(groups, operation.group), operation)
    return groups[""]


def _within(groups: dict[str, typer.Typer], name: str) -> typer.Typer:
    """The application of a group, hung into that of the group above."""
    if name not in groups:
        above, _, word = name.rpartition(" ")
        groups[name] = _new(TITLES[name])
        _within(groups, above).add_typer(groups[name], name=word)
    return groups[name]


def _new(about: str = "", callback: Callable[..., None] | None = None) -> typer.Typer:
    app = typer.Typer(
        help=about or None,
        epilog=_MORE if callback is _root else None,
        add_completion=False,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings=derive.CONTEXT_SETTINGS,
    )
    if about:
        app.callback()(callback or _group)  # a callback makes typer build a group, even of one command
    return app


def _root(
    *, version: Annotated[bool, typer.Option("--version", "-V", help="Show the version and exit.")] = False
) -> None:
    """Stands in the help only: main answers --version before typer is imported."""


def _group() -> None:
    """A group does nothing by itself."""
