"""When a bank was last saved: as its repository says, else as the journal does, which names other repositories too."""

from __future__ import annotations

import os
from contextlib import closing
from datetime import UTC, datetime
from shlex import quote
from typing import NamedTuple

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base import clock
from memorybank_cli.base.errors import from_os_error
from memorybank_cli.base.names import escape
from memorybank_cli.base.records import Finding
from memorybank_cli.operations.repositories import Snapshots, repository_path

MADE = "snapshot.created"


class Saved(NamedTuple):
    """The newest good snapshot."""

    time: str | None = None
    """When it was made; None where there is none, or none is known."""
    trouble: str = ""
    """Why the snapshots could not be looked at."""
    elsewhere: str = ""
    """Its repository, escaped, where that is not the one that commands use unless another one is named."""

    @property
    def age_hours(self) -> float | None:
        """How old it is."""
        return age_hours(self.time)

    def finding(self, limit: float) -> Finding | None:
        """What is wrong with it where it may be so many hours old."""
        if self.trouble and not self.elsewhere:
            hint = "memorybank snapshot list; the settings password_file and key_file name a key for every command"
            return Finding("MB501", f"the age of the snapshots is not known: {self.trouble}", "", hint, level="info")
        if self.age_hours is None:
            return Finding("MB501", "there is no good snapshot", "", "memorybank backup")
        old, hint = self.age_hours > limit, "memorybank backup; a cron entry keeps it so"
        message = f"the newest good snapshot is {self.age_hours:.0f} hours old"
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
    if found.time is not None or found.trouble:
        return found
    try:
        return _elsewhere(bank) or found
    except OSError as error:
        return Saved(trouble=from_os_error(error, "cannot read the journal").message)


def _elsewhere(bank: Bank) -> Saved | None:
    """The last good snapshot in another repository than the default one, by the journal."""
    looked = {os.path.realpath(repository_path(bank, None))}
    for line in bank.journal.newest_first(f'"{MADE}"'.encode()):
        place = line.core.get("repository")
        if line.op != MADE or line.core.get("status") != "good" or not isinstance(place, str) or place in looked:
            continue
        looked.add(place)
        there = _newest(bank, place)
        if there.time is not None:
            return there._replace(elsewhere=escape(place))
        if there.trouble or not os.path.isdir(place):  # as of a medium that was taken away
            return Saved(str(line.core["ts"]), there.trouble or "it is not there now", escape(place))
    return None


def age_hours(time: str | None) -> float | None:
    """Hours since a time; None for none."""
    return None if time is None else (datetime.now(UTC) - clock.parse(time)).total_seconds() / 3600


def _newest(bank: Bank, place: str | None) -> Saved:
    """The newest good snapshot in one repository."""
    with closing(Snapshots(bank, place, look=True)) as snapshots:
        newest = next((one for one in snapshots.newest_first() if one.status == "good"), None)
        return Saved(newest.time if newest else None, snapshots.trouble)
