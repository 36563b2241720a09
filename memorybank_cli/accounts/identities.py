"""Which message identities an account holds: `index.sqlite`, a derived table that is asked before a message is stored.

One row of 16 bytes an identity, so a history of any length is asked in constant time and memory. It has its own
position in the journal, is caught up under the bank's lock, and is made again when it is lost, damaged or foreign.
Accounts are taken up when they are first written to, and let go of when a rollback or a hand changed their history.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import blake2b

from memorybank_cli.accounts.recorded import ARCHIVED
from memorybank_cli.accounts.replay import CREATED, STORED
from memorybank_cli.accounts.sources import read_history
from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.chain import GAP
from memorybank_cli.bank.following import RENDERED, Told
from memorybank_cli.bank.forgetting import END as FORGOTTEN
from memorybank_cli.bank.forgetting import REASON
from memorybank_cli.bank.framing import Line
from memorybank_cli.base import database

NAME = f"{layout.PRIVATE}/index.sqlite"
AT_ONCE = 10_000
AT_MOST = 4_096
"""So many identities wait in memory: neighbours in time are none in the table, and many of them share a page."""
FEW = 200
PLAIN = frozenset({STORED, CREATED, RENDERED, "checkpoint", "snapshot.created", "journal.cut"})
"""Operations after which the table is right but for the messages stored."""
_SCHEMA = (
    """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, seq INTEGER, hash TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS accounts (account TEXT PRIMARY KEY, number INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS known (number INTEGER, identity BLOB, PRIMARY KEY (number, identity)) WITHOUT ROWID;
""",
)
_EACH_TIME = (
    "SELECT name,seq,hash FROM meta LIMIT 0",
    "SELECT account,number FROM accounts LIMIT 0",
    "SELECT number,identity FROM known LIMIT 0",
    "CREATE TEMP TABLE admitted (number INTEGER, identity BLOB, PRIMARY KEY (number, identity)) WITHOUT ROWID",
)


class Identities:
    """The table of one bank. What was admitted and is not in the journal yet is remembered while the lock is held."""

    def __init__(self, bank: Bank) -> None:
        self.bank = bank
        self._key = key_of(bank)
        self._db = self._opened()
        self._admitted_in = 0
        self._held: set[tuple[int, bytes]] = set()
        self._is_held = False
        self._upto: int | None = None
        """Up to which line the table and what is in memory know all together; None where nobody knows."""
        self._recent: dict[str, set[str]] = {}
        self._waiting = 0
        self._numbers: dict[str, int] = {}
        """Of accounts, as long as nothing passed unheard."""

    def close(self) -> None:
        """Give the database back."""
        self._db.close()

    def fresh(self, account: str, ids: Sequence[str]) -> list[bool]:
        """For each id, in order, whether the account does not hold it yet, nor an earlier place of the list.

        The bank's lock is held. Raises AccountDamaged where the account's messages cannot be had.
        """
        for instead in (self._anew, _in_memory):
            try:
                return self._fresh(account, ids)
            except sqlite3.DatabaseError:
                self._db.close()
                self._db = instead()
                self._upto, self._is_held = None, False
        return self._fresh(account, ids)

    def _fresh(self, account: str, ids: Sequence[str]) -> list[bool]:
        self._catch_up()
        number = self._numbers.get(account)
        if number is None:
            number = self._number(account)
            if number is None:
                number = self._take_up(account)
            self._numbers[account] = number
        found: list[bool] = []
        if len(ids) <= FEW:
            return self._few(account, number, ids)
        with self._writing("DEFERRED"):
            for start in range(0, len(ids), AT_ONCE):
                found += self._admitted(account, number, ids[start : start + AT_ONCE])
        return found

    def _few(self, account: str, number: int, ids: Sequence[str]) -> list[bool]:
        recent, held = self._recent.get(account, set()), self._held
        keys = {one: self._identity(one) for one in ids if one not in recent}
        known = self._find("known", number, list(keys.values())) if keys else set()
        if self._is_held:
            known |= self._find("temp.admitted", number, list(keys.values()))
        found: list[bool] = []
        for one in ids:
            new = one in keys and keys[one] not in known and (number, keys[one]) not in held
            found.append(new)
            if new:
                held.add((number, keys[one]))
        return found

    def _admitted(self, account: str, number: int, ids: Sequence[str]) -> list[bool]:
        keys = [self._identity(one) for one in ids]
        known = self._find("known", number, keys) | self._find("temp.admitted", number, keys)
        known |= {self._identity(one) for one in self._recent.get(account, ())}
        known |= {key for place, key in self._held if place == number}
        found: list[bool] = []
        for key in keys:
            found.append(key not in known)
            known.add(key)
        rows = ((number, key) for key in sorted(set(keys)))
        self._db.executemany("INSERT OR IGNORE INTO temp.admitted VALUES (?,?)", rows)
        self._is_held = True
        return found

    def _identity(self, one: str) -> bytes:
        return identity(self._key, one)

    def _find(self, table: str, number: int, keys: list[bytes]) -> set[bytes]:
        marks = ",".join("?" * len(keys))
        query = f"SELECT identity FROM {table} WHERE number=? AND identity IN ({marks})"  # noqa: S608 - our own names
        return {row[0] for row in self._db.execute(query, (number, *keys))}

    # Catching up with the journal

    def catch_up(self) -> None:
        """Learn of all that was stored, so that the journal need not be read far back later. The lock is held."""
        with suppress(sqlite3.DatabaseError):  # whoever asks finds out what is wrong
            self._catch_up()

    def heard(self, told: Sequence[Told]) -> None:
        """Lines were appended right after those told before: they are kept in memory for a while."""
        if self._upto is None or not told:
            return
        if told[0].seq != self._upto + 1 or not all(one.op in PLAIN for one in told):
            self._upto = None
            return
        self._upto = told[-1].seq
        for one in told:
            if one.op == STORED and one.kind == "message":
                self._recent.setdefault(one.account, set()).add(one.record)
                self._waiting += 1
        if self._waiting >= AT_MOST:
            try:
                self._write_recent()
            except sqlite3.DatabaseError:
                self._upto = None  # whoever asks next finds out what is wrong

    def lost(self) -> None:
        """Lines passed that nobody told."""
        self._upto = None

    def _write_recent(self) -> None:
        end = self.bank.end
        with self._writing():
            numbers = dict(self._db.execute("SELECT account,number FROM accounts"))
            rows = [
                (numbers[account], self._identity(one))
                for account, ids in self._recent.items()
                if account in numbers
                for one in ids
            ]
            self._insert(rows)
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('upto',?,?)", (end.seq, end.hash))
        self._recent, self._waiting = {}, 0

    def _catch_up(self) -> None:
        if self._admitted_in != self.bank.holding:  # what an earlier holder of the lock did not write is not there
            if self._is_held:
                self._db.execute("DELETE FROM temp.admitted")
            self._admitted_in, self._is_held = self.bank.holding, False
            self._held.clear()
        end = self.bank.end
        if self._upto == end.seq:
            return
        self._numbers.clear()
        seq, digest = self._db.execute("SELECT seq,hash FROM meta WHERE name='upto'").fetchone() or (0, "")
        if (seq, digest) != (end.seq, end.hash):
            with self._writing():
                if not self._follows(int(seq), digest):
                    self._let_go_of_all()
                else:
                    self._take_over(int(seq), end.seq)
                self._db.execute("INSERT OR REPLACE INTO meta VALUES ('upto',?,?)", (end.seq, end.hash))
        self._upto, self._recent, self._waiting = end.seq, {}, 0

    def _follows(self, seq: int, digest: str) -> bool:
        """Whether the line up to which the table goes is the one that the journal has there."""
        line = next(self.bank.journal.lines(seq - 1), None) if 0 < seq <= self.bank.end.seq else None
        return line is not None and (line.seq, line.hash) == (seq, digest)

    def _take_over(self, after: int, upto: int) -> None:
        numbers = dict(self._db.execute("SELECT account,number FROM accounts"))
        rows: list[tuple[int, bytes]] = []
        for line in self.bank.journal.lines(after):
            if line.seq > upto:
                break
            number = numbers.get(line.core.get("account"))
            if line.op == STORED and line.core.get("kind") == "message" and number is not None:
                rows.append((number, self._identity(str(line.core.get("record")))))
                if len(rows) >= AT_ONCE:
                    self._insert(rows)
            elif line.op == GAP:  # lines were lost; what they stored may stand in files
                rows.clear()
                numbers.clear()
                self._let_go_of_all()
            elif line.op == FORGOTTEN:
                self._insert(rows)
                number, records = numbers.get(line.core["subject"]), line.core["records"]
                gone = ((number, self._identity(one)) for one in records)
                self._db.executemany("DELETE FROM known WHERE number=? AND identity=?", gone)
            elif changed := changed_by(line):
                self._insert(rows)
                for account in changed:
                    self._let_go(numbers.pop(account, None))
        self._insert(rows)

    def _insert(self, rows: list[tuple[int, bytes]]) -> None:
        rows.sort()  # neighbours fall into the same pages
        self._db.executemany("INSERT OR IGNORE INTO known VALUES (?,?)", rows)
        rows.clear()

    # Accounts

    def again(self, account: str) -> None:
        """Have the table know an account's messages anew, in one step. The lock is held. Raises AccountDamaged."""
        try:
            self.fresh(account, ())
            self._take_up(account, self._number(account))
            if self._db.execute("PRAGMA integrity_check(1)").fetchone() != ("ok",):
                raise sqlite3.DatabaseError("pages of the table are damaged, too")
        except sqlite3.DatabaseError:
            self._db.close()
            self._db = self._anew()
            self._upto, self._is_held = None, False

    def _number(self, account: str) -> int | None:
        row = self._db.execute("SELECT number FROM accounts WHERE account=?", (account,)).fetchone()
        return None if row is None else int(row[0])

    def _take_up(self, account: str, number: int | None = None) -> int:
        """Read the account's identities from its messages, in place of those under `number`."""
        history = read_history(self.bank, account, indexed=True)
        with self._writing():
            if number is None:
                number = int(self._db.execute("SELECT coalesce(max(number),0)+1 FROM accounts").fetchone()[0])
                self._db.execute("INSERT INTO accounts VALUES (?,?)", (account, number))
            self._db.execute("DELETE FROM known WHERE number=?", (number,))
            rows: list[tuple[int, bytes]] = []
            for message in history.messages:
                rows.append((number, self._identity(str(message["id"]))))
                if len(rows) >= AT_ONCE:
                    self._insert(rows)
            self._insert(rows)
        return number

    def _let_go(self, number: int | None) -> None:
        self._db.execute("DELETE FROM known WHERE number=?", (number,))
        self._db.execute("DELETE FROM accounts WHERE number=?", (number,))

    def _let_go_of_all(self) -> None:
        for table in ("known", "accounts", "temp.admitted"):
            self._db.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names

    # The database

    @contextmanager
    def _writing(self, kind: str = "IMMEDIATE") -> Iterator[None]:
        with database.transaction(self._db, kind):
            yield

    def _opened(self) -> sqlite3.Connection:
        try:
            return database.open_file(self.bank.root, NAME, _SCHEMA, _EACH_TIME)
        except (sqlite3.DatabaseError, OSError):
            return self._anew()

    def _anew(self) -> sqlite3.Connection:
        """An empty table in place of a damaged one; in memory where nothing can be written."""
        try:
            database.remove(self.bank.root, NAME)
            return database.open_file(self.bank.root, NAME, _SCHEMA, _EACH_TIME)
        except (sqlite3.DatabaseError, OSError):
            return _in_memory()


def _in_memory() -> sqlite3.Connection:
    return database.connect(database.MEMORY, _SCHEMA, _EACH_TIME)


def key_of(bank: Bank) -> bytes:
    """The key of the bank's identities."""
    return bytes.fromhex(str(bank.document["identity_key"]))[:64]


def identity(key: bytes, one: str) -> bytes:
    """What the table has of an id, with the bank's key."""
    return blake2b(one.encode(errors="surrogatepass"), digest_size=16, key=key).digest()


def changed_by(line: Line) -> set[str]:
    """Accounts whose history a line changed otherwise than by messages stored and forgotten, or a rendering."""
    if "files" not in line.core or line.op == RENDERED or line.core.get("reason") == ARCHIVED:
        return set()
    accounts = set(line.core.get("accounts", ()))
    if line.core.get("reason") == REASON:  # of an account all, of messages the line at the end tells
        return accounts
    for path, *_ in line.core["files"]:
        account = layout.account_of(path.partition("/")[0])
        if account and (path == layout.account_file(account, "whole_history") or "/history/" in path):
            accounts.add(account)
    return accounts
