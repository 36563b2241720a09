"""What is known of packs from earlier verifications: when each was last read whole, and which were found damaged.

It is derived and kept outside the repository by the caller; losing it costs only that packs are read again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from memorybank_cli.snapshots.backends import Stored
from memorybank_cli.snapshots.repository import is_digest


@dataclass
class Proofs:
    """The packs of one repository; the default knows nothing and keeps nothing."""

    begun: str = ""
    """When the run began that reads packs now, or was interrupted; '' when the last one came to its end."""
    read: dict[str, tuple[int, int, str]] = field(default_factory=dict)
    """By pack the size in bytes and the mtime in nanoseconds that it had, and when it was read whole and was good."""
    damaged: dict[str, tuple[int, int, str]] = field(default_factory=dict)
    """By pack its size and mtime, and what is wrong with it."""
    keep: Callable[[Proofs], None] = lambda _: None
    """Called after each change that is worth keeping."""

    @classmethod
    def parse(cls, value: Mapping[str, Any], keep: Callable[[Proofs], None]) -> Proofs:
        """From what `as_dict` gave; what has another form counts as unknown."""
        begun = value.get("begun")
        read, damaged = (_rows(value.get(name)) for name in ("read", "damaged"))
        return cls(begun if isinstance(begun, str) else "", read, damaged, keep)

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"begun": self.begun, "read": self.read, "damaged": self.damaged}

    def is_read(self, name: str, stored: Stored, since: str) -> bool:
        """Whether the pack that is stored there now was read whole at that time or later, and was good."""
        size, mtime_ns, when = self.read.get(name, (0, 0, ""))
        return bool(since) and when >= since and (size, mtime_ns) == (stored.size, stored.mtime_ns)

    def note(self, name: str, stored: Stored, when: str, why: str) -> None:
        """A pack was read; `why` says what is wrong with it, '' for nothing."""
        self.read.pop(name, None)
        self.damaged.pop(name, None)
        rows, text = (self.damaged, why) if why else (self.read, when)
        rows[name] = (stored.size, stored.mtime_ns, text)

    def forget_others(self, present: Iterable[str]) -> None:
        """Packs that are not there any more."""
        there = set(present)
        for rows in (self.read, self.damaged):
            for name in rows.keys() - there:
                del rows[name]

    def still_damaged(self, present: Mapping[str, Stored]) -> frozenset[str]:
        """Packs that were found damaged and were not written since."""
        return frozenset(
            name
            for name, (size, mtime_ns, _) in self.damaged.items()
            if name in present and (size, mtime_ns) == (present[name].size, present[name].mtime_ns)
        )


def _rows(value: Any) -> dict[str, tuple[int, int, str]]:
    items = value.items() if isinstance(value, dict) else ()
    return {name: tuple(row) for name, row in items if is_digest(name) and _is_row(row)}


def _is_row(row: Any) -> bool:
    return isinstance(row, list) and [type(part) for part in row] == [int, int, str]
