"""Keeping the generated blocks of the bank's README and docs/ true; text outside their marks is never touched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from memorybank_cli.bank import layout, readme, versions
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.journal import Entry
from memorybank_cli.bank.replacing import digest_there, swap
from memorybank_cli.bank.rows import Expected, FileRow
from memorybank_cli.base import clock, digests, files
from memorybank_cli.base.names import uuid7
from memorybank_cli.base.records import Finding, at_least

LARGEST = 1 << 20
"""Bytes of a document that is looked at."""


def sync(bank: Bank, findings: Iterable[Finding]) -> list[str]:
    """Bring the blocks up to what a check of the whole bank came to just now; the documents that were written.

    Call it right after adoption. A document whose content is not the recorded one waits for the next time.
    """
    bank.render()
    facts = _facts(bank, list(findings))
    outdated = list(_outdated(bank, facts))
    return _write(bank, outdated) if outdated else []


def _write(bank: Bank, documents: list[tuple[FileRow, bytes]]) -> list[str]:
    """Put documents in place, then record them; a kill between the two leaves a change that is adopted as any other.

    The paths that were written: what an editor saved meanwhile waits for the next time.
    """
    stage = f"{layout.SCRATCH}/{uuid7()}"
    with bank.locked():
        bank.check_writable()
        files.make_dirs(bank.root, stage)
        try:
            written: list[tuple[FileRow, bytes]] = []
            swap(bank, _staged(bank, documents, stage, written), stage, keep=False)
            if written:
                fields = {"files": [list(row) for row, _ in written], "reason": "generated"}
                bank.commit([Entry("file.adopted", fields, versions.pack([data for _, data in written]))])
            return [row.path for row, _ in written]
        finally:
            files.remove_tree(bank.root, stage)


def _staged(
    bank: Bank, documents: list[tuple[FileRow, bytes]], stage: str, written: list[tuple[FileRow, bytes]]
) -> Iterator[FileRow]:
    """One document after the other, staged right before it is swapped in; one that was saved since is left out."""
    for row, data in documents:
        files.replace(bank.root, f"{stage}/{len(written)}", data, row.mode)
        if digest_there(bank, row.path) == row.before:
            written.append((row, data))
            yield row


def _facts(bank: Bank, findings: list[Finding]) -> readme.Facts:
    errors = sum(at_least([one], "error") for one in findings)
    warnings = sum(one.severity == "warning" for one in findings)
    checked_at = f"{clock.now()[:19]}Z"
    catalog = bank.catalog
    return readme.Facts(catalog.sections(), checked_at, errors, warnings, catalog.kinds(), bank.registry.own)


def _outdated(bank: Bank, facts: readme.Facts) -> Iterator[tuple[FileRow, bytes]]:
    for path, expected in _documents(bank):
        data = bank.root.content(path, LARGEST)
        if data is None or digests.of(data) != expected.sha:
            continue
        fresh = readme.update(data, facts)
        if fresh != data:
            mode, rules = expected.mode, list(expected.rules)
            yield FileRow(path, digests.of(fresh), len(fresh), mode, rules, expected.kind, expected.sha), fresh


def _documents(bank: Bank) -> Iterator[tuple[str, Expected]]:
    for place in (layout.README, "docs"):
        for path, expected in bank.catalog.all_expected(place):
            if path.endswith(".md") and expected.size <= LARGEST:
                yield path, expected
