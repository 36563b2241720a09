"""Tiers: windows over one account's messages by position, and the files they are rendered into (spec 002)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from memorybank_cli.accounts import contexts
from memorybank_cli.accounts.history import History, Open
from memorybank_cli.accounts.segments import document, index_text
from memorybank_cli.bank.layout import account_file, history_index, history_segment
from memorybank_cli.bank.rendering import Rendering
from memorybank_cli.base import digests
from memorybank_cli.base.exact_json import dumps

ACTIVE, FAILING, INITIALIZING = "active", "failing", "initializing"
_AT_FIRST = "initialized"  # what account.json says of a tier that is still to have its first message
TIERS = ("short_term", "mid_term", "whole_history", "history_context")


def render(history: History) -> Iterator[Rendering]:
    """The account's files in the order in which they are to be written: segments, index, head, the others.

    The same bytes for the same history, times from the journal. Of the sealed part only what is not written yet.
    Raises AccountDamaged where the newest sealed messages cannot be had.
    """
    yield from sealed(history)
    newest = history.newest_open(history.capacity.both)
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
        index_digest(history)
        history.index_changed = False
        if history.segments:
            data = index_text(history.account, history.segments)
            yield Rendering(history_index(history.account), "history_index", data)


def index_digest(history: History) -> None:
    """Settle the digest of the index as it would be written now."""
    if history.index_changed:
        listed = history.segments
        history.digest = digests.of(index_text(history.account, listed)) if listed else ""


def head(history: History) -> Rendering:
    """whole_history.json. The index is settled."""
    fields = {
        "account_id": history.account,
        "seq": history.seq,
        "status": _status(history, history.total),
        "total": history.total,
        **({"forgotten": history.gone} if history.gone else {}),
        "first": history.sealed + 1 if history.last > history.sealed else 0,
        "index": history.digest or None,
    }
    data = document(fields, "messages", [one.text for one in history.open])
    return Rendering(account_file(history.account, "whole_history"), "whole_history", data)


def _windows(history: History, newest: Sequence[Open]) -> Iterator[Rendering]:
    short = history.capacity.short_term
    for tier, messages in (("short_term", newest[-short:]), ("mid_term", newest[:-short])):
        fields = {
            "account_id": history.account,
            "seq": history.seq,
            "status": _status(history, len(messages)),
            "first": messages[0].message["seq"] if messages else 0,
        }
        data = document(fields, "messages", [one.text for one in messages])
        yield Rendering(account_file(history.account, tier), tier, data)


def _context(history: History) -> Rendering:
    path = account_file(history.account, "history_context")
    data = contexts.rendered(history.account, history.created_at, history.context)
    return Rendering(path, "history_context", data)


def _account(history: History) -> Rendering:
    short, mid = history.capacity.sizes(history.total)
    counts = {"short_term": short, "mid_term": mid, "whole_history": history.total}
    states = {tier: state(history, count) for tier, count in counts.items()}
    states["history_context"] = history.context.status
    fields = {
        "account_id": history.account,
        "created_at": history.created_at,
        "memory_status": {tier: _AT_FIRST if one == INITIALIZING else one for tier, one in states.items()},
        "capacity": history.capacity._asdict(),
    }
    return Rendering(account_file(history.account, "account"), "account", dumps(fields, indent=True) + b"\n")


def state(history: History, count: int) -> str:
    """The status of a tier that holds `count` messages: failing, initializing until it has had one, else active."""
    if history.failing:
        return FAILING
    return ACTIVE if count else INITIALIZING


def _status(history: History, count: int) -> dict[str, Any]:
    """The status object of spec 002. A rendering is made from what was checked, so that is when it was checked."""
    return {
        "status": state(history, count),
        "last_update": history.last_update,
        "message_count": count,
        "health_check": history.last_update,
    }
