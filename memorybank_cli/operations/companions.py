"""What goes along with a long `watch`: sampling, alerting. One protocol, one table, called from its one thread."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base.names import escape_text
from memorybank_cli.base.records import Finding

Line = dict[str, Any]
T = TypeVar("T")
PAUSE = 60.0
"""Seconds for which one that failed is left out."""


class Companion(Protocol):
    """Something that `watch` does beside judging changes. One that looks itself has `findings`, which count, too."""

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


class Maker(NamedTuple):
    """How a companion comes about, for a bank and a watch that leads or does not."""

    name: str
    make: Callable[[Bank, bool], Companion]
    only_leading: bool = False
    """It goes along only with a watch that leads."""


def _alerting(bank: Bank, _leads: bool) -> Companion:
    from memorybank_cli.operations.alerting import Alerting

    return Alerting(bank)


def _sampling(bank: Bank, leads: bool) -> Companion:
    from memorybank_cli.operations.sampling import Sampling

    return Sampling(bank, leads)


MAKERS = (Maker("sampling", _sampling), Maker("alerting", _alerting, only_leading=True))
"""Each companion of a `watch`, in the order in which they run; imported when a watch begins."""


@dataclass
class _Member:
    maker: Maker
    companion: Companion | None = None
    out_until: float = 0.0
    failed: Finding | None = None
    failed_at: str = ""
    """What it could not do: until it can, it counts as failing."""
    known: tuple[Finding, ...] = ()
    """What it had found when it was last asked."""


class Company:
    """All companions of one watch. What one of them raises is a finding (MB525), and ends neither it nor the others.

    Use: `run` whenever `due` has come, `close` at the end.
    """

    def __init__(self, bank: Bank, leads: bool, makers: Iterable[Maker] = MAKERS) -> None:
        self.bank, self.leads = bank, leads
        self._members = [_Member(one) for one in makers if leads or not one.only_leading]

    def due(self) -> float:
        """When any of them wants to run, by `time.monotonic()`."""
        return min(map(self._due, self._members), default=math.inf)

    def run(self) -> Iterator[Line]:
        """What those whose time has come have to say."""
        now = time.monotonic()
        for one in self._members:
            if self._due(one) <= now:
                yield from self._call(one, "run", lambda companion: list(companion.run())) or ()

    def told(self, opened: Iterable[Finding], resolved: Iterable[Finding]) -> None:
        """Pass it on."""
        news = list(opened), list(resolved)
        for one in self._members if any(news) else ():
            self._call(one, "told", lambda companion: companion.told(*news))

    def looked(self, findings: Iterable[Finding]) -> None:
        """Pass it on."""
        all_there_are = list(findings)
        for one in self._members:
            self._call(one, "looked", lambda companion: companion.looked(all_there_are))

    def findings(self) -> list[Finding]:
        """What they found themselves, of one that fails what it had found before; and MB525 of those that fail."""
        for one in self._members:
            found = self._call(one, "findings", lambda companion: tuple(getattr(companion, "findings", ())))
            one.known = one.known if found is None else found
        return [*(finding for one in self._members for finding in one.known), *self.failures()]

    def failures(self) -> list[Finding]:
        """MB525 of those that failed, and have not done since what they failed at."""
        return [one.failed for one in self._members if one.failed is not None]

    def close(self) -> None:
        """Let each of them end."""
        for one in self._members:
            if one.companion is not None:
                one.out_until = 0.0
                self._call(one, "close", lambda companion: companion.close())

    def _due(self, member: _Member) -> float:
        due = self._call(member, "due", lambda companion: companion.due())
        return math.inf if due is None else due

    def _call(self, member: _Member, name: str, what: Callable[[Companion], T]) -> T | None:
        """What a companion answers; None from one that is left out, or that failed just now."""
        if time.monotonic() < member.out_until:
            return None
        try:
            if member.companion is None:
                member.companion = member.maker.make(self.bank, self.leads)
            answer = what(member.companion)
        except Exception as error:  # noqa: BLE001 - whatever it is, watching goes on and says so
            self._failed(member, name, error)
            return None
        if member.failed_at == name:
            member.failed, member.failed_at = None, ""
        return answer

    def _failed(self, member: _Member, name: str, error: Exception) -> None:
        member.out_until, member.failed_at = time.monotonic() + PAUSE, name
        who = member.maker.name
        words = escape_text(f"{who} failed: {getattr(error, 'message', '') or repr(error)}")[:300]
        if member.failed is None:
            self.bank.context.progress.note(f"{words}; watching goes on, and it is tried again in a minute")
        member.failed = Finding("MB525", words, "", "memorybank alert test, if people are to be told", f"/{who}")
