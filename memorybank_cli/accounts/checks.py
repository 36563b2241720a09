"""MB114, MB116: where an account's files are what was recorded, and yet do not fit each other, or tell of a loss."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from memorybank_cli.accounts.segments import Segment, in_order, parse_index
from memorybank_cli.accounts.tiers import FAILING
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.layout import account_file, account_section, history_index, history_segment
from memorybank_cli.bank.rows import Row
from memorybank_cli.base import digests
from memorybank_cli.base.exact_json import FlawedJSON, loads
from memorybank_cli.base.records import Finding


def broken(bank: Bank, account: str) -> Iterator[Finding]:
    """What does not fit in an account's history, by the digests that the catalog saw, and whether messages were lost.

    Segments are not read.

    Files that are damaged, gone or not what was recorded are the business of their own rules.
    """
    path = account_file(account, "whole_history")
    row = bank.catalog.row(path)
    data = bank.root.content(path)
    if data is None or not _is_recorded(bank, row) or bank.catalog.unrendered_since(account) is not None:
        return
    if row.expected is not None and digests.of(data) != row.expected.sha:
        return
    try:
        value = loads(data)
        positions = [int(one["seq"]) for one in value["messages"]]
        total, digest, first = int(value["total"]), value["index"], int(value["first"])
        gone = int(value.get("forgotten", 0))
    except (FlawedJSON, KeyError, TypeError, ValueError):
        return  # its own schema says that
    if isinstance(value.get("status"), dict) and value["status"].get("status") == FAILING:
        hint = f"memorybank rollback --account {account} for an older whole state, or memorybank accept {path}"
        yield Finding("MB116", "it was begun anew: messages are lost, and the journal says how many", path, hint)
    sealed, last = total - len(positions), total + gone
    upto = first - 1 if first else last
    if not in_order(positions, upto + 1, last) or not 0 <= upto - sealed <= gone or sealed < 0:
        yield _finding(path, f"the messages in it are not {sealed + 1} to {last}, one after the other")
    elif digest is None and sealed:
        yield _finding(path, f"it says {total} messages, has {len(positions)}, and names no index for the others")
    elif digest is not None:
        yield from _index(bank, account, str(digest), sealed, upto)


def _index(bank: Bank, account: str, digest: str, sealed: int, upto: int) -> Iterator[Finding]:
    """What does not fit in the index of so many sealed messages, which go up to position `upto`."""
    path = history_index(account)
    data, row = bank.root.content(path), bank.catalog.row(path)
    if data is None and row.expected is None:
        yield _finding(account_file(account, "whole_history"), "it names an index, and there is none")
    if data is None or not _is_recorded(bank, row):
        return
    if digests.of(data) != digest:
        yield _finding(path, "it is not the index that whole_history.json names")
        return
    try:
        segments = parse_index(data)
    except (ValueError, KeyError, TypeError):
        return  # its own schema says that
    position, listed = 1, sum(one.length for one in segments)
    gone = upto - sealed
    for segment in segments:
        if segment.first != position and not 0 <= segment.first - position <= gone:
            yield _finding(path, f"the segment after message {position - 1} begins with message {segment.first}")
            return
        position = segment.last + 1
    if listed != sealed or not 0 <= upto + 1 - position <= gone:
        yield _finding(path, f"it lists {listed} messages, and {sealed} are sealed")
        return
    yield from _segments(bank, account, segments)


def _segments(bank: Bank, account: str, segments: list[Segment]) -> Iterator[Finding]:
    rows = bank.catalog.rows(f"{account_section(account)}/history")
    for segment in segments:
        path = history_segment(account, segment.first)
        row = rows.get(path.rpartition("/")[2], Row(None, None))
        if row.seen is not None and _is_recorded(bank, row) and row.seen.sha != segment.sha256:
            yield _finding(path, "it is not the segment that the index lists")


def _is_recorded(bank: Bank, row: Row) -> bool:
    """Whether a file is, as far as it was looked at, what the journal says, or nothing was recorded yet."""
    if row.expected is None:
        return bank.is_empty
    return row.seen is None or row.seen.sha == row.expected.sha


def _finding(path: str, message: str, **fields: Any) -> Finding:
    return Finding("MB114", message, path, f"memorybank repair {path}", **fields)
