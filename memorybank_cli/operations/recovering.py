"""Recovery that nobody has to ask for: files of accounts that are gone or no JSON, made again where nothing is lost.

Each is derived from the account's history, so what `repair` would do without loss is done when an account is used, and
by `watch`; it is journaled the same way. What somebody wrote there as JSON is left to people, as is any loss.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.base import digests
from memorybank_cli.base.errors import JournalDamaged, Locked, MemorybankError, from_os_error
from memorybank_cli.base.exact_json import FlawedJSON, loads

if TYPE_CHECKING:
    from memorybank_cli.operations.cures import Cure

_KINDS = ("account", *layout.TIERS)
_LOOKED_AT: WeakKeyDictionary[Bank, set[str]] = WeakKeyDictionary()
"""Accounts that were entered already, by the open bank."""


def recover(bank: Bank, account: str) -> tuple[Cure, ...]:
    """Make the files of an account again that are gone or no JSON, but for sealed segments beside a sound head.

    Looks once for each opening of the bank, and then at the small files only. Never fails: where it cannot be done
    now, the reader goes around the damage.
    """
    entered = _LOOKED_AT.setdefault(bank, set())
    if account in entered:
        return ()
    entered.add(account)
    suspects = _suspects(bank, account)
    if not suspects:
        return ()
    try:
        cures = mend(bank, [*suspects, *_missing_segments(bank, account)])
    except Locked:
        return ()  # its holder may be at work on these very files
    for one in cures:
        where = f"; the damaged bytes are in {one.kept}" if one.kept else ""
        bank.context.progress.note(f"{one.path} was damaged ({one.rule}) and was made again, {one.why}{where}")
    return cures


def mend(bank: Bank, paths: Iterable[str]) -> tuple[Cure, ...]:
    """What could be cured of damaged files of accounts without any loss. Raises Locked at once where that is held."""
    from memorybank_cli.operations.repair import cure

    try:
        with bank.locked(timeout=0):
            return cure(bank, sorted(paths), automatic=True).repaired
    except Locked:
        raise
    except JournalDamaged:
        return ()  # everything waits for the journal's repair, and a finding says so
    except (MemorybankError, OSError) as error:
        words = from_os_error(error) if isinstance(error, OSError) else error
        bank.context.progress.note(f"damaged files are left as they are: {words.message}")
        return ()


def _suspects(bank: Bank, account: str) -> list[str]:
    paths = [*(layout.account_file(account, kind) for kind in _KINDS), layout.history_index(account)]
    return [path for path in paths if _is_damaged(bank, path)]


def _is_damaged(bank: Bank, path: str) -> bool:
    """Whether a file that was recorded is gone, or cannot be read as JSON."""
    expected, seen = bank.catalog.row(path)
    if expected is None:
        return False
    try:
        info = bank.root.stat(path)
    except OSError:
        return False  # of a directory that cannot be read, which its own check reports
    if info is None or not stat.S_ISREG(info.st_mode):
        return True
    stats = (info.st_size, info.st_mtime_ns, info.st_ino)
    if seen is not None and seen.sha == expected.sha and (seen.size, seen.mtime, seen.inode) == stats:
        return False
    data = bank.root.content(path)
    if data is None or digests.of(data) == expected.sha:
        return False
    try:
        loads(data)
    except FlawedJSON:
        return True
    return False


def _missing_segments(bank: Bank, account: str) -> Iterator[str]:
    """Sealed segments that are gone: whoever lost small files may have lost the directory."""
    directory = f"{layout.account_section(account)}/history"
    there = {entry.name for entry in bank.root.listing(directory)}
    recorded = bank.catalog.rows(directory).items()
    return (f"{directory}/{name}" for name, row in recorded if row.expected is not None and name not in there)
