"""Trying the channels of alerts: a message that says it is a test, sent now, and what became of it."""

from __future__ import annotations

import os
import sqlite3
import time
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Self

from memorybank_cli.alerts import standing, waiting
from memorybank_cli.alerts.breaker import Breaker, Moment, State
from memorybank_cli.alerts.channels import table
from memorybank_cli.alerts.channels.values import Channel, Message, Undelivered
from memorybank_cli.alerts.settings import read_own
from memorybank_cli.alerts.values import Notice
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.events import EventStore
from memorybank_cli.base import clock
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import NotFound, UsageError
from memorybank_cli.base.names import escape, uuid7
from memorybank_cli.base.records import Finding, at_least
from memorybank_cli.base.suggestions import did_you_mean
from memorybank_cli.base.words import counted
from memorybank_cli.operations.options import Option


@dataclass(frozen=True)
class ChannelTest:
    """How one channel took the test message."""

    channel: str
    kind: str
    ok: bool | None
    """None for one that was not tried."""
    seconds: float
    reason: str
    """Why it did not arrive, '' where it did."""
    hint: str
    waiting: int
    """Messages that wait for this channel."""
    breaker: State


@dataclass(frozen=True)
class ChannelTests:
    """How the channels took it, what alerts.json has wrong, and the message itself."""

    channels: tuple[ChannelTest, ...]
    findings: tuple[Finding, ...]
    message: dict[str, Any]
    dry_run: bool

    def as_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return {
            "channels": [asdict(one) for one in self.channels],
            "findings": [one.as_dict() for one in self.findings],
            "message": self.message,
            "dry_run": self.dry_run,
        }

    def exit_code(self) -> int:
        """1 when a channel did not take it, or one cannot be used at all."""
        failed = any(one.ok is False for one in self.channels)
        return 1 if failed or at_least(self.findings, "error") else 0

    def summary(self) -> str:
        """How many took it."""
        if self.dry_run:
            return f"A test would be sent to {counted(len(self.channels), 'channel')}. Nothing was sent."
        good = sum(one.ok is True for one in self.channels)
        unfit = sum(one.rule == "MB554" for one in self.findings)
        rest = f"; {counted(unfit, 'definition')} cannot be used" if unfit else ""
        return f"{good:,} of {counted(len(self.channels), 'channel')} took the test{rest}"


def send_test(
    bank: Bank,
    context: Context,
    *channel: Annotated[str, "the channel's name; default: all of them"],
    dry_run: Annotated[bool, Option("send nothing; --json shows the message", short="-n")] = False,
) -> ChannelTests:
    """Send a test message to channels of alerts.

    It goes out at once, whatever failed before. A channel that takes it counts as sound again: what waits for it is
    delivered by the next watch, health or maintain. `terminal` needs no test: watch shows its messages.

    Exit codes:
        0   each channel took it
        1   one did not, or alerts.json defines one that cannot be used
        10  there is no channel by that name

    Examples:
        memorybank alert test
        memorybank alert test desk
        memorybank alert test --dry-run --json
    """
    own = read_own(bank.owner)
    channels, unfit = table.built(own.channels, bank.root, own=bank.owner == os.geteuid())
    names = _chosen(channel, [*channels, *unfit])
    kinds = {name: str(one.get("kind")) for name, one in own.channels.items()}
    notice = Notice(uuid7(), "", "test", bank.root.path, clock.now(), (), 0, 0).as_dict() | {"test": True}
    with _Records(bank, context) as records:
        tests = []
        for name in names:
            if name in channels:
                context.progress.start(f"testing {name}")
                message = Message({**notice, "channel": name})
                tests.append(
                    _tested(name, kinds.get(name, name), None if dry_run else channels[name], message, records)
                )
                context.progress.finish()
    found = [*own.findings, *(standing.unfit(name, why) for name, why in unfit.items() if name in names)]
    return ChannelTests(tuple(tests), tuple(found), notice, dry_run)


def _chosen(given: tuple[str, ...], there: list[str]) -> list[str]:
    """The channels that are meant. Raises NotFound, UsageError for `terminal`."""
    for name in given:
        if name == table.TERMINAL:
            raise UsageError("there is nothing to send to terminal: memorybank watch shows its messages")
        if name not in there:
            hint = did_you_mean(name, there, f"there are {', '.join(map(escape, there))}")
            raise NotFound(f"there is no channel '{escape(name)[:80]}'", hint=hint)
    return list(dict.fromkeys(given)) or there


def _tested(name: str, kind: str, channel: Channel | None, message: Message, records: _Records) -> ChannelTest:
    """One channel's test; None for the channel sends nothing."""
    reason, hint, begun = "", "", time.monotonic()
    if channel is not None:
        try:
            channel.send(message)
        except Undelivered as error:
            reason, hint = error.reason, error.hint
        else:
            records.is_sound(name)
    count, state = records.of(name)
    ok = None if channel is None else not reason
    return ChannelTest(name, kind, ok, round(time.monotonic() - begun, 3), reason, hint, count, state)


class _Records:
    """What findings.sqlite has about channels; a test needs none of it, so a database that fails is only said."""

    def __init__(self, bank: Bank, context: Context) -> None:
        self.context = context
        self.store: EventStore | None = None
        try:
            self.store = EventStore(bank.root)
        except sqlite3.Error as error:
            self._note(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.store is not None:
            self.store.close()

    def is_sound(self, name: str) -> None:
        """Close the channel's breaker."""
        if self.store is None:
            return
        try:
            with self.store.writing() as db:
                if name in waiting.breakers(db):
                    waiting.keep_breaker(db, name, Breaker())
        except sqlite3.Error as error:
            self._note(error)

    def of(self, name: str) -> tuple[int, State]:
        """How many messages wait for the channel, and the state of its breaker."""
        if self.store is None:
            return 0, "closed"
        try:
            state = waiting.breakers(self.store.db).get(name, Breaker()).state(Moment.now())
            return waiting.count(self.store.db, name), state
        except sqlite3.Error as error:
            self._note(error)
            return 0, "closed"

    def _note(self, error: sqlite3.Error) -> None:
        self.context.progress.note(f"findings.sqlite cannot be used, so nobody knows what waits: {error}")
