"""How near watching is to what the system allows, as findings: before it goes blind, and when it is."""

from __future__ import annotations

from typing import NamedTuple

from memorybank_cli.base.records import Finding
from memorybank_cli.base.words import counted

_PLACE = "/proc/sys/fs/inotify/"
NEAR = 0.8
"""Share of the watches that a user may have from which on it is said."""
FULL = 0.5
"""Share of the queue that waited at once."""
SHOWN = 3


class Load(NamedTuple):
    """What a watcher came to since it was last asked."""

    backend: str
    refused: dict[str, str]
    """By name why better ways of watching are not in use."""
    watched: int
    unwatched: frozenset[str]
    queued: int
    """The most events that waited at once."""
    seconds: float
    """How long the longest batch took: so late is told what changes meanwhile."""


def limit(name: str) -> int | None:
    """A limit of inotify by the name that sysctl knows, None where the system has none."""
    try:
        with open(_PLACE + name, encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None


def findings(load: Load, slow: float) -> list[Finding]:
    """MB520 to MB524; a batch is slow from `slow` seconds on, 0 for never."""
    found: list[Finding] = []
    if load.backend == "inotify":
        found += _watches(load) + _queue(load)
    else:
        why = "; ".join(f"{name}: {reason}" for name, reason in load.refused.items()) or "the file system is remote"
        message = f"watched by {load.backend}, so changes are told later ({why})"
        found.append(Finding("MB524", message, "", _polled_hint(load)))
    if slow and load.seconds > slow:
        message = f"judging one batch of changes took {load.seconds:.0f} s; what changed meanwhile was told that late"
        found.append(Finding("MB523", message, "", "give it more of the machine, or split large files and folders"))
    return found


def _polled_hint(load: Load) -> str:
    most = limit("max_user_instances")
    if "inotify" in load.refused and most is not None:  # it is there, and this user has used it up
        return f"sudo sysctl fs.inotify.max_user_instances={2 * most}, and start watch again, if that matters"
    return "run watch on the machine that has the disk, if that matters"


def _watches(load: Load) -> list[Finding]:
    most = limit("max_user_watches")
    raised = 2 * max(most or 0, load.watched + len(load.unwatched))
    hint = f"sudo sysctl fs.inotify.max_user_watches={raised}, and write it to /etc/sysctl.d/"
    if load.unwatched:
        some = ", ".join(sorted(load.unwatched)[:SHOWN])
        many = counted(len(load.unwatched), "directory", "directories")
        message = f"{many} cannot be watched ({some}); they are looked at every few seconds instead"
        return [Finding("MB520", message, "", hint)]
    if most is not None and load.watched >= NEAR * most:
        message = f"{load.watched:,} of the {most:,} watches that a user may have are in use"
        return [Finding("MB521", message, "", hint)]
    return []


def _queue(load: Load) -> list[Finding]:
    most = limit("max_queued_events")
    if most is None or load.queued < FULL * most:
        return []
    what = "the queue of events overflowed" if load.queued > most else f"{load.queued:,} events waited at once"
    message = f"{what}; there is room for {most:,}, and after more everything is looked at anew"
    return [Finding("MB522", message, "", f"sudo sysctl fs.inotify.max_queued_events={4 * most}")]
