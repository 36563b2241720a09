"""Whose snapshots are meant: several banks may be saved in one repository, and each stands for itself there."""

from __future__ import annotations

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base.errors import Refused, SnapshotNotFound, UsageError
from memorybank_cli.base.names import escape
from memorybank_cli.base.words import counted
from memorybank_cli.snapshots import documents
from memorybank_cli.snapshots.documents import LATEST, Document, Listing
from memorybank_cli.snapshots.repository import Repository


def shown(bank: Bank, found: Listing) -> Listing:
    """The snapshots of a bank, or where it has none those of every other: what somebody looks at who lost a bank."""
    mine = found.of(bank.bank_id)
    return mine if mine.documents else found


def to_look_at(bank: Bank, repository: Repository, wanted: str) -> Document:
    """The snapshot that is meant, to be read only.

    The bank's own come first. One of another bank is taken, with a note, where it is named, or as `latest` where the
    bank has none and only one other has any. Raises as `documents.resolve`, and UsageError where several others have.
    """
    document = _meant(bank, documents.listing(repository), wanted)
    if document.bank_id != bank.bank_id:
        bank.context.progress.note(f"snapshot {document.id} is not of this bank, but of {escape(document.bank_id)}")
    return document


def own_one(bank: Bank, repository: Repository, wanted: str) -> Document:
    """The snapshot that is meant, of this bank. Raises as `documents.resolve`, and Refused for one of another bank."""
    found = documents.listing(repository)
    if wanted == LATEST and found.documents and not found.of(bank.bank_id).documents:
        raise SnapshotNotFound(
            f"no snapshot in {escape(repository.path)} is of this bank",
            hint="memorybank snapshot restore --to DIR takes the content of another bank's out of it",
        )
    document = _meant(bank, found, wanted)
    if document.bank_id != bank.bank_id:
        raise Refused(
            f"snapshot {document.id} is not of this bank, but of {escape(document.bank_id)}",
            hint=f"memorybank snapshot restore {document.id} --to DIR takes its content out of it",
        )
    return document


def _meant(bank: Bank, found: Listing, wanted: str) -> Document:
    mine = found.of(bank.bank_id)
    if wanted != LATEST:
        return documents.pick(mine if mine.named(wanted) else found, wanted)
    others = sorted({escape(one.bank_id) for one in found.documents})
    if not mine.documents and len(others) > 1:
        raise UsageError(
            f"there is no snapshot of this bank, but there are those of {counted(len(others), 'other')}: "
            + ", ".join(others),
            hint="name a snapshot by its id: memorybank snapshot list --all",
        )
    return documents.pick(mine if mine.documents else found, wanted)
