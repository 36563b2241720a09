"""Holding on to the accounts as of one journal position, so that they can be saved after others go on writing.

Their files are replaced by rename, so an open descriptor keeps the content. The bank's lock is held only while they
are listed and opened. Sealed segments never change and are not opened.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.chain import Position
from memorybank_cli.bank.rows import Known, Row
from memorybank_cli.bank.settled import signature, stats
from memorybank_cli.base.names import unescape
from memorybank_cli.base.strict_json import HARD_SIZE
from memorybank_cli.base.walk import Listing, fitting, open_regular, read_all
from memorybank_cli.operations.looks import Looks

_SPARE = 100  # descriptors that the rest of the program may need


class Held(NamedTuple):
    """One directory of an account, as it was under the lock; the listing has no descriptor any more."""

    listing: Listing
    mode: int
    mtime_ns: int
    contents: dict[str, int | bytes]
    """By name an open descriptor, or the bytes where there were no more descriptors to be had."""
    rows: dict[str, Row]
    """What the catalog knew then."""

    def sound(self) -> dict[str, Known]:
        """`Catalog.sound` as of then."""
        return {name: known(name, row) for name, row in self.rows.items()}

    def read(self, name: str) -> bytes:
        """The bytes of a file that is held."""
        content = self.contents[name]
        if isinstance(content, bytes):
            return content
        os.lseek(content, 0, os.SEEK_SET)
        return read_all(content)


class Holding:
    """The accounts that are to be saved file by file, parents before what is in them. Close it."""

    def __init__(self, bank: Bank) -> None:
        self._bank = bank
        self.end: Position = bank.end
        """The journal position of which all accounts are."""
        self.directories: list[Held] = []
        self.begun = False
        self.excluded: list[str] = []
        """Banks inside accounts."""
        self._left = os.sysconf("SC_OPEN_MAX") - _SPARE

    def hold(self, looks: Looks, limits: dict[str, int], known: Callable[[str], bool]) -> None:
        """Render what the journal knows more of, and hold the accounts but those that are `known` and unchanged."""
        bank, self.begun = self._bank, True
        with bank.locked():
            bank.render()
            self.end = bank.end
            for entry in bank.root.listing():
                name = entry.name
                if not layout.account_of(name) or layout.is_excluded(name, bank.settings["exclude"]):
                    continue
                with suppress(PermissionError):  # the walk of the bank names it, with what was last good of it
                    if not (self._unchanged(name, looks, limits) and known(name)):
                        for listing in bank.walk(name, self.excluded):
                            self._take(listing)

    def _unchanged(self, top: str, looks: Looks, limits: dict[str, int]) -> bool:
        same = True
        for listing in self._bank.walk(top):
            looked = stats(listing)
            sign = signature(looked, limits)
            if sign != looks.signature(listing.path):
                sign, same = "", False
            looks(listing, looked, sign, None)
        return same

    def _take(self, listing: Listing) -> None:
        info = os.fstat(listing.fd)
        contents: dict[str, int | bytes] = {}
        for entry in listing.files:
            if layout.is_secret(entry.name) or entry.size > HARD_SIZE or _is_sealed(listing.path, entry.name):
                continue
            try:
                fd = open_regular(unescape(entry.name), listing.fd)
            except OSError:
                continue  # whoever reads it later says why
            if self._left > 0:
                contents[entry.name] = fd
                self._left -= 1
            else:
                contents[entry.name] = _read(fd)
        rows = self._bank.catalog.rows(listing.path)
        self.directories.append(Held(listing, info.st_mode & 0o7777, fitting(info.st_mtime_ns), contents, rows))

    def close(self) -> None:
        """Give the descriptors back."""
        for held in self.directories:
            for content in held.contents.values():
                if isinstance(content, int):
                    os.close(content)
        self.directories.clear()


def known(name: str, row: Row) -> Known:
    """A row in short, as `Catalog.sound` has it."""
    seen = row.seen
    if seen is None:
        return Known(name, 0, 0, 0, 0, "", 0, sound=False)
    sound = row.expected is not None and row.expected.sha == seen.sha and not seen.content
    return Known(name, seen.size, seen.mtime, seen.ctime, seen.inode, seen.sha, seen.records, sound)


def _is_sealed(directory: str, name: str) -> bool:
    return layout.history_first(f"{directory}/{name}") is not None


def _read(fd: int) -> bytes:
    try:
        return read_all(fd)
    finally:
        os.close(fd)
