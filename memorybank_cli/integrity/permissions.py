"""Who may read and write the bank's files, held against what was recorded or first seen: modes, owners, groups.

A mode was recorded with the version of a file; an owner is to be the bank's; the groups of a directory's files are
those that were first seen there. New links and special files are found by every look (MB305).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.events import EventStore
from memorybank_cli.base.exact_json import dumps, loads
from memorybank_cli.base.names import quoted, unescape
from memorybank_cli.base.records import Finding
from memorybank_cli.base.walk import Listing
from memorybank_cli.base.words import counted

MODE, GROUP, OWNER = "MB308", "MB309", "MB304"
SINGLY = 10
"""More files of one directory that changed alike are one finding about the directory."""
_CTIME, _UID = map(attrgetter, ("ctime_ns", "uid"))
_OTHERS = 0o7077
"""What a mode can allow to others than the owner, or beyond reading and writing."""


class _Directory(NamedTuple):
    newest: int
    """The newest ctime of its files when their groups were looked at."""
    groups: tuple[int, ...]


class Permissions:
    """What was first seen of groups, and what differs from it; one for each watch or check."""

    def __init__(self, bank: Bank, store: EventStore, keep: bool = True) -> None:
        self.bank, self.store, self.keeps = bank, store, keep
        self._shared = bool(bank.document.get("group"))
        self._known = _kept(store)
        self._looked: dict[str, str] = {}
        self._wrong: dict[str, list[Finding]] = {}
        self._fresh: dict[str, _Directory] = {}

    def hear(self, listing: Listing, _looked: bytes, sign: str, _sifted: object) -> None:
        """Look at the owners and groups in one directory, while a `Scanner` is at it."""
        path = listing.path
        if sign and self._looked.get(path) == sign:
            return
        self._looked[path] = sign
        found = [*self._owners(listing), *self._groups(listing)]
        if found:
            self._wrong[path] = _gathered(path, found)
        else:
            self._wrong.pop(path, None)

    def findings(self) -> list[Finding]:
        """MB304, MB308, MB309 after a look at everything; what was first seen is kept."""
        self._keep()
        modes = [one for one in map(self._mode, self.bank.catalog.modes_apart()) if one is not None]
        gathered = (
            _gathered(path, list(group)) for path, group in groupby(modes, lambda one: one.path.rpartition("/")[0])
        )
        return [*(one for group in self._wrong.values() for one in group), *(one for some in gathered for one in some)]

    def of(self, paths: Iterable[str]) -> list[Finding]:
        """The same of some files that were just looked at."""
        found: list[Finding] = []
        for path in paths:
            expected, seen = self.bank.catalog.row(path)
            if expected is None or seen is None or expected.sha != seen.sha:
                continue
            mode = self._mode((path, expected.mode, seen.mode & 0o7777))
            found += [] if mode is None else [mode]
            try:
                info = self.bank.root.stat(path)
            except PermissionError:
                continue  # of its directory, which is a finding of its own
            if info is not None:
                found += self._of_stat(path, info.st_uid, info.st_gid)
        return found

    def accept(self, paths: Iterable[str]) -> None:
        """Take the groups below some paths for wanted: they are first seen at the next look. Raises DatabaseError."""
        with self.store.writing() as db:
            for path in paths:
                inside = (path, f"{path}/", f"{path}0", path.rpartition("/")[0])
                part = " AND (dir=? OR (dir>? AND dir<?) OR dir=?)" if path else ""
                db.execute(f"DELETE FROM ownership WHERE 1{part}", inside if path else ())  # noqa: S608 - two constants

    def _mode(self, row: tuple[str, int, int]) -> Finding | None:
        """MB308 where a mode allows more than was recorded."""
        path, recorded, seen = row
        more = seen & ~recorded & (_OTHERS & ~0o070 if self._shared else _OTHERS)
        if not more:
            return None
        message = f"the mode was {recorded:04o} and is {seen:04o}"
        hint = f"chmod {recorded:o} {_quoted(self.bank, path)}, or memorybank accept {quoted(path)}"
        return Finding(MODE, message, path, hint)

    def _owners(self, listing: Listing) -> Iterator[Finding]:
        if self._shared:
            return
        owner, entries = self.bank.owner, listing.files + listing.directories
        foreign = set(map(_UID, entries)) - {owner}
        for entry in entries if foreign else ():
            if entry.uid != owner:
                yield self._owner(_joined(listing.path, entry.name), entry.uid)

    def _groups(self, listing: Listing) -> Iterator[Finding]:
        known = self._known.get(listing.path)
        since = known.newest if known else -1
        if max(map(_CTIME, listing.files), default=-1) <= since:
            return
        usual = set(known.groups) if known else {self.bank.root.stat("").st_gid}  # type: ignore[union-attr]  # it is open
        newest, groups, wrong = since, set(usual), False
        for entry in listing.files:
            if entry.ctime_ns <= since:
                continue
            newest = max(newest, entry.ctime_ns)
            try:
                gid = os.stat(unescape(entry.name), dir_fd=listing.fd, follow_symlinks=False).st_gid
            except FileNotFoundError:
                continue
            if known is not None and gid not in usual and not self._shared:
                wrong = True
                yield self._group(_joined(listing.path, entry.name), gid)
            groups.add(gid)
        # A directory with a group that is new is looked at again each time, until somebody decides.
        if not wrong and (known is None or newest != since):
            self._fresh[listing.path] = self._known[listing.path] = _Directory(newest, tuple(sorted(groups)))
        if wrong:
            self._looked.pop(listing.path, None)

    def _of_stat(self, path: str, uid: int, gid: int) -> Iterator[Finding]:
        if self._shared:
            return
        if uid != self.bank.owner:
            yield self._owner(path, uid)
        known = self._known.get(path.rpartition("/")[0])
        if known is not None and gid not in known.groups:
            yield self._group(path, gid)

    def _owner(self, path: str, uid: int) -> Finding:
        hint = f"chown {user(self.bank.owner)} {_quoted(self.bank, path)}"
        return Finding(OWNER, f"belongs to {user(uid)}, the bank to {user(self.bank.owner)}", path, hint)

    def _group(self, path: str, gid: int) -> Finding:
        hint = f"chgrp it back, or memorybank accept {quoted(path)}"
        return Finding(GROUP, f"belongs to the group {group(gid)} now, which no file here had before", path, hint)

    def _keep(self) -> None:
        if not self._fresh or not self.keeps:
            return
        rows = [(path, one.newest, dumps(one.groups).decode()) for path, one in self._fresh.items()]
        try:
            with self.store.writing() as db:
                db.executemany("INSERT OR REPLACE INTO ownership VALUES (?,?,?)", rows)
        except sqlite3.DatabaseError:
            return  # busy, or the disk is full: the next look keeps it; a damaged one is found by who reads it
        self._fresh.clear()


def _kept(store: EventStore) -> dict[str, _Directory]:
    """What was first seen. Raises sqlite3.DatabaseError, also for rows that nobody here has written."""
    try:
        return {
            str(row["dir"]): _Directory(int(row["newest"]), tuple(map(int, loads(row["groups"].encode()))))
            for row in store.db.execute("SELECT dir,newest,groups FROM ownership")
        }
    except (AttributeError, TypeError, ValueError) as error:
        raise sqlite3.DatabaseError("a row of ownership is damaged") from error


def user(uid: int) -> str:
    """The name of a user, or the number where it has none."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group(gid: int) -> str:
    """The name of a group, or the number where it has none."""
    import grp

    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _gathered(path: str, found: list[Finding]) -> list[Finding]:
    """Findings of one directory; many of one kind are one about it."""
    kept: list[Finding] = []
    for rule, some in groupby(sorted(found, key=lambda one: one.rule), lambda one: one.rule):
        alike = list(some)
        if len(alike) <= SINGLY:
            kept += alike
            continue
        first = alike[0]
        message = f"{counted(len(alike), 'file')} in here; of {first.path}: {first.message}"
        where = quoted(path) if path else "."
        kept.append(
            Finding(rule, message, path, f"{first.hint.split(',')[0]} and the others, or memorybank accept {where}")
        )
    return kept


def _quoted(bank: Bank, path: str) -> str:
    return quoted(bank.root.absolute(path))


def _joined(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory else name
