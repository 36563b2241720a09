"""Silences and routes: what is not told for a while, and what goes where."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Literal

from memorybank_cli.alerts import settings
from memorybank_cli.alerts.ledger import Ledger
from memorybank_cli.alerts.outbox import Outbox
from memorybank_cli.alerts.routing import Route, Step, Timing
from memorybank_cli.alerts.silences import Silence, Silences
from memorybank_cli.alerts.values import Alert
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.events import EventStore
from memorybank_cli.base import clock
from memorybank_cli.base.errors import UsageError
from memorybank_cli.base.names import escape_text
from memorybank_cli.base.records import Finding, Severity, at_least
from memorybank_cli.base.rules import RULES
from memorybank_cli.base.words import counted
from memorybank_cli.operations import alert_journal
from memorybank_cli.operations.alert_keeping import opened
from memorybank_cli.operations.alerts import Family, Path, Rule, Section, conditions, mute_of
from memorybank_cli.operations.alerts import Severity as SeverityOption
from memorybank_cli.operations.options import Option


@dataclass(frozen=True)
class SilenceReport:
    """The silences, and the one that was begun or ended now."""

    silences: tuple[Silence, ...]
    changed: Silence | None = None
    covers: int = 0
    """How many alerts that fire now are not told because of it."""

    def as_dict(self) -> dict[str, Any]:
        """`silences`, `changed` (one of them or null) and `covers`."""
        changed = self.changed.as_dict() if self.changed else None
        return {"silences": [one.as_dict() for one in self.silences], "changed": changed, "covers": self.covers}

    def summary(self) -> str:
        """What holds now."""
        if self.changed is None:
            return f"{counted(sum(one.active for one in self.silences), 'silence')} in force"
        if not self.changed.active:
            return f"Silence {self.changed.id} has ended"
        now = counted(self.covers, "alert")
        return f"Silence {self.changed.id} holds until {self.changed.ends_at[:19]}Z; it covers {now} that fire now"


@dataclass(frozen=True)
class RouteReport:
    """The routes that hold, and what they do with one alert."""

    routes: tuple[Route, ...]
    default: tuple[str, ...]
    channels: dict[str, str]
    """The kind of each channel, by name."""
    alert: Alert | None
    steps: tuple[Step, ...]
    """What each route said of the alert."""
    targets: dict[str, Timing]
    muted: str
    """Why the alert would not be told now, '' where it would."""
    findings: tuple[Finding, ...]
    explain: bool

    def as_dict(self) -> dict[str, Any]:
        """`routes`, `default`, `channels`, `findings`; of an alert `alert`, `steps`, `targets` and `muted`."""
        return {
            "routes": [one.as_dict() for one in self.routes],
            "default": list(self.default),
            "channels": self.channels,
            "alert": self.alert.as_dict() if self.alert else None,
            "steps": [one._asdict() for one in self.steps],
            "targets": {name: timing._asdict() for name, timing in self.targets.items()},
            "muted": self.muted,
            "findings": [one.as_dict() for one in self.findings],
            "explain": self.explain,
        }

    def exit_code(self) -> int:
        """1 where settings cannot be used, or a channel fails."""
        return 1 if at_least(self.findings, "error") else 0

    def summary(self) -> str:
        """Where it goes."""
        if self.alert is None:
            return f"{counted(len(self.routes), 'route')}; what none takes goes to {', '.join(self.default)}"
        where = ", ".join(self.targets) or "nowhere, by a route that says so"
        return f"{self.alert.rule} goes to {where}" + (f", but is not told now: {self.muted}" if self.muted else "")


def silence(
    bank: Bank,
    *,
    rule: Rule = (),
    family: Family = (),
    severity: SeverityOption = None,
    section: Section = (),
    path: Path = (),
    until: Annotated[str, Option("when it ends: 4h, 2d, or a time; 90 days at most", metavar="T")] = "",
    reason: Annotated[str, "why, for those who wonder"] = "",
    end: Annotated[str, Option("end this silence now", metavar="ID")] = "",
) -> SilenceReport:
    """Silence alerts for a while, or list the silences.

    Every condition that is given must hold. Silenced alerts stay in `memorybank alert list`; they are told when the
    silence ends and they still fire. Alerts of the family security are silenced only where their very rule is named.

    Exit codes:
        0   done
        2   no condition, no reason, or no end
        10  there is no such silence to end

    Examples:
        memorybank alert silence --rule MB301 --section trades --until 2d --reason "archiving on Monday"
        memorybank alert silence
        memorybank alert silence --end 1f0c9a3e77d2
    """
    wanted = conditions(rule, family, severity, section, path)
    asked = any((rule, family, severity, section, path, until, reason))
    if asked and end:
        raise UsageError("--end goes with nothing else")
    with opened(bank) as store:
        silences, changed, covers = Silences(store), None, 0
        if end:
            changed = silences.one(end)
            if changed.active:
                alert_journal.unsilenced(bank, changed)
                changed = silences.end(end)
        elif asked:
            changed = silences.add(
                wanted, escape_text(reason), bank.journal.actor, _moment(until), partial(alert_journal.silenced, bank)
            )
            covers = sum(changed.covers(one) for one in Ledger(store).firing())
        return SilenceReport(tuple(silences.all()), changed, covers)


def _moment(text: str) -> datetime:
    if not text:
        raise UsageError("until when?", hint="--until 4h, 2d or 2026-12-01T08:00:00Z")
    try:
        return clock.parse(text)
    except ValueError:
        pass
    try:
        return datetime.now(UTC) + clock.span(text)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def route(
    bank: Bank,
    alert: Annotated[str, Option("a rule such as MB101, or the fingerprint of an alert")] = "",
    *,
    path: Annotated[str, Option("the path that the rule would be about", metavar="P")] = "",
    severity: Annotated[
        Literal["info", "warning", "error", "critical"] | None, "the severity it would have; default: the rule's own"
    ] = None,
    explain: Annotated[bool, "say what each route said of it, and why"] = False,
) -> RouteReport:
    """Show where alerts go, or where one would go and why.

    Channels and your own routes stand in `alerts.json` beside your config; the bank's `config/alerts_config.json` may
    add routes once it is trusted. The first route that fits holds, unless it says `continue`.

    Exit codes:
        0   done
        1   alerts.json cannot be used, or a channel fails
        10  there is no such rule or alert

    Examples:
        memorybank alert route
        memorybank alert route MB303 --path trades --explain
    """
    policy = settings.read(bank)
    kinds = {name: str(one.get("kind", ""))[:40] for name, one in policy.channels.items()}
    with opened(bank) as store:
        found = _meant(Ledger(store), alert, path, severity) if alert else None
        muted = mute_of(store)(found) if found else ""
        findings = wrong(bank, policy, store)
    return RouteReport(
        policy.routing.routes,
        policy.routing.default,
        {"log": "log", **kinds},
        found,
        tuple(policy.routing.steps(found)) if found else (),
        policy.routing.targets(found) if found else {},
        muted,
        findings,
        explain,
    )


def wrong(bank: Bank, policy: settings.Policy, store: EventStore) -> tuple[Finding, ...]:
    """MB550 to MB555: what is wrong with the settings and the channels."""
    outbox = Outbox(store, policy.channels, bank.root, bank.owner)
    try:
        return (*policy.findings, *outbox.findings(policy.routing.leads_to))
    finally:
        outbox.close()


def check(bank: Bank) -> tuple[Finding, ...]:
    """The same of a bank, for `config check`."""
    with opened(bank) as store:
        return wrong(bank, settings.read(bank), store)


def _meant(ledger: Ledger, what: str, path: str, severity: Severity | None) -> Alert:
    if what not in RULES:
        return ledger.one(what)
    level = severity or RULES[what].severity
    one = Finding(what, RULES[what].what, path, level=level)
    now = one.detected_at
    return Alert(one.fingerprint, what, level, path, one.message, one.hint, "firing", now, now, since=now)
