"""Whether the table of identities knows the messages that an account has: neither more, nor fewer, nor others.

The table is read as it stands on the disk, without the lock, and held against the history by how many there are and by
their sum, so an account of any length needs little memory. What was stored since the table was written is added.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from typing import NamedTuple

from memorybank_cli.accounts.applier import applier_of
from memorybank_cli.accounts.identities import AT_ONCE, NAME, changed_by, identity, key_of
from memorybank_cli.accounts.replay import is_message
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.chain import GAP
from memorybank_cli.bank.forgetting import END
from memorybank_cli.base.database import is_damaged, open_read_only
from memorybank_cli.base.errors import AccountDamaged, JournalDamaged, Locked

_ROWS = "SELECT CAST(identity AS BLOB) FROM accounts JOIN known USING (number) WHERE account=?"


class Tally(NamedTuple):
    """How many identities there are, and their sum as numbers."""

    number: int = 0
    total: int = 0

    def plus(self, more: Sequence[int]) -> Tally:
        """With more of them."""
        return Tally(self.number + len(more), self.total + sum(more))


class Table(NamedTuple):
    """What the table says of an account, and up to which line of the journal; `tally` is None for a damaged one."""

    upto: int
    hash: str
    tally: Tally | None


def number_of(key: bytes, one: object) -> int:
    """An id's identity as a number."""
    return int.from_bytes(identity(key, str(one)), "big")


def table_of(bank: Bank, account: str) -> Table | None:
    """What stands in the table; None where it does not know the account, or cannot be read here and now."""
    if bank.root.stat(NAME) is None:
        return None
    try:
        with closing(open_read_only(bank.root, NAME)) as db:
            db.execute("BEGIN")
            upto = db.execute("SELECT CAST(seq AS INTEGER),hash FROM meta WHERE name='upto'").fetchone()
            known = db.execute("SELECT 1 FROM accounts WHERE account=?", (account,)).fetchone()
            tally = Tally()
            rows = db.execute(_ROWS, (account,))
            while part := rows.fetchmany(AT_ONCE):
                tally = tally.plus([int.from_bytes(one, "big") for (one,) in part])
    except (OSError, sqlite3.DatabaseError, UnicodeDecodeError) as error:
        # Busy, or on a read-only disk: whoever writes looks again.
        return Table(0, "", None) if is_damaged(error) else None
    bank.refresh()  # the table may know lines that were not read here yet
    return Table(int(upto[0]), str(upto[1]), tally) if upto and known else None


def fits(bank: Bank, account: str, table: Table, tally: Tally, upto: int) -> bool:
    """Whether the table and the lines since give what the history as of line `upto` comes to.

    It fits too where the next message has the table change more: the account's history was changed otherwise, messages
    were forgotten, or the table is of another journal.
    """
    if table.tally is None or not 0 < table.upto <= upto:
        return table.tally is not None
    lines = bank.journal.lines(table.upto - 1)
    first = next(lines, None)
    if first is None or (first.seq, first.hash) != (table.upto, table.hash):
        return True
    key, known = key_of(bank), table.tally
    for line in lines:
        if line.seq > upto:
            break
        if is_message(line) and line.core.get("account") == account:
            known = known.plus([number_of(key, line.core.get("record"))])
        elif line.op in (GAP, END) or account in changed_by(line):
            return True
    return known == tally


def mend(bank: Bank, account: str) -> bool:
    """Have the table know the account's messages anew; whether that could be done now."""
    try:
        with bank.locked():
            bank.check_writable()
            applier_of(bank).identities(bank).again(account)
    except (AccountDamaged, JournalDamaged, Locked, OSError):
        return False
    return True
