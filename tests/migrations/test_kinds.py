"""What documents are by their content."""

from __future__ import annotations

import json
from typing import Any

import pytest

from memorybank_cli.bank.schemas import Registry
from memorybank_cli.migrations.kinds import beginning, kind_of

T = "2025-03-31T04:15:26"
TRADE = {"timestamp": T, "token_pair": "WETH-DAI", "net_profit": 0.1}
MESSAGE = {"role": "user", "content": "x"}


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (TRADE, "trades"),
        ({"timestamp": T, "opportunity": {}, "success": True}, "trades"),
        ([TRADE, TRADE], "trades"),
        ({"trades": [TRADE]}, "trades"),
        ({"timestamp": T}, "state"),
        ({"timestamp": T, "symbol": "ETH", "price": 3000}, "state"),
        ({"timestamp": T, "symbol": 5, "side": "buy"}, "state"),
        ({"symbol": "ETH", "side": "buy"}, "state"),
        ([TRADE, {"timestamp": T}], "state"),
        ({"trades": []}, "state"),
        ([], "state"),
        ({}, "state"),
        ("text", "state"),
        (None, "state"),
        ([MESSAGE], "messages"),
        ([17, MESSAGE], "messages"),
        ({"title": "x", "messages": [MESSAGE]}, "messages"),
        ({"messages": ["x"]}, "state"),
        ({"timestamp": T, "total_profit": 1.5, "win_rate": 0.5, "total_trades": 7}, "metrics"),
        ({"cpu": [1, 2, 3], "memory_usage": 5.5}, "metrics"),
        ({"by_pair": {"WETH-DAI": {"trades": 4, "profit": 0.2, "volume": 9}}}, "metrics"),
        ({"total_profit": True, "win_rate": True}, "state"),
        ({"max_trades": 3, "profit_threshold": 0.1, "request_timeout": 30}, "state"),
        ({"total_trades": -1, "win_rate": 0.5, "profit": 1}, "state"),
        ({"x": 1, "y": 2, "z": 3}, "state"),
        ({"trades": 1, "note": "a", "text": "b"}, "state"),
    ],
)
def test_kinds(value: Any, kind: str) -> None:
    assert kind_of(value, Registry()) == kind


def test_a_document_of_very_many_values_is_judged_by_the_first() -> None:
    assert kind_of({"a": {str(number): "x" for number in range(20_000)}}, Registry()) == "state"


def test_the_beginning_of_a_damaged_document() -> None:
    def first(text: str, size: int = 7) -> Any:
        data = text.encode()
        return beginning(data[at : at + size] for at in range(0, len(data), size))

    assert first(json.dumps(TRADE) + "\0\0") == TRADE
    assert first(json.dumps([TRADE] * 3)[:-5]) == [TRADE] * 2
    assert first(json.dumps({"a": 1, "trades": [TRADE] * 3})[:-5]) == {"a": 1, "trades": [TRADE] * 2}
    assert first(json.dumps({"messages": [MESSAGE]})) == {"messages": [MESSAGE]}
    assert first("nonsense") is None
    assert len(first(json.dumps(list(range(200))))) == 50
