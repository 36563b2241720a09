from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import pytest

from memorybank_cli.bank.layout import place
from memorybank_cli.bank.schemas import Registry
from memorybank_cli.migrations import freqtrade
from memorybank_cli.migrations.items import Assumption, FileItem, Item, Rejected
from memorybank_cli.migrations.source import Source
from tests.migrations.conftest import Make

REGISTRY = Registry()
OPENED, CLOSED = 1704103200000, 1704106800000


def backtested(minute: int = 0, pair: str = "BTC/USDT", **more: Any) -> dict[str, Any]:
    """A trade as a backtest exports it."""
    return {
        "pair": pair,
        "stake_amount": 100.0,
        "max_stake_amount": 100.0,
        "amount": 0.00233,
        "open_date": f"2024-01-01 10:{minute:02d}:00+00:00",
        "close_date": "2024-01-01 11:00:00+00:00",
        "open_rate": 42850.1,
        "close_rate": 43001.25,
        "fee_open": 0.001,
        "fee_close": 0.001,
        "trade_duration": 60,
        "profit_ratio": 0.0015,
        "profit_abs": 0.15,
        "exit_reason": "roi",
        "is_open": False,
        "open_timestamp": float(OPENED + minute * 60_000),
        "close_timestamp": float(CLOSED),
        "is_short": False,
        "leverage": 1.0,
        "enter_tag": None,
        "orders": [{"amount": 0.00233, "safe_price": 42850.1, "ft_order_side": "buy", "ft_is_entry": True}],
    } | more


def traded(number: int, **more: Any) -> dict[str, Any]:
    """A trade as the REST interface and `show-trades` give it: dates without a zone."""
    return {
        "trade_id": number,
        "pair": "ETH/USDT:USDT",
        "is_open": False,
        "is_short": True,
        "exchange": "kraken",
        "amount": 0.5,
        "stake_amount": 1200.5,
        "strategy": "Sample",
        "open_date": "2024-01-01 10:00:00",
        "open_timestamp": OPENED,
        "open_rate": 2401.0,
        "close_date": "2024-01-01 11:00:00",
        "close_timestamp": CLOSED,
        "close_rate": 2390.5,
        "profit_ratio": 0.004,
        "profit_abs": 5.2,
        "exit_reason": "exit_signal",
        "orders": [],
    } | more


def result(**strategies: list[Any]) -> dict[str, Any]:
    return {
        "strategy": {
            name: {
                "trades": trades,
                "locks": [],
                "total_trades": 179,
                "profit_total": 2.6,
                "backtest_start": "2024-01-01 10:00:00",
                "strategy_name": name,
                "max_drawdown_abs": 0.003,
            }
            for name, trades in strategies.items()
        },
        "strategy_comparison": [{"key": name, "trades": 179, "max_drawdown_abs": "0.003"} for name in strategies],
    }


