"""Tiers: windows over one account's messages by position, and the files they are rendered into (spec 002)."""

from __future__ import annotations

from typing import Any

from memorybank_cli.bank.bank import Rendering
from memorybank_cli.bank.layout import account_file
from memorybank_cli.base.exact_json import dumps

SHORT_TERM = 50
MID_TERM = 200


class History:
    """All messages of one account, oldest first, as of one journal line."""

    def __init__(self, account: str, created_at: str = "") -> None:
        self.account, self.created_at = account, created_at
        self.messages: list[dict[str, Any]] = []
        self.ids: set[str] = set()
        self.seq = 0
        self.last_update = created_at

    @property
    def exists(self) -> bool:
        """Whether the account was created."""
        return bool(self.created_at)

    def add(self, record: dict[str, Any], seq: int, moment: str) -> None:
        """Take one stored record over; `seq` and `moment` are those of its journal line."""
        self.messages.append({**record, "seq": len(self.messages) + 1})
        self.ids.add(record["id"])
        self.seq, self.last_update = seq, moment

    def short_term(self) -> list[dict[str, Any]]:
        """The newest 50."""
        return self.messages[-SHORT_TERM:]

    def mid_term(self) -> list[dict[str, Any]]:
        """The 200 before those."""
        return self.messages[-(SHORT_TERM + MID_TERM) : -SHORT_TERM]


def render(history: History) -> list[Rendering]:
    """The account's files: the same bytes for the same history, times from the journal."""
    account, seq = history.account, history.seq
    windows = {"short_term": history.short_term(), "mid_term": history.mid_term()}
    files = [_file(account, "account", _account(history))]
    for tier, messages in windows.items():
        head = {"account_id": account, "seq": seq, "status": _status(history, len(messages)), "first": _first(messages)}
        files.append(_file(account, tier, head, messages))
    head = {
        "account_id": account,
        "seq": seq,
        "status": _status(history, len(history.messages)),
        "total": len(history.messages),
        "first": _first(history.messages),
        "index": None,
    }
    files.append(_file(account, "whole_history", head, history.messages))
    context = {
        "account_id": account,
        "seq": seq,
        "status": _status(history, 0),
        "created_at": history.created_at,
        "summaries": [],
    }
    files.append(_file(account, "history_context", context))
    return files


def _account(history: History) -> dict[str, Any]:
    tiers = ("short_term", "mid_term", "whole_history", "history_context")
    status = dict.fromkeys(tiers, "active" if history.messages else "initialized")
    return {"account_id": history.account, "created_at": history.created_at, "memory_status": status}


def _status(history: History, count: int) -> dict[str, Any]:
    return {
        "status": "active" if history.messages else "initializing",
        "last_update": history.last_update,
        "message_count": count,
        "health_check": history.last_update,
    }


def _first(messages: list[dict[str, Any]]) -> int:
    return int(messages[0]["seq"]) if messages else 0


def _file(account: str, kind: str, head: dict[str, Any], messages: list[dict[str, Any]] | None = None) -> Rendering:
    text = dumps(head, indent=True)
    if messages is not None:
        records = b",\n    ".join(dumps(one) for one in messages)
        listed = b"[\n    " + records + b"\n  ]" if messages else b"[]"
        text = text[:-2] + b',\n  "messages": ' + listed + b"\n}"
    return Rendering(account_file(account, kind), kind, text + b"\n")
