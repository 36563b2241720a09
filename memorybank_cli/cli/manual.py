"""The man pages: memorybank(1), one for each command, memorybank-bank(5); drawn from the operations and tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated

from memorybank_cli import __version__
from memorybank_cli.base import exits
from memorybank_cli.base.errors import UsageError
from memorybank_cli.base.settings import SETTINGS
from memorybank_cli.cli import bank_page, roff, surroundings
from memorybank_cli.cli.call import COMMON, declarations, parameters
from memorybank_cli.cli.commands import COMMANDS, PROGRAM, TITLES, load
from memorybank_cli.cli.roff import Piece
from memorybank_cli.cli.written import Written, write
from memorybank_cli.operations import signature
from memorybank_cli.operations.signature import Parameter
from memorybank_cli.operations.table import Operation

DATE = "2026-11-20"
"""The date on every page: when their form was last changed, not when they were printed."""
SUMMARY = "make a directory of JSON files a memory that can be trusted"
BANK_PAGE = "memorybank-bank(5)"
_OVERVIEW = """\
# SYNOPSIS

`memorybank` <command> [<options>] [<arguments>]

`memorybank` <command> `--help`

# DESCRIPTION

`memorybank` keeps a directory that agents write, a <bank>. It checks every file, records every change in a journal,
finds and cures damage, and can put every file back. memorybank-bank(5) says what a bank is made of.

Without a command it shows the status of the bank here, or says how to begin. Each command has a page of its own:
`man memorybank-backup`.

Results go to stdout, all else to stderr. A path is relative to the current directory if that lies inside the bank,
else to the bank. `-` stands for stdin or stdout where a file or a text is taken.

# COMMON OPTIONS

Every command takes these, in any position after its name. `--version` stands alone.

# ENVIRONMENT

