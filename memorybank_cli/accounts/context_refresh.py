"""Making an account's context again: read outside the lock, written under it where nothing moved meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from memorybank_cli.accounts.context_plan import fits, stretches
from memorybank_cli.accounts.context_summaries import condensed, summarised
from memorybank_cli.accounts.contexts import SUMMARY, Summary, laid_between
from memorybank_cli.accounts.history import History, Message
from memorybank_cli.accounts.replay import STORED
from memorybank_cli.accounts.sources import read_history
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.journal import Entry
from memorybank_cli.base.records import QUIET, Progress

AT_ONCE = 500
"""Messages whose words are weighed against each other, and that are in memory at a time."""
DURABLE = 10_000
"""Messages after which what was told of them is stored: a kill takes the summing up of as many back."""
_REMEMBERED = 3  # summaries before a part; what they say is no news


class Done(NamedTuple):
    """What a refresh did: summaries stored, messages they were made of, and whether nothing is left."""

    summaries: int
    messages: int
    finished: bool
    upto: int = 0
    """The position up to which everything was told anew, where that was asked for."""


class _Moved(Exception):
    """Somebody else changed the account's summaries or messages meanwhile."""


def refresh(
    bank: Bank,
    account: str,
    reason: str,
    *,
    again: bool = False,
    after: int = 0,
    most: int | None = None,
    progress: Progress = QUIET,
) -> Done:
    """Summarise what no summary stands for, and the newest topic anew; with `again` everything after a position.

    It ends once `most` messages are summarised, and where somebody else changed the context meanwhile, which is newer
    then. Raises AccountDamaged, ImportError without scikit-learn, and what `Bank.commit` raises.
    """
    with (
        bank.locked()
    ):  # else somebody may be rendering the context, and only all of the journal would tell what it was
        history = read_history(bank, account, indexed=True)
        writer = _Writer(bank, history, reason)
    seen = 0
    try:
        writer.void(history.last)
        wanted = list(stretches(history, again, after))
        progress.start("summarising", sum(one.last - one.first + 1 for one in wanted))
        for stretch in wanted:
            for found in _summaries(history.stretch(stretch.first, stretch.last), writer.before(stretch.first)):
                writer.take(found)
                here = found[-1]["last"] - found[0]["first"] + 1
                seen += here
                progress.advance(here)
                if most is not None and seen >= most:
                    writer.store()
                    return writer.done(stretch == wanted[-1] and found[-1]["last"] == stretch.last)
        writer.store()
    except _Moved:
        return writer.done(False)
    finally:
        progress.finish()
    return writer.done(True)


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
    """Stores summaries of one account as long as nobody else does.

    Many are condensed in memory before any is stored, so of a long history a few are written and not thousands.
    """

    def __init__(self, bank: Bank, history: History, reason: str) -> None:
        self.bank, self.account, self.reason = bank, history.account, reason
        self._stored = self._told = self._upto = 0
        """Summaries, messages that they were made of, and the position up to which they are."""
        self._seq, self._gone = history.context.seq, history.gone
        self._shown = list(history.context.summaries)
        """What stands once it is stored."""
        self._fresh: set[str] = set()
        self._waiting = self._taken = 0

    def before(self, position: int) -> list[Summary]:
        """The last summaries before a position."""
        return [one for one in self._shown if one["last"] < position][-_REMEMBERED:]

    def take(self, summaries: Sequence[Summary]) -> None:
        """Lay these over what there is; they are stored soon. Raises _Moved."""
        self._lay(summaries)
        self._lay(condensed(self._shown))
        self._taken = summaries[-1]["last"]
        self._waiting += self._taken - summaries[0]["first"] + 1
        if self._waiting >= DURABLE:
            self.store()

    def _lay(self, summaries: Sequence[Summary]) -> None:
        self._shown = laid_between(self._shown, summaries)
        self._fresh = {one["id"] for one in summaries} | {one["id"] for one in self._shown if one["id"] in self._fresh}

    def store(self) -> None:
        """Store what was taken. Raises _Moved."""
        fresh = [one for one in self._shown if one["id"] in self._fresh]
        if fresh:
            self._commit([self._entry(one) for one in fresh], fresh)
        self._stored, self._told, self._upto = self._stored + len(fresh), self._told + self._waiting, self._taken
        self._fresh, self._waiting = set(), 0

    def done(self, finished: bool) -> Done:
        """What was stored."""
        return Done(self._stored, self._told, finished, self._upto)

    def void(self, end: int) -> None:
        """Take summaries back that stand for messages which are not there any more."""
        beyond = [one for one in self._shown if one["last"] > end]
        if beyond:
            span = [min(one["first"] for one in beyond), beyond[-1]["last"]]
            fields = {"account": self.account, "kind": SUMMARY, "record": "", "span": span, "reason": self.reason}
            self._commit([Entry(STORED, fields)], ())
            self._shown = [one for one in self._shown if one["last"] < span[0]]

    def _entry(self, one: Summary) -> Entry:
        span = [one["first"], one["last"]]
        fields = {"account": self.account, "kind": SUMMARY, "record": one["id"], "span": span, "reason": self.reason}
        return Entry(STORED, fields, one)

    def _commit(self, entries: list[Entry], summaries: Sequence[Summary]) -> None:
        with self.bank.locked():
            now = read_history(self.bank, self.account)
            known = now.context.seq == self._seq and now.gone == self._gone  # else they may quote what was forgotten
            if not known or not all(fits(now, one) for one in summaries[-1:]):
                raise _Moved
            self._seq = self.bank.commit(entries)[-1].seq
            self.bank.render()
