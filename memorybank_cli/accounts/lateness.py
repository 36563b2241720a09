"""Late messages: their own time lies before one that the account had already when they came.

A history is in the order of arrival and is never sorted. So a late message is marked when it is stored, in its record:
the mark is the same wherever the history is made again, and messages that older programs stored have none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from memorybank_cli.bank.journal import Entry

MARK = "late"


def flagged(newest: str, entries: Iterable[Entry]) -> Iterator[Entry]:
    """Entries of messages of one account in the order of arrival, the late ones marked.

    `newest` is the latest time that the account has, '' for none; times are as `base.clock` writes them.
    """
    entries = list(entries)
    times = [newest, *(str(entry.value["timestamp"]) for entry in entries)]
    if times == sorted(times):
        yield from entries
        return
    for entry in entries:
        moment = str(entry.value["timestamp"])
        yield Entry(entry.op, entry.fields, {**entry.value, MARK: True}) if moment < newest else entry
        newest = max(newest, moment)