def packed(members: dict[str, bytes]) -> bytes:
    out = BytesIO()
    with ZipFile(out, "w", ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def read(source: Source) -> list[Item]:
    assert freqtrade.score(source) == 90
    return list(freqtrade.read(source, [path for path in source.paths if freqtrade.takes(source, path)]))


def files(items: list[Item]) -> dict[str, Any]:
    return {item.path: json.loads(item.data or b"null") for item in items if isinstance(item, FileItem)}


def test_each_trade_of_a_backtest_becomes_a_file_and_the_rest_metrics(make_source: Make) -> None:
    trades = [backtested(0), backtested(1), backtested(1, "ETH/USDT:USDT", is_short=True)]
    source = make_source({"backtest-result-2024-01-02_10-00-00.json": result(Sample=trades, Other=[backtested(0)])})
    items = read(source)
    found = files(items)
    folder = "freqtrade/backtest-result-2024-01-02_10-00-00"
    assert sorted(found) == [
        f"metrics/{folder}/Other.json",
        f"metrics/{folder}/Sample.json",
        f"metrics/{folder}/summary.json",
        f"trades/{folder}/Other/20240101T100000Z-BTC-USDT.json",
        f"trades/{folder}/Sample/20240101T100000Z-BTC-USDT.json",
        f"trades/{folder}/Sample/20240101T100100Z-BTC-USDT.json",
        f"trades/{folder}/Sample/20240101T100100Z-ETH-USDT-USDT.json",
    ]
    assert found[f"trades/{folder}/Sample/20240101T100100Z-ETH-USDT-USDT.json"] == trades[2] | {
        "opened_at": "2024-01-01T10:01:00.000000Z",
        "closed_at": "2024-01-01T11:00:00.000000Z",
        "symbol": "ETH/USDT:USDT",
        "entry_price": 42850.1,
        "exit_price": 43001.25,
        "profit": 0.15,
        "side": "short",
        "status": "closed",
        "strategy": "Sample",
    }
    assert found[f"metrics/{folder}/Sample.json"]["total_trades"] == 179  # what contradicts the trades is not altered
    assert "trades" not in found[f"metrics/{folder}/Sample.json"]
    assert [row["key"] for row in found[f"metrics/{folder}/summary.json"]["strategy_comparison"]] == ["Sample", "Other"]
    assert found[f"metrics/{folder}/Sample.json"]["backtest_start"] == "2024-01-01 10:00:00+00:00"
    assert items[-1] == Assumption(freqtrade._ZONED, 2)


def test_what_comes_in_fits_the_schemas(make_source: Make) -> None:
    still_open = traded(9, is_open=True, close_date=None, close_timestamp=None, close_rate=None, profit_abs=None)
    source = make_source({"backtest-result.json": result(S=[backtested()]), "live.json": [traded(8), still_open]})
    for path, value in files(read(source)).items():
        assert REGISTRY.misfits(place(path).kind, value) == [], path


@pytest.mark.parametrize("rest", [True, False])
def test_trades_of_a_running_bot_are_called_by_their_number(make_source: Make, rest: bool) -> None:
    trades = [traded(1), traded(2, is_open=True, close_date=None, close_timestamp=None), traded(1, pair="X/Y")]
    document = {"trades": trades, "trades_count": 3, "offset": 0, "total_trades": 7} if rest else trades
    items = read(make_source({"bots/a b.json": document}))
    found = files(items)
    assert list(found)[:3] == [f"trades/freqtrade/bots/a-b/{name}.json" for name in ("1", "2", "1-2")]
    assert found["trades/freqtrade/bots/a-b/2.json"]["closed_at"] is None
    assert found["trades/freqtrade/bots/a-b/2.json"]["status"] == "open"
    summary = {"metrics/freqtrade/bots/a-b/summary.json": {"trades_count": 3, "offset": 0, "total_trades": 7}}
    assert dict(list(found.items())[3:]) == (summary if rest else {})
    assert not [item for item in items if isinstance(item, Rejected)]


def test_dates_without_a_zone_are_utc_and_that_is_said(make_source: Make) -> None:
    items = read(make_source({"t.json": [traded(1, open_timestamp=None, close_timestamp=None), traded(2)]}))
    assert files(items)["trades/freqtrade/t/1.json"]["opened_at"] == "2024-01-01T10:00:00.000000Z"
    assert files(items)["trades/freqtrade/t/1.json"]["open_date"] == "2024-01-01 10:00:00+00:00"
    assert [item for item in items if isinstance(item, Assumption)] == [Assumption(freqtrade._ZONED, 4)]


def test_numbers_of_trades_are_told_apart_by_their_export(make_source: Make) -> None:
    found = files(read(make_source({"a.json": [traded(1)], "b.json": [traded(1), traded(1), traded(10**20)]})))
    assert [(path[17:], trade["trade_id"], trade.get("number")) for path, trade in found.items()] == [
        ("a/1.json", "a/1", 1),
        ("b/1.json", "b/1", 1),
        ("b/1-2.json", "b/1", 1),
        ("b/20240101T100000Z-ETH-USDT-USDT.json", 10**20, None),
    ]


@pytest.mark.parametrize(
    ("trade", "reason"),
    [
        (7, "/0: is not a trade"),
        ({"trade_id": 1}, "/0: is not a trade: it names no pair"),
        (traded(1, pair=""), "/0: is not a trade: it names no pair"),
        (traded(1, open_timestamp=10**30, open_date="yesterday"), "/0: does not say when it was opened"),
        (traded(1, open_timestamp=True, open_date=None), "/0: does not say when it was opened"),
        (traded(1, open_timestamp=-1, open_date="0001-01-01 00:00:00+23:59"), "/0: does not say when it was opened"),
        (traded(1, amount=float("nan")), "/0: MB107 NaN is not JSON"),
    ],
)
def test_what_is_no_trade_is_kept_and_told(make_source: Make, trade: Any, reason: str) -> None:
    items = read(make_source({"backtest-result.json": [trade, traded(2)]}))
    rejected = [item for item in items if isinstance(item, Rejected)]
    assert len(rejected) == 1
    assert rejected[0].reason.startswith(reason)
    assert rejected[0].data
    assert list(files(items)) == ["trades/freqtrade/backtest-result/2.json"]


def test_what_freqtrade_does_not_write_is_told(make_source: Make) -> None:
    odd = {"backtest-result.json": b'{"strategy": {"S": 7}, "trades": 3}', "backtest-result-2.json": b"7"}
    items = read(make_source(odd))
    assert [item.reason for item in items if isinstance(item, Rejected)] == [
        "the document: is not what freqtrade writes",
        "/strategy/S: is not what freqtrade writes",
    ]
    assert files(items) == {"metrics/freqtrade/backtest-result/summary.json": {"trades": 3}}


@pytest.mark.parametrize("ending", [b"", bytes(5000)])
def test_a_torn_export_gives_the_trades_before(make_source: Make, ending: bytes) -> None:
    whole = json.dumps(result(S=[backtested(minute) for minute in range(9)])).encode()
    torn = whole[: whole.index(b"10:05") + 3] + ending
    items = read(make_source({"backtest-result.json": torn}))
    assert len(files(items)) == 5
    wrong = items[-1]
    assert isinstance(wrong, Rejected)
    assert wrong.reason.startswith("MB103 the document stops at byte")
    assert wrong.reason.endswith("; 5 trades that stand before it were taken")
    assert wrong.data is None


def test_a_summary_that_is_too_large_is_told(make_source: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freqtrade, "LARGEST_SUMMARY", 50)
    document = result(S=[backtested()])
    document["strategy"]["S"]["total_trades"] = "x" * 100
    items = read(make_source({"backtest-result.json": document}))
    assert "trades/freqtrade/backtest-result/S/20240101T100000Z-BTC-USDT.json" in files(items)
    reasons = [item.reason for item in items if isinstance(item, Rejected)]
    assert reasons[0].startswith("/strategy/S/total_trades: makes the summary larger")


def test_strategies_and_trades_that_are_called_alike_all_come_in(make_source: Make) -> None:
    document = result(**{"A B": [backtested()], "A-B": [backtested(), backtested()], "summary": []})
    found = files(read(make_source({"backtest-result.json": document, "backtest-result!.json": [traded(1)]})))
    assert [path.partition("/")[2] for path in found] == [
        "freqtrade/backtest-result-/1.json",
        "freqtrade/backtest-result/A-B/20240101T100000Z-BTC-USDT.json",
        "freqtrade/backtest-result/A-B.json",
        "freqtrade/backtest-result/A-B/20240101T100000Z-BTC-USDT-2.json",
        "freqtrade/backtest-result/A-B/20240101T100000Z-BTC-USDT-3.json",
        "freqtrade/backtest-result/A-B-2.json",
        "freqtrade/backtest-result/summary.json",
        "freqtrade/backtest-result/summary-2.json",
    ]


def test_zipped_results_come_in_and_their_metadata(make_source: Make) -> None:
    name = "backtest-result-2025-03-01_10-00-00"
    members = {
        f"{name}.json": json.dumps(result(S=[backtested()])).encode(),
        f"{name}_config.json": b"{}",
        f"{name}_S.py": b"class S: ...",
    }
    metadata = {"S": {"run_id": "430d", "backtest_start_time": 1704100000}}
    source = make_source({f"{name}.zip": packed(members), f"{name}.meta.json": metadata})
    items = read(source)
    assert [item.path for item in items if isinstance(item, FileItem)] == [
        f"metrics/freqtrade/{name}.meta.json",
        f"trades/freqtrade/{name}/S/20240101T100000Z-BTC-USDT.json",
        f"metrics/freqtrade/{name}/S.json",
        f"metrics/freqtrade/{name}/summary.json",
    ]
    assert items[0] == FileItem(f"metrics/freqtrade/{name}.meta.json", f"{name}.meta.json")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (packed({"other.json": b"{}"}), "the archive holds no 'backtest-result.json'"),
        (packed({"backtest-result.json": b"{}"})[:-9], "the archive cannot be read"),
        (packed({"backtest-result.json": b'{"strategy": {"S": {"trades": [' + bytes(30 << 20)}), "MB103"),
        (packed({"backtest-result.json": b"{" + b" " * (30 << 20)}), "a document that unpacks to more than it may"),
    ],
)
def test_archives_that_cannot_be_read_are_told(make_source: Make, content: bytes, reason: str) -> None:
    (wrong,) = read(make_source({"backtest-result.zip": content}))
    assert isinstance(wrong, Rejected)
    assert wrong.reason.startswith(reason)


