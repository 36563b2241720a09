"""A small sound source for each importer, in the shape of the program that leaves it; made here."""

from __future__ import annotations

import json
from typing import Any


def lines(*records: Any) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in records)


def message(number: int) -> dict[str, Any]:
    role = "user" if number % 2 else "assistant"
    return {"role": role, "content": f"message {number}", "timestamp": 1_700_000_000.5 + number}


def freqtrade_trade(number: int) -> dict[str, Any]:
    return {
        "trade_id": number,
        "pair": "BTC/USDT",
        "stake_amount": 100.0,
        "amount": 0.5,
        "open_date": "2024-01-01 10:00:00",
        "open_timestamp": 1_704_103_200_000 + number,
        "open_rate": 1.5,
        "close_date": None,
        "close_timestamp": None,
        "close_rate": None,
        "is_open": True,
        "profit_abs": None,
    }


def entity(number: int) -> dict[str, Any]:
    return {"type": "entity", "name": f"entity {number}", "entityType": "thing", "observations": [f"seen {number}"]}


def relation(start: int, end: int) -> dict[str, Any]:
    return {"type": "relation", "from": f"entity {start}", "to": f"entity {end}", "relationType": "knows"}


def person(days: int, name: str = "Ann") -> dict[str, Any]:
    turns = [{"query": "How are you?", "response": "Fine."}, {"query": "Good.", "response": "And you?"}]
    history = {f"2024-01-{day + 1:02d}": turns for day in range(days)}
    return {"name": name, "summary": {}, "personality": {}, "overall_history": "", "history": history}


TRADE = {"timestamp": "2024-01-01T10:00:00Z", "symbol": "BTC-USD", "side": "buy", "price": 1.5, "profit": 0.1}

SOUND: dict[str, dict[str, Any]] = {
    "bank_layout": {
        "trades/trade_1.json": TRADE,
        "trades/recent.json": {"trades": [TRADE, TRADE]},
        "metrics/metrics.json": {"total_trades": 1, "win_rate": 0.5},
        "state/state.json": {"bot_status": "running"},
    },
    "memory_tree": {
        "memory/account_ann/short_term.json": [message(4), message(5), message(6)],
        "memory/account_ann/mid_term.json": [message(3), message(4), message(5)],
        "memory/account_ann/whole_history.json": [message(number) for number in range(5)],
        "memory/account_ann/history_context.json": [{"summary": "they met"}],
    },
    "mcp_memory": {"memory.jsonl": lines(entity(1), entity(2), relation(1, 2), relation(2, 3))},
    "freqtrade": {
        "backtest-result-1.json": {
            "strategy": {"S": {"trades": [freqtrade_trade(1), freqtrade_trade(2)], "total_trades": 9}},
            "strategy_comparison": [{"key": "S"}],
        },
        "backtest-result-1.meta.json": {"S": {"run_id": "430d", "backtest_start_time": 1_704_100_000}},
        "export.json": [freqtrade_trade(1), freqtrade_trade(2), freqtrade_trade(3)],
    },
    "dialogues": {"people.json": {"Ann": person(2), "Ben": person(1, "Ben")}},
    "markdown_bank": {
        "memory-bank/projectbrief.md": "# Brief\n\n[now](activeContext.md)\n",
        "memory-bank/activeContext.md": "# Now\n",
        "memory-bank/progress.md": "# Progress\n",
        "LICENSE": "MIT\n",
    },
    "plain_json": {
        "data/note.json": {"note": "x", "see": "data/deal.json"},
        "data/deal.json": TRADE,
        "data/chat.json": {"messages": [message(1), message(2)]},
        "data/count.json": {"total_trades": 3, "win_rate": 0.5, "profit": 1.5},
    },
}


def many(name: str, count: int) -> dict[str, Any]:
    """One file with so many records, for the importers that read such files."""
    shapes: dict[str, tuple[str, Any]] = {
        "memory_tree": ("memory/account_ann/whole_history.json", lambda: [message(number) for number in range(count)]),
        "mcp_memory": ("memory.jsonl", lambda: lines(*(entity(number) for number in range(count)))),
        "freqtrade": ("export.json", lambda: [freqtrade_trade(number) for number in range(count)]),
        "dialogues": ("people.json", lambda: {f"p{number}": person(1, f"p{number}") for number in range(count // 4)}),
        "plain_json": ("chat.json", lambda: {"messages": [message(number) for number in range(count)]}),
        "bank_layout": ("trades/list.json", lambda: [{**TRADE, "id": number} for number in range(count)]),
        "markdown_bank": ("notes.md", lambda: "".join(f"- [{number}](x{number}.md)\n" for number in range(count))),
    }
    path, content = shapes[name]
    return {path: content()}
