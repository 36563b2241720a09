"""When a bank was last saved: as its repository says, else as the journal does, which names other repositories too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from shlex import quote
from typing import NamedTuple

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base import clock
from memorybank_cli.base.errors import from_os_error
from memorybank_cli.base.names import escape
from memorybank_cli.base.records import Finding
from memorybank_cli.health.score import UNKNOWN
from memorybank_cli.operations.repositories import Snapshots, repository_path

MADE = "snapshot.created"
AHEAD = timedelta(hours=1)
"""So far the clocks of machines that share a repository may differ."""


class Saved(NamedTuple):
    """The newest good snapshot."""

    time: str | None = None
    """When it was made; None where there is none, or none is known."""
    trouble: str = ""
    """Why the snapshots could not be looked at."""
    elsewhere: str = ""
    """Its repository, escaped, where that is not the one that commands use unless another one is named."""
    is_usual: bool = False
    """Whether the trouble is one of good days: no key is named for cron, or a medium was taken away."""

    @property
    def age_hours(self) -> float | None:
        """How old it is."""
        return age_hours(self.time)

    def finding(self, limit: float) -> Finding | None:
        """What is wrong with it where it may be so many hours old."""
        key = "memorybank snapshot list; the settings password_file and key_file name a key for every command"
        if self.age_hours is None and self.trouble:
            what = f"the age of the snapshots is not known: {self.trouble}"
            return Finding(UNKNOWN, what, "", key, "/snapshots/saved")
        if self.age_hours is None:
            return Finding("MB501", "there is no good snapshot", "", "memorybank backup")
        old, hint = self.age_hours > limit, "memorybank backup; a cron entry keeps it so"
        message = f"the newest good snapshot is {self.age_hours:.0f} hours old"
        if self.trouble and not self.is_usual:
            what = f"the state of the snapshots is not known: {self.trouble}; {message} by the journal"
            return Finding(UNKNOWN, what, "", key, "/snapshots/saved")
        if self.trouble and not self.elsewhere:
            return Finding("MB501", f"{message} by the journal: {self.trouble}", "", key, level=None if old else "info")
        if not self.elsewhere:
            return Finding("MB501", message, "", hint) if old else None
        where = f"{message}, in {self.elsewhere}; there is none in the default repository"
        if self.trouble:
            where = f"{where}. The journal says so: {self.trouble}"
        hint = f"memorybank config set repository {quote(self.elsewhere)}"
        return Finding("MB501", where, "", hint, level=None if old else "info")


def last_saved(bank: Bank) -> Saved:
    """When the bank was last saved; nobody is asked for a key."""
    found = _newest(bank, None)
    if found.time is not None:
        return found
    try:
        return _by_the_journal(bank, found) if found.trouble else _elsewhere(bank) or found
    except OSError as error:
        return Saved(trouble=from_os_error(error, "cannot read the journal").message)


class Made(NamedTuple):
    """A good snapshot as the journal tells of it: when it was made, and in which repository."""

    time: str
    place: str


def made(bank: Bank) -> Iterator[Made]:
    """The good snapshots that the journal tells of, the newest first. Raises OSError."""
    for line in bank.journal.newest_first(f'"{MADE}"'.encode()):
        place = line.core.get("repository")
        good = line.op == MADE and line.core.get("status") == "good"
        if good and isinstance(place, str) and not is_ahead(time := str(line.core["ts"])):
            yield Made(time, place)


def _by_the_journal(bank: Bank, found: Saved) -> Saved:
    """The last good snapshot in the default repository, which itself cannot be looked at."""
    default = os.path.realpath(repository_path(bank, None))
    return found._replace(time=next((one.time for one in made(bank) if os.path.realpath(one.place) == default), None))


def _elsewhere(bank: Bank) -> Saved | None:
    """The last good snapshot in another repository than the default one, by the journal."""
    looked = {os.path.realpath(repository_path(bank, None))}
    for one in made(bank):
        if one.place in looked:
            continue
        looked.add(one.place)
        there = _newest(bank, one.place)
        if there.time is not None:
            return there._replace(elsewhere=escape(one.place))
        if there.trouble or not os.path.isdir(one.place):  # as of a medium that was taken away
            is_usual = there.is_usual or not there.trouble
            return Saved(one.time, there.trouble or "it is not there now", escape(one.place), is_usual)
    return None


def age_hours(time: str | None) -> float | None:
    """Hours since a time; None for none, and for one that is yet to come, which says nothing of an age."""
    if time is None or is_ahead(time):
        return None
    return max(0.0, (datetime.now(UTC) - clock.parse(time)).total_seconds() / 3600)


def is_ahead(time: str) -> bool:
    """Whether a time is yet to come, by more than clocks differ: the clock was wrong then, or is now."""
    return clock.parse(time) > datetime.now(UTC) + AHEAD


def _newest(bank: Bank, place: str | None) -> Saved:
    """The newest good snapshot in one repository."""
    with closing(Snapshots(bank, place, look=True)) as snapshots:
        good = [one.time for one in snapshots.newest_first() if one.status == "good"]
        newest = next((one for one in good if not is_ahead(one)), None)
        ahead = f"{good[0]} is yet to come; memorybank backup makes one of now" if good and newest is None else ""
        return Saved(newest, snapshots.trouble or ahead, is_usual=snapshots.lacks_key)
