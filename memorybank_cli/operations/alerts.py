"""Alerts as people work with them: listing, showing, acknowledging."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from memorybank_cli.alerts import settings, waiting
from memorybank_cli.alerts.grouping import Muted, muting
from memorybank_cli.alerts.ledger import Ledger
from memorybank_cli.alerts.matching import Matcher, matcher
from memorybank_cli.alerts.silences import Silence, Silences
from memorybank_cli.alerts.values import Alert
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.events import EventStore
from memorybank_cli.base import clock
from memorybank_cli.base.errors import UsageError
from memorybank_cli.base.names import escape_text
from memorybank_cli.base.rules import FAMILIES as RULE_FAMILIES
from memorybank_cli.base.rules import RULES
from memorybank_cli.base.suggestions import did_you_mean
from memorybank_cli.base.words import counted
from memorybank_cli.operations.alert_journal import acknowledged
from memorybank_cli.operations.alert_keeping import opened, why_not_kept
from memorybank_cli.operations.options import Option

STALE = timedelta(minutes=15)
"""Three runs from cron: what nobody has looked at for longer is not known."""
AHEAD = timedelta(minutes=1)
"""A look may lie so far in the future: clocks are set by small steps all the time."""

Rule = Annotated[tuple[str, ...], Option("only this rule, or those that begin so", metavar="RULE")]
Family = Annotated[tuple[str, ...], Option("only this family: data, security, performance or prediction", metavar="F")]
Severity = Annotated[Literal["info", "warning", "error", "critical"] | None, Option("only this severity and worse")]
Section = Annotated[tuple[str, ...], Option("only this top directory; bank is the bank itself", metavar="NAME")]
Path = Annotated[tuple[str, ...], Option("only paths that fit this pattern", metavar="GLOB")]


@dataclass(frozen=True)
class Listed:
    """An alert, and why it is not told, '' for one that is."""

    alert: Alert
    muted: str

    def as_dict(self) -> dict[str, Any]:
        """The alert's fields and `muted`."""
        return {**self.alert.as_dict(), "muted": self.muted}


@dataclass(frozen=True)
class AlertList:
    """The alerts of a bank."""

    alerts: tuple[Listed, ...]
    counts: dict[str, int]
    """How many there are in each state, also of those that are not listed."""
    silences: tuple[Silence, ...]
    """Those that hold now."""
    looks: dict[str, str]
    """When each that looks for findings did so last."""
    stale: bool
    """Nothing is known of now: nobody has looked for long, or what is found cannot be kept."""
    failure: str = ""
    """Why what is found cannot be kept, '' where it can."""

    def as_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return {
            "alerts": [one.as_dict() for one in self.alerts],
            "counts": self.counts,
            "silences": [one.as_dict() for one in self.silences],
            "looks": self.looks,
            "stale": self.stale,
            "failure": self.failure,
        }

    @property
    def tone(self) -> str:
        """How the closing line is meant."""
        return "warning" if self.stale or self.counts["firing"] else "good"

    def summary(self) -> str:
        """How many fire, and whether that is known."""
        firing = counted(self.counts["firing"], "alert") if self.counts["firing"] else "No alert"
        told = f"{firing} {'fires' if self.counts['firing'] <= 1 else 'fire'}"
        if self.counts["pending"]:
            told += f", {self.counts['pending']:,} pending"
        listed = sum(one.alert.state != "resolved" for one in self.alerts)
        if listed < self.counts["firing"] + self.counts["pending"]:
            told += f" ({listed:,} listed)"
        if self.failure:
            return f"Unknown: {self.failure}, so nothing new is kept ({told} before). Next: memorybank health"
        if not self.looks:
            return "Unknown: nobody has looked yet. memorybank watch does, or memorybank health from cron"
        if self.stale:
            last = max(self.looks.values())[:19]
            if clock.parse(max(self.looks.values())) > datetime.now(UTC):
                return f"Unknown: the last look was at {last}Z, which is still to come ({told} then). Set the clock"
            return f"Unknown since {last}Z, when the last look was ({told} then). Next: memorybank watch"
        return f"{told}." + (" Next: memorybank alert show FINGERPRINT" if self.counts["firing"] else "")


@dataclass(frozen=True)
class AlertDetail:
    """One alert, and how it is told."""

    alert: Alert
    muted: str
    channels: dict[str, dict[str, float]]
    """Where it goes, each with its times in seconds."""
    told: tuple[dict[str, Any], ...]
    """The last message of its group to each channel, and what became of it."""

    def as_dict(self) -> dict[str, Any]:
        """The alert's fields, `muted`, `channels` and `told`."""
        return {**self.alert.as_dict(), "muted": self.muted, "channels": self.channels, "told": list(self.told)}

    def summary(self) -> str:
        """What to do next."""
        if self.alert.gone_at and self.alert.state == "firing":
            return f"Its finding is gone; it is resolved by: memorybank alert ack {self.alert.fingerprint} --reason WHY"
        explain = f"memorybank explain {self.alert.rule}"
        return (
            f"Next: {self.alert.hint or explain}"
            if self.alert.state != "resolved"
            else f"Resolved. {explain} says more"
        )


