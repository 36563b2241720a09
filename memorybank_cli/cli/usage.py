"""Wrong usage as the parser reports it, in memorybank's words."""

from __future__ import annotations

import re

from typer._click.exceptions import (  # Typer 0.26 to 0.28 carry Click here and re-export only parts
    ClickException,
    NoSuchOption,
)

from memorybank_cli.base.errors import UsageError
from memorybank_cli.base.suggestions import did_you_mean
from memorybank_cli.cli.call import COMMON, declarations

_LEADING = frozenset(word for parameter in COMMON for word in declarations(parameter))


def from_parser(error: Exception) -> UsageError | None:
    """A UsageError for an error of the parser, None for any other."""
    if not isinstance(error, ClickException):
        return None
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else getattr(error, "command", "memorybank")
    if type(error).__name__ == "NoArgsIsHelpError":
        return UsageError(f"which command?\n\n{error.format_message().strip()}")
    message = _message(error)
    option = getattr(error, "option_name", "")
    if context is not None and command == "memorybank" and option in _LEADING:
        return UsageError(
            f"{option} stands before the command", hint="write it after the command, as in memorybank status --json"
        )
    word, known, before = _meant(error)
    hint = did_you_mean(word, known, f"{command} --help shows how it is used", before)
    return UsageError(message[:1].lower() + message[1:], hint=hint)


def _message(error: ClickException) -> str:
    text = error.format_message().replace("\n", " ").strip()
    return text.partition(" (Possible options: ")[0].partition(" Did you mean ")[0].rstrip(".")


def _meant(error: ClickException) -> tuple[str, list[str], str]:
    """A misspelt option or choice, those that there are, and what stands before each."""
    if isinstance(error, NoSuchOption) and error.ctx is not None:
        options = [word for one in error.ctx.command.params for word in one.opts if word.startswith("--")]
        return error.option_name.lstrip("-"), [word[2:] for word in options], "--"
    choices = getattr(getattr(getattr(error, "param", None), "type", None), "choices", ())
    found = re.search("'([^']*)' is not one of", error.format_message())
    return found[1] if found else "", [str(one) for one in choices], ""
