"""Compaction: what the journal need not hold any more leaves it, and its old segments are compressed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from memorybank_cli.accounts import flushed, replay
from memorybank_cli.bank import compaction, layout, versions
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.compaction import WINDOW_DAYS, Compacted, MayGo
from memorybank_cli.bank.framing import Line
from memorybank_cli.base.words import counted, size
from memorybank_cli.operations.accounts import account_ids, check_account
from memorybank_cli.operations.options import Option


@dataclass(frozen=True)
class CompactReport:
    """What became of each segment of the journal that was written again."""

    segments: tuple[Compacted, ...]
    before: int
    """Bytes of the whole journal."""
    after: int
    dry_run: bool

    def as_dict(self) -> dict[str, Any]:
        """The segments in order, oldest first."""
        return {
            "segments": [{"file": layout.segment_file(one.segment), **one._asdict()} for one in self.segments],
            "before": self.before,
            "after": self.after,
            "dry_run": self.dry_run,
        }

    def summary(self) -> str:
        """How much smaller the journal is."""
        if not self.segments:
            return f"Nothing to compact: the journal has {size(self.before)}."
        lines = counted(sum(one.lines for one in self.segments), "line")
        verb = "would have" if self.dry_run else "has"
        many = counted(len(self.segments), "segment")
        return f"The journal {verb} {size(self.after)} instead of {size(self.before)}: {many}, {lines} without data."


def compact(
    bank: Bank,
    account: Annotated[str | None, "only the messages of this account go; default: of all, and old versions"] = None,
    *,
    dry_run: Annotated[bool, Option("show what would be done, change nothing", short="-n")] = False,
) -> CompactReport:
    """Make the journal smaller.

    What is older than the undo window of 7 days is compressed. Messages that are sealed in the account's history
    leave it there, and so do versions of files that were replaced since. While the journal is larger than the
    setting undo_budget_mib, younger ones go too, the oldest first; memorybank backup does that without being asked.
    Every line stays in its place in the chain; what is in no other place stays whole.

    Exit codes:
        0   done
        3   the journal is damaged, or cannot be written; every segment is as it was or compacted
        10  there is no such account

    Examples:
        memorybank account compact --dry-run
        memorybank account compact alpha
    """
    if account is not None:
        check_account(bank, account)
    bank.render()
    before = compaction.total(bank)
    upto = bank.end.seq
    may_go = dispensable(bank, account)
    steps = compaction.plan(bank, may_go, WINDOW_DAYS)
    told = tuple(one.told for one in steps)
    after = before - sum(one.before - one.after for one in told)
    if steps and not dry_run:
        compaction.carry_out(bank, steps, may_go, upto)
        after = compaction.total(bank)
    return CompactReport(told, before, after, dry_run)


def dispensable(bank: Bank, account: str | None = None) -> MayGo:
    """What the journal need not hold: of an account, or of all and of files as well. It is as of now."""
    names = account_ids(bank)
    is_sealed = flushed.sealed(bank, names)
    course = None if account is None else replay.course_of(bank, account, bank.end.seq)
    of_account = course.names if course is not None else frozenset({account})

    def may_go(line: Line) -> bool:
        if replay.is_message(line):
            return is_sealed(line) and (account is None or line.core["account"] in of_account)
        return account is None and versions.superseded(bank.catalog, line)

    return may_go
