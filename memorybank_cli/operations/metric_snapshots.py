"""Snapshots of the metrics in metrics/historical/ (spec 000): what agents measure, and what was measured of the bank.

An append section: a file is made once, recorded in the journal, and never changed. One a `health.historical_minutes`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from memorybank_cli.bank import layout, versions
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.journal import Entry
from memorybank_cli.bank.rows import FileRow
from memorybank_cli.base import clock, digests, files
from memorybank_cli.base.exact_json import FlawedJSON, dumps, loads

LARGEST = 64 << 10
"""Bytes of agents' metrics that are taken along."""
OURS = "memorybank"


def record_if_due(bank: Bank, values: Mapping[str, float], timeout: float | None = None) -> str | None:
    """Make a snapshot and record it, when the last one is old enough; its path. `timeout` as in `Bank.locked`.

    None where none is due or wanted (the setting is 0, or excludes them), or nothing was ever recorded in the bank.
    Raises Locked, JournalDamaged, CopiedBank, OSError.
    """
    minutes = float(bank.settings["health.historical_minutes"])
    if not minutes or bank.is_empty or not _is_due(bank, minutes):
        return None
    with bank.locked(timeout):
        bank.check_writable()
        return _record(bank, values) if _is_due(bank, minutes) else None


def _record(bank: Bank, values: Mapping[str, float]) -> str | None:
    taken_at = clock.now()
    path = layout.historical_file(taken_at)
    if layout.is_excluded(path, bank.settings["exclude"]):
        return None
    data = dumps(_document(bank, taken_at, values), indent=True) + b"\n"
    mode, directory_mode = bank.modes
    files.make_dirs(bank.root, path.rpartition("/")[0], directory_mode)
    if not files.create(bank.root, path, data, mode):
        return None  # somebody else's, of the same second
    kind = layout.place(path).kind
    row = FileRow(path, digests.of(data), len(data), mode, [], kind, None)
    # Killed before this line it is a new file as any other, which is adopted.
    bank.commit([Entry("file.adopted", {"files": [list(row)], "reason": "generated"}, versions.pack([data]))])
    return path


def _document(bank: Bank, taken_at: str, values: Mapping[str, float]) -> dict[str, Any]:
    """The snapshot; agents' metrics are left out where they are no sound object, or would make it one that misfits."""
    ours = {OURS: dict(values)}
    alone = {"taken_at": taken_at, "metrics": ours}
    try:
        theirs = loads(bank.root.content(layout.PLACEHOLDERS["metrics"], LARGEST) or b"null")
    except (FlawedJSON, OSError):
        return alone  # its own check tells what is wrong with it
    if not isinstance(theirs, dict) or not theirs:
        return alone
    whole = {**alone, "metrics": {**ours, "metrics": theirs}}
    return alone if bank.registry.misfits("historical_metrics", whole, 1) else whole


def _is_due(bank: Bank, minutes: float) -> bool:
    now = datetime.now(UTC)
    return not any(now - timedelta(minutes=minutes) < one <= now for one in _taken(bank, now, minutes))


def _taken(bank: Bank, now: datetime, minutes: float) -> Iterator[datetime]:
    """The times of the snapshots that are there, of the months that count."""
    month = (now - timedelta(minutes=minutes)).strftime("%Y-%m")
    for directory in bank.root.listing(layout.HISTORICAL):
        for entry in bank.root.listing(f"{layout.HISTORICAL}/{directory.name}") if directory.name >= month else ():
            try:
                yield datetime.strptime(entry.name, "%Y%m%dT%H%M%SZ.json").replace(tzinfo=UTC)
            except ValueError:
                continue  # an agent's own
