"""Tiers: windows over one account's messages by position, and the files they are rendered into (spec 002)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from memorybank_cli.accounts.history import MID_TERM, SHORT_TERM, WINDOWS, History, Message
from memorybank_cli.accounts.segments import document, index_text
from memorybank_cli.bank.layout import account_file, history_index, history_segment
from memorybank_cli.bank.rendering import Rendering
from memorybank_cli.base import digests
from memorybank_cli.base.exact_json import dumps

TIERS = ("short_term", "mid_term", "whole_history", "history_context")


def render(history: History) -> Iterator[Rendering]:
    """The account's files in the order in which they are to be written: segments, index, head, the others.

    The same bytes for the same history, times from the journal. Of the sealed part only what is not written yet.
    Raises AccountDamaged where the newest sealed messages cannot be had.
    """
    yield from sealed(history)
    newest = history.newest(WINDOWS)
    yield from index(history)
    yield head(history)
    yield from _windows(history, newest)
    yield _context(history)
    yield _account(history)


def sealed(history: History) -> Iterator[Rendering]:
    """The segments that became full."""
    for segment, data in history.take_full():
        yield Rendering(history_segment(history.account, segment.first), "history_segment", data)


def index(history: History) -> Iterator[Rendering]:
    """The index, where segments were sealed since the last one."""
    if history.index_changed:
        data = index_text(history.account, history.segments)
        history.digest, history.index_changed = digests.of(data), False
        yield Rendering(history_index(history.account), "history_index", data)


def index_digest(history: History) -> None:
    """Settle the digest of the index as it would be written now."""
    if history.index_changed:
        history.digest = digests.of(index_text(history.account, history.segments))


def head(history: History) -> Rendering:
    """whole_history.json. The index is settled."""
    fields = {
        "account_id": history.account,
        "seq": history.seq,
        "status": _status(history, history.total),
        "total": history.total,
        "first": history.sealed + 1 if history.open else 0,
        "index": history.digest or None,
    }
    data = document(fields, "messages", [one.text for one in history.open])
    return Rendering(account_file(history.account, "whole_history"), "whole_history", data)


def _windows(history: History, newest: Sequence[Message]) -> Iterator[Rendering]:
    for tier, messages in (("short_term", newest[-SHORT_TERM:]), ("mid_term", newest[-WINDOWS:-SHORT_TERM])):
        fields = {
            "account_id": history.account,
            "seq": history.seq,
            "status": _status(history, len(messages)),
            "first": messages[0]["seq"] if messages else 0,
        }
        data = document(fields, "messages", [dumps(one) for one in messages])
        yield Rendering(account_file(history.account, tier), tier, data)


def _context(history: History) -> Rendering:
    fields = {
        "account_id": history.account,
        "seq": history.seq,
        "status": _status(history, 0),
        "created_at": history.created_at,
        "summaries": [],
    }
    path = account_file(history.account, "history_context")
    return Rendering(path, "history_context", dumps(fields, indent=True) + b"\n")


def _account(history: History) -> Rendering:
    status = dict.fromkeys(TIERS, "active" if history.total else "initialized")
    fields = {"account_id": history.account, "created_at": history.created_at, "memory_status": status}
    return Rendering(account_file(history.account, "account"), "account", dumps(fields, indent=True) + b"\n")


def _status(history: History, count: int) -> dict[str, Any]:
    return {
        "status": "active" if history.total else "initializing",
        "last_update": history.last_update,
        "message_count": count,
        "health_check": history.last_update,
    }


def window_sizes(total: int) -> tuple[int, int]:
    """How many messages short_term and mid_term hold of `total`."""
    short = min(total, SHORT_TERM)
    return short, min(total - short, MID_TERM)
