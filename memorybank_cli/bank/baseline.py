"""The first lines of a bank's journal: what the bank is, and every file that stood there when it began."""

from __future__ import annotations

import secrets
from typing import Any

from memorybank_cli.bank import layout, versions
from memorybank_cli.bank.adopt import Adopter
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.journal import Entry
from memorybank_cli.bank.rows import FileRow
from memorybank_cli.bank.scan import Change, Scan, Scanner
from memorybank_cli.base import clock, digests, files
from memorybank_cli.base.exact_json import dumps
from memorybank_cli.base.names import uuid7
from memorybank_cli.base.records import QUIET, Progress

CREATED = "bank.created"
RENAMED = "bank.renamed"
EMPTY = b"{}\n"


def new_document(group: str | None = None) -> dict[str, Any]:
    """What bank.json of a new bank says."""
    document = {
        "format": layout.FORMAT,
        "bank_id": uuid7(),
        "created_at": clock.now(),
        "identity_key": secrets.token_hex(32),
    }
    return {**document, "group": group} if group else document


def establish(bank: Bank, progress: Progress = QUIET) -> tuple[Scan, list[str]]:
    """Record what the bank is where that was not done, and adopt what agents changed; the look, and the paths adopted.

    Every command that adopts begins with this. `bank.json` is written last, so an `init` that was killed is run again.
    """
    first = bank.is_empty
    if not first:
        _write_document(bank)
    scan = Scanner(bank, progress).run()
    if first:
        _create(bank, scan)
        _write_document(bank)
    adopted = Adopter(bank, progress).adopt(change for change in scan.changes if change.path != layout.BANK)
    return scan, adopted


def begin(bank: Bank) -> None:
    """Record the baseline of a bank that has none: before the first thing that is written into it."""
    if bank.is_empty:
        establish(bank, bank.context.progress)


def _create(bank: Bank, scan: Scan) -> None:
    data = bank.root.read_if_there(layout.BANK) or render_document(bank.document)
    bank.commit([_document_entry(bank, CREATED, data, bound=bound_kinds(scan.changes))])


def rename(bank: Bank) -> None:
    """Record the new identity of a bank that was a copy, and write it into bank.json."""
    data = render_document(bank.document)
    bank.commit([_document_entry(bank, RENAMED, data)])
    files.replace(bank.root, layout.BANK, data)


def _document_entry(bank: Bank, op: str, data: bytes, **fields: Any) -> Entry:
    before = bank.catalog.row(layout.BANK).expected
    row = FileRow(layout.BANK, digests.of(data), len(data), files.FILE_MODE, [], "bank", before.sha if before else None)
    return Entry(op, {"document": bank.document, "files": [list(row)], **fields}, versions.pack([data]))


def _write_document(bank: Bank) -> None:
    if bank.root.stat(layout.BANK) is None:
        files.create(bank.root, layout.BANK, render_document(bank.document))


def render_document(document: dict[str, Any]) -> bytes:
    """bank.json's bytes."""
    return dumps(document, indent=True) + b"\n"


def bound_kinds(changes: list[Change]) -> list[str]:
    """Kinds whose built-in schema fitted every file that there was, placeholders aside: from now on it must fit."""
    fits: dict[str, bool] = {}
    for change in changes:
        seen = change.seen
        if seen is None or not seen.kind or change.pending == "found" or seen.sha == digests.of(EMPTY):
            continue
        fits[seen.kind] = fits.get(seen.kind, True) and not seen.content
    return sorted(kind for kind, good in fits.items() if good)
