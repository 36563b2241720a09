"""A directory tree as settled batches of places that may have changed.

Arm first, then scan, then ask for batches: what happened before the scan is in the scan, what happened
after it is in a batch. A batch is a hint; the truth is a fresh stat and digest. It knows nothing of banks.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from memorybank_cli.base import clock
from memorybank_cli.base.errors import UsageError, from_os_error
from memorybank_cli.base.records import Progress
from memorybank_cli.base.walk import Root
from memorybank_cli.integrity.hints import LOST, Hint, Source, answer, doorbell, ring
from memorybank_cli.integrity.inotify import Inotify
from memorybank_cli.integrity.polling import Polling, is_remote
from memorybank_cli.integrity.settling import Settling, topmost


def _observed(root: Root, skip: frozenset[str]) -> Source:
    from memorybank_cli.integrity.observer import Observed  # logging and threading, which Linux does not need here

    return Observed(root, skip)


SOURCES: dict[str, Callable[[Root, frozenset[str]], Source]] = {
    "inotify": Inotify,
    "watchdog": _observed,
    "polling": Polling,
}
"""In the order in which they are tried; polling always works."""

STEP = 1.0
"""The longest sleep in seconds, so the start of a gap is known that exactly."""
PUMP = 0.2
"""Seconds between two moments at which long work takes in events."""
LATE = 10.0
"""Seconds without a reading after which the view counts as blind: the process was stopped, or the machine slept."""
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Goes on while the machine sleeps, and knows of nobody who sets the time of day."""


class Batch(NamedTuple):
    """Places to look at afresh; paths are escaped and relative to the root."""

    paths: frozenset[str]
    """Files that may have changed, been made or been removed, and have settled."""
    directories: frozenset[str]
    """Directories to look at as a whole, recursively ('' is the root); one that is gone took all below it along."""
    full: bool
    """Reconcile everything."""
    gap: tuple[str, str] | None
    """From when to when (RFC 3339) the view was blind; comes with `full`."""
    complete: frozenset[str] = frozenset()
    """Those of the paths that were renamed into place, so that nobody is still at them."""


