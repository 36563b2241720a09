"""Records that carry the same id, so that nobody can say which one is meant."""

from __future__ import annotations

from collections.abc import Iterator

from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.misfits import shorten
from memorybank_cli.base.records import Finding


def shared(bank: Bank) -> Iterator[Finding]:
    """MB208: each single-record file whose id an earlier file of the same kind has, compared as text."""
    if not bank.catalog.meta("facts", {}).get("ids"):
        return
    one, first = ("", ""), ""
    for kind, name, path in bank.catalog.shared_ids():
        if one != (kind, name):
            one, first = (kind, name), path
            continue
        message = f"the {kind} id {shorten(name)} stands in {first} already"
        hint = "give one of the two an id of its own, or remove the copy"
        yield Finding("MB208", message, path, hint, expected="an id of its own", found=shorten(name))