def test_a_summary_in_utf_16_is_read(make_source: Make) -> None:
    source = make_source({"export.json": json.dumps([traded(1)]).encode("utf-16")})  # as PowerShell redirects
    assert list(files(read(source))) == ["trades/freqtrade/export/1.json"]


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"a.json": [{"timestamp": "2024-01-01T00:00:00Z", "pair": "BTC/USDT"}]},
        {"a.json": {"strategy": {"name": "grid"}}},
        {"a.zip": packed({"b.json": b"{}"}), "b.csv": "pair,open_date,stake_amount"},
        {"memory-bank/progress.md": "backtest-result"},
    ],
)
def test_other_sources_are_left_to_others(make_source: Make, files: dict[str, Any]) -> None:
    source = make_source(files)
    assert freqtrade.score(source) == 0
    assert not [path for path in source.paths if freqtrade.takes(source, path)]


def test_an_export_among_many_trades_is_found(make_source: Make) -> None:
    many = {f"trades/{number}.json": {"timestamp": number} for number in range(300)}
    source = make_source({**many, "z/export.json": [traded(1), traded(2)]})
    assert [item.path for item in read(source) if isinstance(item, FileItem)] == [
        "trades/freqtrade/z/export/1.json",
        "trades/freqtrade/z/export/2.json",
    ]


