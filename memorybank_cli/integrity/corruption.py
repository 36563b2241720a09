"""Damage that was detected and what became of it: the corruption events of spec 001, in `findings.sqlite`.

An event is open from the first time that a finding of damage was seen until the finding is gone; there is one for each
fingerprint at a time, so that a second look, or a second process, does not begin another.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from memorybank_cli.bank.events import EventStore
from memorybank_cli.base import clock
from memorybank_cli.base.names import uuid7
from memorybank_cli.base.records import Finding

Type = Literal["CHECKSUM_MISMATCH", "FILE_CORRUPTION", "DATA_INCONSISTENCY"]
TYPES: dict[str, Type] = {
    **dict.fromkeys(("MB115", "MB120", "MB121"), "CHECKSUM_MISMATCH"),
    **dict.fromkeys(("MB101", "MB102", "MB103", "MB104", "MB105", "MB106", "MB107", "MB108"), "FILE_CORRUPTION"),
    **dict.fromkeys(("MB111", "MB114", "MB116"), "DATA_INCONSISTENCY"),
}
"""By rule the type of spec 001; findings of other rules are no corruption."""
_NEW = (
    "INSERT OR IGNORE INTO corruption_events"
    " (corruption_id,detected_timestamp,affected_component,corruption_type,path,rule,message,fingerprint)"
    " VALUES (?,?,?,?,?,?,?,?)"
)
_END = (
    "UPDATE corruption_events SET ended_at=?, recovery_action=coalesce(?,recovery_action),"
    " recovery_success=coalesce(?,recovery_success), kept=? WHERE fingerprint=? AND ended_at IS NULL RETURNING *"
)
_TRIED = (
    "UPDATE corruption_events SET recovery_action=?, recovery_success=0 WHERE fingerprint=? AND ended_at IS NULL"
    " AND recovery_success IS NULL"
)


@dataclass(frozen=True)
class CorruptionEvent:
    """One row, with the fields of spec 001 first. Times are RFC 3339."""

    corruption_id: str
    detected_timestamp: str
    affected_component: str
    """The section or account, `journal`, or `bank`."""
    corruption_type: Type
    recovery_action: str | None
    """What memorybank did by itself; None where it did nothing."""
    recovery_success: bool | None
    """None while it is not decided, and where somebody else put an end to it."""
    path: str
    rule: str
    message: str
    kept: str
    """Where the damaged bytes are kept, '' where they are not."""
    ended_at: str | None

    def as_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return dict(vars(self))


class Ending(NamedTuple):
    """How an event ended: what memorybank did, and where the damaged bytes are; None and '' where others ended it."""

    action: str | None = None
    kept: str = ""


def detected(store: EventStore, findings: Iterable[Finding]) -> list[CorruptionEvent]:
    """Begin an event for each damage that has none yet; those that began. Raises sqlite3.DatabaseError."""
    begun: list[CorruptionEvent] = []
    with store.writing() as db:
        for one in findings:
            if (kind := TYPES.get(one.rule)) is None:
                continue
            name, where = uuid7(), component(one)
            row = (name, one.detected_at, where, kind, one.path, one.rule, one.message, one.fingerprint)
            if db.execute(_NEW, row).rowcount:
                begun.append(
                    _event(db.execute("SELECT * FROM corruption_events WHERE corruption_id=?", (name,)).fetchone())
                )
    return begun


def ended(store: EventStore, endings: Mapping[str, Ending]) -> list[CorruptionEvent]:
    """End the open events of these fingerprints; those that ended. Raises sqlite3.DatabaseError."""
    now, found = clock.now(), list[CorruptionEvent]()
    with store.writing() as db:
        for fingerprint, how in endings.items():
            done = None if how.action is None else 1
            found += map(_event, db.execute(_END, (now, how.action, done, how.kept, fingerprint)).fetchall())
    return found


def tried(store: EventStore, fingerprints: Iterable[str], action: str) -> list[str]:
    """Remember that recovery did not succeed; the fingerprints of events, which stay open. Raises DatabaseError."""
    with store.writing() as db:
        return [one for one in fingerprints if db.execute(_TRIED, (action, one)).rowcount]


def open_fingerprints(store: EventStore) -> list[str]:
    """The fingerprints of the findings whose events have not ended."""
    return [row[0] for row in store.db.execute("SELECT fingerprint FROM corruption_events WHERE ended_at IS NULL")]


def events(store: EventStore, most: int = 100) -> list[CorruptionEvent]:
    """The newest events, the newest first."""
    rows = store.db.execute("SELECT * FROM corruption_events ORDER BY detected_timestamp DESC LIMIT ?", (most,))
    return [_event(row) for row in rows]


def prune(store: EventStore, days: float) -> int:
    """Forget events that ended longer ago; how many. The journal's lines about them stay."""
    before = clock.from_ns(clock.now_ns() - int(days * 86_400 * clock.SECOND_NS))
    with store.writing() as db:
        return db.execute("DELETE FROM corruption_events WHERE ended_at<?", (before,)).rowcount


def component(finding: Finding) -> str:
    """What is affected: the section or account of a file, `journal`, or `bank`."""
    if finding.rule.startswith("MB12"):
        return "journal"
    return finding.path.partition("/")[0] or "bank"


def _event(row: sqlite3.Row) -> CorruptionEvent:
    values = {name: row[name] for name in row.keys() if name != "fingerprint"}  # noqa: SIM118 - of a Row they are values
    success = values.pop("recovery_success")
    return CorruptionEvent(**values, recovery_success=None if success is None else bool(success))
