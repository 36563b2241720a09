"""Samples of a bank in two rings: one each 5 s for an hour, one each 5 min for 90 days.

A ring has a slot for each step of its time, and a slot is overwritten when its time comes round again: so it never
grows, and nothing needs to be cleaned up. A slot of the long ring holds the means of the short one in its five
minutes. Derived: a file that is damaged, or that somebody removed, is begun anew; where none can be written samples
are kept in memory. What the clock on the wall said counts; slots that lie in its future are left out.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from math import isfinite
from typing import Any, NamedTuple

import orjson

from memorybank_cli.bank import layout
from memorybank_cli.base import database, files
from memorybank_cli.base.database import is_damaged, transaction
from memorybank_cli.base.walk import Root

MOST_NAMES = 200
PATIENCE = 0.5
"""Seconds to wait for somebody else who writes: a sample is not worth more."""
READING = 2.0
"""The same for who only reads."""
AGAIN = 60.0
"""Seconds after which a file that could not be written is tried again."""


class Ring(NamedTuple):
    """Seconds of a slot, and how many slots there are."""

    number: int
    step: int
    slots: int

    @property
    def span(self) -> int:
        """Seconds until it comes round."""
        return self.step * self.slots


SHORT = Ring(0, 5, 720)
LONG = Ring(1, 300, 25_920)
RINGS = (SHORT, LONG)
_SCHEMA = (
    """