@pytest.mark.parametrize(
    "config",
    [
        {"exchange": {"name": "binance", "key": "k", "secret": "s"}, "telegram": {"token": "t"}},
        {"telegram": {"enabled": True, "token": "t"}},
        {"api_server": {"enabled": True, "password": "p"}},
        {
            "exchange": {"name": "binance", "pair_whitelist": [f"A{n}/USDT" for n in range(500)]},
            "max_open_trades": 3,
            "stake_currency": "USDT",
            "dry_run": False,
        },
    ],
)
def test_a_configuration_in_several_files_stays_behind(make_source: Make, config: dict[str, Any]) -> None:
    source = make_source({"user_data/config-private.json": config})
    assert freqtrade.takes(source, "user_data/config-private.json")
    assert list(freqtrade.read(source, source.paths)) == []
    assert source.skipped == [("user_data/config-private.json", freqtrade._KEYS)]


def test_configurations_and_candles_stay_behind(make_source: Make) -> None:
    config = {
        "max_open_trades": 3,
        "stake_currency": "USDT",
        "dry_run": False,
        "exchange": {"name": "kraken", "key": "k"},
    }
    source = make_source(
        {
            "config.json": config,
            "data/kraken/BTC_USDT-5m.json": b"[[1704103200000,1.0,2.0,0.5,1.5,100.0]]",
            "data/kraken/futures/BTC_USDT_USDT-1h-futures.json": b"[[1704103200000,1.0,2.0,0.5,1.5,100.0]]",
            "backtest_results/backtest-result.json": [traded(1)],
        }
    )
    assert [item.path for item in read(source) if isinstance(item, FileItem)] == [
        "trades/freqtrade/backtest_results/backtest-result/1.json"
    ]
    assert [reason for _, reason in source.skipped] == [freqtrade._KEYS, freqtrade._MARKET, freqtrade._MARKET]


def test_a_file_that_goes_meanwhile_is_told(make_source: Make) -> None:
    source = make_source({"export.json": [traded(1)]})
    Path(source.root.path, "export.json").unlink()
    (gone,) = freqtrade.read(source, source.paths)
    assert gone == Rejected(
        "export.json", "it changed or vanished while it was read; 0 trades that stand before it were taken"
    )
