"""What is removed once it was kept long enough, and databases whose free room is given back."""

from __future__ import annotations

import os
import re
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.events import EventStore
from memorybank_cli.bank.home import directories
from memorybank_cli.base import clock, files
from memorybank_cli.base.walk import Root, entry_of
from memorybank_cli.snapshots.retention import JUMP

REPORTS = "reports"
"""Below the state directory: what the monthly runs came to."""
_TEMPORARY = re.compile(re.escape(files.TEMPORARY) + "[0-9a-f]{16}")
_CRASH = re.compile(r"crash-.+\.txt")
_TEMPORARY_AGE = timedelta(hours=1)


def clean(bank: Bank, *, dry_run: bool = False) -> dict[str, int]:
    """Remove everything that is older than the settings maintain.* let it stay; how much of what, in words.

    Ages go by ctime, which programs cannot set, and one of years is a clock that jumped: then nothing goes.
    """

    def days(name: str) -> timedelta:
        return timedelta(days=int(bank.settings[f"maintain.{name}_days"]))

    remove = (lambda *_: None) if dry_run else files.remove_tree
    return {
        "files from quarantine": _old(bank.root, layout.QUARANTINE, days("quarantine"), remove),
        "temporary files": _temporaries(bank.root, remove),
        "crash reports": _crashes(bank, days("crash"), remove),
        "reports": _reports(bank, remove),
        "rows of findings": 0 if dry_run else _rows(bank, days("findings")),
    }


def _is_old(ctime_ns: int, age: timedelta) -> bool:
    return age < timedelta(microseconds=(clock.now_ns() - ctime_ns) / 1000) <= JUMP


def _old(root: Root, place: str, age: timedelta, remove: Callable[[Root, str], object], name: str = ".+") -> int:
    """Remove from a directory what is older than an age, and has such a name; how many."""
    wanted = re.compile(name)
    found = [one.name for one in root.listing(place) if _is_old(one.ctime_ns, age) and wanted.fullmatch(one.name)]
    for one in found:
        remove(root, f"{place}/{one}" if place else one)
    return len(found)


def _temporaries(root: Root, remove: Callable[[Root, str], object]) -> int:
    """Remove what writers of ours that were killed left behind."""
    found = list(_left_behind(root))
    for path in found:
        remove(root, path)
    return len(found)


def _left_behind(root: Root) -> Iterator[str]:
    places = ("", layout.PRIVATE) if root.is_dir(layout.PRIVATE) else ("",)
    for listing in (one for place in places for one in root.walk(place)):
        for name in filter(_TEMPORARY.fullmatch, listing.hidden):
            try:
                info = os.stat(name, dir_fd=listing.fd, follow_symlinks=False)
            except FileNotFoundError:
                continue  # its writer is alive and has put it in place
            if stat.S_ISREG(info.st_mode) and _is_old(entry_of(name, info).ctime_ns, _TEMPORARY_AGE):
                yield f"{listing.path}/{name}" if listing.path else name


def _crashes(bank: Bank, age: timedelta, remove: Callable[[Root, str], object]) -> int:
    place = os.path.join(directories(bank.owner)["state"], "crash")
    if not os.path.isdir(place):
        return 0
    with closing(Root(place)) as root:
        return _old(root, "", age, remove, _CRASH.pattern)


def _reports(bank: Bank, remove: Callable[[Root, str], object]) -> int:
    """Remove the oldest monthly reports; their names are months."""
    home = bank.home.root
    names = sorted(one.name for one in home.listing(REPORTS)) if home.is_dir(REPORTS) else []
    gone = names[: -int(bank.settings["maintain.reports"]) or len(names)]
    for name in gone:
        remove(home, f"{REPORTS}/{name}")
    return len(gone)


def _rows(bank: Bank, age: timedelta) -> int:
    """Remove from findings.sqlite what is over; what is open stays however old it is."""
    from memorybank_cli.alerts import waiting
    from memorybank_cli.alerts.ledger import Ledger
    from memorybank_cli.integrity import corruption

    with closing(EventStore(bank.root)) as store:
        before = clock.show(datetime.now(UTC) - age)
        return Ledger(store).prune(age.days) + waiting.prune(store.db, before) + corruption.prune(store, age.days)


def pack_databases(bank: Bank) -> int:
    """Have databases of which a quarter is free give that back; the bytes."""
    with closing(EventStore(bank.root)) as store:
        return _packed(bank.catalog.db) + _packed(store.db)


def _packed(db: sqlite3.Connection) -> int:
    size, free, pages = (
        db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "freelist_count", "page_count")
    )
    if free * 4 < pages:
        return 0
    try:
        db.execute("VACUUM")
    except sqlite3.OperationalError:  # somebody reads or writes it now; it costs room only, and next month comes
        return 0
    return int(size * free)
