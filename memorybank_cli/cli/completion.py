"""Completion in bash, zsh and fish: the script of a shell, and the answers that the script asks for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated, Literal

from memorybank_cli.operations.options import Option

VARIABLE = "_MEMORYBANK_COMPLETE"
Shell = Literal["bash", "zsh", "fish"]


@dataclass(frozen=True)
class Script:
    """A completion script."""

    shell: str
    script: str

    def text(self) -> str:
        """The script as the shell reads it."""
        return self.script + "\n"


def completion(shell: Annotated[Shell, Option("the shell it is for", metavar="bash|zsh|fish")]) -> Script:
    """Print a shell's completion script.

    Exit codes:
        0  done

    Examples:
        memorybank generate completion bash > ~/.local/share/bash-completion/completions/memorybank
        memorybank generate completion zsh > ~/.zfunc/_memorybank
        memorybank generate completion fish > ~/.config/fish/completions/memorybank.fish
    """
    from typer._completion_shared import get_completion_script

    return Script(shell, get_completion_script(prog_name="memorybank", complete_var=VARIABLE, shell=shell))


def complete() -> int:
    """Print the completions that the environment asks for; the command named there is the only one imported."""
    from typer._completion_classes import completion_init
    from typer.main import get_command

    from memorybank_cli.cli.app import named

    completion_init()
    words = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS", "")
    command = get_command(named(words.split()[1:3]))
    try:
        command.main([], prog_name="memorybank", complete_var=VARIABLE, standalone_mode=False)
    except SystemExit as end:  # typer's way to say that it has answered
        return int(end.code or 0)
    return 0
