"""What metrics and state documents claim of all trades, and what is no such claim."""

from __future__ import annotations

from typing import Any

import pytest

from memorybank_cli.bank.claims import of_document


def test_totals_at_the_root_and_in_known_members() -> None:
    document = {
        "total_trades": 28,
        "performance": {"failed_trades": 2, "successful_trades": 26.0, "last_trade_time": "2025-03-31T12:00:00Z"},
        "statistics": {"num_trades": 7, "first_trade_timestamp": 1_743_422_400},
    }
    assert of_document("metrics", document) == [
        ["/total_trades", "count", 28],
        ["/performance/failed_trades", "failed", 2],
        ["/performance/successful_trades", "successful", 26.0],
        ["/performance/last_trade_time", "last", "2025-03-31T12:00:00Z"],
        ["/statistics/num_trades", "count", 7],
        ["/statistics/first_trade_timestamp", "first", 1_743_422_400],
    ]
    assert of_document("1metrics", {"metrics": {"total_trades": 0}}) == [["/metrics/total_trades", "count", 0]]


@pytest.mark.parametrize(
    "document",
    [
        [],
        None,
        {"baseswap": {"total_trades": 30}, "WETH-USDC": {"total_trades": 5}},
        {"strategy": "carry", "total_trades": 30},
        {"performance": {"period": "24h", "total_trades": 30}},
        {"date": "2025-03-31", "summary": {"total_trades": 30}},
        {"total_trades": "30", "failed_trades": None, "successful_trades": True, "trade_count": [1]},
        {"last_trade_time": None, "first_trade_time": "long ago"},
        {"totals": [{"total_trades": 1}]},
    ],
)
def test_no_totals(document: Any) -> None:
    assert of_document("metrics", document) == []


@pytest.mark.parametrize("stem", ["2025-03-31", "metrics_202503", "daily-1743422400"])
def test_a_dated_document_is_about_its_day(stem: str) -> None:
    assert of_document(stem, {"total_trades": 30}) == []


def test_a_scope_that_is_no_scope() -> None:
    assert of_document("metrics", {"dex": {"a": 1}, "session": None, "total_trades": 3})
