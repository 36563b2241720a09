"""Stateless checks that every entry passes before the lock is taken."""

from __future__ import annotations

from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.journal import SEGMENT_BYTES, Entry
from memorybank_cli.base.errors import Refused

LARGEST_ENTRY = SEGMENT_BYTES // 2


def size_gate(_bank: Bank, entry: Entry) -> Entry:
    """Refuse a record that would fill half a journal segment alone."""
    if entry.data is not None and entry.op.startswith("record."):
        size = len(entry.data)
        if size > LARGEST_ENTRY:
            raise Refused(
                f"the record has {size:,} bytes; at most {LARGEST_ENTRY:,} are taken",
                hint="store a reference to a file instead",
            )
    return entry
