"""Wrong usage as the parser reports it, in memorybank's words."""

from __future__ import annotations

from typer._click.exceptions import ClickException  # Typer 0.26 to 0.28 carry Click here and re-export only parts

from memorybank_cli.base.errors import UsageError
from memorybank_cli.cli.call import COMMON, declarations

_LEADING = frozenset(word for parameter in COMMON for word in declarations(parameter))


def from_parser(error: Exception) -> UsageError | None:
    """A UsageError for an error of the parser, None for any other."""
    if not isinstance(error, ClickException):
        return None
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "memorybank"
    if type(error).__name__ == "NoArgsIsHelpError":
        return UsageError(f"which command?\n\n{error.format_message().strip()}")
    message = error.format_message().replace("\n", " ").strip().rstrip(".")
    option = getattr(error, "option_name", "")
    if context is not None and command == "memorybank" and option in _LEADING:
        return UsageError(
            f"{option} stands before the command", hint="write it after the command, as in memorybank status --json"
        )
    return UsageError(message[:1].lower() + message[1:], hint=f"{command} --help shows how it is used")
