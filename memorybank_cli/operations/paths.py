"""PATH arguments: relative to the current directory where that lies inside the bank, else to the bank's root.

Where nothing is known by that path, the other one is tried: inside the bank a path from its root, as findings name it;
outside a path of a file in it, as pre-commit and shells name it: `memory-bank/trades/one.json`.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base.errors import NotFound, UsageError
from memorybank_cli.base.names import escape, unescape
from memorybank_cli.base.suggestions import did_you_mean


def bank_path(bank: Bank, given: str, must_exist: bool = True) -> str:
    """The escaped path below the bank's root that an argument means ('' for the bank itself).

    Raises UsageError for one outside the bank, NotFound where neither a file nor a record of one is there.
    """
    places = [_below(bank, whole) for whole in _meant(bank, given)]
    inside = [one for one in places if one is not None]
    if not inside:
        raise UsageError(f"{escape(given)} is not in the bank at {escape(bank.root.path)}", path=given)
    path = next((one for one in inside if _is_known(bank, one)), inside[0])
    if must_exist and path and not _is_known(bank, path):
        hint = did_you_mean(path, beside(bank, path), "a PATH is relative to its root")
        raise NotFound(f"there is no {escape(given)} in the bank", path=path, hint=hint)
    return path


def _meant(bank: Bank, given: str) -> Iterator[str]:
    """The absolute paths that an argument may mean, the first one first."""
    here = os.path.realpath(os.getcwd())
    raw = given if os.path.lexists(given) or "\\" not in given else unescape(given)
    if os.path.isabs(raw):
        whole = os.path.normpath(raw)
        yield os.path.join(os.path.realpath(os.path.dirname(whole)), os.path.basename(whole))
        return
    roots = [here, bank.root.path]  # within the bank the root comes second: findings name their files from there
    for one in roots if _below(bank, here) is not None else reversed(roots):
        yield os.path.normpath(os.path.join(one, raw))


def _below(bank: Bank, whole: str) -> str | None:
    """The escaped path below the bank's root, '' for the root itself; None for what is outside."""
    if whole == bank.root.path:
        return ""
    if not whole.startswith(bank.root.path + os.sep):
        return None
    return "/".join(escape(part) for part in os.path.relpath(whole, bank.root.path).split(os.sep))


def beside(bank: Bank, path: str) -> list[str]:
    """What stands in the directory that a path names, or in the nearest one above it that is there."""
    directory = path.rpartition("/")[0]
    while directory and not bank.root.is_dir(directory):
        directory = directory.rpartition("/")[0]
    prefix = f"{directory}/" if directory else ""
    listing = bank.root.listing(directory)
    return [prefix + entry.name for entry in listing if not entry.name.startswith(".")]


def find_hint(path: str) -> str:
    """The command that looks for a file of that name, wherever it stands."""
    return f"memorybank snapshot find {shlex.quote(path.rpartition('/')[2])}"


def _is_known(bank: Bank, path: str) -> bool:
    return not path or bank.root.stat(path) is not None or any(True for _ in bank.catalog.all_expected(path))


def bank_paths(bank: Bank, given: Iterable[str]) -> list[str]:
    """`bank_path` for each argument."""
    return [bank_path(bank, one) for one in given]
