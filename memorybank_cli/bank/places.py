"""What the catalog knows of some names in a directory, and of the directories below one: for looks at a few files."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

from memorybank_cli.bank import columns
from memorybank_cli.bank.rows import Row

AT_ONCE = 500
"""Names in one question to SQLite."""


def rows(db: sqlite3.Connection, directory: str, names: Sequence[str]) -> dict[str, Row]:
    """The rows of those of the names right in a directory that are known, by name."""
    found = _asked(db, "SELECT * FROM files WHERE dir=? AND name IN (SELECT * FROM some)", names, directory)
    return {row[1]: columns.row(row) for row in found}


def were_directories(db: sqlite3.Connection, directory: str, names: Sequence[str]) -> set[str]:
    """Those of the names right in a directory below which there are, or should be, files; perhaps one more."""
    start = f"{directory}/" if directory else ""
    below = "dir>=?||some.name AND dir<?||some.name||'0'"  # the character after '/'
    query = f"SELECT * FROM some WHERE EXISTS (SELECT 1 FROM files WHERE {below})"  # noqa: S608 - two constants
    return {row[0] for row in _asked(db, query, names, start, start)}


def directories(db: sqlite3.Connection, below: str) -> set[str]:
    """Every directory that holds or should hold files: all of them for '', else one and those below it."""
    # From one directory to the next by the primary key; DISTINCT would read every row.
    query = (
        "WITH RECURSIVE found(dir) AS (SELECT min(dir) FROM files WHERE dir>=?1 AND dir<?2 UNION ALL"
        " SELECT (SELECT min(dir) FROM files WHERE dir>found.dir AND dir<?2) FROM found"
        " WHERE found.dir IS NOT NULL) SELECT dir FROM found WHERE dir IS NOT NULL"
    )
    if not below:
        return {row[0] for row in db.execute(query, ("", "\U0010ffff"))}
    itself = db.execute("SELECT dir FROM files WHERE dir=? LIMIT 1", (below,))
    return {row[0] for row in (*itself, *db.execute(query, (f"{below}/", f"{below}0")))}


def _asked(db: sqlite3.Connection, query: str, names: Sequence[str], *values: str) -> Iterator[Any]:
    """The answers to a question about some names."""
    for first in range(0, len(names), AT_ONCE):
        some = names[first : first + AT_ONCE]
        marks = ",".join(["(?)"] * len(some))
        yield from db.execute(f"WITH some(name) AS (VALUES {marks}) {query}", (*some, *values))
