"""Whether the catalog says what the journal makes of it: found out by making it once more, in memory.

Everybody judges files by the catalog, and nothing in it proves itself: bit rot that SQLite does not notice, or a hand,
would have a changed file called sound.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.catalog import Catalog
from memorybank_cli.bank.chain import START, Reading
from memorybank_cli.bank.framing import Line
from memorybank_cli.bank.rows import Expected
from memorybank_cli.base.database import transaction
from memorybank_cli.base.records import Finding
from memorybank_cli.base.words import counted


def recount(bank: Bank) -> list[Finding]:
    """MB122: of which files the catalog says something else; it is made again then. Costs a read of the journal."""
    bank.refresh()
    wrong = _differing(bank)
    if not wrong:
        return []
    bank.rebuild_catalog()
    message = f"of {counted(len(wrong), 'file')} it said something else than the journal, and was made again"
    hint = "memorybank validate judges by the journal now; if you did not do that, check the disk"
    return [Finding("MB122", f"{message}: {', '.join(wrong[:3])}", "", hint, "/catalog")]


def _differing(bank: Bank) -> list[str]:
    with closing(Catalog.scratch(bank.root)) as fresh:
        with transaction(bank.catalog.db, "DEFERRED"):  # what others add meanwhile is not seen
            end = bank.catalog.position()
            known = dict(bank.catalog.all_expected())
        with fresh.writing():
            fresh.apply(_until(bank, end.seq))
        return _apart(known, dict(fresh.all_expected()))


def _until(bank: Bank, seq: int) -> Iterator[Line | Reading]:
    return (item for item in bank.journal.read(START) if isinstance(item, Reading) or item.seq <= seq)


def _apart(one: dict[str, Expected], other: dict[str, Expected]) -> list[str]:
    return sorted(path for path in one.keys() | other.keys() if one.get(path) != other.get(path))
