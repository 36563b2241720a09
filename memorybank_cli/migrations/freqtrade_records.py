"""Records of freqtrade as the bank has them: its own members, and beside them those that the schema of trades knows.

Dates are UTC: freqtrade writes them so, with a zone in backtests and without one elsewhere; all get theirs. Its
`trade_id` is a number that each bot counts from 1: here it names the export too, and the number stands in `number`.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from memorybank_cli.base import clock
from memorybank_cli.migrations.naming import safe

_LAST_MS = 253_402_300_799_999
_NUMBER = 10**18
_DEPTH = 8
_SAME = (("symbol", "pair"), ("entry_price", "open_rate"), ("exit_price", "close_rate"), ("profit", "profit_abs"))
_TIME = re.compile(r"(?:.*_)?(?:date|start|end|time|update)")
_NAIVE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?")


class Zoned(NamedTuple):
    """A value whose dates have their zone, and how many got it."""

    value: Any
    changed: int


class Trade(NamedTuple):
    """A trade as the bank has it, what its file is called, and how many of its dates got their zone."""

    document: dict[str, Any]
    stem: str
    zoned: int


def zoned(value: Any, depth: int = _DEPTH) -> Zoned:
    """A value with UTC as the zone of each date that has none."""
    if depth and isinstance(value, dict):
        pairs = {name: _member(name, one, depth) for name, one in value.items()}
        return Zoned({name: one.value for name, one in pairs.items()}, sum(one.changed for one in pairs.values()))
    if depth and isinstance(value, list):
        found = [zoned(one, depth - 1) for one in value]
        return Zoned([one.value for one in found], sum(one.changed for one in found))
    return Zoned(value, 0)


def _member(name: str, value: Any, depth: int) -> Zoned:
    if isinstance(value, str) and _NAIVE.fullmatch(value) and _TIME.fullmatch(name):
        return Zoned(value + "+00:00", 1)
    return zoned(value, depth - 1)


def converted(record: Any, folder: str, strategy: str) -> Trade:
    """The trade that a record of the export and strategy in `folder` is. Raises ValueError that says why it is none."""
    if not isinstance(record, dict) or not isinstance(record.get("pair"), str) or not record["pair"]:
        raise ValueError("is not a trade: it names no pair")
    trade, count = zoned(record)
    opened = _moment(trade, "open")
    if not opened:
        raise ValueError("does not say when it was opened")
    known = {"opened_at": opened, "closed_at": _moment(trade, "close") or None, **_known(trade)}
    if strategy:
        known["strategy"] = strategy
    number = trade.get("trade_id")
    if isinstance(number, int) and not isinstance(number, bool) and abs(number) < _NUMBER:
        own = {"trade_id": f"{folder}/{number}", "number": number}
        return Trade({**known, **trade, **own}, str(number), count)
    when = opened[:19].replace(":", "").replace("-", "")
    return Trade({**known, **trade}, safe(f"{when}Z-{trade['pair']}"), count)


def _moment(trade: dict[str, Any], which: str) -> str:
    """When a trade was opened or closed, '' where it does not say."""
    stamp, text = trade.get(f"{which}_timestamp"), trade.get(f"{which}_date")
    if isinstance(stamp, int | float) and not isinstance(stamp, bool) and 0 < stamp <= _LAST_MS:
        return clock.from_ns(int(stamp) * 1_000_000)
    try:
        return clock.show(clock.parse(text)) if isinstance(text, str) else ""
    except (ValueError, OverflowError):
        return ""


def _known(trade: dict[str, Any]) -> dict[str, Any]:
    """What the schema of trades calls otherwise than freqtrade."""
    known = {ours: trade[theirs] for ours, theirs in _SAME if theirs in trade}
    if isinstance(trade.get("is_short"), bool):
        known["side"] = "short" if trade["is_short"] else "long"
    if isinstance(trade.get("is_open"), bool):
        known["status"] = "open" if trade["is_open"] else "closed"
    return known
