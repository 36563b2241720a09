"""How alerting stands, as findings: which channels fail, what waits, what alerts.json has wrong, what is not kept."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Collection, Mapping
from contextlib import closing
from datetime import timedelta
from typing import Any, Protocol

from memorybank_cli.alerts import waiting
from memorybank_cli.alerts.breaker import OPENS_AT, Breaker
from memorybank_cli.alerts.channels import table
from memorybank_cli.bank import layout
from memorybank_cli.base.database import is_busy, open_read_only
from memorybank_cli.base.names import escape, escape_text, quoted
from memorybank_cli.base.records import Finding
from memorybank_cli.base.walk import Root

PATIENCE = timedelta(hours=1)
"""How long a message may wait for a channel that does not fail."""


class _Own(Protocol):
    @property
    def channels(self) -> Mapping[str, Any]: ...

    @property
    def findings(self) -> tuple[Finding, ...]: ...


def findings(root: Root, own: _Own) -> list[Finding]:
    """What is wrong with alerts.json and its channels, by that file and by `findings.sqlite`; nothing is written."""
    info = root.stat("")
    channels, wrong = table.built(own.channels, root, own=info is not None and info.st_uid == os.geteuid())
    unusable = [unfit(name, why) for name, why in wrong.items()]
    return [*put_aside(root), *own.findings, *unusable, *_kept(root, channels)]


def put_aside(root: Root) -> list[Finding]:
    """MB551: what was known of alerts was damaged, as long as a damaged file lies in quarantine."""
    names = sorted(entry.name for entry in root.listing(layout.QUARANTINE) if entry.name.startswith("findings-"))
    if not names:
        return []
    where = f"{layout.QUARANTINE}/{escape(names[0])}"
    message = f"findings.sqlite was damaged and begun anew; what was there is {where}"
    hint = f"memorybank alert list shows what stands; rm {quoted(escape(root.absolute(where)))} when you have seen this"
    return [Finding("MB551", message, "", hint, "/lost", level="warning")]


def _kept(root: Root, names: Collection[str]) -> list[Finding]:
    """What the database says of channels by these names, or that it is none; nothing where there is no file."""
    info = root.stat(layout.FINDINGS)
    if info is None:
        return []
    place = root.absolute(layout.FINDINGS)
    if not stat.S_ISREG(info.st_mode):
        return [not_kept("findings.sqlite is no regular file", f"remove what stands at {quoted(escape(place))}")]
    if not os.access(place, os.R_OK | os.W_OK):
        return [not_kept("findings.sqlite may not be written", "correct the owner and the mode of .memorybank")]
    try:
        with closing(open_read_only(root, layout.FINDINGS, patience=1.0)) as db:
            db.row_factory = sqlite3.Row
            return of(db, {name: one for name, one in waiting.breakers(db).items() if name in names})
    except (OSError, sqlite3.Error) as error:
        if is_busy(error):
            return []
        return [not_kept(escape_text(f"findings.sqlite cannot be read: {error}"), "see to the disk")]


def not_kept(why: str, hint: str) -> Finding:
    """Alerts stand nowhere but in the memory of the process that raised them."""
    return Finding("MB551", f"alerts are kept in memory only: {why}", "", hint, "/memory")


def of(db: sqlite3.Connection, breakers: Mapping[str, Breaker]) -> list[Finding]:
    """What is wrong, by how channels have done and by what waits in the database. Raises sqlite3.Error."""
    oldest = waiting.channels(db)
    late = [
        Finding(
            "MB553",
            f"messages have waited for the channel '{escape(name)}' since {escape(since)}, and nobody delivers them",
            hint="memorybank watch delivers, or memorybank health and memorybank maintain from cron",
            pointer=f"/channels/{name}",
        )
        for name, since in oldest.items()
        if waiting.age(since) > PATIENCE and not breakers.get(name, Breaker()).failures
    ]
    return [*failing(breakers), *late]


def failing(breakers: Mapping[str, Breaker]) -> list[Finding]:
    """The channels of which nothing has arrived for several tries."""
    return [
        Finding(
            "MB552",
            f"the channel '{escape(name)}' fails since {escape_text(one.since)}: {escape_text(one.reason)}",
            hint=escape_text(one.hint) or f"memorybank alert test {escape(name)} tries it now",
            pointer=f"/channels/{name}",
        )
        for name, one in sorted(breakers.items())
        if one.failures >= OPENS_AT
    ]


def stopped() -> Finding:
    """Of a process that lives long: its thread that delivers ended by a defect."""
    message = "nobody delivers messages any more: what does it in memorybank watch has failed"
    return Finding("MB553", message, hint="start memorybank watch again; what waits is delivered then", level="error")


def unfit(name: str, why: str) -> Finding:
    """A definition in alerts.json that makes no channel."""
    return Finding(
        "MB554",
        f"the channel '{escape(name)[:80]}' of alerts.json cannot be used: {why}",
        hint="correct it; memorybank alert test tries it",
        pointer=f"/channels/{escape(name)[:80]}",
    )


def unknown(name: str) -> Finding:
    """A channel that routes lead to, or messages wait for, and that is not defined."""
    return Finding(
        "MB555",
        f"alerts are for the channel '{escape(name)[:80]}', which alerts.json does not define; they go to the log",
        hint="define it, or correct the routes; memorybank alert route --explain shows them",
        pointer=f"/channels/{escape(name)[:80]}",
    )
