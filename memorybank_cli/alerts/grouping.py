"""From alerts that fire to messages: groups that wait for more of the same, and no more messages than people can read.

For each channel it is kept what it was told, so an alert is told once when it begins, once when it is over, and again
after the repeat interval. A channel has a small allowance of messages that fills up by one a minute: with the last of
it everything that is due is told in one message, and when none is left it waits. Nothing is left out for good.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import inf

from memorybank_cli.alerts import ticks
from memorybank_cli.alerts.inhibition import Inhibitions
from memorybank_cli.alerts.ledger import Ledger
from memorybank_cli.alerts.routing import Timing
from memorybank_cli.alerts.settings import Policy
from memorybank_cli.alerts.silences import Silence
from memorybank_cli.alerts.values import Alert, Notice
from memorybank_cli.base import clock
from memorybank_cli.base.names import uuid7
from memorybank_cli.base.records import SEVERITIES

SHOWN = 20
"""Alerts that stand in one message; the others are counted."""
REFILL = 60.0
"""Seconds in which a channel's allowance grows by one message."""
TERMINAL = "terminal"
_RANKS: dict[str, int] = {severity: rank for rank, severity in enumerate(SEVERITIES)}

Muted = Callable[[Alert], str]


@dataclass
class Group:
    """What one channel is to be told together."""

    channel: str
    name: str
    timing: Timing
    waiting: float | None = None
    """Since when something waits to be told."""
    told: float | None = None
    """When the last message was."""
    fresh: list[Alert] = field(default_factory=list)
    """Begun, or worse than what was told."""
    gone: list[Alert] = field(default_factory=list)
    """Told as firing, and resolved since."""
    known: list[Alert] = field(default_factory=list)
    """Told, and firing still."""

    def due(self, tick: float, at_once: bool) -> float:
        """The tick at which it is to be told; infinity for never."""
        if self.fresh or self.gone:
            began = tick if self.waiting is None else self.waiting
            opening = began if at_once else began + self.timing.group_wait
            return opening if self.told is None else max(opening, self.told + self.timing.group_interval)
        if self.known and self.told is not None:
            return self.told + self.timing.repeat_interval
        return inf

    @property
    def urgency(self) -> tuple[bool, int]:
        """The larger, the sooner: security first, then by severity."""
        alerts = [*self.fresh, *self.known, *self.gone]
        return (
            any(one.family == "security" for one in alerts),
            max((_RANKS[one.severity] for one in alerts), default=0),
        )


def muting(firing: Iterable[Alert], silences: Iterable[Silence]) -> Muted:
    """A function that says why an alert is not told, '' for one that is."""
    causes, kept = Inhibitions(firing), list(silences)

    def muted(alert: Alert) -> str:
        for one in kept:
            if one.covers(alert):
                return f"silenced until {one.ends_at} by {one.id}: {one.reason}"
        cause = causes.of(alert)
        if cause is None:
            return ""
        where = f" {cause[0].path}" if cause[0].path else ""
        return f"inhibited by {cause[0].rule}{where}: {cause[1]}"

    return muted


