"""Completion in bash, zsh and fish: writing the scripts, and answering what they ask."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any

from memorybank_cli.base.errors import UsageError
from memorybank_cli.cli.shells import SCRIPTS, VARIABLE, Shell
from memorybank_cli.cli.written import Written, write


@dataclass(frozen=True)
class Script:
    """A completion script on its way to stdout."""

    shell: str
    script: str

    def text(self) -> str:
        """The script as the shell reads it."""
        return self.script


def completion(
    dir_: Annotated[str, "where to, made where it is missing; - for stdout, with --shell"],
    *,
    shell: Annotated[Shell | None, "only the script of this shell"] = None,
) -> Written | Script:
    """Write the completion scripts of bash, zsh and fish.

    They are memorybank.bash, _memorybank for zsh, and memorybank.fish. Commands, options and values are
    completed, and the accounts, snapshots and schemas of a bank of your own. Nothing is changed for that.

    Exit codes:
        0  written
        2  - without --shell
        3  the directory cannot be written

    Examples:
        memorybank generate completion ./completions
        memorybank generate completion - --shell bash > ~/.local/share/bash-completion/completions/memorybank
        memorybank generate completion - --shell fish > ~/.config/fish/completions/memorybank.fish
    """
    chosen = {shell: SCRIPTS[shell]} if shell else SCRIPTS
    if dir_ != "-":
        return write(dir_, dict(chosen.values()))
    if shell is None:
        raise UsageError("stdout takes one script", hint="give --shell bash, zsh or fish")
    return Script(shell, SCRIPTS[shell][1])


def complete(line: list[str]) -> int:
    """Print what fits the end of `line`, the words after the program's; whatever goes wrong prints nothing."""
    with suppress(Exception):  # somebody is typing: an error would stand in the middle of the line
        _print(_answer(line))
    return 0


def _answer(line: list[str]) -> Any:
    from memorybank_cli.cli.candidates import find

    if os.environ[VARIABLE] == "bash":  # which takes --name=value apart into three words
        line = [word for word in line[:-1] if word != "="] + line[-1:]
    return find(line)


def _print(found: Any) -> None:
    lines = [f"{one.text}\t{one.help}" for one in found.words]
    if found.places:
        lines.append(f":{found.places}")
    sys.stdout.write("".join(f"{one}\n" for one in lines))
    sys.stdout.flush()
