"""PATH arguments: relative to the current directory where that lies inside the bank, else to the bank's root."""

from __future__ import annotations

import os
from collections.abc import Iterable

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base.errors import NotFound, UsageError
from memorybank_cli.base.names import escape, unescape


def bank_path(bank: Bank, given: str, must_exist: bool = True) -> str:
    """The escaped path below the bank's root that an argument means ('' for the bank itself).

    Raises UsageError for one outside the bank, NotFound where neither a file nor a record of one is there.
    """
    here = os.path.realpath(os.getcwd())
    inside = here == bank.root.path or here.startswith(bank.root.path + os.sep)
    raw = given if os.path.lexists(given) or "\\" not in given else unescape(given)
    base = here if inside else bank.root.path
    whole = os.path.normpath(os.path.join(base, raw))
    if os.path.isabs(raw):
        whole = os.path.join(os.path.realpath(os.path.dirname(whole)), os.path.basename(whole))
    if whole != bank.root.path and not whole.startswith(bank.root.path + os.sep):
        raise UsageError(f"{escape(given)} is not in the bank at {escape(bank.root.path)}", path=given)
    path = "/".join(escape(part) for part in os.path.relpath(whole, bank.root.path).split(os.sep) if part != ".")
    if must_exist and path and not _is_known(bank, path):
        raise NotFound(f"there is no {escape(given)} in the bank", path=path, hint="a PATH is relative to its root")
    return path


def _is_known(bank: Bank, path: str) -> bool:
    return bank.root.stat(path) is not None or any(True for _ in bank.catalog.all_expected(path))


def bank_paths(bank: Bank, given: Iterable[str]) -> list[str]:
    """`bank_path` for each argument."""
    return [bank_path(bank, one) for one in given]
