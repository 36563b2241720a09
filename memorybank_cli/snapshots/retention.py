"""Which snapshots a policy keeps, and why. Pure: what a preview shows is what will be done.

Snapshots stand in the order in which they were made (`Document.order`), not of clocks. A time that contradicts that
order is *unsure*: such a snapshot takes no place of another one, and stays as long as one beside it does. Spans are
measured against the newest snapshot, not against the clock on the wall, and a step of more than two years between two
snapshots counts as nothing: it is a clock that jumped, or a long pause, and neither makes what lies before it old.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate, pairwise
from operator import or_
from typing import Any, NamedTuple

from memorybank_cli.base import clock
from memorybank_cli.snapshots.documents import SAFETY, Document

LAST_GOOD = 3
SAFETY_GRACE = timedelta(days=7)
JUMP = timedelta(days=731)

Key = Callable[[datetime], str]
"""The bucket that a time falls into."""


@dataclass(frozen=True)
class Policy:
    """How many snapshots are kept of the last hours, days, weeks, months and years that have any; in UTC."""

    last: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    within: timedelta = timedelta()
    """Everything that is not older than this."""
    tags: tuple[str, ...] = ()
    """Everything with one of these tags."""

    @property
    def is_empty(self) -> bool:
        """Whether it would keep nothing by itself."""
        return not any(vars(self).values())

    def __str__(self) -> str:
        counts = [f"{word} {getattr(self, word)}" for word in ("last", *_KEYS) if getattr(self, word)]
        within = [f"within {_span(self.within)}"] if self.within else []
        return ", ".join([*within, *counts, *(f"tag {tag}" for tag in self.tags)])


@dataclass(frozen=True)
class Decision:
    """One snapshot, and every reason to keep it; none means that it is to be forgotten."""

    snapshot: Document
    reasons: tuple[str, ...]

    @property
    def kept(self) -> bool:
        """Whether it stays."""
        return bool(self.reasons)

    def as_dict(self) -> dict[str, Any]:
        """What a preview shows of it."""
        names = ("id", "time", "seq", "status", "tags", "files", "bytes")
        shown = self.snapshot.as_dict()
        return {**{name: shown[name] for name in names}, "keep": self.kept, "reasons": list(self.reasons)}


def is_good(snapshot: Document) -> bool:
    """Whether it counts for a policy: not suspect, and not what a rollback replaced."""
    return snapshot.status != "suspect" and SAFETY not in snapshot.tags


def last_good(snapshots: Iterable[Document]) -> set[str]:
    """The ids that no policy and nobody takes away: the last three good ones, by their order and by clock."""
    good = [one for one in snapshots if is_good(one)]
    by_order = sorted(good, key=lambda one: one.order)[-LAST_GOOD:]
    by_time = sorted(good, key=lambda one: (one.time, one.order))[-LAST_GOOD:]
    return {one.id for one in (*by_order, *by_time)}


def decide(snapshots: Iterable[Document], policy: Policy, pinned: Collection[str] = ()) -> list[Decision]:
    """What becomes of the snapshots of one bank, oldest first."""
    line = _Line(sorted(snapshots, key=lambda one: one.order))
    reasons: dict[str, list[str]] = {one.id: [] for one in line.snapshots}
    floor = last_good(line.snapshots)
    for one in line.snapshots:
        found = reasons[one.id]
        found += ["pinned"] if one.id in pinned else []
        found += [f"tag {tag}" for tag in policy.tags if tag in one.tags]
        found += [f"last {LAST_GOOD} good"] if one.id in floor else []
    _keep_last(line, policy.last, reasons)
    for moment in line.sure:
        if policy.within and moment.age <= policy.within:
            reasons[moment.snapshot.id].append(f"within {_span(policy.within)}")
        elif SAFETY in moment.snapshot.tags and moment.age <= SAFETY_GRACE:
            reasons[moment.snapshot.id].append(f"undo of a rollback, within {_span(SAFETY_GRACE)}")
    reached = sum(1 for moment in line.sure if policy.within and moment.age <= policy.within)
    for word, key in _KEYS.items():
        reached = max(reached, _keep_buckets(line, word, key, getattr(policy, word), reasons))
    _keep_unsure(line, reached, reasons)
    return [Decision(one, tuple(reasons[one.id])) for one in line.snapshots]


class _Moment(NamedTuple):
    """A snapshot whose time is believed."""

    snapshot: Document
    time: datetime
    age: timedelta
    """Against the newest, jumps left out."""
    at_jump: bool
    """Whether the clock jumped just before or after it."""


class _Line:
    """The snapshots in their order, and those whose times follow one another in it, newest first."""

    def __init__(self, snapshots: list[Document]) -> None:
        self.snapshots = snapshots
        chain = _longest_chain([_time(one) for one in snapshots])
        steps = [later - earlier for (_, earlier), (_, later) in pairwise(chain)]
        jumped = [False, *(step > JUMP for step in steps), False]
        counted_steps = [timedelta() if jump else step for step, jump in zip(steps, jumped[1:], strict=False)]
        ages = [*accumulate(reversed(counted_steps), initial=timedelta())][::-1]
        self.sure = [
            _Moment(snapshots[place], time, age, before or after)
            for (place, time), age, before, after in zip(chain, ages, jumped, jumped[1:], strict=False)
        ][::-1]


def _time(snapshot: Document) -> datetime | None:
    try:
        return clock.parse(snapshot.time).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _longest_chain(times: list[datetime | None]) -> list[tuple[int, datetime]]:
    """The most places whose times never go back, each with its time; of several such chains one that ends early."""
    ends: list[datetime] = []  # the earliest end of a chain of each length
    last: list[int] = []
    before: dict[int, int | None] = {}
    for place, time in enumerate(times):
        if time is None:
            continue
        length = bisect_right(ends, time)
        before[place] = last[length - 1] if length else None
        ends[length : length + 1] = [time]
        last[length : length + 1] = [place]
    chain: list[tuple[int, datetime]] = []
    here = last[-1] if last else None
    while here is not None:
        time = times[here]
        assert time is not None
        chain.append((here, time))
        here = before[here]
    return chain[::-1]


def _keep_last(line: _Line, count: int, reasons: dict[str, list[str]]) -> None:
    """The newest good ones, and what is no good one but newer than the last of them."""
    left = count
    for one in reversed(line.snapshots):
        if left <= 0:
            return
        reasons[one.id].append(f"last {count}")
        left -= is_good(one)


def _keep_buckets(line: _Line, rule: str, key: Key, count: int, reasons: dict[str, list[str]]) -> int:
    """The newest good one of each of the last `count` hours, days, …, and the newest other one beside it.

    Gives how many of `line.sure` lie in that time.
    Buckets at a jump of the clock are not counted: with a right clock they might be one, or none.
    """
    free = {key(moment.time) for moment in line.sure if moment.at_jump}
    good: set[str] = set()
    others: set[str] = set()
    for number, moment in enumerate(line.sure):
        bucket = key(moment.time)
        if bucket not in good and len(good - free) >= count:
            return number
        taken = good if is_good(moment.snapshot) else others
        if bucket not in taken:
            taken.add(bucket)
            reasons[moment.snapshot.id].append(f"{rule} {bucket}")
    return len(line.sure)


def _keep_unsure(line: _Line, reached: int, reasons: dict[str, list[str]]) -> None:
    """Those whose time is wrong stay while the good one before or after them does: they were made in between.

    One that is no good one stays as long as what was made next lies in the time that the policy reaches.
    """
    sure = {moment.snapshot.id: number for number, moment in enumerate(line.sure)}
    anchors = [one.id in sure and is_good(one) for one in line.snapshots]
    kept = [bool(reasons[one.id]) for one in line.snapshots]
    before = _nearest(anchors, kept)
    after = _nearest(anchors[::-1], kept[::-1])[::-1]
    graced = sum(1 for moment in line.sure if moment.age <= SAFETY_GRACE)
    newer = -1
    for one, stays in reversed([*zip(line.snapshots, map(or_, before, after), strict=True)]):
        if one.id in sure:
            newer = sure[one.id]
        elif stays or (not is_good(one) and newer < (max(reached, graced) if SAFETY in one.tags else reached)):
            reasons[one.id].append("time unsure, beside one that stays")


def _nearest(anchors: list[bool], kept: list[bool]) -> list[bool]:
    """For each place whether the last anchor before it is kept; True where there is none."""
    found, stays = [], True
    for anchor, keep in zip(anchors, kept, strict=True):
        found.append(stays)
        stays = keep if anchor else stays
    return found


def _span(span: timedelta) -> str:
    seconds = int(span.total_seconds())
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds % length == 0:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def _week(time: datetime) -> str:
    year, week, _ = time.isocalendar()
    return f"{year}-W{week:02}"


_KEYS: dict[str, Key] = {
    "hourly": lambda time: f"{time:%Y-%m-%dT%H}",
    "daily": lambda time: f"{time:%Y-%m-%d}",
    "weekly": _week,
    "monthly": lambda time: f"{time:%Y-%m}",
    "yearly": lambda time: f"{time:%Y}",
}
