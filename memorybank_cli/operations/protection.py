"""What stands between a bank and its loss: snapshots, how old they are and where they lie, drills, retention, keys."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base import clock
from memorybank_cli.base.errors import UsageError
from memorybank_cli.base.names import escape
from memorybank_cli.base.records import Finding
from memorybank_cli.base.words import counted
from memorybank_cli.health.probing import Reading
from memorybank_cli.health.system import full
from memorybank_cli.operations.last_saved import age_hours, is_ahead, last_saved, made
from memorybank_cli.operations.proofs import damaged_packs, last_drill
from memorybank_cli.operations.repositories import Snapshots, repository_path
from memorybank_cli.operations.verifying import lacking
from memorybank_cli.snapshots.documents import Document, listing
from memorybank_cli.snapshots.pins import pinned
from memorybank_cli.snapshots.repository import Repository
from memorybank_cli.snapshots.retention import decide

LOST_FOR_HOURS = 30 * 24
"""So long after the newest of them snapshots that are gone are told of, where there are new ones."""
WAITING = 100
"""Snapshots that no policy keeps: so many are made within two days, and retention runs each day."""


def saved(bank: Bank, _known: Sequence[Finding] = ()) -> Reading:
    """MB501: the age of the newest good snapshot."""
    found = last_saved(bank)
    finding = found.finding(float(bank.settings["snapshot_max_age_hours"]))
    samples = {} if found.age_hours is None else {"snapshot_age_seconds": float(round(found.age_hours * 3600))}
    return Reading(samples, () if finding is None else (finding,), found)


def repository(bank: Bank, _known: Sequence[Finding] = ()) -> Reading:
    """MB130, MB502, MB508, MB533 to MB535: the repository that commands use by default, as far as it can be opened."""
    with closing(Snapshots(bank, look=True)) as snapshots:
        drill, mine = last_drill(bank), snapshots.newest_first()
        samples, findings = {}, list(_drilled(bank, drill.get("ok"), drill.get("last_good"), mine))
        if (age := age_hours(drill.get("last_good"))) is not None:
            samples["drill_age_seconds"] = float(round(age * 3600))
        if not snapshots.trouble:
            findings += _lost(bank, snapshots)
        if snapshots.repo is not None:
            samples |= {"snapshots": len(mine), "repository_encrypted": int(snapshots.repo.encrypted)}
            samples["snapshots_to_forget"] = unwanted = _unwanted(bank, snapshots.repo, mine)
            findings += _of(bank, snapshots.repo, unwanted)
    return Reading(samples, tuple(findings))


def elsewhere(bank: Bank, _known: Sequence[Finding] = ()) -> Reading:
    """MB536: the newest good snapshot that lies on another file system than the bank; only where one is asked for."""
    limit = float(bank.settings["health.offsite_max_age_hours"])
    if not limit:
        return Reading({})
    here = _device(bank.root.path)
    time = next((one.time for one in made(bank) if _device(one.place) not in (here, None)), None)
    age = age_hours(time)
    hint = "memorybank backup --repo DIR, a directory on another disk that is there now"
    if age is None:
        message = "no snapshot lies on another disk than the bank, as far as those disks are there now"
        return Reading({}, (Finding("MB536", message, "", hint),))
    samples = {"offsite_age_seconds": float(round(age * 3600))}
    if age <= limit:
        return Reading(samples)
    message = f"the newest snapshot on another disk than the bank is {age:.0f} hours old"
    return Reading(samples, (Finding("MB536", message, "", hint),))


def _lost(bank: Bank, snapshots: Snapshots) -> Iterator[Finding]:
    """MB130: snapshots that the journal tells of are gone, e.g. with a disk; beside new ones for a while."""
    place = repository_path(bank, None)
    lost = lacking(bank, place, snapshots.repo)
    is_good = any(one.status == "good" for one in snapshots.newest_first())
    if is_good and lost:
        age = age_hours(max(lost.values(), key=clock.parse))
        lost = lost if age is None or age < LOST_FOR_HOURS else {}
    if lost:
        told = f"{counted(len(lost), 'snapshot')} that the journal tells of {'is' if len(lost) == 1 else 'are'}"
        message = f"{told} not in the repository {escape(place)}"
        hint = "mount its disk, or put it back from a copy; if they are gone for good, memorybank backup makes new ones"
        yield Finding("MB130", message, "", hint, "/lost", level="warning" if is_good else None)


def _device(place: str) -> int | None:
    try:
        return os.stat(place).st_dev
    except (OSError, ValueError):
        return None


def _of(bank: Bank, found: Repository, unwanted: int) -> Iterator[Finding]:
    yield from listing(found).findings
    if packs := damaged_packs(bank, found):
        hint = (
            "memorybank backup stores again what was in them; memorybank snapshot verify --read-data tells what is lost"
        )
        yield Finding(
            "MB130", f"{counted(len(packs), 'pack')} of the repository found damaged when last read", "", hint
        )
    if _device(found.path) != _device(bank.root.path):
        where = f" where the repository lies, {escape(found.path)}"
        yield from full(os.statvfs(found.path), float(bank.settings["health.disk_percent"]), where, "/repository")
    if bank.settings["health.require_encryption"] and not found.encrypted:
        hint = "memorybank backup --repo DIR --encrypt begins an encrypted one"
        yield Finding("MB535", f"the repository {escape(found.path)} is not encrypted", "", hint)
    if unwanted > WAITING:
        message = f"{unwanted:,} snapshots are kept that the policy would not keep"
        yield Finding("MB534", message, "", "memorybank snapshot forget --prune")


def _unwanted(bank: Bank, found: Repository, mine: Sequence[Document]) -> int:
    """How many snapshots the policy of the settings would not keep; an empty policy keeps all."""
    from memorybank_cli.operations.forgetting import policy_of

    with suppress(UsageError):
        return sum(not one.kept for one in decide(mine, policy_of(bank), pinned(found)))
    return 0


def _drilled(bank: Bank, ok: bool | None, good: str | None, mine: Sequence[Document]) -> Iterator[Finding]:
    """MB533: the last drill failed, or none has passed for long; the first is due some time after the first backup."""
    if ok is False:
        hint = "memorybank snapshot drill shows what failed; memorybank snapshot verify --read-data, memorybank backup"
        yield Finding("MB533", "the last restore drill failed", "", hint, "/failed", level="error")
        return
    limit = float(bank.settings["health.drill_max_age_hours"])
    good = None if good is not None and is_ahead(good) else good
    since = good or min((one.time for one in mine), default=None, key=clock.parse)
    age = age_hours(since)
    if limit and age is not None and age > limit:
        what = (
            f"the last drill passed {age:.0f} hours ago"
            if good
            else "none of its snapshots was ever restored in a drill"
        )
        hint = "memorybank snapshot drill; memorybank maintain weekly makes one"
        yield Finding("MB533", what, "", hint)
