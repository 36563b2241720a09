"""What records say of a total: whether a stated value agrees, and which value would.

Counts and sums of integers are exact. Sums of floats differ by how they were added, so they may be apart by a share
of what was added; times agree when they are the same moment, whatever their text.
"""

from __future__ import annotations

from typing import Any

from memorybank_cli.bank import moments
from memorybank_cli.bank.adding import add
from memorybank_cli.base import clock

SHARE = 1e-9
"""How far numbers may be apart, as a share of the larger one."""


class Count:
    """How many records there are."""

    def __init__(self, number: int, tolerance: float | None) -> None:
        self.number, self.known = number, bool(number)
        self._share = tolerance or 0.0

    def agrees(self, claim: Any) -> bool:
        """Whether it is that number."""
        return is_number(claim) and near(claim, self.number, self._share)

    def value(self, old: Any) -> int:
        """The number."""
        del old
        return self.number


class Sum:
    """What a member adds up to; `state` is a sum of `measures`, None where no record has the member."""

    def __init__(self, state: list[Any] | None, matching: int, tolerance: float | None) -> None:
        self._state = state or [0, 0, 0, [], 0.0]
        self.known = self._state[0] > self._state[1]
        self._nothing = not matching
        self._tolerance = tolerance

    def agrees(self, claim: Any) -> bool:
        """Whether it is that sum, up to what adding in another order makes of it."""
        if not is_number(claim) or not (self.known or self._nothing):
            return False
        magnitude = self._state[4]
        if not magnitude and isinstance(claim, int) and self._tolerance is None:
            return bool(claim == self._sum())
        return near(claim, self._sum(), SHARE if self._tolerance is None else self._tolerance, magnitude)

    def value(self, old: Any) -> float | None:
        """The sum; a whole number if it was added up from such."""
        del old
        return self._sum() if self.known or self._nothing else None

    def _sum(self) -> float:
        _, _, whole, floats, magnitude = self._state
        try:
            return add((float(whole), *floats)) if magnitude else int(whole)
        except OverflowError:  # beside such an integer no float counts
            return int(whole)

    def name(self, member: str) -> str:
        """What it is, in words."""
        return f"the sum of {member}"


class Extreme:
    """The least or the last value of a member: `times` and `numbers` are spans of `measures`, None without such."""

    def __init__(
        self, times: list[int] | None, numbers: list[Any] | None, least: bool, matching: int, tolerance: float | None
    ) -> None:
        self.known = bool(times or numbers)
        self._naive = bool(times and times[0])
        self._time = times[1 if least else 2] if times else None
        self._number: Any = numbers[0 if least else 1] if numbers else None
        self._least, self._nothing, self._tolerance = least, not matching, tolerance

    def agrees(self, claim: Any) -> bool:
        """Whether it is that number, or that moment."""
        if not self.known:
            return self._nothing or claim is None
        if self._number is not None and is_number(claim) and near(claim, self._number, self._tolerance or SHARE):
            return True
        mine, theirs = self._moment(), moments.of_value(claim)
        if mine is None or theirs is None:
            return False
        apart, without_zone = abs(mine - theirs[0]), theirs[1]
        if apart < moments.SECOND or apart <= (self._tolerance or 0) * moments.SECOND:
            return True
        # If one of the two has no zone, whole quarters of an hour are that zone's matter.
        return self._naive != without_zone and moments.zone_of(apart) is not None

    def _moment(self) -> int | None:
        """The moment, of texts and of epochs alike."""
        epoch = None if self._number is None else moments.of_epoch(self._number)
        both = [one for one in (self._time, epoch) if one is not None]
        return (min if self._least else max)(both) if both else None

    def value(self, old: Any) -> Any:
        """The number, or the time as a text or an epoch."""
        moment = self._moment()
        if moment is None or (self._time is None and not isinstance(old, str)):
            return self._number
        if isinstance(old, str) and moments.parse(old) is not None:
            return moments.like(moment, old)
        return moments.as_epoch(moment, old) if is_number(old) else clock.from_ns(moment * 1_000)

    def name(self, member: str) -> str:
        """What it is, in words."""
        if self._time is not None:
            return "the first time" if self._least else "the last time"
        return f"the {'least' if self._least else 'largest'} {member}"


Total = Count | Sum | Extreme
"""Each says whether a claim `agrees`, the `value` that would, and whether any record is `known` to add to it."""


def is_number(value: Any) -> bool:
    """Whether a JSON value is a number; true is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def near(one: float, other: float, share: float, magnitude: float = 0.0) -> bool:
    """Whether two numbers are apart by no more than a share of the larger one, or of `magnitude`."""
    try:
        return one == other or abs(one - other) <= share * max(abs(one), abs(other), magnitude)
    except OverflowError:  # an integer beyond the range of floats
        return False
