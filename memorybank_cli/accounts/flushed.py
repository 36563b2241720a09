"""Which messages are durable outside the journal: sealed segments that stand there, as their digests prove."""

from __future__ import annotations

from collections.abc import Iterable

from memorybank_cli.accounts import replay
from memorybank_cli.accounts.recorded import record_of
from memorybank_cli.accounts.shelf import FileShelf
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.compaction import MayGo
from memorybank_cli.bank.framing import Line
from memorybank_cli.base.errors import AccountDamaged


def mark(bank: Bank, account: str) -> int:
    """The flush mark: the line of the last message that is sealed; 0 where the sealed part is not all there."""
    record = record_of(bank, account)
    if record is None or record.base is None or not record.base.line:
        return 0
    shelf = FileShelf(bank, account)
    try:
        segments, right = shelf.segments(record.base.digest, record.base.sealed)
    except AccountDamaged:
        return 0
    return record.base.line if right and all(shelf.data(one) is not None for one in segments) else 0


def sealed(bank: Bank, accounts: Iterable[str]) -> MayGo:
    """Whether a line stores a message of one of these accounts that is sealed, under whatever name it had then."""
    reach: dict[str, list[tuple[int, int]]] = {}
    for account in accounts:
        course = replay.course_of(bank, account, bank.end.seq)
        upto = mark(bank, account)
        for name, last in ({} if course is None else course.reach).items():
            reach.setdefault(name, []).append((last, upto))

    def may_go(line: Line) -> bool:
        if not replay.is_message(line):
            return False
        marks = [upto for last, upto in reach.get(str(line.core.get("account")), ()) if line.seq <= last]
        return bool(marks) and line.seq <= min(marks)

    return may_go
