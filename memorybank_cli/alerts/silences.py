"""Silences: what somebody does not want to hear of, why, and until when."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from memorybank_cli.alerts import ticks
from memorybank_cli.alerts.matching import Matcher, matcher
from memorybank_cli.alerts.values import Alert
from memorybank_cli.bank.events import EventStore
from memorybank_cli.base import clock
from memorybank_cli.base.errors import NotFound, UsageError
from memorybank_cli.base.exact_json import dumps, loads

LONGEST = timedelta(days=90)


@dataclass(frozen=True)
class Silence:
    """One of them. Times are RFC 3339."""

    id: str
    matcher: Matcher
    reason: str
    created_at: str
    created_by: str
    ends_at: str
    active: bool

    def covers(self, alert: Alert) -> bool:
        """Whether an alert is not told because of it; a security alert only where its very rule is named."""
        meant = alert.family != "security" or alert.rule in self.matcher.rules
        return self.active and meant and self.matcher.fits(alert)

    def as_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return {
            "id": self.id,
            "match": self.matcher.as_dict(),
            "reason": self.reason,
            "created_at": self.created_at,
            "created_by": self.created_by,
            "ends_at": self.ends_at,
            "active": self.active,
        }


class Silences:
    """The silences of one bank."""

    def __init__(self, store: EventStore) -> None:
        self.store = store

    def add(
        self, what: Matcher, reason: str, by: str, until: datetime, record: Callable[[Silence], None] = lambda _: None
    ) -> Silence:
        """Begin one; `record` is called before it holds. Raises UsageError without condition, reason or a near end."""
        now = datetime.now(UTC)
        if what == Matcher():
            raise UsageError("which alerts?", hint="--rule, --severity, --section, --family or --path says which")
        if not reason.strip():
            raise UsageError("a silence needs a reason", hint='--reason "the disk is replaced on Monday"')
        if not now < until <= now + LONGEST:
            raise UsageError(
                f"a silence ends after now and within {LONGEST.days} days",
                hint="--until 4h, 2d or 2026-12-01T08:00:00Z",
            )
        one = Silence(os.urandom(6).hex(), what, reason, clock.show(now), by, clock.show(until), True)
        record(one)
        with self.store.writing():
            self.put(one)
        return self.one(one.id)

    def put(self, one: Silence) -> None:
        """Let one hold, in a transaction of the caller's; one that is there stays as it is."""
        ends_tick = ticks.advance(self.store.db) + (clock.parse(one.ends_at) - datetime.now(UTC)).total_seconds()
        match = dumps(one.matcher.as_dict()).decode()
        row = (one.id, match, one.reason, one.created_at, one.created_by, one.ends_at, ends_tick)
        self.store.db.execute("INSERT OR IGNORE INTO alert_silences VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def end(self, name: str) -> Silence:
        """End one now. Raises NotFound."""
        with self.store.writing() as db:
            found = self.one(name)
            tick = ticks.advance(db)
            if found.active:
                db.execute(
                    "UPDATE alert_silences SET ends_at = ?, ends_tick = ? WHERE id = ?", (clock.now(), tick, name)
                )
        return self.one(name)

    def one(self, name: str) -> Silence:
        """The silence by its id. Raises NotFound."""
        for found in self.all():
            if found.id == name:
                return found
        raise NotFound(f"there is no silence '{name:.40}'", hint="memorybank alert silence lists them")

    def all(self) -> list[Silence]:
        """All that are kept, those that end last at the end."""
        db = self.store.db
        tick = ticks.read(db)
        return [_silence(row, tick) for row in db.execute("SELECT * FROM alert_silences ORDER BY ends_at, id")]

    def active(self) -> list[Silence]:
        """Those that hold now."""
        return [one for one in self.all() if one.active]


def read(name: Any, match: Any, reason: Any, created_at: Any, created_by: Any, ends_at: Any) -> Silence:
    """A silence as JSON has it, in force until it ends by the clock on the wall. Raises ValueError where it is none."""
    texts = (name, reason, created_at, created_by, ends_at)
    if not all(isinstance(one, str) for one in texts) or not isinstance(match, dict):
        raise ValueError("it is no silence")
    try:
        what = matcher(match)
    except UsageError as error:
        raise ValueError(error.message) from None
    return Silence(name, what, reason, created_at, created_by, ends_at, clock.parse(ends_at) > datetime.now(UTC))


def _silence(row: sqlite3.Row, tick: float) -> Silence:
    # It ends when either clock says so: set back, the wall clock alone would keep it for longer than anybody wanted.
    names = ("reason", "created_at", "created_by", "ends_at")
    try:
        found = read(row["id"], loads(str(row["matcher"]).encode()), *(row[name] for name in names))
        return replace(found, active=found.active and row["ends_tick"] > tick)
    except (ValueError, TypeError):
        raise sqlite3.DatabaseError("a silence in it is damaged") from None
