"""Messages that wait in `findings.sqlite` until their channel takes them, and how each channel has done.

Every function takes the open database and begins no transaction of its own, so callers decide what belongs together.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from memorybank_cli.alerts.breaker import LONGEST_OPEN, Breaker, Moment
from memorybank_cli.alerts.values import family_of
from memorybank_cli.base import clock
from memorybank_cli.base.exact_json import FlawedJSON, dumps, loads
from memorybank_cli.base.names import uuid7
from memorybank_cli.base.records import SEVERITIES

MOST = 200
"""Messages that wait for one channel; past that the older half become one."""
SUMMARISED = 50
"""Alerts that such a message still names, the worst first."""
_WAITS = "delivered_at IS NULL AND merged_into = ''"


class Waiting(NamedTuple):
    """A message that waits."""

    id: str
    channel: str
    notice: dict[str, Any]
    created_at: str
    tries: int = 0
    stands_for: int = 1


@dataclass(frozen=True)
class Delivery:
    """What became of a message."""

    notice: str
    channel: str
    created_at: str
    delivered_at: str | None
    tries: int
    reason: str
    """Why the last try failed, '' where it did not."""


def add(db: sqlite3.Connection, one: Waiting) -> None:
    """Let a message wait; one that is there already stays as it is. Where too many wait, the older half become one."""
    db.execute(
        "INSERT OR IGNORE INTO deliveries (id, channel, body, created_at, tries, stands_for) VALUES (?, ?, ?, ?, ?, ?)",
        (one.id, one.channel, dumps(one.notice).decode(), one.created_at, one.tries, one.stands_for),
    )
    if count(db, one.channel) > MOST:
        _condense(db, one.channel)


def count(db: sqlite3.Connection, channel: str) -> int:
    """Messages that wait for a channel."""
    [number] = db.execute(f"SELECT count(*) FROM deliveries WHERE channel = ? AND {_WAITS}", (channel,)).fetchone()  # noqa: S608
    return int(number)


def channels(db: sqlite3.Connection) -> dict[str, str]:
    """The channels for which something waits, each with the time of its oldest message."""
    rows = db.execute(f"SELECT channel, min(created_at) FROM deliveries WHERE {_WAITS} GROUP BY channel")  # noqa: S608
    return {str(row[0]): str(row[1]) for row in rows.fetchall()}


def oldest(db: sqlite3.Connection, channel: str, most: int, without: Iterable[str] = ()) -> list[Waiting]:
    """The messages that waited longest for a channel, at most `most`, but for some ids."""
    left = set(without)
    rows = db.execute(
        f"SELECT * FROM deliveries WHERE channel = ? AND {_WAITS} ORDER BY number LIMIT ?",  # noqa: S608
        (channel, most + len(left)),
    )
    return [_row(row) for row in rows if row["id"] not in left][:most]


def _row(row: sqlite3.Row) -> Waiting:
    """A row as a message; one that somebody tampered with still says that there was something to tell."""
    id, channel, created_at = str(row["id"]), str(row["channel"]), str(row["created_at"])
    try:
        notice = loads(str(row["body"]).encode(errors="replace"))
    except FlawedJSON:
        notice = None
    if not _is_notice(notice):
        words = {"id": id, "channel": channel, "group": "a damaged message", "bank": "", "created_at": created_at}
        notice = {**words, "alerts": [], "firing": 0, "resolved": 0}
    numbers = [one if isinstance(one, int) else 1 for one in (row["tries"], row["stands_for"])]
    return Waiting(id, channel, notice, created_at, *numbers)


def _is_notice(value: Any) -> bool:
    """Whether a value has what the words of a message are made from."""
    if not isinstance(value, dict) or not all(isinstance(value.get(key), str) for key in ("id", "group", "bank")):
        return False
    alerts, counts = value.get("alerts"), (value.get("firing"), value.get("resolved"))
    return isinstance(alerts, list) and all(type(one) is int for one in counts) and all(map(_is_alert, alerts))


def _is_alert(value: Any) -> bool:
    texts = ("fingerprint", "rule", "path", "message", "hint", "state")
    is_whole = isinstance(value, dict) and all(isinstance(value.get(key), str) for key in texts)
    return is_whole and value.get("severity") in SEVERITIES


def age(created_at: str) -> timedelta:
    """How long ago a message was made, by the clock on the wall: processes that died have no other. Never negative."""
    try:
        return max(timedelta(), datetime.now(UTC) - clock.parse(created_at))
    except (ValueError, OverflowError):
        return timedelta()


def delivered(db: sqlite3.Connection, channel: str, id: str) -> None:
    """A channel took a message; what it said is not kept."""
    db.execute(
        "UPDATE deliveries SET delivered_at = ?, body = '', reason = '', tries = tries + 1"
        " WHERE id = ? AND channel = ?",
        (clock.now(), id, channel),
    )


def failed(db: sqlite3.Connection, channel: str, id: str, reason: str, shorter: Mapping[str, Any] | None) -> None:
    """A channel did not take it; `shorter` is what is tried next where it was the message that it refused."""
    db.execute(
        "UPDATE deliveries SET tries = tries + 1, reason = ? WHERE id = ? AND channel = ?", (reason, id, channel)
    )
    if shorter is not None:
        db.execute(
            "UPDATE deliveries SET body = ? WHERE id = ? AND channel = ?", (dumps(shorter).decode(), id, channel)
        )


def readdress(db: sqlite3.Connection, channel: str, other: str) -> None:
    """Send what waits for a channel that is no more to another."""
    db.execute(f"UPDATE OR IGNORE deliveries SET channel = ? WHERE channel = ? AND {_WAITS}", (other, channel))  # noqa: S608


def deliveries(db: sqlite3.Connection, notices: Iterable[str]) -> list[Delivery]:
    """What became of notices, by their ids; of one that became part of another, what became of that."""
    found = []
    for id in notices:
        for row in db.execute("SELECT * FROM deliveries WHERE id = ? ORDER BY number", (id,)).fetchall():
            last = _last(db, row)
            found.append(
                Delivery(id, row["channel"], row["created_at"], last["delivered_at"], last["tries"], last["reason"])
            )
    return found


def _last(db: sqlite3.Connection, row: sqlite3.Row) -> sqlite3.Row:
    """The message that a message became part of, or itself; a chain that somebody damaged ends where it breaks."""
    known, query = set[str](), "SELECT * FROM deliveries WHERE id = ?"
    while row["merged_into"] not in {"", *known} and (more := db.execute(query, (row["merged_into"],)).fetchone()):
        known.add(row["merged_into"])
        row = more
    return row


def prune(db: sqlite3.Connection, before: str) -> int:
    """Forget what was delivered before a time, and what became part of that; how many rows it were."""
    gone = db.execute("DELETE FROM deliveries WHERE delivered_at < ?", (before,)).rowcount
    while more := db.execute(
        "DELETE FROM deliveries WHERE merged_into != '' AND merged_into NOT IN (SELECT id FROM deliveries)"
    ).rowcount:
        gone += more
    return gone


def merged(many: list[Waiting]) -> Waiting:
    """One message that stands for several: how many alerts there were, and the worst of them as they were last."""
    alerts = {one["fingerprint"]: one for each in many for one in each.notice["alerts"]}
    unnamed = {"firing": 0, "resolved": 0}
    for each in many:
        for state in unnamed:
            named = sum(one["state"] == state for one in each.notice["alerts"])
            unnamed[state] += max(0, int(each.notice[state]) - named)
    worst = sorted(
        alerts.values(),
        key=lambda one: (family_of(one["rule"]) == "security", SEVERITIES.index(one["severity"])),
        reverse=True,
    )
    notice = {
        **many[0].notice,
        "id": uuid7(),
        "group": many[0].notice["group"] if len({one.notice["group"] for one in many}) == 1 else "several groups",
        **{state: sum(one["state"] == state for one in worst) + more for state, more in unnamed.items()},
        "alerts": worst[:SUMMARISED],
    }
    return Waiting(notice["id"], many[0].channel, notice, many[0].created_at, 0, sum(one.stands_for for one in many))


def _condense(db: sqlite3.Connection, channel: str) -> None:
    """The oldest row becomes the message that stands for the older half, so it keeps its place in the queue."""
    first, *rest = many = oldest(db, channel, MOST // 2)
    one = merged(many)
    db.execute(
        "UPDATE deliveries SET id = ?, body = ?, stands_for = ?, tries = 0, reason = '' WHERE id = ? AND channel = ?",
        (one.id, dumps(one.notice).decode(), one.stands_for, first.id, channel),
    )
    db.execute(
        "INSERT INTO deliveries (id, channel, body, created_at, merged_into) VALUES (?, ?, '', ?, ?)",
        (first.id, channel, first.created_at, one.id),
    )
    db.executemany(
        "UPDATE deliveries SET body = '', merged_into = ? WHERE id = ? AND channel = ?",
        [(one.id, each.id, channel) for each in rest],
    )


def breakers(db: sqlite3.Connection) -> dict[str, Breaker]:
    """How each channel has done that ever failed."""
    return {row["name"]: _breaker(row) for row in db.execute("SELECT * FROM channels")}


def _breaker(row: sqlite3.Row) -> Breaker:
    """How a channel has done; as if it had never failed where somebody tampered with that."""
    kinds = {"failures": int, "since": str, "reason": str, "hint": str, "boot": str, "tried": float, "wait": float}
    if not all(type(row[name]) is kind for name, kind in kinds.items()):
        return Breaker()
    wait = min(row["wait"], LONGEST_OPEN)
    return Breaker(row["failures"], row["since"], row["reason"], row["hint"], Moment(row["boot"], row["tried"]), wait)


def keep_breaker(db: sqlite3.Connection, name: str, one: Breaker) -> None:
    """Remember how a channel has done, and that nobody sends to it now."""
    db.execute(
        "INSERT INTO channels (name, failures, since, reason, hint, boot, tried, wait) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (name) DO UPDATE SET failures = excluded.failures, since = excluded.since,"
        " reason = excluded.reason, hint = excluded.hint, boot = excluded.boot, tried = excluded.tried,"
        " wait = excluded.wait, claim = ''",
        (name, one.failures, one.since, one.reason, one.hint, one.tried.boot, one.tried.seconds, one.wait),
    )


def claim(db: sqlite3.Connection, name: str, who: str, now: Moment, seconds: float) -> bool:
    """Whether `who` may send to a channel for so long: one process at a time does, and one that died no longer."""
    row = db.execute("SELECT * FROM channels WHERE name = ?", (name,)).fetchone()
    if row is not None and row["claim"] not in ("", who):
        given, length = row["claimed"], row["claim_for"]
        is_sound = type(given) is float and type(length) is float
        passed = now.since(Moment(row["claim_boot"], given)) if is_sound else None
        if passed is not None and passed < min(length, LONGEST_OPEN):
            return False
    db.execute(
        "INSERT INTO channels (name, claim, claim_boot, claimed, claim_for) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (name) DO UPDATE SET claim = excluded.claim, claim_boot = excluded.claim_boot,"
        " claimed = excluded.claimed, claim_for = excluded.claim_for",
        (name, who, now.boot, now.seconds, seconds),
    )
    return True
