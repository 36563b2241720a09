"""What alerts are made of: one alert, and one message about several of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from memorybank_cli.base.records import Severity

State = Literal["firing", "resolved"]


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

    @property
    def section(self) -> str:
        """The top directory it is about, '' for the bank itself."""
        return self.path.partition("/")[0] if "/" in self.path else ""

    @property
    def family(self) -> str:
        """`security` for MB4 and what concerns permissions and links, else `performance`, `data`, `prediction`."""
        if self.rule.startswith("MB4") or self.rule[:4] in ("MB30",) and self.rule > "MB302":
            return "security"
        return {"5": "performance", "6": "prediction"}.get(self.rule[2], "data")

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
        }


@dataclass(frozen=True)
class Notice:
    """One message to one channel: a group of alerts, as many as fit, and how many there are in all."""

    id: str
    channel: str
    group: str
    """What its alerts have in common, such as `data error trades`."""
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
