"""What alerts are made of: one alert, and one message about several of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from memorybank_cli.base.groups import section
from memorybank_cli.base.records import Severity

State = Literal["pending", "firing", "resolved"]
"""A pending one was seen, but not for long enough to be told."""
Family = Literal["security", "performance", "prediction", "data"]
FAMILIES: tuple[Family, ...] = ("security", "performance", "prediction", "data")


_SECURITY = ("MB303", "MB304", "MB305", "MB308", "MB309", "MB4")


@cache
def family_of(rule: str) -> Family:
    """`security` for MB4 and who may read or write what, else `performance`, `prediction` or `data`."""
    if rule.startswith(_SECURITY):
        return "security"
    return "performance" if rule.startswith("MB5") else "prediction" if rule.startswith("MB6") else "data"


@dataclass(frozen=True)
class Alert:
    """A finding as people follow it: since when, until when, and how often it was seen. Times are RFC 3339."""

    fingerprint: str
    rule: str
    severity: Severity
    path: str
    message: str
    hint: str
    state: State
    first_seen: str
    last_seen: str
    resolved_at: str | None = None
    times: int = 1
    """How often it began to fire."""
    since: str = ""
    """When its present state began."""
    gone_at: str | None = None
    """When a security finding was gone whose alert still waits for somebody to acknowledge it."""
    acked_at: str | None = None
    acked_by: str = ""
    ack_reason: str = ""

    @property
    def section(self) -> str:
        """The top directory it is about, '' for the bank itself and the files at its top."""
        return section(self.path) or ("" if "." in self.path else self.path)

    @property
    def family(self) -> Family:
        """What kind of trouble it is."""
        return family_of(self.rule)

    @property
    def group(self) -> str:
        """The group that it is told with."""
        return f"{self.family} {self.severity} {self.section or 'bank'}"

    def as_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return {
            "fingerprint": self.fingerprint,
            "rule": self.rule,
            "severity": self.severity,
            "family": self.family,
            "section": self.section,
            "path": self.path,
            "message": self.message,
            "hint": self.hint,
            "state": self.state,
            "first_seen": self.first_seen,
            "last_seen": self.last_seen,
            "resolved_at": self.resolved_at,
            "times": self.times,
            "since": self.since,
            "gone_at": self.gone_at,
            "acked_at": self.acked_at,
            "acked_by": self.acked_by,
            "ack_reason": self.ack_reason,
        }


@dataclass(frozen=True)
class Notice:
    """One message to one channel: a group of alerts, as many as fit, and how many there are in all."""

    id: str
    channel: str
    group: str
    """What its alerts have in common, such as `data error trades`; `4 groups` where several are told at once."""
    bank: str
    """The bank's path."""
    created_at: str
    alerts: tuple[Alert, ...]
    firing: int
    resolved: int

    def as_dict(self) -> dict[str, Any]:
        """The fields by name; this is the body that webhooks get."""
        return {
            "id": self.id,
            "channel": self.channel,
            "group": self.group,
            "bank": self.bank,
            "created_at": self.created_at,
            "firing": self.firing,
            "resolved": self.resolved,
            "alerts": [one.as_dict() for one in self.alerts],
        }