CREATE TABLE IF NOT EXISTS names (id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL);
CREATE TABLE IF NOT EXISTS slots (
  ring INTEGER, slot INTEGER, at INTEGER NOT NULL, value TEXT NOT NULL, PRIMARY KEY (ring, slot)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS times ON slots (ring, at);
""",
)
_PROBES = ("SELECT id,name FROM names LIMIT 0", "SELECT ring,slot,at,value FROM slots LIMIT 0")
_ROWS = "SELECT at,value FROM slots WHERE ring=? AND at>=? AND at<=? ORDER BY at"


class Sample(NamedTuple):
    """Numbers by name, and when they were taken: seconds since the epoch, the beginning of their slot."""

    at: int
    values: dict[str, float]


class Samples:
    """The rings of one bank, open for writing; `in_memory` as long as no file can be written."""

    def __init__(self, root: Root) -> None:
        self.root = root
        self.in_memory = False
        self.db = self._opened() or self._memory()

    def close(self) -> None:
        """Give the database back."""
        self.db.close()

    def put(self, values: Mapping[str, float], at: float | None = None) -> bool:
        """Keep a sample; False where it is lost, because the file is busy, cannot be written or was damaged."""
        moment = int(time.time() if at is None else at)
        self._stay_on_disk()
        try:
            with transaction(self.db):
                self._put({name: float(value) for name, value in values.items() if isfinite(value)}, moment)
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            if is_damaged(error):
                self._use(self._opened(remove=True) or self._memory())
            return False
        return True

    def between(self, ring: Ring, since: float, until: float) -> list[Sample]:
        """The samples of a ring in a span of time, oldest first; none where the file is damaged."""
        try:
            return _between(self.db, ring, since, until)
        except (sqlite3.DatabaseError, UnicodeDecodeError):
            return []

    # The file

    def _stay_on_disk(self) -> None:
        """Begin anew where the file was removed or is another one, and use it again where it can be written again."""
        if self.in_memory:
            if time.monotonic() >= self._again and (db := self._opened()) is not None:
                self._use(db)
        elif self._inode() != self._stands:
            self._use(self._opened() or self._memory())

    def _use(self, db: sqlite3.Connection) -> None:
        self.db.close()
        self.db = db

    def _opened(self, *, remove: bool = False) -> sqlite3.Connection | None:
        """The file, begun anew where it is damaged or to be removed; None where none can be written."""
        self._again = time.monotonic() + AGAIN
        try:
            files.make_dirs(self.root, layout.PRIVATE)
            if remove:
                database.remove(self.root, layout.SAMPLES)
            db = database.open_file(self.root, layout.SAMPLES, _SCHEMA, _PROBES, PATIENCE)
        except (OSError, sqlite3.DatabaseError) as error:
            return self._opened(remove=True) if is_damaged(error) and not remove else None
        self.in_memory, self._stands = False, self._inode()
        return db

    def _memory(self) -> sqlite3.Connection:
        self.in_memory = True
        return database.connect(database.MEMORY, _SCHEMA)

    def _inode(self) -> tuple[int, int] | None:
        try:
            info = self.root.stat(layout.SAMPLES)
        except OSError:
            return None
        return None if info is None else (info.st_dev, info.st_ino)

    # The rings

    def _put(self, values: dict[str, float], at: int) -> None:
        ids = self._ids(values)
        self._set(SHORT, at, values, ids)
        self._lengthen(at, values, ids)

    def _lengthen(self, at: int, values: dict[str, float], ids: Mapping[str, int]) -> None:
        """Begin a slot of the long ring where its time has come, after that before it was made whole."""
        begin = at - at % LONG.step
        query = "SELECT max(at) FROM slots WHERE ring=? AND at<=?"
        last = self.db.execute(query, (LONG.number, begin)).fetchone()[0]
        if last == begin:
            return
        if last is not None and (former := _between(self.db, SHORT, last, last + LONG.step - 1)):
            means = _means(former)
            self._set(LONG, last, means, self._ids(means))
        self._set(LONG, begin, values, ids)

    def _set(self, ring: Ring, at: int, values: Mapping[str, float], ids: Mapping[str, int]) -> None:
        row: list[float | None] = [None] * (max(ids.values(), default=-1) + 1)
        for name, number in ids.items():
            row[number] = values[name]
        number = at // ring.step
        text = orjson.dumps(row).decode()
        slot = (ring.number, number % ring.slots, number * ring.step, text)
        self.db.execute("INSERT OR REPLACE INTO slots VALUES (?,?,?,?)", slot)

    def _ids(self, values: Mapping[str, float]) -> dict[str, int]:
        """The place of each name in a row; names beyond what is kept are left out."""
        known = _names(self.db)
        for name in values:
            if name not in known and len(known) < MOST_NAMES:
                known[name] = len(known)
                self.db.execute("INSERT INTO names VALUES (?,?)", (known[name], name))
        return {name: known[name] for name in values if name in known}


def recent(root: Root, names: Iterable[str] = (), count: int = 60) -> dict[str, list[float | None]]:
    """The last values of the short ring by name, oldest first, None for a slot without one; {} where there are none.

    Reads only, so it may be called beside a writer and from any thread. Without `names` all that there are.
    """
    now = int(time.time())
    first = now // SHORT.step - count + 1
    found = {one.at // SHORT.step - first: one.values for one in read(root, SHORT, first * SHORT.step, now)}
    wanted = list(names) or sorted({name for values in found.values() for name in values})
    return {name: [found.get(slot, {}).get(name) for slot in range(count)] for name in wanted} if found else {}


def read(root: Root, ring: Ring, since: float, until: float) -> list[Sample]:
    """The samples of a ring in a span of time, oldest first, without opening the file for writing."""
    for how in ("mode=ro", "immutable=1"):  # the latter where nothing can be written, so that nobody is writing either
        try:
            with closing(database.open_read_only(root, layout.SAMPLES, how, READING)) as db:
                return _between(db, ring, since, until)
        except (OSError, sqlite3.DatabaseError, UnicodeDecodeError) as error:
            if is_damaged(error):
                break  # there is none, or the next writer begins it anew
    return []


def _between(db: sqlite3.Connection, ring: Ring, since: float, until: float) -> list[Sample]:
    """Raises sqlite3.DatabaseError, also for what memorybank did not write."""
    names = {number: name for name, number in _names(db).items()}
    found = db.execute(_ROWS, (ring.number, int(since) - int(since) % ring.step, int(until)))
    return [Sample(at, _values(text, names)) for at, text in found]


def _values(text: Any, names: Mapping[int, str]) -> dict[str, float]:
    try:
        row = enumerate(orjson.loads(text))
        return {names[number]: float(value) for number, value in row if value is not None and number in names}
    except (TypeError, ValueError):
        raise sqlite3.DatabaseError("it holds a sample that memorybank did not write") from None


def _names(db: sqlite3.Connection) -> dict[str, int]:
    found = {name: number for number, name in db.execute("SELECT id,name FROM names ORDER BY id")}
    if any(type(name) is not str or type(one) is not int or not 0 <= one < MOST_NAMES for name, one in found.items()):
        raise sqlite3.DatabaseError("it holds names that memorybank did not write")
    return found


def _means(samples: list[Sample]) -> dict[str, float]:
    sums: dict[str, list[float]] = {}
    for one in samples:
        for name, value in one.values.items():
            sums.setdefault(name, []).append(value)
    return {name: float(f"{sum(values) / len(values):.9g}") for name, values in sums.items()}  # what a chart can show
