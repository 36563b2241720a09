"""Making an account's context again: read outside the lock, written under it where nothing moved meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from memorybank_cli.accounts.context_plan import fits, stretches
from memorybank_cli.accounts.context_summaries import condensed, summarised
from memorybank_cli.accounts.contexts import SUMMARY, Summary
from memorybank_cli.accounts.history import Message
from memorybank_cli.accounts.replay import STORED
from memorybank_cli.accounts.sources import read_history
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.journal import Entry
from memorybank_cli.base.records import QUIET, Progress

AT_ONCE = 500
"""Messages whose words are weighed against each other, and that are in memory at a time."""
_REMEMBERED = 3  # summaries before a part; what they say is no news


class Done(NamedTuple):
    """What a refresh did: summaries written, messages they stand for, and whether nothing is left."""

    summaries: int
    messages: int
    finished: bool


class _Moved(Exception):
    """Somebody else changed the account's summaries or messages meanwhile."""


def refresh(
    bank: Bank,
    account: str,
    reason: str,
    *,
    again: bool = False,
    most: int | None = None,
    progress: Progress = QUIET,
) -> Done:
    """Summarise what no summary stands for, and the newest topic anew; with `again` everything.

    It ends once `most` messages are summarised; each part is durable by itself. It also ends where somebody else
    changed the context meanwhile, which is newer then. Raises AccountDamaged, ImportError without scikit-learn, and
    what `Bank.commit` raises.
    """
    history = read_history(bank, account, indexed=True)
    writer = _Writer(bank, account, reason, history.context.seq)
    written = seen = 0
    try:
        writer.void(history.total, history.context.summaries)
        wanted = list(stretches(history, again))
        progress.start("summarising", sum(one.last - one.first + 1 for one in wanted))
        for stretch in wanted:
            earlier = [one for one in history.context.summaries if one["last"] < stretch.first][-_REMEMBERED:]
            for found in _summaries(history.stretch(stretch.first, stretch.last), earlier):
                writer.write(found)
                written, here = written + len(found), found[-1]["last"] - found[0]["first"] + 1
                seen += here
                progress.advance(here)
                if most is not None and seen >= most:
                    return Done(written, seen, stretch == wanted[-1] and found[-1]["last"] == stretch.last)
    except _Moved:
        return Done(written, seen, finished=False)
    finally:
        progress.finish()
    return Done(written, seen, finished=True)


def _summaries(messages: Iterator[Message], earlier: Sequence[Summary]) -> Iterator[list[Summary]]:
    """Summaries of consecutive messages, a part at a time; the last topic of a part is taken up by the next one."""
    carried: list[Message] = []
    while fresh := list(islice(messages, AT_ONCE)):
        part = [*carried, *fresh]
        found = summarised(part, earlier)
        carried = []
        if len(fresh) == AT_ONCE and len(found) > 1:
            last = found.pop()
            carried = [one for one in part if one["seq"] >= last["first"]]
        earlier = found[-_REMEMBERED:]
        yield found
    if carried:
        yield summarised(carried, earlier)


class _Writer:
    """Stores summaries of one account as long as nobody else does."""

    def __init__(self, bank: Bank, account: str, reason: str, seq: int) -> None:
        self.bank, self.account, self.reason, self.seq = bank, account, reason, seq

    def write(self, summaries: Sequence[Summary]) -> None:
        """Store these, and what follows of them for older ones. Raises _Moved."""
        self._commit([self._entry(one) for one in summaries], summaries)
        while joined := condensed(read_history(self.bank, self.account).context.summaries):
            self._commit([self._entry(one) for one in joined], joined)

    def void(self, total: int, summaries: Sequence[Summary]) -> None:
        """Take summaries back that stand for messages which are not there any more."""
        beyond = [one for one in summaries if one["last"] > total]
        if beyond:
            span = [min(one["first"] for one in beyond), beyond[-1]["last"]]
            fields = {"account": self.account, "kind": SUMMARY, "record": "", "span": span, "reason": self.reason}
            self._commit([Entry(STORED, fields)], ())

    def _entry(self, one: Summary) -> Entry:
        span = [one["first"], one["last"]]
        fields = {"account": self.account, "kind": SUMMARY, "record": one["id"], "span": span, "reason": self.reason}
        return Entry(STORED, fields, one)

    def _commit(self, entries: list[Entry], summaries: Sequence[Summary]) -> None:
        with self.bank.locked():
            now = read_history(self.bank, self.account)
            if now.context.seq != self.seq or not all(fits(now, one) for one in summaries[-1:]):
                raise _Moved
            self.seq = self.bank.commit(entries)[-1].seq
            self.bank.render()
