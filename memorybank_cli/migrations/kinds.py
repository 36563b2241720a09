"""What a JSON document of unknown origin is by its content: trades, messages, metrics, or none of these."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from memorybank_cli.bank.schemas import Registry
from memorybank_cli.base.exact_json import FlawedJSON
from memorybank_cli.migrations.conversations import looks_like_one
from memorybank_cli.migrations.pieces import Path, Piece, pieces

Kind = Literal["messages", "trades", "metrics", "state"]

# A trade is about something and tells a deed; a quote has the first only, and a time makes nothing a trade.
_ABOUT = frozenset(
    {"dex_1", "dex_2", "fills", "market", "opportunity", "order_id", "pair", "symbol", "token_pair", "trade_id",
     "tx_hash"}
)  # fmt: skip
_DEED = frozenset(
    {"amount", "closed_at", "entry_price", "executed_at", "exit_price", "fee", "fees", "fills", "filled_at",
     "gas_cost", "gas_used", "gross_profit", "net_profit", "opened_at", "order_type", "pnl", "profit", "profit_usd",
     "qty", "quantity", "realized_pnl", "side", "success", "tx_hash"}
)  # fmt: skip
_METRIC = re.compile(
    r"(^|_)(avg|average|balance|blocks|count|cpu|drawdown|errors?|gas|hit|latency|loss|mean|median|memory|p50|p95|p99|"
    r"percent|pnl|price|profit|rate|ratio|requests|samples|sharpe|std|sum|total|trades|uptime|usage|volume|win|wins)"
    r"(_|$)",
    re.IGNORECASE,
)
_SETTING = re.compile(r"^(max|min|target)_|_(enabled|interval|limit|max|min|threshold|timeout)$", re.IGNORECASE)
_ENOUGH = 3
"""So many names must say that they are metrics, or half of them where there are fewer."""
_MOST_SEEN = 10_000
_BEGINNING = 50


def kind_of(value: Any, registry: Registry) -> Kind:
    """What a document is."""
    if _is_conversation(value):
        return "messages"
    if _are_trades(value, registry):
        return "trades"
    if _are_metrics(value, registry):
        return "metrics"
    return "state"


def _is_conversation(value: Any) -> bool:
    listed = value.get("messages") if isinstance(value, dict) else value
    return isinstance(listed, list) and any(looks_like_one(one) for one in listed[:_BEGINNING])


def _are_trades(value: Any, registry: Registry) -> bool:
    listed = value.get("trades") if isinstance(value, dict) and "trades" in value else value
    if isinstance(listed, list):
        said = bool(listed) and all(_says_of_a_trade(one) for one in listed)
        return said and registry.matches("trade_list", value)
    return _says_of_a_trade(value) and registry.matches("trade", value)


def _says_of_a_trade(value: Any) -> bool:
    return isinstance(value, dict) and not _ABOUT.isdisjoint(value) and not _DEED.isdisjoint(value)


def _are_metrics(value: Any, registry: Registry) -> bool:
    if not isinstance(value, dict):
        return False
    seen = list(_scalars(value))
    numbers = [name for name, one in seen if isinstance(one, int | float) and not isinstance(one, bool)]
    known = sum(_METRIC.search(name) is not None and not _SETTING.search(name) for name in numbers)
    mostly = 2 * len(numbers) > len(seen) and known >= min(_ENOUGH, (len(numbers) + 1) // 2)
    return bool(numbers) and mostly and registry.matches("metrics", value)


def _scalars(value: Any) -> Iterator[tuple[str, Any]]:
    """Values that are no containers, under their name or the name of the list that they stand in."""
    waiting: list[tuple[str, Any]] = [("", value)]
    for _ in range(_MOST_SEEN):
        if not waiting:
            return
        name, one = waiting.pop()
        if isinstance(one, dict):
            waiting += one.items()
        elif isinstance(one, list):
            waiting += [(name, inner) for inner in one[:_BEGINNING]]
        else:
            yield name, one


def beginning(chunks: Iterable[bytes]) -> Any:
    """What a damaged or very large document begins with: its first members or elements; None where nothing is had."""
    members: dict[str, Any] = {}
    elements: list[Any] = []
    try:
        for piece in _first(pieces(chunks, _enter)):
            match piece.path:
                case ("messages" | "trades" as name, int()):
                    members.setdefault(name, []).append(piece.value)
                case (str(name),):
                    members[name] = piece.value
                case (int(),):
                    elements.append(piece.value)
    except (FlawedJSON, OSError):
        pass  # what comes before is all that is asked for
    return members or elements or None


def _first(found: Iterable[Piece]) -> Iterator[Piece]:
    for number, piece in enumerate(found):
        if number >= _BEGINNING:
            return
        yield piece


def _enter(path: Path) -> bool:
    return path in ((), ("messages",), ("trades",))