Those after `TERM` are settings. A setting is taken from an option, else from its variable, else from the bank's config
as far as that is trusted, else from your own file, else it has its default. `memorybank config show --origin` tells
which.
"""
_METAVARS = {str: "TEXT", int: "N", float: "NUMBER"}


def man(dir_: Annotated[str, "where to, made where it is missing"]) -> Written:
    """Write the man pages.

    They go into man1/ and man5/ of DIR, so that DIR can stand in MANPATH.

    Exit codes:
        0  written
        3  the directory cannot be written

    Examples:
        memorybank generate man ~/.local/share/man
        memorybank generate man ./man && man -M ./man memorybank-backup
    """
    if dir_ == "-":
        raise UsageError("the man pages are many files; stdout cannot take them", hint="name a directory")
    return write(dir_, pages())


def pages() -> dict[str, str]:
    """The pages by path."""
    found = {f"man1/{PROGRAM}.1": _overview(), f"man5/{PROGRAM}-bank.5": _bank()}
    for operation in COMMANDS.values():
        found[f"man1/{_page_name(operation.name)}.1"] = _command(operation)
    return found


def _page_name(command: str) -> str:
    return "-".join([PROGRAM, *command.split()])


def _page(name: str, section: int, summary: str, sections: dict[str, list[Piece]]) -> str:
    head: dict[str, list[Piece]] = {"NAME": [f"{name} - {summary}"]}
    return roff.page(name, section, DATE, f"{PROGRAM} {__version__}", {**head, **sections}.items())


def _bank() -> str:
    also = ", ".join(
        [f"{PROGRAM}(1)", *(f"{_page_name(name)}(1)" for name in ("accept", "init", "repair", "validate"))]
    )
    return _page(f"{PROGRAM}-bank", 5, bank_page.SUMMARY, {**bank_page.sections(), "SEE ALSO": [also]})


def _overview() -> str:
    written = roff.read(_OVERVIEW)
    options = [*(_option(parameter) for parameter in COMMON), ("`-h`, `--help`", "Show the help.")]
    variables = [(f"`{name}`", meaning) for name, meaning in surroundings.VARIABLES.items()]
    settings = [(f"`{one.variable}`", _sentence(one.help)) for one in SETTINGS]
    return _page(
        PROGRAM,
        1,
        SUMMARY,
        {
            "SYNOPSIS": written["SYNOPSIS"],
            "DESCRIPTION": written["DESCRIPTION"],
            "COMMANDS": list(_listed()),
            "COMMON OPTIONS": [*written["COMMON OPTIONS"], *options],
            "ENVIRONMENT": [*variables, *settings, *written["ENVIRONMENT"]],
            "FILES": list(surroundings.FILES.items()),
            "EXIT CODES": [(str(code), meaning) for code, meaning in exits.MEANINGS.items()],
            "SEE ALSO": [", ".join([*(f"{_page_name(name)}(1)" for name in sorted(COMMANDS)), BANK_PAGE])],
        },
    )


def _listed() -> Iterator[Piece]:
    for operation in COMMANDS.values():
        if not operation.group:
            yield f"`{operation.name}`", f"{operation.summary}."
    for group, title in TITLES.items():
        yield f"## {title}"
        for operation in COMMANDS.values():
            if operation.group == group:
                yield f"`{operation.name}`", f"{operation.summary}."


def _command(operation: Operation) -> str:
    function = load(operation)
    text, own = signature.text(function), parameters(function)
    own = [parameter for parameter in own if not parameter.option.hidden]
    common = ", ".join(f"`{declarations(parameter)[0]}`" for parameter in COMMON)
    examples = text.sections.get("Examples:", "")
    return _page(
        _page_name(operation.name),
        1,
        text.summary[:1].lower() + text.summary[1:],
        {
            "SYNOPSIS": [_synopsis(operation, own)],
            "DESCRIPTION": [f"{text.summary}.", *_paragraphs(text.body)],
            "ARGUMENTS": [(_place(one), _meaning(one)) for one in own if one.positional],
            "OPTIONS": [
                *(_option(one) for one in own if not one.positional),
                f"And those of every command, see {PROGRAM}(1): {common}, `--help`.",
            ],
            "EXIT CODES": [*_exit_codes(text.sections.get("Exit codes:", "")), f"The others stand in {PROGRAM}(1)."],
            "EXAMPLES": ["\n".join(f" {line}" for line in examples.split("\n"))] if examples else [],
            "SEE ALSO": [_related(operation, f"{text.body} {examples}")],
        },
    )


def _synopsis(operation: Operation, own: list[Parameter]) -> str:
    needed = [
        f"`{declarations(one)[0]}` <{_metavar(one).lower()}>" for one in own if one.required and not one.positional
    ]
    places = [_place(one) if one.required else f"[{_place(one)}]" for one in own if one.positional]
    return " ".join([f"`{PROGRAM} {operation.name}`", *needed, "[<options>]", *places])


def _place(parameter: Parameter) -> str:
    name = (parameter.option.metavar or parameter.word).lower().replace("-", "_")
    return f"<{name}>..." if parameter.variadic else f"<{name}>"


def _metavar(parameter: Parameter) -> str:
    return parameter.option.metavar or _METAVARS[parameter.kind]


def _option(parameter: Parameter) -> Piece:
    spelled = [part for words in declarations(parameter) for part in words.split("/")]
    spelled.sort(key=len)  # the short form first
    term = ", ".join(f"`{part}`" for part in spelled)
    if parameter.kind is not bool:
        choices = "|".join(f"`{choice}`" for choice in parameter.choices)
        term += f" {choices or f'<{_metavar(parameter).lower()}>'}"
    return term, _meaning(parameter)


def _meaning(parameter: Parameter) -> str:
    """The help of a parameter as a sentence, with what else is known of it."""
    said = _sentence(parameter.option.help)
    if parameter.many and not parameter.positional:
        said += " May be given several times."
    if parameter.required and not parameter.positional:
        said += " Required."
    elif parameter.kind is bool:
        said += " This is the default; the other form switches it off." if parameter.default is True else ""
    elif parameter.default not in (None, "", ()):
        said += f" Default: {parameter.default}."
    return said


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith("…") else ".")


def _paragraphs(body: str) -> list[str]:
    return [part for part in body.split("\n\n") if part]


def _exit_codes(lines: str) -> list[Piece]:
    """The lines of that section as terms; a line without a code goes on with the one before."""
    found: list[tuple[str, str]] = []
    for line in lines.split("\n"):
        code, text = re.fullmatch(r"(\d*)\s*(.*)", line).groups()  # type: ignore[union-attr]  # it fits any line
        if code:
            found.append((code, text))
        elif found:
            found[-1] = (found[-1][0], f"{found[-1][1]} {text}")
    return list(found)


def _related(operation: Operation, text: str) -> str:
    """The pages of the group's other commands and of those that the text names."""
    names = {row.name for row in COMMANDS.values() if operation.group and row.group == operation.group}
    names |= {name for name in COMMANDS if re.search(rf"\b{PROGRAM} {name}\b", text)}
    return ", ".join(
        [f"{PROGRAM}(1)", *(f"{_page_name(name)}(1)" for name in sorted(names - {operation.name})), BANK_PAGE]
    )