class Grouping:
    """The groups of one bank. `terminal` is the name under which what this process's terminal was told is kept."""

    def __init__(self, ledger: Ledger, policy: Policy, bank: str, terminal: str = "") -> None:
        self.ledger, self.policy, self.bank, self.terminal = ledger, policy, bank, terminal
        self._kept: dict[tuple[str, str], tuple[float | None, float | None]] = {}

    @property
    def db(self) -> sqlite3.Connection:
        """The database as it is open now."""
        return self.ledger.store.db

    def notices(self, silences: Iterable[Silence], at_once: bool = False) -> tuple[list[Notice], float]:
        """What is to be told now, and in how many seconds something may be due; in a transaction of the caller's.

        What is returned counts as told. With `at_once` no group waits for its first message: nothing comes after.
        """
        tick = ticks.advance(self.db)
        groups, later = self._groups(tick, list(silences))
        due: dict[str, list[Group]] = {}
        for group in groups:
            at = group.due(tick, at_once)
            if at <= tick:
                due.setdefault(group.channel, []).append(group)
            else:
                self._keep_waiting(group, tick)
                later = min(later, at)
        told: list[Notice] = []
        for channel, found in due.items():
            notices, more = self._told(channel, found, tick)
            told += notices
            later = min(later, more)
        return told, later - tick

    def _groups(self, tick: float, silences: list[Silence]) -> tuple[list[Group], float]:
        firing, quiet, later = self.ledger.firing(), self.ledger.quiet(), inf
        muted, targets = muting(firing, silences), self.policy.routing.targeting()
        told, groups = self._told_before(), dict[tuple[str, str], Group]()
        rows = self.db.execute("SELECT channel, name, waiting, told FROM alert_groups")
        self._kept = {(channel, name): (waiting, at) for channel, name, waiting, at in rows if self._is_ours(channel)}
        for alert in firing:
            reason, rests, name = muted(alert), quiet.get(alert.fingerprint, 0.0), alert.group
            for channel, timing in self._reachable(targets(alert)):
                before = told.get(channel, {}).pop(alert.fingerprint, None)
                if reason or alert.acked_at:
                    continue
                group = self._group(groups, channel, name, timing)
                worse = before is None or _RANKS[alert.severity] > _RANKS[before[0]]
                if worse and rests > tick:
                    later = min(later, rests)
                else:
                    (group.fresh if worse else group.known).append(alert)
        self._add_gone(told, groups)
        for key in self._kept.keys() - groups.keys():
            groups[key] = Group(
                *key, Timing(0.0, 0.0, inf), *self._kept[key]
            )  # what waited may be gone: so that it ends
        return list(groups.values()), later

    def _add_gone(self, told: dict[str, dict[str, tuple[str, str]]], groups: dict[tuple[str, str], Group]) -> None:
        """What channels were told of and does not fire for them any more."""
        resolved = {one.fingerprint: one for one in self.ledger.over()} if any(told.values()) else {}
        for channel, alerts in told.items():
            for fingerprint, (_, name) in alerts.items():
                alert = resolved.get(fingerprint)
                if alert is not None:
                    timing = self.policy.routing.targets(alert).get(channel.partition(":")[0])
                    self._group(groups, channel, name, timing or Timing(0.0, 0.0, inf)).gone.append(alert)

    def _reachable(self, targets: dict[str, Timing]) -> Iterable[tuple[str, Timing]]:
        for channel, timing in targets.items():
            if channel != TERMINAL:
                yield channel, timing
            elif self.terminal:
                yield self.terminal, timing

    def _told_before(self) -> dict[str, dict[str, tuple[str, str]]]:
        """What each channel was told: severity and group by fingerprint; of terminals only this one."""
        found: dict[str, dict[str, tuple[str, str]]] = {}
        for row in self.db.execute("SELECT * FROM alert_told"):
            if self._is_ours(row["channel"]):
                found.setdefault(row["channel"], {})[row["fingerprint"]] = (row["severity"], row["name"])
        return found

    def _is_ours(self, channel: str) -> bool:
        """Whether it is no terminal of another process."""
        return channel == self.terminal or channel.partition(":")[0] != TERMINAL

    def _group(self, groups: dict[tuple[str, str], Group], channel: str, name: str, timing: Timing) -> Group:
        key = (channel, name)
        group = groups.get(key)
        if group is None:
            group = groups[key] = Group(channel, name, timing, *self._kept.get(key, (None, None)))
        elif group.timing is not timing:
            group.timing = Timing(*map(min, group.timing, timing))
        return group

    def _keep_waiting(self, group: Group, tick: float) -> None:
        waits = bool(group.fresh or group.gone)
        if waits != (group.waiting is not None):
            self._keep(group, tick if waits else None, group.told, None)

    def _keep(self, group: Group, waiting: float | None, told: float | None, notice: str | None) -> None:
        query = (
            "INSERT INTO alert_groups VALUES (:channel, :name, :waiting, :told, :notice) ON CONFLICT DO UPDATE SET"
            " waiting = :waiting, told = :told, notice = coalesce(:notice, notice)"
        )
        values = {"channel": group.channel, "name": group.name, "waiting": waiting, "told": told, "notice": notice}
        self.db.execute(query, values)

    def _told(self, channel: str, due: list[Group], tick: float) -> tuple[list[Notice], float]:
        """Messages for one channel as far as its allowance goes, and when there is more of it where some must wait."""
        due.sort(key=lambda group: group.urgency, reverse=True)
        row = self.db.execute("SELECT * FROM alert_allowance WHERE channel = ?", (channel,)).fetchone()
        most = float(self.policy.messages)
        left = most if row is None else min(most, row["messages"] + (tick - row["tick"]) / REFILL)
        if left < 1:
            for group in due:
                self._keep_waiting(group, tick)
            return [], tick + (1 - left) * REFILL
        alone = len(due) if len(due) <= left else int(left) - 1
        parts = [[group] for group in due[:alone]] + ([due[alone:]] if due[alone:] else [])
        self.db.execute("INSERT OR REPLACE INTO alert_allowance VALUES (?, ?, ?)", (channel, left - len(parts), tick))
        return [self._notice(channel, part, tick) for part in parts], inf

    def _notice(self, channel: str, groups: list[Group], tick: float) -> Notice:
        fresh = _worst_first(one for group in groups for one in group.fresh)
        gone = _worst_first(one for group in groups for one in group.gone)
        known = _worst_first(one for group in groups for one in group.known)
        name = groups[0].name if len(groups) == 1 else f"{len(groups):,} groups"
        alerts = tuple([*fresh, *gone, *known][:SHOWN])
        counts = len(fresh) + len(known), len(gone)
        notice = Notice(uuid7(), channel.partition(":")[0], name, self.bank, clock.now(), alerts, *counts)
        for group in groups:
            self._keep(group, None, tick, notice.id)
            rows = [(channel, one.fingerprint, one.severity, group.name) for one in group.fresh]
            self.db.executemany("INSERT OR REPLACE INTO alert_told VALUES (?, ?, ?, ?)", rows)
            over = [(channel, one.fingerprint) for one in group.gone]
            self.db.executemany("DELETE FROM alert_told WHERE channel = ? AND fingerprint = ?", over)
        return notice


def _worst_first(alerts: Iterable[Alert]) -> list[Alert]:
    """Security first: what a message has no room for must not be that."""
    return sorted(alerts, key=lambda one: (one.family != "security", -_RANKS[one.severity], one.rule, one.path))


def forget_terminals(db: sqlite3.Connection, alive: Callable[[str], bool]) -> None:
    """Forget what terminals were told whose process has ended: the next one is told afresh."""
    for table in ("alert_told", "alert_groups", "alert_allowance"):
        names = [row[0] for row in db.execute(f"SELECT DISTINCT channel FROM {table}")]  # noqa: S608 - ours
        for name in names:
            kind, _, process = name.partition(":")
            if kind == TERMINAL and not alive(process):
                db.execute(f"DELETE FROM {table} WHERE channel = ?", (name,))  # noqa: S608 - ours
