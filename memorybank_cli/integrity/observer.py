"""Hints from the watchdog package, for systems without inotify.

Watchdog tells of lost events in its log only, and its threads may end unseen: a log record of a warning
starts everything afresh and is `lost`, a thread that ended is the end of the source.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import warnings
from collections import deque
from typing import TYPE_CHECKING, Any

from memorybank_cli.base.names import escape
from memorybank_cli.base.walk import Root
from memorybank_cli.integrity.hints import LOST, Hint, answer, doorbell, ring, wait

if TYPE_CHECKING:
    from watchdog.events import FileSystemEvent
    from watchdog.observers.api import BaseObserver

LOGGERS = ("watchdog", "fsevents")


class Observed:
    """A `Source` over whatever watchdog has for this system."""

    def __init__(self, root: Root, skip: frozenset[str] = frozenset()) -> None:
        self._root, self._skip = root, skip
        self._observer: BaseObserver | None = None
        self._threads: set[threading.Thread] = set()
        self._events: deque[FileSystemEvent] = deque()
        self._lost = threading.Event()
        self._alarm = _Alarm(self._raise_alarm)
        self._out = self._into = -1

    def arm(self) -> None:
        """Start watchdog's threads. Raises OSError where it is not installed or cannot watch the root."""
        self._out, self._into = doorbell()
        for name in LOGGERS:
            logging.getLogger(name).addHandler(self._alarm)
        self._start()

    def read(self, timeout: float, wake: int) -> list[Hint]:
        """Hints from what watchdog delivered; see `Source`."""
        if not self._events:
            wait(timeout, self._out, wake)
        answer(self._out)
        if not all(thread.is_alive() for thread in self._threads):
            raise OSError(errno.EIO, "a thread of watchdog has ended")
        hints: list[Hint] = []
        for _ in range(len(self._events)):
            hints += self._hints(self._events.popleft())
        if self._lost.is_set():
            self._stop()
            self._lost.clear()
            self._start()
            hints.append(LOST)
        return hints

    def watched(self) -> int:
        """1 while watchdog watches the tree, else 0."""
        return int(bool(self._threads) and all(thread.is_alive() for thread in self._threads))

    def unwatched(self) -> frozenset[str]:
        """Nothing: watchdog does not tell which directories it could not watch."""
        return frozenset()

    def queued(self) -> int:
        """Not known: watchdog's own threads empty the system's queue."""
        return 0

    def close(self) -> None:
        """End the threads and give the descriptors back."""
        self._stop()
        for name in LOGGERS:
            logging.getLogger(name).removeHandler(self._alarm)
        for fd in (self._out, self._into):
            if fd >= 0:
                os.close(fd)
        self._out = self._into = -1

    def _start(self) -> None:
        try:
            from watchdog import events
            from watchdog.observers import Observer
        except ImportError as error:
            raise OSError(errno.ENOSYS, "the watchdog package cannot be used here") from error

        # Watching a directory twice, as its inotify reader does in bursts, is harmless.
        warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"watchdog\.")
        deliver = self._deliver

        class Handler(events.FileSystemEventHandler):
            def on_any_event(self, event: FileSystemEvent) -> None:
                deliver(event)

        kinds: list[type[FileSystemEvent]] = [
            events.FileCreatedEvent,
            events.FileModifiedEvent,
            events.FileMovedEvent,
            events.FileDeletedEvent,
            events.FileClosedEvent,
            events.FileAttribEvent,
            events.DirCreatedEvent,
            events.DirMovedEvent,
            events.DirDeletedEvent,
            events.DirAttribEvent,
        ]
        before = set(threading.enumerate())
        self._observer = Observer()
        self._observer.schedule(Handler(), self._root.path, recursive=True, event_filter=kinds)
        self._observer.start()
        self._threads = {
            thread
            for thread in threading.enumerate()
            if thread not in before and type(thread).__module__.startswith("watchdog.")
        }

    def _stop(self) -> None:
        if self._observer is not None:
            self._observer.stop()
            if self._observer.is_alive():
                self._observer.join()
        self._observer = None
        self._threads = set()

    def _deliver(self, event: FileSystemEvent) -> None:
        self._events.append(event)
        ring(self._into)

    def _raise_alarm(self) -> None:
        self._lost.set()
        ring(self._into)

    def _hints(self, event: FileSystemEvent) -> list[Hint]:
        places = [self._relative(path, event.is_directory) for path in (event.src_path, event.dest_path) if path]
        if event.is_directory:
            if places[0] == "" and event.event_type in ("deleted", "moved"):
                self._lost.set()
            return [Hint("directory", path) for path in places if path is not None]
        if event.event_type == "moved":
            source, target = places[0], places[-1]
            hints = [Hint("changed", source)] if source else []
            return hints + ([Hint("complete", target)] if target else [])
        return [Hint("closed" if event.event_type == "closed" else "changed", path) for path in places if path]

    def _relative(self, path: bytes | str, is_directory: bool) -> str | None:
        """The escaped relative path, '' for the root, None for what gives no hints."""
        name = os.fsdecode(path)
        if name == self._root.path:
            return ""
        start = self._root.path.rstrip("/") + "/"
        if not name.startswith(start):
            return None
        parts = name[len(start) :].split("/")
        inside_directory = is_directory or len(parts) > 1
        if any(part.startswith(".") for part in parts) or (inside_directory and escape(parts[0]) in self._skip):
            return None
        return escape("/".join(parts))


class _Alarm(logging.Handler):
    def __init__(self, raise_alarm: Any) -> None:
        super().__init__(logging.WARNING)
        self._raise_alarm = raise_alarm

    def emit(self, record: logging.LogRecord) -> None:
        self._raise_alarm()
