"""Finding a bank: which directory is meant."""

from __future__ import annotations

import os

from memorybank_cli.bank import layout
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import BankNotFound
from memorybank_cli.base.names import escape

VARIABLE = "MEMORYBANK_BANK"
DEFAULT_NAME = "memory-bank"


def find_bank(context: Context) -> str:
    """The directory of the bank that is meant: `--bank`, MEMORYBANK_BANK, or the nearest one here or above."""
    given = context.bank or os.environ.get(VARIABLE)
    if given:
        if is_bank(given):
            return given
        if is_bank(os.path.join(given, DEFAULT_NAME)):
            return os.path.join(given, DEFAULT_NAME)
        raise BankNotFound(
            f"there is no bank at {escape(given)}", path=given, hint=f"memorybank init {escape(given)} makes one"
        )
    here = os.getcwd()
    directory = here
    while True:
        for candidate in (directory, os.path.join(directory, DEFAULT_NAME)):
            if is_bank(candidate):
                return candidate
        parent = os.path.dirname(directory)
        if parent == directory:
            raise BankNotFound(f"there is no bank in {escape(here)} or above it")
        directory = parent


def bank_above(path: str) -> str | None:
    """The nearest bank that holds a file or directory, or is it; None where there is none."""
    directory = os.path.realpath(path)
    while not is_bank(directory):
        parent = os.path.dirname(directory)
        if parent == directory:
            return None
        directory = parent
    return directory


def is_bank(path: str) -> bool:
    """Whether a bank stands at `path`: its bank.json, or a journal that knows what bank.json said."""
    return os.path.lexists(os.path.join(path, layout.BANK)) or os.path.isdir(os.path.join(path, layout.JOURNAL))


def content_here(path: str) -> list[str]:
    """The directories in `path` that a bank is made of: sections and accounts, sorted."""
    with os.scandir(path) as found:
        names = sorted(item.name for item in found if item.is_dir())
    return [name for name in names if name in layout.SECTIONS or layout.account_of(name)]
