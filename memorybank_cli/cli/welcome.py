"""`memorybank` alone: the status inside a bank, how to begin outside one."""

from __future__ import annotations

import os
from collections.abc import Iterator

from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import BankNotFound
from memorybank_cli.base.names import escape
from memorybank_cli.cli import terminal
from memorybank_cli.operations.finding import VARIABLE, content_here, find_bank

_STEPS = (
    ("memorybank init", "make ./memory-bank"),
    ("memorybank init DIR", "make DIR a bank, its files untouched"),
    ("memorybank init DIR --from OLD", "a new bank from a copy of what OLD holds"),
    ("memorybank --help", "all commands"),
)
_HERE = ("memorybank init", "make this directory a bank, its files untouched")


def words() -> list[str]:
    """The command that is meant by none: `status` where there is a bank, nothing elsewhere. Raises BankNotFound."""
    try:
        find_bank(Context())
    except BankNotFound:
        if os.environ.get(VARIABLE):
            raise
        return []
    return ["status"]


def greet() -> int:
    """Say on stdout how to begin; the exit code."""
    terminal.write_line("stdout", "\n".join(_lines(os.getcwd())))
    return 0


def _lines(here: str) -> Iterator[str]:
    held = content_here(here)
    steps = (_HERE, *_STEPS[2:]) if held else _STEPS
    yield "memorybank makes a directory of JSON files a memory that can be trusted."
    yield ""
    there = f", but {', '.join(f'{name}/' for name in held)}" if held else ""
    yield f"There is no bank in {escape(here)} or above it{there}. To begin:"
    yield ""
    width = max(len(command) for command, _ in steps)
    yield from (f"  {command:<{width}}   {what}" for command, what in steps)
