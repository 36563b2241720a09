"""When a path that is being changed may be judged: after it has been quiet, or when it is known to be complete."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable

SHORT = 0.1


class Settling:
    """Dirty paths, each with the moment when it is due. Times are seconds of any one clock that never runs back.

    A path is due `quiet` seconds after its last change but at most `most` after its first; once its writer
    has closed it, a tenth of `quiet` is enough, since some writers open and close a file several times.
    """

    def __init__(self, quiet: float, most: float) -> None:
        self._quiet, self._most = quiet, most
        self._waiting: dict[str, tuple[float, float]] = {}
        # May hold moments that a later change has put off; `_waiting` has the one that counts.
        self._queue: list[tuple[float, str]] = []
        self._ready: set[str] = set()
        self._complete: set[str] = set()
        self.complete_ones: frozenset[str] = frozenset()
        """Those of the paths taken last that are known to be complete."""

    def changed(self, path: str, now: float) -> None:
        """The path changed and may change further."""
        self._put(path, now, self._quiet)

    def closed(self, path: str, now: float) -> None:
        """The path changed, and its writer has closed it."""
        self._put(path, now, self._quiet * SHORT)

    def complete(self, path: str) -> None:
        """The path is as it should be: judge it at once."""
        self._waiting.pop(path, None)
        self._ready.add(path)
        self._complete.add(path)

    def _put(self, path: str, now: float, quiet: float) -> None:
        self._complete.discard(path)
        first, before = self._waiting.get(path, (now, math.inf))
        due = min(now + quiet, first + self._most)
        self._waiting[path] = first, due
        if due < before:
            heapq.heappush(self._queue, (due, path))

    def due(self) -> float:
        """No path is ready before this moment; infinity when none waits."""
        if self._ready:
            return -math.inf
        return self._queue[0][0] if self._queue else math.inf

    def take(self, now: float) -> frozenset[str]:
        """The paths that are ready; they are forgotten here."""
        while self._queue and self._queue[0][0] <= now:
            _, path = heapq.heappop(self._queue)
            if path not in self._waiting:
                continue
            due = self._waiting[path][1]
            if due <= now:
                del self._waiting[path]
                self._ready.add(path)
            else:
                heapq.heappush(self._queue, (due, path))
        ready, self.complete_ones = frozenset(self._ready), frozenset(self._complete)
        self._ready.clear()
        self._complete.clear()
        return ready

    def waiting(self) -> frozenset[str]:
        """The paths that are not ready yet."""
        return frozenset(self._waiting)


def topmost(directories: Iterable[str]) -> frozenset[str]:
    """The directories without those that lie below another of them; '' is above all."""
    given = set(directories)
    if "" in given:
        return frozenset(("",))
    return frozenset(path for path in given if not any(above in given for above in _parents(path)))


def _parents(path: str) -> Iterable[str]:
    at = path.rfind("/")
    while at > 0:
        path = path[:at]
        yield path
        at = path.rfind("/")
