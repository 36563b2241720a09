"""What goes along with a long `watch`: sampling, alerting, re-reading. One protocol, one table, called from its one thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base.records import Finding

Line = dict[str, Any]


class Companion(Protocol):
    """Something that `watch` does beside judging changes."""

    def due(self) -> float:
        """When it wants to run next, by `time.monotonic()`; infinity for never."""

    def run(self) -> Iterable[Line]:
        """Do what is due, briefly (watching waits meanwhile): lines for the stream, each with `type` and `ts`."""

    def told(self, opened: Iterable[Finding], resolved: Iterable[Finding]) -> None:
        """Findings that `watch` has just told of, and those that are gone."""

    def looked(self, findings: Iterable[Finding]) -> None:
        """A look at the whole bank is over, and these findings are all there are."""

    def close(self) -> None:
        """Watching ends."""


MAKERS: tuple[Callable[[Bank], Companion], ...] = ()
"""Each companion that every `watch` has, in the order in which they run."""
