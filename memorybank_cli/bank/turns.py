"""Going by turns into the directories of a large bank that is watched, so that a look costs little.

A directory is passed over while its own stat stands, so that nothing in it was made, removed or renamed, and while the
catalog keeps what it came to, so that nobody looked at a file of it since. What that leaves is a file that is changed
in place without an event, through a memory map: it is found when the directory's turn comes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple
from zlib import crc32

from memorybank_cli.bank import layout
from memorybank_cli.base import clock
from memorybank_cli.base.walk import Found, Known, entries

AT_ONCE = 20_000
"""Files in whose directories one look goes, about."""
MOST = 10
"""Looks until each directory was gone into, at most."""
_TICK_NS = 10 * clock.SECOND_NS
"""A directory that was changed shorter before it was listed may have been changed after that with the same stat."""


class _Kept(NamedTuple):
    stat: tuple[int, ...]
    beside: Found
    """What stands in it beside files, and what says that it is a bank of its own."""


class Turns:
    """What one watch remembers of directories from look to look."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}
        self._before: dict[str, _Kept] = {}
        self._limits: dict[str, int] = {}
        self._of, self._unmoved = 1, 0
        self.looks = 0
        """How many have begun."""
        self._may_pass: Callable[[str], bool] = lambda _: False
        self.passed = set[str]()
        """The directories that the look under way passed over: they are listed without their files."""

    def begin(self, files: int, limits: dict[str, int], may_pass: Callable[[str], bool]) -> None:
        """A look at a bank of so many files begins, which judges sizes by `limits`."""
        self._before, self._kept = self._kept if limits == self._limits else {}, {}
        self._limits, self._may_pass, self.passed = dict(limits), may_pass, set()
        self.looks, self._of = self.looks + 1, min(-(-files // AT_ONCE), MOST)
        self._unmoved = clock.now_ns() - _TICK_NS

    def forget(self) -> None:
        """Have the next look go into all of them."""
        self._kept = {}

    def listed(self, found: Known) -> Known:
        """What stands in a directory, which `found` may know, too; without the files where it is passed over."""

        def listed(path: str, fd: int) -> Found:
            info = os.fstat(fd)
            stat = info.st_mtime_ns, info.st_ctime_ns, info.st_ino, info.st_dev
            kept = self._before.get(path)
            if kept is not None and kept.stat == stat and not self._is_its_turn(path) and self._may_pass(path):
                self.passed.add(path)
                self._kept[path] = kept
                return kept.beside
            there = found(path, fd) or entries(fd)
            if max(stat[:2]) < self._unmoved:
                own = [one for one in there[0] if one.name == layout.BANK]
                self._kept[path] = _Kept(stat, (own, *there[1:]))
            return there

        return listed

    def _is_its_turn(self, path: str) -> bool:
        return self._of < 2 or (crc32(path.encode()) + self.looks) % self._of == 0
