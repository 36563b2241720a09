"""From an operation to a typer command: its signature gives arguments and options, its docstring the help.

The command parses only: calling it gives a `Call`, which `cli.run` carries out. So no frame of typer stands
between an operation and the one place that turns exceptions into exits.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from memorybank_cli.cli import call
from memorybank_cli.cli.call import COMMON, COMMON_NAMES, Call
from memorybank_cli.operations import signature
from memorybank_cli.operations.signature import Parameter
from memorybank_cli.operations.table import Operation

_METAVARS = {str: "TEXT", int: "N", float: "NUMBER"}
CONTEXT_SETTINGS = {"help_option_names": ["-h", "--help"]}


class Command(TyperCommand):
    """A command whose help keeps its own options apart from the common ones."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The parts of the usage line; typer would put required arguments in braces."""
        return [piece.removeprefix("{").removesuffix("}") for piece in super().collect_usage_pieces(ctx)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, options, then what every command has."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": [], "Common options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                sections[_section(parameter)].append(record)
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def _section(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return "Arguments"
    return "Common options" if parameter.name in COMMON_NAMES or parameter.name == "help" else "Options"


def add(app: typer.Typer, operation: Operation, function: Callable[..., Any]) -> None:
    """Register the operation's command in `app`. Raises TypeError for a parameter that no command line can offer."""
    text = signature.text(function)
    app.command(
        operation.word,
        cls=Command,
        help=_help(text),
        short_help=text.summary,
        epilog="\n\n".join(f"\b\n{title}\n{_indented(lines)}" for title, lines in text.sections.items()),
        context_settings=CONTEXT_SETTINGS,
    )(_parser(operation, function))


def add_listed(app: typer.Typer, operation: Operation) -> None:
    """Register the operation by its row of the table alone, enough to list it."""
    app.command(operation.word, help=operation.summary + ".", short_help=operation.summary)(_listed)


def _listed() -> None:
    """Stands for an operation that was not imported."""


def _help(text: signature.Text) -> str:
    return "\n\n".join(part for part in (text.summary + ".", text.body) if part)


def _indented(lines: str) -> str:
    return "\n".join("  " + line for line in lines.split("\n"))


def _parser(operation: Operation, function: Callable[..., Any]) -> Callable[..., Call]:
    own = call.parameters(function)
    taken = COMMON_NAMES.intersection(parameter.name for parameter in own)
    if taken:
        raise TypeError(f"{operation.name}: {', '.join(sorted(taken))} is a common option of every command")

    def parse(**given: Any) -> Call:
        return call.make(operation, function, own, given)

    every = [*own, *COMMON]
    annotations = {parameter.name: _annotation(parameter) for parameter in every}
    parse.__name__ = operation.word.replace("-", "_")
    parse.__annotations__ = annotations
    parse.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # typer reads the parameters from it
        [
            inspect.Parameter(
                parameter.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=_default(parameter),
                annotation=annotations[parameter.name],
            )
            for parameter in every
        ]
    )
    return parse


def _default(parameter: Parameter) -> Any:
    if parameter.required:
        return inspect.Parameter.empty
    if parameter.many:
        return list(parameter.default or ()) or None
    return parameter.default


def _annotation(parameter: Parameter) -> Any:
    kind: Any = Literal[parameter.choices] if parameter.choices else parameter.kind
    if parameter.many:
        kind = list[kind]
    if not parameter.required and parameter.default in (None, ()):
        kind = kind | None
    return Annotated[kind, _argument(parameter) if parameter.positional else _option(parameter)]


def _argument(parameter: Parameter) -> Any:
    name = parameter.option.metavar or parameter.word.upper()
    return typer.Argument(
        metavar=f"[{name}]..." if parameter.variadic else name,
        help=parameter.option.help,
        hidden=parameter.option.hidden,
        show_default=parameter.default not in (None, "", ()),
    )


def _metavar(parameter: Parameter) -> str:
    return parameter.option.metavar or "|".join(parameter.choices) or _METAVARS[parameter.kind]


def _option(parameter: Parameter) -> Any:
    return typer.Option(
        *call.declarations(parameter),
        help=parameter.option.help,
        metavar=None if parameter.kind is bool else _metavar(parameter),
        hidden=parameter.option.hidden,
        show_default=parameter.default not in (None, False, "", ()),
    )
