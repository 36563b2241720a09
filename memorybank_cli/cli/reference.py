"""The reference printed from the code: docs/reference/cli.md from the commands, findings.md from the rules.

`python -m memorybank_cli.cli.reference DIR` writes both; a test compares them with what is committed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

from memorybank_cli.base import files
from memorybank_cli.base.rules import RULES
from memorybank_cli.base.walk import Root
from memorybank_cli.cli.call import COMMON, COMMON_NAMES, declarations
from memorybank_cli.operations.signature import Parameter

FAMILIES = {
    "MB1": "the bytes",
    "MB2": "the shape",
    "MB3": "limits and permissions",
    "MB4": "security",
    "MB5": "health",
    "MB6": "predictions",
}
_PRINTED = "<!-- Printed from the code by scripts/docs; change it there. -->"


def documents() -> dict[str, str]:
    """The pages by file name."""
    return {"cli.md": commands(), "findings.md": findings()}


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
    from memorybank_cli.cli.commands import PROGRAM

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
    root: Root = files.make_root(directory, mode=0o755)
    try:
        for name, text in documents().items():
            files.replace(root, name, text.encode(), mode=0o644)
    finally:
        root.close()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else os.path.join("docs", "reference"))
