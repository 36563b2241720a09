"""The first lines of a bank's journal: what the bank is, and every file that stood there when it began."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any

from memorybank_cli.bank import layout, versions
from memorybank_cli.bank.adopt import Adopter
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.examine import MISFIT
from memorybank_cli.bank.facts import DUPLICATE
from memorybank_cli.bank.journal import Entry
from memorybank_cli.bank.judge import EMPTY_OBJECT
from memorybank_cli.bank.rows import FileRow, Seen
from memorybank_cli.bank.scan import Change, Scan, Scanner
from memorybank_cli.bank.settled import Look
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


def establish(bank: Bank, progress: Progress = QUIET, look: Look = lambda *_: None) -> tuple[Scan, list[str]]:
    """Record what the bank is where that was not done, and adopt what agents changed; the look, and the paths adopted.

    `look` hears of every directory; see `scan`.

    Every command that adopts begins with this. `bank.json` is written last, so an `init` that was killed is run again.
    """
    first = bank.is_empty
    if not first:
        _write_document(bank)
    progress.start("reading files", bank.catalog.meta("files"))
    scan = Scanner(bank, progress, look).run()
    progress.finish()
    if first:
        create(bank, bound_kinds(scan.changes))
        _write_document(bank)
    adopted = Adopter(bank, progress).adopt(change for change in scan.changes if change.path != layout.BANK)
    return scan, adopted


def begin(bank: Bank) -> None:
    """Record the baseline of a bank that has none: before the first thing that is written into it."""
    if bank.is_empty:
        with bank.mutex:
            if bank.is_empty:  # no other thread did it meanwhile
                establish(bank, bank.context.progress)


def create(bank: Bank, bound: list[str]) -> None:
    """Write the first line: what the bank is, and the kinds whose built-in schema must fit from now on."""
    data = bank.root.read_if_there(layout.BANK) or render_document(bank.document)
    bank.commit([document_entry(bank, CREATED, data, bound=bound)])


def rename(bank: Bank) -> None:
    """Record the new identity of a bank that was a copy, and write it into bank.json."""
    data = render_document(bank.document)
    bank.commit([document_entry(bank, RENAMED, data)])
    files.replace(bank.root, layout.BANK, data)


def document_entry(bank: Bank, op: str, data: bytes, **fields: Any) -> Entry:
    """A line that says what the bank is from now on; `data` are the bytes of bank.json."""
    before = bank.catalog.row(layout.BANK).expected
    row = FileRow(layout.BANK, digests.of(data), len(data), files.FILE_MODE, [], "bank", before.sha if before else None)
    return Entry(op, {"document": bank.document, "files": [list(row)], **fields}, versions.pack([data]))


def _write_document(bank: Bank) -> None:
    if bank.root.stat(layout.BANK) is None:
        files.create(bank.root, layout.BANK, render_document(bank.document))


def render_document(document: dict[str, Any]) -> bytes:
    """bank.json's bytes."""
    return dumps(document, indent=True) + b"\n"


def bound_kinds(changes: Iterable[Change]) -> list[str]:
    """Kinds whose built-in schema fitted every file that there was, placeholders aside: from now on it must fit."""
    fitting = Fitting()
    for change in changes:
        if change.seen is not None:
            fitting.see(change.seen)
    return fitting.kinds()


class Fitting:
    """Which kinds have fitted their built-in schema so far."""

    def __init__(self) -> None:
        self._fits: dict[str, bool] = {}

    def see(self, seen: Seen) -> None:
        """One more file; a damaged one and a placeholder say nothing."""
        rules = {one.rule for one in seen.content} - {DUPLICATE}
        if not seen.kind or seen.sha == EMPTY_OBJECT or rules - {MISFIT}:
            return
        self._fits[seen.kind] = self._fits.get(seen.kind, True) and not rules

    def kinds(self) -> list[str]:
        """Those that fitted each time."""
        return sorted(kind for kind, good in self._fits.items() if good)
