"""Retries and the circuit breaker of one channel: when may it be tried again? Its state outlives the process.

A few failures in a row are tried again soon, after a wait that doubles and is drawn by lot (full jitter), so that many
who failed together do not come back together. Then the breaker opens: nothing is sent for a minute, later for up to an
hour, and after that one message goes through alone (half-open). It closes with the first that arrives.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from memorybank_cli.base import clock

State = Literal["closed", "open", "half-open"]
OPENS_AT = 5
"""Failures in a row."""
FIRST_WAIT = 2.0
FIRST_OPEN = 60.0
LONGEST_OPEN = 3_600.0


class Moment(NamedTuple):
    """A time that no change of the clock moves: which start of the machine, and seconds since then."""

    boot: str
    seconds: float

    @classmethod
    def now(cls) -> Moment:
        """The present one."""
        return cls(clock.boot_id(), time.monotonic())

    def since(self, then: Moment) -> float | None:
        """Seconds that passed since `then`, None where the machine was started anew meanwhile."""
        passed = self.seconds - then.seconds
        return passed if self.boot == then.boot and passed >= 0 else None


_NEVER = Moment("", 0.0)


def _random() -> float:
    """From 0 to 1, as `random.random`, whose module takes longer to import than this to run."""
    return int.from_bytes(os.urandom(7)) / (1 << 56)


@dataclass(frozen=True)
class Breaker:
    """How a channel has done of late."""

    failures: int = 0
    """In a row."""
    since: str = ""
    """When the first of them was, RFC 3339."""
    reason: str = ""
    hint: str = ""
    tried: Moment = _NEVER
    wait: float = 0.0
    """Seconds from `tried` on in which nothing is sent."""

    def left(self, now: Moment) -> float:
        """Seconds until the next try, 0 when it may be now. What another start of the machine waited for is over."""
        passed = now.since(self.tried)
        return 0.0 if passed is None else max(0.0, self.wait - passed)

    def state(self, now: Moment) -> State:
        """Open while nothing is sent after many failures, half-open while one message may try."""
        if self.failures < OPENS_AT:
            return "closed"
        return "open" if self.left(now) else "half-open"

    def failed(
        self,
        now: Moment,
        reason: str,
        hint: str = "",
        asked: float = 0.0,
        draw: Callable[[], float] = _random,
    ) -> Breaker:
        """After one more failure; `asked` are seconds that the receiver wants to be left alone for."""
        failures = self.failures + 1
        if failures < OPENS_AT:
            wait = draw() * FIRST_WAIT * 2 ** (failures - 1)
        else:
            doubled = min(LONGEST_OPEN, FIRST_OPEN * 2.0 ** min(failures - OPENS_AT, 16))
            wait = doubled * (0.5 + draw() / 2)
        return replace(
            self,
            failures=failures,
            since=self.since or clock.now(),
            reason=reason,
            hint=hint,
            tried=now,
            wait=max(wait, asked),
        )