class Watcher:
    """Watches everything below a root but names starting with a dot, and directories in the root named in `skip`.

    In seconds: a file changed in place is reported `settle` after its last change and at most `settle_most`
    after its first; everything is to be reconciled every `reconcile`. `backend` is one of `SOURCES`, or '' for
    the best one here; where it fails, the next in the table takes over. What comes into the directory `requests`
    makes everything be reconciled at once, where the source hears of it. Only `wake` may be called from elsewhere.
    """

    def __init__(
        self,
        root: Root,
        *,
        settle: float = 0.15,
        settle_most: float = 2.0,
        reconcile: float = 30.0,
        skip: frozenset[str] = frozenset(),
        backend: str = "",
        requests: str = "",
    ) -> None:
        self._root, self._skip, self._reconcile, self._requests = root, skip, reconcile, requests
        self._candidates = candidates(root, backend)
        self._refused: dict[str, str] = {}
        self._settling = Settling(settle, settle_most)
        self._directories: set[str] = set()
        self._gap: tuple[str, str] | None = None
        self._read_at = 0.0
        self._full_at = self._check_at = 0.0
        self._source: Source | None = None
        self._bell, self._ringer = doorbell()

    @property
    def backend(self) -> str:
        """The name of the source in use; '' before `arm` and after `close`."""
        return self._candidates[0] if self._source else ""

    def arm(self) -> None:
        """Start watching. Afterwards scan once, then ask for batches. Raises OperationFailed where nothing works."""
        self._arm_source()
        self._read_at = time.clock_gettime(_CLOCK)
        self._full_at = time.monotonic() + self._reconcile

    def next(self, timeout: float) -> Batch | None:
        """The next batch; None after `timeout` seconds without one, or when woken. Raises OperationFailed."""
        deadline = time.monotonic() + timeout
        while True:
            now = time.monotonic()
            woken = self._take_in(min(deadline, self._due(), now + STEP) - now)
            batch = self._batch()
            if batch or woken or time.monotonic() >= deadline:
                return batch

    def doubt(self, paths: Iterable[str]) -> None:
        """Have files reported once more when they have been quiet."""
        now = time.monotonic()
        for path in paths:
            self._settling.changed(path, now)

    def pump(self) -> None:
        """Take in what is queued without reporting it: between the files of long work, so that no queue overflows."""
        if self._take_in(0):
            ring(self._ringer)

    def wake(self) -> None:
        """Make `next` return at once, now or when it is called; for signal handlers and other threads."""
        if self._ringer >= 0:
            ring(self._ringer)

    def watched(self) -> int:
        """How many watches are set."""
        return self._source.watched() if self._source else 0

    def unwatched(self) -> frozenset[str]:
        """Directories that the system refused to watch; they come in `directories` every few seconds instead."""
        return self._source.unwatched() if self._source else frozenset()

    def queued(self) -> int:
        """The most events that waited in the system's queue at once since the last call; 0 where it is not known."""
        return self._source.queued() if self._source else 0

    def unsettled(self) -> frozenset[str]:
        """Files that are being changed now: a scan does well to leave them to a later batch."""
        return self._settling.waiting()

    def refused(self) -> dict[str, str]:
        """Why better sources than `backend` are not in use, by name."""
        return dict(self._refused)

    def displaced(self) -> bool:
        """Whether something else, or nothing, stands now where the root stood: then open it anew and watch that."""
        try:
            there = os.stat(self._root.path)
        except OSError:
            return True
        return not os.path.samestat(there, os.fstat(self._root.fd))

    def close(self) -> None:
        """Stop watching and give all descriptors back; a second call does nothing."""
        if self._source:
            self._source.close()
            self._source = None
        for fd in (self._bell, self._ringer):
            if fd >= 0:
                os.close(fd)
        self._bell = self._ringer = -1

    def _arm_source(self) -> Source:
        while True:
            source = self._made(self._candidates[0])
            try:
                source.arm()
            except OSError as error:
                source.close()
                self._refuse(error)
            else:
                self._source = source
                return source

    def _made(self, name: str) -> Source:
        if name == "inotify" and self._requests:
            return Inotify(self._root, self._skip, requests=self._requests)
        return SOURCES[name](self._root, self._skip)

    def _refuse(self, error: OSError) -> None:
        if len(self._candidates) == 1:
            raise from_os_error(error, "cannot watch the directory") from error
        self._refused[self._candidates.pop(0)] = error.strerror or str(error)

    def _due(self) -> float:
        if self._directories or self._gap:
            return 0.0
        return min(self._settling.due(), self._full_at)

    def _take_in(self, timeout: float) -> bool:
        """Read the source once, waiting up to `timeout` seconds; says whether `wake` was called."""
        source = self._source or self._arm_source()
        try:
            hints = source.read(timeout, self._bell)
        except OSError as error:
            source.close()
            self._refuse(error)
            self._arm_source()
            hints = [LOST]
        now = time.monotonic()
        # A look of polling may itself take long, and sees all that changed before it.
        if time.clock_gettime(_CLOCK) - self._read_at > LATE and self.backend != "polling":
            hints = [*hints, LOST]
        for hint in hints:
            self._put(hint, now)
        if LOST in hints or now >= self._check_at:
            self._check_place(now)
        self._read_at = time.clock_gettime(_CLOCK)
        return answer(self._bell)

    def _put(self, hint: Hint, now: float) -> None:
        kind, path = hint
        if kind == "complete":
            self._settling.complete(path)
        elif kind == "closed":
            self._settling.closed(path, now)
        elif kind == "changed":
            self._settling.changed(path, now)
        elif kind == "directory":
            self._directories.add(path)
        elif kind == "asked":
            self._full_at = now
        else:
            self._lost()

    def _lost(self) -> None:
        ago = int((time.clock_gettime(_CLOCK) - self._read_at) * clock.SECOND_NS)
        start = self._gap[0] if self._gap else clock.from_ns(clock.now_ns() - ago)
        self._gap = start, clock.now()

    def _check_place(self, now: float) -> None:
        self._check_at = now + STEP
        if self.displaced():
            self._check_at = now + self._reconcile
            self._lost()

    def _batch(self) -> Batch | None:
        now = time.monotonic()
        full = self._gap is not None or now >= self._full_at
        paths = self._settling.take(now)
        if not (full or paths or self._directories):
            return None
        batch = Batch(paths, topmost(self._directories), full, self._gap, self._settling.complete_ones)
        self._directories.clear()
        if full:
            self._gap = None
            self._full_at = now + self._reconcile
        return batch


class Pumping(Progress):
    """Takes in events between the files of long work, so that the system's queue does not overflow meanwhile."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._next = 0.0

    def advance(self, count: int = 1) -> None:
        """Some files are done."""
        del count
        now = time.monotonic()
        if now >= self._next and self._watcher.backend:
            self._watcher.pump()
            self._next = now + PUMP


def candidates(root: Root, backend: str = "") -> list[str]:
    """The sources to try for a tree, best first. Raises UsageError for a backend that is not in the table."""
    names = list(SOURCES)
    if backend:
        if backend not in SOURCES:
            raise UsageError(f"there is no way of watching named '{backend}'", hint=f"there are {', '.join(names)}")
        return names[names.index(backend) :]
    if is_remote(root):
        return ["polling"]
    return names if sys.platform == "linux" else names[1:]
