"""What people decide about alerts, as lines of the journal: who silenced or acknowledged what, why, and until when.

`findings.sqlite` holds what is in force; where it is a new one the silences come back from the journal.
"""

from __future__ import annotations

from contextlib import suppress

from memorybank_cli.alerts import ticks
from memorybank_cli.alerts.silences import Silence, Silences, read
from memorybank_cli.alerts.values import Alert
from memorybank_cli.bank import baseline
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.events import EventStore
from memorybank_cli.bank.journal import Entry
from memorybank_cli.base.errors import JournalDamaged

SILENCED, UNSILENCED, ACKNOWLEDGED = "silence.begun", "silence.ended", "alert.acknowledged"
IN_A_LINE = 1_000


def silenced(bank: Bank, one: Silence) -> None:
    """Record that a silence begins. Raises Locked, CopiedBank, OSError."""
    fields = {"silence": one.id, "match": one.matcher.as_dict(), "until": one.ends_at, "reason": one.reason}
    _record(bank, [Entry(SILENCED, fields)])


def unsilenced(bank: Bank, one: Silence) -> None:
    """Record that one is ended early. Raises as `silenced`."""
    _record(bank, [Entry(UNSILENCED, {"silence": one.id})])


def acknowledged(bank: Bank, alerts: list[Alert], reason: str) -> None:
    """Record who saw to which alerts. Raises as `silenced`."""
    rows = [{"fingerprint": one.fingerprint, "rule": one.rule, "path": one.path} for one in alerts]
    parts = [rows[start : start + IN_A_LINE] for start in range(0, len(rows), IN_A_LINE)]
    _record(bank, [Entry(ACKNOWLEDGED, {"alerts": part, "reason": reason}) for part in parts])


def _record(bank: Bank, entries: list[Entry]) -> None:
    try:
        baseline.begin(bank)
        bank.commit(entries)
    except JournalDamaged as error:
        # Alerts about the damage itself must be acknowledged, and somebody who repairs it wants silence meanwhile.
        bank.context.progress.note(f"this was not recorded in the journal: {error.message}")


def recall(bank: Bank, store: EventStore) -> None:
    """Let silences hold again that the journal knows, where the store is a new one. Raises sqlite3.DatabaseError."""
    if ticks.began(store.db):
        return
    known = _begun(bank)
    with store.writing() as db:
        ticks.advance(db)
        for one in known:
            Silences(store).put(one)


def _begun(bank: Bank) -> list[Silence]:
    """The silences that nobody ended and whose time is not over."""
    found: dict[str, Silence] = {}
    for line in bank.journal.lines(0, (b'"silence.',)):
        if line.op == SILENCED:
            core = line.core
            with suppress(ValueError):  # a line of another version
                one = read(*(core.get(name) for name in ("silence", "match", "reason", "ts", "actor", "until")))
                found[one.id] = one
        elif line.op == UNSILENCED:
            found.pop(str(line.core.get("silence")), None)
    return [one for one in found.values() if one.active]
