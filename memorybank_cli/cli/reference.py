"""The reference printed from the code: commands, findings, exit codes, settings.

`python -m memorybank_cli.cli.reference DIR` writes the pages; a test compares them with what is committed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

from memorybank_cli.base import errors, exits
from memorybank_cli.base.rules import FAMILIES, RULES
from memorybank_cli.base.settings import SETTINGS, Scope
from memorybank_cli.cli import surroundings
from memorybank_cli.cli.call import COMMON, COMMON_NAMES, declarations
from memorybank_cli.cli.commands import COMMANDS, PROGRAM, load
from memorybank_cli.cli.written import write
from memorybank_cli.operations import signature
from memorybank_cli.operations.signature import Parameter

_SCOPES: dict[Scope, str] = {
    "bank": "any of them, also the bank's config.",
    "loosens": "any of them; the bank's config only once `memorybank config trust` recorded its content.",
    "user": "option, environment or your own file; never the bank's config.",
}
_ABOUT_ERRORS = """\
With `--json` an error is also one object on stderr:
`{"error": {"code": "…", "message": "…", "hint": "…", "path": "…"}}`.
A number that is not listed here means failure."""
_ABOUT_SETTINGS = """\
An option beats the environment, the environment the bank's config, that your own file, that the default.
`memorybank config show --origin` says where each value came from;
`memorybank config set NAME VALUE` changes one. Agents write the bank, so its config may not decide everything:
"""
_PRINTED = "<!-- Printed from the code by scripts/docs; change it there. -->"


def documents() -> dict[str, str]:
    """The pages by file name."""
    return {
        "cli.md": commands(),
        "exit-codes.md": exit_codes(),
        "findings.md": findings(),
        "settings.md": settings(),
    }


def exit_codes() -> str:
    """A page with every exit code, the errors that end in it, and what each command says of its own."""
    names = sorted({(one.exit_code, one.code) for one in vars(errors).values() if _is_error(one)})
    lines = [_PRINTED, "# Exit codes", "", "| code | meaning | `code` of the error object |", "|---:|---|---|"]
    for code, meaning in exits.MEANINGS.items():
        named = ", ".join(f"`{name}`" for number, name in names if number == code)
        lines.append(f"| {code} | {meaning} | {named} |")
    lines += ["", _ABOUT_ERRORS, "", "## By command", ""]
    for name, operation in COMMANDS.items():
        said = signature.text(load(operation)).sections.get("Exit codes:", "")
        lines += [f"`memorybank {name}`:", "", "```", said, "```", ""]
    return "\n".join(lines)


def _is_error(found: Any) -> bool:
    return isinstance(found, type) and issubclass(found, errors.MemorybankError)


def settings() -> str:
    """A page with every setting, its type, default, variable and who may set it, and the other variables."""
    lines = [_PRINTED, "# Settings", "", _ABOUT_SETTINGS]
    lines += [*(f"- {scope}: {meaning}" for scope, meaning in _SCOPES.items()), ""]
    for one in SETTINGS:
        default = ",".join(one.default) if isinstance(one.default, tuple) else one.default
        lines += [f"## {one.name}", "", f"{one.help[:1].upper()}{one.help[1:]}.", ""]
        lines += [f"- value: {one.kind}; default: {f'`{default}`' if default != '' else 'empty'}"]
        lines += [f"- environment: `{one.variable}`", f"- who may set it: {one.scope}", ""]
    lines += ["## Other variables", "", *(f"- `{name}`: {text}" for name, text in surroundings.VARIABLES.items()), ""]
    lines += ["## Files", "", *(f"- `{name}`: {text}" for name, text in surroundings.FILES.items()), ""]
    return "\n".join(lines)


def findings() -> str:
    """A page with every rule: what it says, why it matters, what to do."""
    lines = [_PRINTED, "# Findings", "", "`memorybank explain RULE` says the same in the terminal.", ""]
    for family, subject in FAMILIES.items():
        rules = {code: rule for code, rule in RULES.items() if code.startswith(family)}
        if rules:
            lines += [f"## {family}: {subject}", ""]
        for code, rule in rules.items():
            lines += [f"### {code} {rule.name}", "", f"Severity: {rule.severity}. {rule.what}", ""]
            lines += [f"Why it matters: {rule.why}", "", f"What to do: {rule.cure}", ""]
    return "\n".join(lines)


def commands() -> str:
    """A page with every command, from a walk over the whole typer application."""
    from typer.main import get_command

    from memorybank_cli.cli.app import whole

    lines = [_PRINTED, "# Commands", "", "Every command also takes these options, in any position after its name:", ""]
    lines += [_entry(_spelling(parameter), parameter.option.help) for parameter in COMMON]
    lines += [_entry("-h, --help", "show the help"), ""]
    root: Any = get_command(whole())
    for words, command in walk(root, (PROGRAM,)):
        lines += _command(" ".join(words), command)
    return "\n".join(lines)


def walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each command below a group with its words, in the table's order."""
    for name, inner in getattr(command, "commands", {}).items():
        if hasattr(inner, "commands"):
            yield from walk(inner, (*words, name))
        else:
            yield (*words, name), inner


def _command(name: str, command: Any) -> list[str]:
    context = command.make_context(name, [], resilient_parsing=True)
    lines = [f"## {name}", "", "```", f"{name} {' '.join(command.collect_usage_pieces(context))}", "```", ""]
    lines += [command.help, ""]
    own = [one for one in command.params if one.name not in COMMON_NAMES and not getattr(one, "hidden", False)]
    records = [record for one in own if (record := one.get_help_record(context))]
    lines += [_entry(spelling, text) for spelling, text in records]
    if records:
        lines.append("")
    for section in (command.epilog or "").split("\b\n"):
        title, _, text = section.strip().partition("\n")
        if title:
            lines += [title, "", "```", *(line.removeprefix("  ") for line in text.split("\n")), "```", ""]
    return lines


def _spelling(parameter: Parameter) -> str:
    return " ".join(part for part in (", ".join(reversed(declarations(parameter))), parameter.option.metavar) if part)


def _entry(spelling: str, text: str) -> str:
    return f"- `{spelling}`: {' '.join(text.split())}"


def main(directory: str) -> None:
    """Write the pages into a directory."""
    write(directory, documents())


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else os.path.join("docs", "reference"))
