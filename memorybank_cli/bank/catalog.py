"""What every file should be, and what it was when last looked at: derived from the journal, rebuilt when lost.

One row a file: `expected` comes from the journal only; `seen` from looking. One row a directory holds a digest of
all its stats, so that a directory in which nothing moved costs its stats and one comparison.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from memorybank_cli.bank import columns, layout, places
from memorybank_cli.bank.chain import CHECKPOINT, GAP, START, Break, Position, Reading
from memorybank_cli.bank.following import RENDERED, STORED
from memorybank_cli.bank.framing import Line
from memorybank_cli.bank.journal import Journal
from memorybank_cli.bank.rows import SETTLED_NS, Expected, FileRow, Known, Row, Seen
from memorybank_cli.base import clock, database, files
from memorybank_cli.base.database import is_busy, transaction
from memorybank_cli.base.exact_json import dumps
from memorybank_cli.base.walk import Root

_MODE_APART = "sha=s_sha AND mode<>s_mode&4095"
_SCHEMA = (
    """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS files (
  dir TEXT, name TEXT,
  sha TEXT, size INTEGER, mode INTEGER, seq INTEGER, rules TEXT, kind TEXT,
  s_sha TEXT, s_size INTEGER, s_mtime INTEGER, s_ctime INTEGER, s_inode INTEGER, s_mode INTEGER,
  s_kind TEXT, s_content TEXT, s_hashed INTEGER, s_records INTEGER, s_id TEXT, s_facts TEXT,
  PRIMARY KEY (dir, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS dirs (
  dir TEXT PRIMARY KEY, signature TEXT, counts TEXT, findings TEXT, facts TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS unrendered (account TEXT PRIMARY KEY, since INTEGER, last INTEGER) WITHOUT ROWID;
""",
    f"CREATE INDEX IF NOT EXISTS modes_apart ON files (dir,name) WHERE {_MODE_APART};",
)
_PROBES = (
    "SELECT name,value FROM meta LIMIT 0",
    "SELECT dir,name,sha,size,mode,seq,rules,kind FROM files LIMIT 0",
    "SELECT s_sha,s_size,s_mtime,s_ctime,s_inode,s_mode,s_kind,s_content,s_hashed,s_records FROM files LIMIT 0",
    "SELECT s_id,s_facts FROM files LIMIT 0",
    "SELECT dir,signature,counts,findings,facts FROM dirs LIMIT 0",
    "SELECT account,since,last FROM unrendered LIMIT 0",
)
_KNOWN = (
    "SELECT name,s_size,s_mtime,s_ctime,s_inode,s_sha,s_records,s_sha=sha AND s_content='',s_sha=sha AND s_content=''"
    " AND rules='[]' AND s_facts='' AND s_kind<>'' AND s_hashed-s_mtime>=?,s_kind,s_id FROM files WHERE dir=?"
)
_FORGET = "DELETE FROM dirs WHERE 1"
_known = partial(tuple.__new__, Known)  # `Known(*row)` takes twice as long
ROOM = 256 << 10
"""Bytes that must be free for a catalog on the disk."""
REBOOT_DOUBT_NS = 120 * clock.SECOND_NS
FILE_OPS = frozenset(
    {
        "bank.created",
        "bank.renamed",
        "file.adopted",
        "file.found",
        "file.removed",
        "file.accepted",
        "restore.end",
        "migrate.end",
        RENDERED,
    }
)


class Catalog:
    """The catalog of one bank, in SQLite; in memory where the place cannot be written."""

    def __init__(self, root: Root) -> None:
        self.root = root
        self.in_memory = False
        self.db = self._connect()

    @classmethod
    def scratch(cls, root: Root) -> Catalog:
        """An empty one in memory, beside the one on the disk."""
        made = cls.__new__(cls)
        made.root, made.in_memory = root, True
        made.db = database.connect(database.MEMORY, _SCHEMA)
        return made

    def _connect(self) -> sqlite3.Connection:
        names = sorted(
            (entry for entry in self.root.listing(layout.PRIVATE) if _is_catalog(entry.name)),
            key=lambda entry: entry.mtime_ns,
        )
        try:
            if not self._has_room():
                return self._memory()
            return self._open(names[-1].name if names else f"{layout.CATALOG}.sqlite")
        except (sqlite3.DatabaseError, OSError) as error:
            if is_busy(error):
                raise
        return self.replaced()  # whatever is wrong with it: it is derived

    def _open(self, name: str) -> sqlite3.Connection:
        return database.open_file(self.root, f"{layout.PRIVATE}/{name}", _SCHEMA, _PROBES)

    def replaced(self) -> sqlite3.Connection:
        """A new, empty catalog under a new name; in memory where nothing can be written."""
        new = f"{layout.CATALOG}-{clock.now_ns():x}.sqlite"
        try:
            old = [entry.name for entry in self.root.listing(layout.PRIVATE) if entry.name.startswith(layout.CATALOG)]
            db = self._open(new)
            for name in old:
                files.remove(self.root, f"{layout.PRIVATE}/{name}")
            self.in_memory = False
            return db
        except (sqlite3.DatabaseError, OSError):
            with suppress(OSError):
                database.remove(self.root, f"{layout.PRIVATE}/{new}")
            return self._memory()

    def return_to_disk(self) -> bool:
        """Whether one in memory gave way to one on the disk, which may know less. Raises sqlite3.DatabaseError."""
        if not self.in_memory:
            return False
        there = Catalog(self.root)
        if there.in_memory:
            there.close()
            return False
        self.db.close()
        self.db, self.in_memory = there.db, False
        return True

    def _memory(self) -> sqlite3.Connection:
        self.in_memory = True
        return database.connect(database.MEMORY, _SCHEMA)

    def _has_room(self) -> bool:
        """Whether the disk takes a transaction: one that is full says so only at its end, when all was done."""
        found = os.statvfs(self.root.path)
        return not found.f_blocks or found.f_bavail * found.f_frsize >= ROOM

    def close(self) -> None:
        """Give the database back."""
        self.db.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One SQLite transaction."""
        with transaction(self.db):
            yield

    # What the catalog knows of the journal

    def meta(self, name: str, default: Any = None) -> Any:
        """A named value that belongs to the whole catalog."""
        row = self.db.execute("SELECT value FROM meta WHERE name=?", (name,)).fetchone()
        return default if row is None else columns.value(row[0])

    def set_meta(self, name: str, value: Any) -> None:
        """Keep a named value; call it within `writing`."""
        self.db.execute("INSERT OR REPLACE INTO meta VALUES (?,?)", (name, dumps(value).decode()))

    def position(self) -> Position:
        """How far the journal has been applied."""
        return columns.position(self.meta("position", START))

    def is_followed_by(self, journal: Journal) -> bool:
        """Whether the journal before our position is what it was when we read it, as far as its last bytes tell."""
        # Both in one statement: another process may write between two.
        found = dict(self.db.execute("SELECT name,value FROM meta WHERE name IN ('position','ending')"))
        if not found:
            return True
        position = columns.position(columns.value(found.get("position")))
        return bool(columns.value(found.get("ending", '""')) == journal.ending(position))

    def breaks(self) -> list[Break]:
        """Places of the journal, met so far, at which the chain is not proved."""
        return [Break(*row) for row in self.meta("breaks", [])]

    def apply(self, stream: Iterable[Line | Reading]) -> Reading:
        """Take over what journal lines say, in order, and give the stream's reading. Call it within `writing`."""
        reading = Reading(self.position(), (), None)
        healed: set[tuple[int, str]] = set()
        stored: dict[str, list[int]] = {}
        for item in stream:
            if isinstance(item, Reading):
                reading = item
            elif item.op == STORED:  # many in a row; of each account the first and the last count
                stored.setdefault(item.core.get("account", ""), [item.seq, 0])[1] = item.seq
            else:
                self._note_stored(stored)
                self._apply_line(item)
                healed.update((after, digest) for after, digest in item.core.get("breaks", ()) if item.op == GAP)
        self._note_stored(stored)
        open_ones = {one for one in self.breaks() if (one.after, one.hash) not in healed} | set(reading.breaks)
        self.set_meta("position", list(reading.end))
        self.set_meta("breaks", sorted(list(one) for one in open_ones))
        self.set_meta("last_entry", clock.now_ns())
        self.set_meta("ending", Journal(self.root, "").ending(reading.end))
        return reading

    def _apply_line(self, line: Line) -> None:
        if line.op in FILE_OPS:
            self._apply_files(line)
        if account := line.core.get("account"):
            self._apply_account(line, account)
        elif line.op == "restore.end":  # of these accounts the files tell all that counts of the lines before
            back = [(account,) for account in line.core.get("accounts", ())]
            self.db.executemany("DELETE FROM unrendered WHERE account=?", back)
        if line.op == CHECKPOINT:
            self.set_meta("checkpoint", [line.seq, clock.now_ns()])
        if line.op == "bank.created":
            self.set_meta("begun", True)
            self.set_meta("bound", line.core.get("bound", []))

    def _apply_files(self, line: Line) -> None:
        rows = [FileRow(*row) for row in line.core["files"]]
        gone = [_split(row.path) for row in rows if row.after is None]
        here = [
            (*_split(row.path), row.after, row.size, row.mode, line.seq, dumps(row.rules).decode(), row.kind)
            for row in rows
            if row.after is not None
        ]
        self.db.executemany("DELETE FROM files WHERE dir=? AND name=?", gone)
        self.db.executemany(
            "INSERT INTO files (dir,name,sha,size,mode,seq,rules,kind) VALUES (?,?,?,?,?,?,?,?)"
            " ON CONFLICT DO UPDATE SET"
            " sha=excluded.sha, size=excluded.size, mode=excluded.mode, seq=excluded.seq, rules=excluded.rules,"
            " kind=excluded.kind WHERE excluded.seq > coalesce(seq, 0)",
            here,
        )
        touched = {(_split(row.path)[0],) for row in rows}
        self.db.executemany("DELETE FROM dirs WHERE dir=?", touched)

    def _apply_account(self, line: Line, account: str) -> None:
        if line.op == RENDERED:
            upto = line.core["upto"]
            self.db.execute("DELETE FROM unrendered WHERE account=? AND last<=?", (account, upto))
            self.db.execute("UPDATE unrendered SET since=max(since,?) WHERE account=?", (upto + 1, account))
        else:
            self._note_stored({account: [line.seq, line.seq]})

    def _note_stored(self, spans: dict[str, list[int]]) -> None:
        """Of these accounts the journal tells more than their files, from one line to another; the dict is emptied."""
        query = "INSERT INTO unrendered VALUES (?,?,?) ON CONFLICT DO UPDATE SET last=excluded.last"
        self.db.executemany(query, [(account, *span) for account, span in spans.items() if account])
        spans.clear()

    def unrendered(self) -> list[str]:
        """Accounts of which the journal knows more than their files say."""
        return [columns.account(row[0]) for row in self.db.execute("SELECT account FROM unrendered ORDER BY since")]

    def unrendered_since(self, account: str) -> int | None:
        """The first journal line of which an account's files do not tell yet, None where there is none."""
        row = self.db.execute("SELECT since FROM unrendered WHERE account=?", (account,)).fetchone()
        return None if row is None else int(row[0])

    # What files should be, and what they were

    def row(self, path: str) -> Row:
        """Both halves of one file's row."""
        found = self.db.execute("SELECT * FROM files WHERE dir=? AND name=?", _split(path)).fetchone()
        return Row(None, None) if found is None else columns.row(found)

    def rows(self, directory: str) -> dict[str, Row]:
        """The rows of the files right in a directory, by name."""
        return {
            found[1]: columns.row(found) for found in self.db.execute("SELECT * FROM files WHERE dir=?", (directory,))
        }

    def sound(self, directory: str) -> dict[str, Known]:
        """In short what is known of each file right in a directory, by name."""
        found = self.db.execute(_KNOWN, (SETTLED_NS, directory))
        return {row[0]: _known(row) for row in found}

    def all_expected(self, below: str = "") -> Iterator[tuple[str, Expected]]:
        """Every file that should be there, with its path, sorted by directory and name."""
        query = "SELECT dir,name,sha,size,mode,seq,rules,kind FROM files WHERE sha IS NOT NULL"
        # '0' is the character after '/': the range holds every directory below.
        part = " AND (dir=? OR (dir>? AND dir<?) OR (dir=? AND name=?))"
        values = (below, f"{below}/", f"{below}0", *_split(below)) if below else ()
        for found in self.db.execute(f"{query}{part if below else ''} ORDER BY dir,name", values):
            yield f"{found[0]}/{found[1]}" if found[0] else found[1], columns.expected(found[2:])

    def sections(self) -> dict[str, int]:
        """How many files there should be by top directory; '' for those right in the bank's root."""
        query = "SELECT dir,count(*) FROM files WHERE sha IS NOT NULL GROUP BY dir"
        found: dict[str, int] = {}
        for directory, count in self.db.execute(query):
            top = directory.partition("/")[0]
            found[top] = found.get(top, 0) + count
        return found

    def kinds(self) -> dict[str, int]:
        """How many JSON files there should be by the kind of their document; '' where none is known."""
        query = (
            "SELECT CASE WHEN s_sha IS NULL THEN kind ELSE s_kind END,count(*) FROM files"
            " WHERE sha IS NOT NULL AND name LIKE '%.json' GROUP BY 1"
        )
        return dict(self.db.execute(query))

    def directories(self, below: str = "") -> set[str]:
        """Every directory that holds or should hold files: all of them, or one and those below it."""
        return places.directories(self.db, below)

    def remember(self, directory: str, seen: Iterable[tuple[str, Seen]], vanished: Iterable[str] = ()) -> None:
        """Keep what was seen in a directory; call it within `writing`."""
        self.db.executemany(
            "INSERT INTO files"
            " (dir,name,s_sha,s_size,s_mtime,s_ctime,s_inode,s_mode,s_kind,s_content,s_hashed,s_records,s_id,s_facts)"
            " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
            " ON CONFLICT DO UPDATE SET s_sha=excluded.s_sha, s_size=excluded.s_size, s_mtime=excluded.s_mtime,"
            " s_ctime=excluded.s_ctime, s_inode=excluded.s_inode, s_mode=excluded.s_mode, s_kind=excluded.s_kind,"
            " s_content=excluded.s_content, s_hashed=excluded.s_hashed, s_records=excluded.s_records,"
            " s_id=excluded.s_id, s_facts=excluded.s_facts",
            [(directory, name, *one[:7], columns.content(one.content), *one[8:]) for name, one in seen],
        )
        # What was looked at again settles anew.
        self.db.execute("DELETE FROM dirs WHERE dir=?", (directory,))
        gone = [(directory, name) for name in vanished]
        self.db.executemany("DELETE FROM files WHERE dir=? AND name=? AND sha IS NULL", gone)
        self.db.executemany("UPDATE files SET s_sha=NULL WHERE dir=? AND name=?", gone)

    def forget_seen(self, section: str = "") -> None:
        """Let every file be read again, or those of one section; call it within `writing`."""
        part, values = " AND (dir=? OR (dir>? AND dir<?))", (section, f"{section}/", f"{section}0")
        for change in ("UPDATE files SET s_sha=NULL WHERE 1", "DELETE FROM files WHERE sha IS NULL", _FORGET):
            self.db.execute(change + (part if section else ""), values if section else ())

    def doubt_seen(self) -> None:
        """After a crash of the machine: files changed shortly before the last entry are unknown again."""
        since = int(self.meta("last_entry", 0)) - REBOOT_DOUBT_NS
        self.db.execute("UPDATE files SET s_sha=NULL WHERE s_mtime>?", (since,))
        self.db.execute("DELETE FROM dirs")

    def modes_apart(self) -> Iterator[tuple[str, int, int]]:
        """Path and modes, recorded and seen, of files that hold what was recorded and have other permissions."""
        query = f"SELECT dir,name,mode,s_mode&4095 FROM files WHERE {_MODE_APART} ORDER BY 1,2"  # noqa: S608 - ours
        for directory, name, mode, seen in self.db.execute(query):
            yield _joined(directory, name), mode, seen

    def looks_before(self, moment: int, after: tuple[str, str], count: int) -> list[tuple[str, str]]:
        """Directory and name of files hashed before a moment in nanoseconds: the first that follow `after`."""
        query = "SELECT dir,name FROM files WHERE s_sha IS NOT NULL AND s_hashed<? AND (dir,name)>(?,?)"
        return self.db.execute(f"{query} ORDER BY dir,name LIMIT ?", (moment, *after, count)).fetchall()

    def unchanged(self) -> dict[str, tuple[str, str, str, str]]:
        """By directory: the signature of a look in which every file was settled, its counts, findings and facts."""
        query = "SELECT dir,signature,counts,findings,facts FROM dirs"
        return {row[0]: (row[1], row[2], row[3], row[4]) for row in self.db.execute(query)}

    def set_unchanged(self, directory: str, signature: str, counts: str, findings: str, facts: str = "") -> None:
        """Keep the signature of a settled directory, and what the look gave; call it within `writing`."""
        row = (directory, signature, counts, findings, facts)
        self.db.execute("INSERT OR REPLACE INTO dirs VALUES (?,?,?,?,?)", row)

    # What documents say of each other

    def documents(self, fact: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Path, kind and facts of each document that was seen and contributes a fact of that name."""
        query = "SELECT dir,name,s_kind,s_facts FROM files WHERE s_sha IS NOT NULL AND instr(s_facts,?) ORDER BY 1,2"
        for directory, name, kind, facts in self.db.execute(query, (f'"{fact}":',)):
            if fact in (found := columns.value(facts)):
                yield _joined(directory, name), kind, found

    def ids(self) -> Iterator[tuple[str, str]]:
        """Kind and id of each single record that was seen."""
        yield from self.db.execute("SELECT s_kind,s_id FROM files WHERE s_id<>'' AND s_sha IS NOT NULL")

    def shared_ids(self) -> Iterator[tuple[str, str, str]]:
        """Kind, id and path of each single record whose id another one of that kind has too, these side by side."""
        several = "SELECT s_kind,s_id FROM files WHERE s_id<>'' AND s_sha IS NOT NULL GROUP BY 1,2 HAVING count(*)>1"
        rows = "SELECT s_kind,s_id,dir,name FROM files WHERE s_id<>'' AND s_sha IS NOT NULL"
        for found in self.db.execute(f"{rows} AND (s_kind,s_id) IN ({several}) ORDER BY 1,2,3,4"):
            yield found[0], found[1], _joined(*found[2:])


def _is_catalog(name: str) -> bool:
    return name.startswith(layout.CATALOG) and name.endswith(".sqlite")


def _split(path: str) -> tuple[str, str]:
    directory, _, name = path.rpartition("/")
    return directory, name


def _joined(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory else name
