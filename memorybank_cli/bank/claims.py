"""What metrics and state documents claim of all trades, in the members that trading agents use for it."""

from __future__ import annotations

from typing import Any

from memorybank_cli.bank.moments import of_value

MEMBERS: dict[str, str] = {
    **dict.fromkeys(("total_trades", "trade_count", "trades_count", "num_trades"), "count"),
    "failed_trades": "failed",
    "successful_trades": "successful",
    **dict.fromkeys(("first_trade_time", "first_trade_at", "first_trade_timestamp", "first_trade_date"), "first"),
    **dict.fromkeys(("last_trade_time", "last_trade_at", "last_trade_timestamp", "last_trade_date"), "last"),
}
"""Members of metrics and state documents that are totals over all trades, and what they are."""
OBJECTS = ("performance", "metrics", "statistics", "stats", "summary", "trading", "totals")
"""Members of the document that may hold them, beside the root."""
_SCOPES = frozenset(
    {
        *("strategy", "strategy_id", "symbol", "pair", "token_pair", "token", "venue", "exchange", "dex", "account"),
        *("account_id", "agent", "agent_id", "session", "session_id", "period", "window", "day", "date", "since"),
        *("from", "start", "end", "start_time", "end_time"),
    }
)


def of_document(stem: str, value: Any) -> list[list[Any]]:
    """What a document of metrics or state says of all trades: [pointer, what, value]; those of a part are no totals."""
    if not isinstance(value, dict) or sum(map(str.isdecimal, stem)) > 3 or _is_part(value):
        return []
    found = _claims("", value)
    for name in OBJECTS:
        inner = value.get(name)
        if isinstance(inner, dict) and not _is_part(inner):
            found += _claims(f"/{name}", inner)
    return found


def _claims(pointer: str, value: dict[str, Any]) -> list[list[Any]]:
    return [
        [f"{pointer}/{name}", what, value[name]]
        for name, what in MEMBERS.items()
        if name in value and _can_be(what, value[name])
    ]


def _can_be(what: str, value: Any) -> bool:
    if what in ("first", "last"):
        return of_value(value) is not None
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_part(value: dict[str, Any]) -> bool:
    return any(isinstance(value[name], str | int | float) for name in _SCOPES & value.keys())
