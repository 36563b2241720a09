"""Archiving: the oldest part of an account's history compressed, and put back; nothing of it leaves the history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from memorybank_cli.accounts.archiving import Stood, archived, chosen, plain, stood
from memorybank_cli.accounts.recorded import ARCHIVED
from memorybank_cli.accounts.sources import read_history
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.replacing import Replacement, digest_there, replacing
from memorybank_cli.base import clock
from memorybank_cli.base.errors import UsageError
from memorybank_cli.base.words import counted, size
from memorybank_cli.operations.accounts import check_account
from memorybank_cli.operations.options import Option

_MIB = 1 << 20
AT_ONCE = 50
"""Segments of one act; between two acts others may write."""


@dataclass(frozen=True)
class ArchiveReport:
    """What `account archive` did, or would do."""

    account: str
    segments: int
    """Segments whose form was changed."""
    messages: int
    """Messages in them."""
    bytes_before: int
    bytes_after: int | None
    """None in a rehearsal: only compressing tells."""
    archived: int
    """Messages of the account that are archived now."""
    undo: bool
    dry_run: bool

    def summary(self) -> str:
        """How much, and how to have it back."""
        if not self.segments:
            return f"Nothing of {self.account} is {'archived' if self.undo else 'to be archived'}."
        what = f"{counted(self.messages, 'message')} of {self.account} in {counted(self.segments, 'segment')}"
        if self.dry_run:
            return f"{what} ({size(self.bytes_before)}) would be {'put back' if self.undo else 'archived'}"
        sizes = f"{size(self.bytes_before)} became {size(self.bytes_after or 0)}"
        if self.undo:
            return f"{what} put back: {sizes}"
        return f"{what} archived: {sizes}; to undo: memorybank account archive {self.account} --undo"


def archive(
    bank: Bank,
    account: Annotated[str, "its id"],
    *,
    older_than: Annotated[
        str | None, Option("what was said before this: a span such as 90d, or a time", metavar="SPAN")
    ] = None,
    keep_mib: Annotated[
        int | None, Option("the oldest, until plain segments of at most so many MiB remain", metavar="N")
    ] = None,
    undo: Annotated[bool, "put everything that is archived back as plain JSON"] = False,
    dry_run: Annotated[bool, Option("show what would be done, change nothing", short="-n")] = False,
) -> ArchiveReport:
    """Archive the oldest messages of an account.

    Whole sealed segments are compressed, from the oldest on. The history holds them as before: messages are
    listed, counted, checked and backed up, they only cost less room. --undo puts the plain files back. Others
    may go on writing meanwhile; what was done before an interruption stays done.

    Exit codes:
        0   done, or there was nothing to do
        2   it is not said what to archive
        3   a segment cannot be had whole
        10  there is no such account

    Examples:
        memorybank account archive alpha --older-than 90d
        memorybank account archive alpha --keep-mib 50 --dry-run
    """
    if undo == (older_than is not None or keep_mib is not None):
        raise UsageError(
            "say what to archive, or --undo alone", hint=f"memorybank account archive {account} --older-than 90d"
        )
    if keep_mib is not None and keep_mib < 0:
        raise UsageError("--keep-mib takes 0 MiB or more")
    before = None if older_than is None else clock.show(clock.parse_since(older_than))
    check_account(bank, account)
    bank.render()
    most = None if keep_mib is None else keep_mib * _MIB
    done, after = list[Stood](), 0
    while True:
        with bank.locked():
            every = stood(bank, read_history(bank, account, indexed=True))
            wanted = [one for one in every if one.is_archived] if undo else chosen(every, before, most)
            if dry_run:
                return _report(account, wanted, every, None, undo=undo)
            if not done:
                bank.context.progress.start("putting back" if undo else "archiving", len(wanted))
            after += _put(bank, account, wanted[:AT_ONCE], undo) if wanted else 0
        done += wanted[:AT_ONCE]
        if len(wanted) <= AT_ONCE:
            bank.context.progress.finish()
            return _report(account, done, every, after, undo=undo)


def _report(account: str, done: list[Stood], every: list[Stood], after: int | None, *, undo: bool) -> ArchiveReport:
    """What was done, or without `after` would be; `every` is how the segments stood before the last act."""
    dry_run = after is None
    changed = set() if dry_run else {one.segment.first for one in done}
    now = sum(one.segment.length for one in every if (not undo if one.segment.first in changed else one.is_archived))
    messages, taken = sum(one.segment.length for one in done), sum(one.bytes for one in done)
    return ArchiveReport(account, len(done), messages, taken, after, now, undo, dry_run)


def _put(bank: Bank, account: str, wanted: list[Stood], undo: bool) -> int:
    """Put the other form of each segment in place, as one act; how many bytes that is."""
    made = 0
    with replacing(bank, ARCHIVED, keep=False, subject=account, undo=undo) as act:
        for one, takes_place_of in (plain if undo else archived)(bank, account, wanted):
            made += len(one.data)
            act.put(Replacement(one.path, one.data, bank.modes[0], None, one.kind), digest_there(bank, one.path))
            act.put(Replacement(takes_place_of, None), digest_there(bank, takes_place_of))
            bank.context.progress.advance()
        act.carry_out()
    return made
