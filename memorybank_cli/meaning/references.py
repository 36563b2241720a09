"""References from one record to another that lead nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.facts import Ids
from memorybank_cli.bank.misfits import shorten
from memorybank_cli.base.exact_json import FlawedJSON, loads
from memorybank_cli.base.records import Finding
from memorybank_cli.base.strict_json import HARD_SIZE

_Id = tuple[str, str]


def dangling(bank: Bank) -> Iterator[Finding]:
    """MB204: ids that a schema says are another record's, of kinds of which the bank has records, and not that one."""
    if not bank.catalog.meta("facts", {}).get("refs"):
        return
    missing, kinds = _unresolved(bank)
    if not missing:
        return
    for path, _, facts in bank.catalog.documents("refs"):
        for pointer, kind, name in facts["refs"]:
            if (kind, name) in missing and kind in kinds:
                what = kind.removesuffix("_list")
                article = "an" if what.startswith(("a", "e", "i", "o", "u")) else "a"
                message = f"refers to the {what} {shorten(name)}, which is not in the bank"
                hint = "bring the record back (memorybank rollback), or correct the reference"
                yield Finding(
                    "MB204", message, path, hint, pointer, expected=f"the id of {article} {what}", found=shorten(name)
                )


def _unresolved(bank: Bank) -> tuple[set[_Id], set[str]]:
    """The ids referred to that no record has, and the kinds of which there are records."""
    wanted = {(kind, name) for _, _, facts in bank.catalog.documents("refs") for _, kind, name in facts["refs"]}
    kinds = set()
    for found in bank.catalog.ids():
        kinds.add(found[0])
        wanted.discard(found)
    if wanted:
        for found in _listed(bank):
            kinds.add(found[0])
            wanted.discard(found)
    return wanted, kinds


def _listed(bank: Bank) -> Iterator[_Id]:
    """The ids of what is in lists; these documents are read again."""
    ids = Ids(bank.registry)
    for path, kind, _ in bank.catalog.documents("listed"):
        yield from ids.inside(kind, _document(bank, path))


def _document(bank: Bank, path: str) -> Any:
    try:
        return loads(bank.root.read(path, HARD_SIZE))
    except (FlawedJSON, OSError):
        return []  # it changed since it was looked at: the next look finds what it is now
