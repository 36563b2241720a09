"""Where alerts go: routes in order, the first that fits unless it says `continue`, and the default behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from memorybank_cli.alerts.matching import KEYS, Matcher, matcher
from memorybank_cli.alerts.values import Alert
from memorybank_cli.base import clock
from memorybank_cli.base.errors import UsageError


class Timing(NamedTuple):
    """Seconds, with the meaning that Alertmanager gives them."""

    group_wait: float
    """A group's first message waits so long for others of it."""
    group_interval: float
    """So long after a message the next one with something new may follow."""
    repeat_interval: float
    """So long after a message the group is told once more, as long as it fires."""


NORMAL = Timing(30.0, 300.0, 14_400.0)
URGENT = Timing(5.0, 60.0, 3_600.0)
"""Of security and of what is critical."""


@dataclass(frozen=True)
class Route:
    """One row: which alerts go to which channels."""

    name: str
    """Where it stands, such as `alerts.json routes/0`."""
    matcher: Matcher
    channels: tuple[str, ...]
    onward: bool = False
    """The routes behind it are looked at too (`continue`)."""
    timing: Mapping[str, float] = field(default_factory=dict)
    """Its own times, by the names of `Timing`."""

    def as_dict(self) -> dict[str, Any]:
        """As it holds."""
        return {
            "name": self.name,
            "match": self.matcher.as_dict(),
            "channels": list(self.channels),
            "continue": self.onward,
            **self.timing,
        }


class Step(NamedTuple):
    """What one route said of an alert."""

    route: str
    fits: bool
    why: str
    channels: tuple[str, ...]


@dataclass(frozen=True)
class Routing:
    """Routes in order and what holds where none fits. `timing` are times that hold for all, by name."""

    routes: tuple[Route, ...] = ()
    default: tuple[str, ...] = ("log", "terminal")
    timing: Mapping[str, float] = field(default_factory=dict)

    @property
    def leads_to(self) -> frozenset[str]:
        """Every channel that is named."""
        return frozenset(self.default).union(*(one.channels for one in self.routes))

    def targets(self, alert: Alert) -> dict[str, Timing]:
        """The channels of an alert, each with its times; of two routes to one channel the first holds."""
        found: dict[str, Timing] = {}
        for route in self._taken(alert):
            for channel in route.channels:
                found.setdefault(channel, self.times(alert, route))
        return found

    def targeting(self) -> Callable[[Alert], dict[str, Timing]]:
        """`targets` for many alerts: where no route looks at paths, those alike go the same way."""
        if any(route.matcher.paths for route in self.routes):
            return self.targets
        known: dict[tuple[str, str, str], dict[str, Timing]] = {}

        def targets(alert: Alert) -> dict[str, Timing]:
            key = (alert.rule, alert.severity, alert.section)
            if key not in known:
                known[key] = self.targets(alert)
            return known[key]

        return targets

    def times(self, alert: Alert, route: Route) -> Timing:
        """How long an alert waits on a route: the route's own times, else those for all, else the built-in ones."""
        usual = URGENT if alert.family == "security" or alert.severity == "critical" else NORMAL
        if alert.severity == "warning":
            usual = usual._replace(repeat_interval=NORMAL.repeat_interval)  # each hour would only teach to ignore it
        return usual._replace(**{**self.timing, **route.timing})

    def steps(self, alert: Alert) -> list[Step]:
        """What each route said, up to the one that ended it."""
        told: list[Step] = []
        for route in self._tried(alert):
            why = route.matcher.why_not(alert)
            end = "every condition holds" + (", and the next ones are asked too" if route.onward else "")
            told.append(Step(route.name, not why, why or end, route.channels))
        return told

    def _tried(self, alert: Alert) -> Iterator[Route]:
        """The routes that are asked, with the default where no route takes the alert anywhere."""
        reached = False
        for route in self.routes:
            yield route
            if route.matcher.fits(alert):
                # Into nothing leads no route for security: that would be a silence without reason and end.
                reached = reached or bool(route.channels) or alert.family != "security"
                if reached and not route.onward:
                    return
        if not reached:
            yield Route("default", Matcher(), self.default)

    def _taken(self, alert: Alert) -> list[Route]:
        return [route for route in self._tried(alert) if route.matcher.fits(alert)]


def route(name: str, value: Any) -> Route:
    """A route as JSON has it. Raises UsageError that names the route."""
    try:
        if not isinstance(value, Mapping):
            raise UsageError("it must be an object")
        unknown = sorted(set(value) - {"match", "channels", "continue", "description", *Timing._fields})
        if unknown:
            names_ = ", ".join(("channels", "continue", *Timing._fields))
            hint = f"conditions ({', '.join(KEYS)}) stand in 'match'; beside it {names_}"
            raise UsageError(f"it has no '{unknown[0]:.40}'", hint=hint)
        match, channels = value.get("match", {}), names(value.get("channels"))
        if not isinstance(match, Mapping):
            raise UsageError("'match' must be an object")
        return Route(name, matcher(match), channels, value.get("continue") is True, times(value))
    except UsageError as error:
        raise UsageError(f"{name}: {error.message}", hint=error.hint) from None


def names(value: Any) -> tuple[str, ...]:
    """Names of channels, as a list or one alone. Raises UsageError."""
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(one, str) and one for one in words):
        raise UsageError("'channels' must be a list of names", hint='such as ["log", "ops"]; [] leads nowhere')
    return tuple(dict.fromkeys(words))


def times(value: Mapping[str, Any]) -> dict[str, float]:
    """Those times that an object has, in seconds. Raises UsageError."""
    return {name: span(value[name]) for name in Timing._fields if name in value}


def span(value: Any) -> float:
    """A span such as `30s` in seconds. Raises UsageError."""
    if not isinstance(value, str):
        raise UsageError(f"{value!r:.40} is not a span of time", hint="give a text such as 30s, 5m or 4h")
    return clock.span(value).total_seconds()
