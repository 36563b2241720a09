"""The ledger of alerts in `findings.sqlite`: what was seen becomes pending, firing, resolved.

What flaps must be seen for a while before it fires, and is not told again soon after it was resolved. Who resolves what
is a matter of who can see it: a look that does not know a rule says nothing by not finding it. Security alerts stay
until somebody has acknowledged them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, Literal, NamedTuple

from memorybank_cli.alerts import ticks
from memorybank_cli.alerts.values import Alert, family_of
from memorybank_cli.bank.events import EventStore
from memorybank_cli.base import clock
from memorybank_cli.base.errors import NotFound
from memorybank_cli.base.records import SEVERITIES, Finding

Origin = Literal["watch", "health", "sampling", "alerting", "telling"]
"""Who looks: `watch`; a whole look by `health` or `maintain`; the sampling within `watch`; the alerting itself.

`telling` is that of the alerting of a `watch` too: it finds nothing, and says that somebody delivers.
"""

_ALONE: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("alerting", ("MB550", "MB551", "MB552", "MB553", "MB554", "MB555")),
    ("watch", ("MB117", "MB304", "MB308", "MB309", "MB52")),
    ("health", ("MB302", "MB130", "MB5", "MB6")),
)
"""Rules, by their beginnings, that one of them alone finds; the first row that fits holds. Others are found by both."""
_SEES: dict[Origin, tuple[str, ...]] = {
    "watch": ("watch", ""),
    "health": ("health", ""),
    "sampling": ("health",),
    "alerting": ("alerting",),
    "telling": (),
}
SIGNS_EVERY = 30.0
"""Seconds between two signs of a `watch` that it tells people."""
SILENT = 3 * SIGNS_EVERY
"""Seconds without a sign after which it counts as stopped, killed or failing."""
_FLAPPING = ("MB50", "MB51", "MB52", "MB53", "MB6")
_COLUMNS = "fingerprint, rule, severity, path, message, hint, state, first_seen, last_seen, resolved_at, times, since, gone_at, acked_at, acked_by, ack_reason"  # noqa: E501 - names
_LAST_SEEN = _COLUMNS.split(", ").index("last_seen")
_TEXTS = ("fingerprint", "rule", "path", "message", "hint", "first_seen", "since", "acked_by", "ack_reason")


@cache
def sees(origin: Origin, rule: str) -> bool:
    """Whether a look by `origin` that does not find `rule` says that it is gone."""
    finder = next((name for name, rules in _ALONE if rule.startswith(rules)), "")
    return finder in _SEES[origin]


class Changed(NamedTuple):
    """How many alerts a look changed."""

    opened: int
    """Began, came back, or became worse."""
    resolved: int


class Ledger:
    """The alerts of one bank. `wait` and `refractory` are in seconds."""

    def __init__(self, store: EventStore, wait: float = 60.0, refractory: float = 300.0) -> None:
        self.store, self.wait, self.refractory = store, wait, refractory

    def looked(self, findings: Iterable[Finding], origin: Origin) -> Changed:
        """A whole look by `origin` found these and nothing else."""
        found = {one.fingerprint: one for one in findings if one.severity != "info"}
        with self.store.writing() as db:
            act = _Act(db, self)
            known = {row["fingerprint"]: row for row in db.execute("SELECT * FROM alerts WHERE state != 'resolved'")}
            for row in known.values():
                _check(row)
            opened = sum([act.seen(one, known.get(name)) for name, one in found.items()])
            gone = [row for name, row in known.items() if name not in found and sees(origin, row["rule"])]
            resolved = sum([act.gone(row) for row in gone])
            db.execute("INSERT OR REPLACE INTO alert_looks VALUES (?, ?, ?)", (origin, act.now, act.tick))
        return Changed(opened, resolved)

    def told(self, opened: Iterable[Finding], resolved: Iterable[Finding]) -> Changed:
        """Some findings are there now, and some are gone; nothing is said of others."""
        with self.store.writing() as db:
            act = _Act(db, self)
            there = {one.fingerprint: one for one in opened if one.severity != "info"}
            count = sum([act.seen(one, _row(db, name)) for name, one in there.items()])
            rows = [_row(db, one.fingerprint) for one in resolved if one.fingerprint not in there]
            gone = sum([act.gone(row) for row in rows if row is not None and row["state"] != "resolved"])
        return Changed(count, gone)

    def acknowledge(self, fingerprint: str, by: str, reason: str) -> Alert:
        """Somebody has seen to it: it is not repeated, and may be resolved. Raises NotFound."""
        with self.store.writing() as db:
            row = self._named(fingerprint)
            act = _Act(db, self)
            values = (act.now, by, reason, row["fingerprint"])
            db.execute("UPDATE alerts SET acked_at = ?, acked_by = ?, ack_reason = ? WHERE fingerprint = ?", values)
            if row["gone_at"] and row["state"] == "firing":
                act.resolve(row)
        return self.one(row["fingerprint"])

    def one(self, fingerprint: str) -> Alert:
        """The alert by its fingerprint or the beginning of it. Raises NotFound."""
        name = self._named(fingerprint)["fingerprint"]
        query = f"SELECT {_COLUMNS} FROM alerts WHERE fingerprint = ?"  # noqa: S608 - words of ours
        return _reader(self.looks())(self.store.db.execute(query, (name,)).fetchone())

    def firing(self) -> list[Alert]:
        """All that fire, the oldest first."""
        return list(self._select("state = 'firing' ORDER BY since, fingerprint"))

    def resolved(self) -> list[Alert]:
        """All that are resolved and still kept, the newest last."""
        return list(self._select("state = 'resolved' ORDER BY resolved_at, fingerprint"))

    def over(self) -> list[Alert]:
        """Those resolved ones of which a channel still takes it that they fire."""
        return list(self._select("state = 'resolved' AND fingerprint IN (SELECT fingerprint FROM alert_told)"))

    def pending(self) -> list[Alert]:
        """All that were seen and do not fire yet."""
        return list(self._select("state = 'pending' ORDER BY since, fingerprint"))

    def counts(self) -> dict[str, int]:
        """How many alerts there are in each state."""
        found = dict(map(tuple, self.store.db.execute("SELECT state, count(*) FROM alerts GROUP BY state")))
        return {state: found.get(state, 0) for state in ("firing", "pending", "resolved")}

    def quiet(self) -> dict[str, float]:
        """Until which tick firing alerts are not told anew, by fingerprint."""
        query = "SELECT fingerprint, quiet_until FROM alerts WHERE state = 'firing' AND quiet_until > 0"
        return dict(map(tuple, self.store.db.execute(query)))

    def looks(self) -> dict[Origin, str]:
        """When each origin looked last. Raises sqlite3.DatabaseError where that is no time."""
        return {row["origin"]: _time(row["at"]) for row in self.store.db.execute("SELECT * FROM alert_looks")}

    def since_look(self, *origins: Origin) -> float | None:
        """Seconds since the last look by one of them, by a clock that nobody can set; None where there was none."""
        now = ticks.read(self.store.db)
        rows = self.store.db.execute("SELECT origin, tick FROM alert_looks WHERE typeof(tick) = 'real'")
        return min((max(0.0, now - row["tick"]) for row in rows if row["origin"] in origins), default=None)

    def is_told(self) -> bool | None:
        """Whether the `watch` that runs tells people, by its last sign; None where none runs, or it never gave one."""
        age = self.since_look("telling")
        return None if age is None else age <= SILENT

    def tells(self, alive: bool = True) -> None:
        """A `watch` tells people, as of now; or, not `alive`, has come to its end."""
        with self.store.writing() as db:
            db.execute("DELETE FROM alert_looks WHERE origin = 'telling'")
            if alive:
                db.execute("INSERT INTO alert_looks VALUES ('telling', ?, ?)", (clock.now(), ticks.advance(db)))

    def prune(self, days: float) -> int:
        """Forget alerts and silences that ended so many days ago; how many."""
        from datetime import UTC, datetime, timedelta

        before = clock.show(datetime.now(UTC) - timedelta(days=days))
        with self.store.writing() as db:
            told = "fingerprint NOT IN (SELECT fingerprint FROM alert_told)"
            query = f"DELETE FROM alerts WHERE state = 'resolved' AND resolved_at < ? AND {told}"  # noqa: S608 - no values
            count = db.execute(query, (before,)).rowcount
            rest = (ticks.advance(db) - days * 86_400,)
            db.execute("DELETE FROM alert_groups WHERE waiting IS NULL AND coalesce(told, 0) < ?", rest)
            return count + db.execute("DELETE FROM alert_silences WHERE ends_at < ?", (before,)).rowcount

    def _select(self, condition: str) -> Iterator[Alert]:
        query = f"SELECT {_COLUMNS} FROM alerts WHERE {condition}"  # noqa: S608 - words of ours
        return map(_reader(self.looks()), self.store.db.execute(query))

    def _named(self, fingerprint: str) -> sqlite3.Row:
        query = "SELECT * FROM alerts WHERE substr(fingerprint, 1, ?) = ? ORDER BY fingerprint LIMIT 2"
        rows = self.store.db.execute(query, (len(fingerprint), fingerprint)).fetchall() if fingerprint else []
        if len(rows) == 1:
            found: sqlite3.Row = rows[0]
            return found
        what = "several alerts begin with" if rows else "there is no alert"
        raise NotFound(f"{what} '{fingerprint:.40}'", hint="memorybank alert list --all shows them")


def _reader(looks: dict[Origin, str]) -> Callable[[sqlite3.Row], Alert]:
    """A function from a row to its alert. A look that could have resolved it and did not has seen it."""

    @cache
    def seen(rule: str) -> str:
        return max((at for origin, at in looks.items() if sees(origin, rule)), default="")

    def read(row: sqlite3.Row) -> Alert:
        _check(row)
        values = list(row)
        if row["state"] != "resolved" and not row["gone_at"]:
            values[_LAST_SEEN] = max(row["last_seen"], seen(row["rule"]))
        return Alert(*values)

    return read


def _check(row: sqlite3.Row) -> None:
    """Raise sqlite3.DatabaseError for a row that nobody of ours wrote."""
    is_whole = all(type(row[name]) is str for name in _TEXTS) and type(row["times"]) is int
    if not is_whole or row["severity"] not in SEVERITIES or row["state"] not in ("pending", "firing", "resolved"):
        raise sqlite3.DatabaseError("an alert in it is damaged")
    _time(row["last_seen"])


def _time(value: Any) -> str:
    try:
        clock.parse(value)
    except (ValueError, TypeError):
        raise sqlite3.DatabaseError("a time in it is damaged") from None
    return str(value)


def _row(db: sqlite3.Connection, fingerprint: str) -> sqlite3.Row | None:
    found: sqlite3.Row | None = db.execute("SELECT * FROM alerts WHERE fingerprint = ?", (fingerprint,)).fetchone()
    return found


class _Act:
    """What happens to alerts within one transaction, all at one moment."""

    def __init__(self, db: sqlite3.Connection, ledger: Ledger) -> None:
        self.db, self.ledger = db, ledger
        self.now, self.tick = clock.now(), ticks.advance(db)

    def seen(self, one: Finding, known: sqlite3.Row | None) -> bool:
        """The finding is there; whether that is news."""
        row = known if known is not None else _row(self.db, one.fingerprint)
        if row is None or row["state"] == "resolved":
            self._begin(one, row)
            return True
        news = False
        if row["gone_at"]:
            # It was away and nobody has seen to it: that it is here again is news to those who were told.
            news = True
            self._set(row, gone_at=None, times=row["times"] + 1, since=self.now)
        waited = self.tick - row["since_tick"] >= self.ledger.wait
        if row["state"] == "pending" and (waited or not _flaps(one)):
            news = True
            self._set(row, state="firing", since=self.now, since_tick=self.tick, times=row["times"] + 1)
        if (one.severity, one.message, one.hint) != (row["severity"], row["message"], row["hint"]):
            worse = SEVERITIES.index(one.severity) > SEVERITIES.index(row["severity"])
            acked = None if worse else row["acked_at"]  # what was acknowledged was something less
            words = {"severity": one.severity, "message": one.message, "hint": one.hint}
            self._set(row, **words, last_seen=self.now, acked_at=acked)
            news = news or worse
        return news

    def _begin(self, one: Finding, row: sqlite3.Row | None) -> None:
        fires = self.ledger.wait <= 0 or not _flaps(one)
        values = {
            "fingerprint": one.fingerprint,
            "rule": one.rule,
            "severity": one.severity,
            "path": one.path,
            "message": one.message,
            "hint": one.hint,
            "state": "firing" if fires else "pending",
            "first_seen": row["first_seen"] if row is not None else self.now,
            "last_seen": self.now,
            "times": (row["times"] if row is not None else 0) + fires,
            "since": self.now,
            "since_tick": self.tick,
            "quiet_until": row["quiet_until"] if row is not None else 0.0,
            "acked_by": "",
            "ack_reason": "",
        }
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        self.db.execute(f"INSERT OR REPLACE INTO alerts ({names}) VALUES ({marks})", (*values.values(),))  # noqa: S608 - ours

    def gone(self, row: sqlite3.Row) -> bool:
        """The finding is there no more; whether its alert is resolved by that."""
        if row["state"] == "pending":
            if not row["times"]:
                self.db.execute("DELETE FROM alerts WHERE fingerprint = ?", (row["fingerprint"],))
            else:
                self.resolve(row)
            return False
        if family_of(row["rule"]) == "security" and not row["acked_at"]:
            if not row["gone_at"]:
                self._set(row, gone_at=self.now, last_seen=self.now)
            return False
        self.resolve(row)
        return True

    def resolve(self, row: sqlite3.Row) -> None:
        """It is over. What is security is never kept quiet afterwards."""
        rests = 0.0 if family_of(row["rule"]) == "security" else self.tick + self.ledger.refractory
        self._set(row, state="resolved", resolved_at=self.now, since=self.now, since_tick=self.tick, quiet_until=rests)

    def _set(self, row: sqlite3.Row, **values: Any) -> None:
        names = ", ".join(f"{name} = ?" for name in values)
        query = f"UPDATE alerts SET {names} WHERE fingerprint = ?"  # noqa: S608 - names of ours
        self.db.execute(query, (*values.values(), row["fingerprint"]))


def _flaps(one: Finding) -> bool:
    return one.rule.startswith(_FLAPPING) and one.severity == "warning"
