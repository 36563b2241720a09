"""A ledger on its own, and time that passes when a test says so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from memorybank_cli.alerts.ledger import Ledger
from memorybank_cli.bank.events import EventStore
from memorybank_cli.base.records import Finding
from memorybank_cli.base.walk import Root


@contextmanager
def ledger(path: Path, wait: float = 60.0, refractory: float = 300.0) -> Iterator[Ledger]:
    root = Root(path)
    store = EventStore(root)
    try:
        yield Ledger(store, wait, refractory)
    finally:
        store.close()
        root.close()


def pass_time(store: EventStore, seconds: float) -> None:
    """What was so far was so much longer ago."""
    store.db.execute("UPDATE alert_clock SET monotonic = monotonic - ?", (seconds,))


def damage(path: str = "trades/a.json", message: str = "not JSON") -> Finding:
    return Finding("MB101", message, path, f"memorybank repair {path}")


def slow(message: str = "p95 is 1,200 ms") -> Finding:
    return Finding("MB504", message)


def open_to_others(path: str = "trades") -> Finding:
    return Finding("MB303", "may be read by others", path, "chmod -R o-rwx")
