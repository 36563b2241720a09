"""What goes along with a long `watch`: sampling, alerting. One protocol, one table, called from its one thread."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base.names import escape_text
from memorybank_cli.base.records import Finding

Line = dict[str, Any]
T = TypeVar("T")
PAUSE = 60.0
"""Seconds for which one that failed is left out."""


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


def alerting(bank: Bank) -> Companion:
    """Tells people; imported when a watch begins."""
    from memorybank_cli.operations.alerting import Alerting

    return Alerting(bank)


def sampling(bank: Bank) -> Companion:
    """Looks at the machine, speed and protection by their cadences, and keeps samples; imported when a watch begins."""
    from memorybank_cli.operations.sampling import Sampling

    return Sampling(bank)


MAKERS: tuple[Callable[[Bank], Companion], ...] = (sampling, alerting)
"""Each companion that every `watch` has, in the order in which they run."""


@dataclass
class _Member:
    make: Callable[[Bank], Companion]
    companion: Companion | None = None
    out_until: float = 0.0
    failed: Finding | None = None

    @property
    def name(self) -> str:
        return getattr(self.make, "__name__", "companion").lower()


class Company:
    """All companions of one watch. What one of them raises is a finding (MB525), and ends neither watch nor the others.

    Use: `run` whenever `due` has come, `close` at the end.
    """

    def __init__(self, bank: Bank, makers: Iterable[Callable[[Bank], Companion]] | None = None) -> None:
        self.bank = bank
        self._members = [_Member(make) for make in (MAKERS if makers is None else makers)]
        for member in self._members:
            self._call(member, lambda _companion: None)

    def due(self) -> float:
        """When any of them wants to run, by `time.monotonic()`."""
        found = [self._call(one, lambda companion: companion.due()) for one in self._members]
        return min((math.inf if one is None else one for one in found), default=math.inf)

    def run(self) -> Iterator[Line]:
        """What those whose time has come have to say."""
        now = time.monotonic()
        for one in self._members:
            yield from self._call(one, lambda companion: list(companion.run()) if companion.due() <= now else []) or ()

    def told(self, opened: Iterable[Finding], resolved: Iterable[Finding]) -> None:
        """Pass it on."""
        news = list(opened), list(resolved)
        for one in self._members if any(news) else ():
            self._call(one, lambda companion: companion.told(*news))

    def looked(self, findings: Iterable[Finding]) -> None:
        """Pass it on."""
        all_there_are = list(findings)
        for one in self._members:
            self._call(one, lambda companion: companion.looked(all_there_are))

    def findings(self) -> list[Finding]:
        """MB525 of those that failed, and what they found themselves where they have `findings`."""
        own = [self._call(one, lambda companion: list(getattr(companion, "findings", ()))) for one in self._members]
        return [*(one for some in own for one in some or ()), *self.failures()]

    def failures(self) -> list[Finding]:
        """MB525 of those that failed when they were last called."""
        return [one.failed for one in self._members if one.failed is not None]

    def close(self) -> None:
        """Let each of them end."""
        for one in self._members:
            if one.companion is not None:
                one.out_until = 0.0
                self._call(one, lambda companion: companion.close())

    def _call(self, member: _Member, what: Callable[[Companion], T]) -> T | None:
        """What a companion answers; None from one that is left out, or that failed just now."""
        if time.monotonic() < member.out_until:
            return None
        try:
            if member.companion is None:
                member.companion = member.make(self.bank)
            answer = what(member.companion)
        except Exception as error:  # noqa: BLE001 - whatever it is, watching goes on and says so
            self._failed(member, error)
            return None
        member.failed = None
        return answer

    def _failed(self, member: _Member, error: Exception) -> None:
        member.out_until = time.monotonic() + PAUSE
        words = escape_text(f"{member.name} failed: {getattr(error, 'message', '') or repr(error)}")[:300]
        if member.failed is None:
            self.bank.context.progress.note(f"{words}; watching goes on, and it is tried again in a minute")
        member.failed = Finding(
            "MB525", words, "", "memorybank alert test, if people are to be told", f"/{member.name}"
        )
