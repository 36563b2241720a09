"""What became of samples over a span of time: even steps, a gap where nobody took one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from memorybank_cli.base.walk import Root
from memorybank_cli.health.samples import LONG, SHORT, Ring, Sample, read

STEPS = 60
"""Points of a series at most."""


class Series(NamedTuple):
    """The values of one sample, oldest first, None where there was none; with their least, mean and most."""

    name: str
    values: tuple[float | None, ...]
    least: float
    mean: float
    most: float
    last: float


class History(NamedTuple):
    """The samples of a span: seconds since the epoch, seconds of a step, and each series."""

    since: int
    until: int
    step: int
    series: tuple[Series, ...]
    newest: int | None
    """When the last sample was taken."""


def ring_of(span: float) -> Ring:
    """The ring that holds a span of so many seconds."""
    return SHORT if span <= SHORT.span else LONG


def history(root: Root, span: float, now: float, names: Sequence[str] = ()) -> History:
    """The samples of the last `span` seconds, at most of those that are kept; of all names, or of those given."""
    span = min(span, LONG.span)
    ring = ring_of(span)
    found = read(root, ring, now - span, now)
    step = max(ring.step, int(-(-span // STEPS)))
    step += -step % ring.step
    count = max(1, int(-(-span // step)))
    until = int(now) - int(now) % ring.step + ring.step
    since = until - count * step
    wanted = [*names] or sorted({name for one in found for name in one.values})
    series = (_series(name, found, since, step, count) for name in wanted)
    known = tuple(one for one in series if one is not None)
    lately = read(root, SHORT, now - LONG.step, now) or found  # a slot of the long ring begins long before it ends
    return History(since, until, step, known, lately[-1].at if lately else None)


def _series(name: str, samples: Iterable[Sample], since: int, step: int, count: int) -> Series | None:
    """The means of each step; None for a name of which there is no sample."""
    steps: list[list[float]] = [[] for _ in range(count)]
    for one in samples:
        place = (one.at - since) // step
        if name in one.values and 0 <= place < count:
            steps[place].append(one.values[name])
    values = tuple(sum(one) / len(one) if one else None for one in steps)
    known = [one for values in steps for one in values]
    if not known:
        return None
    return Series(name, values, min(known), sum(known) / len(known), max(known), known[-1])
