"""How the channels stand, as findings: who fails, what waits and nobody delivers, what alerts.json has wrong."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any, Protocol

from memorybank_cli.alerts import waiting
from memorybank_cli.alerts.breaker import OPENS_AT, Breaker
from memorybank_cli.alerts.channels import table
from memorybank_cli.bank import layout
from memorybank_cli.base.database import open_read_only
from memorybank_cli.base.names import escape, escape_text
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
    return [*own.findings, *(unfit(name, why) for name, why in wrong.items()), *_kept(root, channels)]


def _kept(root: Root, names: Collection[str]) -> list[Finding]:
    """What the database says of channels by these names; nothing where there is none."""
    if root.stat(layout.FINDINGS) is None:
        return []
    try:
        db = open_read_only(root, layout.FINDINGS, patience=1.0)
    except (OSError, sqlite3.Error):
        return []
    try:
        db.row_factory = sqlite3.Row
        return of(db, {name: one for name, one in waiting.breakers(db).items() if name in names})
    except sqlite3.Error:
        return []  # another rule tells of a database that cannot be read
    finally:
        db.close()


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
