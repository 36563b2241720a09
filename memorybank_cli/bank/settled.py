"""What a directory came to when it was last gone into: kept in the catalog, and repeated while no stat in it moves."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from hashlib import sha256
from typing import Any, NamedTuple

import orjson

from memorybank_cli.bank.rows import Known
from memorybank_cli.base.exact_json import FlawedJSON, dumps, loads
from memorybank_cli.base.records import Finding
from memorybank_cli.base.walk import Listing


class Sifted(NamedTuple):
    """What going into a directory came to: its files that are plain (see `sifting`), and the names of those gone."""

    plain: dict[str, Known]
    gone: list[str]


Look = Callable[[Listing, bytes, str, Sifted | None], object]
"""Hears of each directory that was looked at, its `stats`, its signature, '' where something is not settled, and how
it was sifted where it was gone into."""


class Counts(NamedTuple):
    """What a directory adds to the counts of a scan; bytes, and the newest mtime in nanoseconds."""

    checked: int
    bytes: int
    records: int
    section: str
    mtime: int


class Settled(NamedTuple):
    """What a directory adds to a scan: counts, findings, and the facts of its documents as a tally's value."""

    counts: Counts
    findings: list[Finding]
    facts: dict[str, Any]

    def texts(self) -> tuple[str, str, str]:
        """The three columns of the catalog."""
        rows = [as_row(one) for one in self.findings]
        found = orjson.dumps(rows).decode() if rows else ""
        return orjson.dumps(tuple(self.counts)).decode(), found, dumps(self.facts).decode() if self.facts else ""


def as_row(one: Finding) -> tuple[Any, ...]:
    """What `Finding(*row)` makes again, found anew."""
    return one.rule, one.message, one.path, one.hint, one.pointer, one.line, one.level, one.expected, one.found


def read(directory: str, columns: tuple[str, str, str]) -> Settled:
    """What `texts` wrote. Raises DatabaseError for anything else."""
    counts, findings, facts = columns
    try:
        found = [Finding(*row) for row in orjson.loads(findings)] if findings else []
        return Settled(Counts(*orjson.loads(counts)), found, dict(loads(facts.encode())) if facts else {})
    except (TypeError, ValueError, AttributeError, FlawedJSON) as error:
        raise sqlite3.DatabaseError(f"of {directory} it holds what memorybank did not write") from error


def stats(listing: Listing) -> bytes:
    """The entries of all files in a directory, as JSON."""
    return orjson.dumps(listing.files, default=tuple)


def signature(looked: bytes, limits: dict[str, int]) -> str:
    """One digest over all that would make going into a directory worth while: its `stats`, and the limits."""
    return sha256(b"[%b,%b]" % (looked, orjson.dumps(limits))).hexdigest()