@dataclass(frozen=True)
class AckReport:
    """What was acknowledged."""

    acknowledged: tuple[Alert, ...]

    def as_dict(self) -> dict[str, Any]:
        """The alerts as they are now."""
        return {"acknowledged": [one.as_dict() for one in self.acknowledged]}

    def summary(self) -> str:
        """How many, and what holds now."""
        over = sum(one.state == "resolved" for one in self.acknowledged)
        rest = len(self.acknowledged) - over
        told = f"{counted(len(self.acknowledged), 'alert')} acknowledged"
        told += f"; {over:,} resolved by it" if over else ""
        return told + (f"; {rest:,} not repeated any more, and resolved as soon as the finding is gone" if rest else "")


def list_(
    bank: Bank,
    *,
    all_: Annotated[bool, "resolved ones too"] = False,
    rule: Rule = (),
    family: Family = (),
    severity: Severity = None,
    section: Section = (),
    path: Path = (),
) -> AlertList:
    """List the alerts that fire.

    Those that are silenced, or inhibited because something worse explains them, are listed too, with the reason. What
    `memorybank watch` or `memorybank health` have not looked at of late is unknown, and the last line says so.

    Exit codes:
        0   done, whatever fires

    Examples:
        memorybank alert list
        memorybank alert list --all --family security --json
    """
    wanted = conditions(rule, family, severity, section, path)
    with opened(bank) as store:
        ledger, silences = Ledger(store), Silences(store).active()
        firing = ledger.firing()
        muted = muting(firing, silences)
        chosen = [*(ledger.resolved() if all_ else ()), *ledger.pending(), *firing]
        looks: dict[str, str] = {name: at for name, at in ledger.looks().items() if name in ("watch", "health")}
        failure = why_not_kept(store)
        return AlertList(
            tuple(Listed(one, muted(one) if one.state == "firing" else "") for one in chosen if wanted.fits(one)),
            ledger.counts(),
            tuple(silences),
            looks,
            bool(failure) or _is_stale(ledger, looks),
            failure,
        )


def _is_stale(ledger: Ledger, looks: dict[str, str]) -> bool:
    """Whether the last look is long ago by either clock; one that lies ahead says nothing of when it was.

    A `watch` that gives no sign any more, and did not come to its end, vouches for nothing.
    """
    passed = ledger.since_look("health", *(("watch",) if ledger.is_told() is not False else ()))
    if passed is None:
        return True
    by_the_wall = datetime.now(UTC) - clock.parse(max(looks.values()))
    return passed > STALE.total_seconds() or not -AHEAD <= by_the_wall <= STALE


def show(bank: Bank, fingerprint: Annotated[str, "of the alert, or the beginning of it"]) -> AlertDetail:
    """Show one alert, and how it is told.

    That is since when, why it is told or not, where it goes, and what became of the last message of its group.

    Exit codes:
        0   done
        10  there is no such alert, or several begin so

    Examples:
        memorybank alert show 29f7fc24
    """
    policy = settings.read(bank)
    with opened(bank) as store:
        alert = Ledger(store).one(fingerprint)
        targets = policy.routing.targets(alert)
        rows = store.db.execute(
            "SELECT channel, notice FROM alert_groups WHERE name = ? AND notice IS NOT NULL", (alert.group,)
        )
        told = [
            {
                "channel": one.channel,
                "notice": one.notice,
                "created_at": one.created_at,
                "delivered_at": one.delivered_at,
                "tries": one.tries,
                "reason": one.reason,
            }
            for one in waiting.deliveries(store.db, [row["notice"] for row in rows])
        ]
        muted = mute_of(store)(alert) if alert.state == "firing" else ""
        return AlertDetail(alert, muted, {name: timing._asdict() for name, timing in targets.items()}, tuple(told))


def ack(
    bank: Bank,
    *fingerprints: Annotated[str, "of alerts, or their beginnings"],
    reason: Annotated[str, "what was found out or done, for those who come later"] = "",
) -> AckReport:
    """Acknowledge alerts: somebody sees to them.

    They are not repeated, and are resolved when their finding is gone. Alerts of the family security
    are resolved in no other way: whatever was open for a while may have been used, and somebody has to know.
    One that becomes worse is told again.

    Exit codes:
        0   acknowledged
        10  there is no such alert

    Examples:
        memorybank alert ack 29f7fc24 --reason "umask of the bot corrected"
    """
    if not fingerprints:
        raise UsageError("which alerts?", hint="memorybank alert list shows their fingerprints")
    if not reason.strip():
        raise UsageError("an acknowledgement needs a reason", hint='--reason "what was found out or done"')
    with opened(bank) as store:
        ledger = Ledger(store)
        chosen, why = [ledger.one(one) for one in fingerprints], escape_text(reason)
        acknowledged(bank, chosen, why)
        return AckReport(tuple(ledger.acknowledge(one.fingerprint, bank.journal.actor, why) for one in chosen))


def mute_of(store: EventStore) -> Muted:
    """Why alerts are not told now."""
    return muting(Ledger(store).firing(), Silences(store).active())


def conditions(
    rule: tuple[str, ...],
    family: tuple[str, ...],
    severity: str | None,
    section: tuple[str, ...],
    path: tuple[str, ...],
) -> Matcher:
    """The matcher that options of a command mean. Raises UsageError, also for a rule that is none: it is misspelt."""
    found = {"rule": rule, "family": family, "severity": severity, "section": section, "path": path}
    made = matcher({name: list(value) if isinstance(value, tuple) else value for name, value in found.items() if value})
    for one in made.rules:
        if not any(known.startswith(one) for known in (*RULES, *RULE_FAMILIES)):
            raise UsageError(
                f"there is no rule '{one}'", hint=did_you_mean(one, RULES, "memorybank explain lists them")
            )
    return made
