"""MB207: totals against the records, built in and declared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.accounts.messages import Message
from memorybank_cli.base.context import Context
from memorybank_cli.operations.accounts import create_account
from memorybank_cli.operations.init import init
from memorybank_cli.operations.messages import store
from tests.conftest import MakeBank, trade
from tests.meaning.checking import declare, findings
from tests.operations.banks import opened, put


@pytest.fixture
def path(make_bank: MakeBank) -> Path:
    """Five trades, two of which failed."""
    path = make_bank(5, padded=False)
    for number in (1, 3):
        put(path / f"trades/trade_{number}.json", {**trade(number), "success": False, "net_profit": -0.5})
    return path


def said(path: Path) -> dict[str, str]:
    return {f"{one.path}#{one.pointer}": one.message for one in findings(path, "MB207")}


def rule(**fields: Any) -> dict[str, Any]:
    return {"file": "metrics/own.json", "at": "/n", "is": "count", "of": "trades", **fields}


def test_totals_that_agree(path: Path) -> None:
    put(path / "metrics/a.json", {"total_trades": 5, "failed_trades": 2, "successful_trades": 3})
    put(path / "state/b.json", {"performance": {"num_trades": 5.0, "last_trade_time": "2025-03-31T00:04:26Z"}})
    put(path / "state/c.json", {"stats": {"first_trade_time": "2025-03-30T20:00:26.100831"}})
    assert findings(path) == [] or {one.rule for one in findings(path)} == {"MB205"}
    assert said(path) == {}


def test_totals_that_do_not(path: Path) -> None:
    put(path / "metrics/a.json", {"total_trades": 4, "failed_trades": 1, "successful_trades": 9})
    put(path / "state/b.json", {"trading": {"trade_count": 0, "last_trade_time": "2025-03-31T09:00:00Z"}})
    assert said(path) == {
        "metrics/a.json#/total_trades": "says 4, but there are 5 records in trades/",
        "metrics/a.json#/failed_trades": "says 1, but 2 of 5 records in trades/ have success false",
        "metrics/a.json#/successful_trades": "says 9, but 3 of 5 records in trades/ have success true",
        "state/b.json#/trading/trade_count": "says 0, but there are 5 records in trades/",
        "state/b.json#/trading/last_trade_time": (
            "says '2025-03-31T09:00:00Z', but the last time of 5 records in trades/ is '2025-03-31T00:04:26.100831Z'"
        ),
    }
    one = findings(path, "MB207")[0]
    assert (one.severity, one.hint) == ("warning", "memorybank repair --aggregates metrics/a.json")
    assert (one.expected, one.found) == ("2", "1")


def test_totals_follow_the_trades(path: Path) -> None:
    put(path / "metrics/a.json", {"total_trades": 5})
    assert said(path) == {}
    put(path / "trades/2025/more.json", trade(9))
    assert said(path) == {"metrics/a.json#/total_trades": "says 5, but there are 6 records in trades/"}
    put(path / "trades/2025/more.json", b"{")
    assert said(path) == {}
    (path / "trades/2025/more.json").unlink()
    (path / "trades/trade_0.json").unlink()
    assert said(path) == {"metrics/a.json#/total_trades": "says 5, but there are 4 records in trades/"}


def test_where_there_are_no_single_trades_lists_count(make_bank: MakeBank) -> None:
    path = make_bank(0, padded=False)
    put(path / "metrics/a.json", {"total_trades": 7})
    assert said(path) == {"metrics/a.json#/total_trades": "says 7, but there are 3 records in lists in trades/"}
    put(path / "trades/all.json", [trade(number) for number in range(8)])
    assert said(path) == {"metrics/a.json#/total_trades": "says 7, but there are 8 records in lists in trades/"}
    (path / "trades/all.json").unlink()
    (path / "trades/recent_trades.json").unlink()
    assert said(path) == {}


def test_nobody_can_say_how_many_failed_where_trades_do_not_tell(path: Path) -> None:
    put(path / "metrics/a.json", {"failed_trades": 1, "last_trade_time": "2025-03-31T09:00:00Z"})
    assert len(said(path)) == 2
    put(path / "trades/silent.json", {"timestamp": "2025-03-31T00:00:00Z"})
    assert set(said(path)) == {"metrics/a.json#/last_trade_time"}


def test_trades_without_times_have_no_last_one(make_bank: MakeBank) -> None:
    path = make_bank(0, padded=False)
    put(path / "trades/a.json", {"success": True})
    put(path / "metrics/a.json", {"last_trade_time": "2025-03-31T09:00:00Z"})
    assert said(path) == {}


def test_totals_of_a_part_are_no_totals(path: Path) -> None:
    put(path / "metrics/dex.json", {"baseswap": {"total_trades": 1}, "aerodrome": {"total_trades": 1}})
    put(path / "metrics/one.json", {"strategy": "carry", "total_trades": 1})
    put(path / "metrics/historical/2025-03-31.json", {"total_trades": 1})
    put(path / "metrics/2025-03-31.json", {"total_trades": 1})
    put(path / "agents/a/x.json", {"total_trades": 1})
    assert said(path) == {}


def test_declared_rules_are_errors(path: Path) -> None:
    own = {"n": 5, "failed": 3, "profit": 1.0, "last": "2025-03-31T00:04:26Z", "least": -0.5}
    put(path / "metrics/own.json", own)
    declare(
        path,
        rule(),
        rule(at="/failed", where={"success": False}),
        rule(at="/profit", **{"is": "sum"}, member="/net_profit"),
        rule(at="/last", **{"is": "max"}, member="/timestamp"),
        rule(at="/least", **{"is": "min"}, member="/net_profit", where={"/opportunity/dex_1": "aerodrome"}),
    )
    assert said(path) == {
        "metrics/own.json#/failed": "says 3, but 2 of 5 records in trades/ have success false",
        "metrics/own.json#/profit": "says 1.0, but the sum of /net_profit of 5 records in trades/ is -0.7825",
    }
    assert {one.severity for one in findings(path, "MB207")} == {"error"}


def test_every_way_to_say_it(path: Path) -> None:
    put(path / "metrics/own.json", {"n": 0, "t": "2025-01-01T00:00:00Z"})
    declare(
        path,
        rule(member="/tx_hash", where={"success": True, "error": None}),
        rule(at="/t", **{"is": "min"}, member="/timestamp", where={"success": True}),
        rule(at="/gone", **{"is": "sum"}, member="/no such"),
    )
    assert list(said(path).values()) == [
        "there is nothing here, but of 5 records in trades/ none has a value at '/no such' to hold it against",
        "says 0, but 3 of 5 records in trades/ have success true and error null and a value at /tx_hash",
        (
            "says '2025-01-01T00:00:00Z', but the first time of 3 records in trades/ with success true is"
            " '2025-03-31T00:00:26.100831Z'"
        ),
    ]
    assert findings(path, "MB207")[0].hint == "correct config/aggregates.json"


def test_a_declared_rule_takes_the_place_of_a_built_in_one(path: Path) -> None:
    put(path / "metrics/own.json", {"total_trades": 3})
    declare(path, rule(at="/total_trades", where={"success": True}))
    assert said(path) == {}


def test_one_list_file_and_one_directory(path: Path) -> None:
    put(path / "trades/2025/a.json", trade(7))
    put(path / "metrics/own.json", {"n": 2, "m": 2})
    declare(path, rule(of="trades/recent_trades.json"), rule(at="/m", of="trades/2025/"))
    assert said(path) == {
        "metrics/own.json#/n": "says 2, but there are 3 records in trades/recent_trades.json",
        "metrics/own.json#/m": "says 2, but there is 1 record in trades/2025/",
    }


def test_messages_of_an_account(path: Path) -> None:
    put(path / "metrics/own.json", {"n": 1, "users": 1})
    declare(path, rule(of="account_alpha"), rule(at="/users", of="account_alpha", where={"role": "user"}))
    assert said(path) == {}
    with opened(path) as bank:
        create_account(bank, "alpha")
        store(bank, "alpha", [Message(role, "hello") for role in ("user", "assistant", "user")])
    assert said(path) == {
        "metrics/own.json#/n": "says 1, but there are 3 messages in account_alpha/",
        "metrics/own.json#/users": 'says 1, but 2 of 3 messages in account_alpha/ have role "user"',
    }
    with opened(path) as bank:
        store(bank, "alpha", [Message("user", str(number)) for number in range(2_342)])
    assert (path / "account_alpha/history/index.json").exists()
    assert said(path)["metrics/own.json#/n"] == "says 1, but there are 2,345 messages in account_alpha/"


def test_rules_hold_as_they_were_accepted(path: Path) -> None:
    put(path / "metrics/own.json", {"n": 4})
    put(path / "config/aggregates.json", {"aggregates": [rule()]})
    assert said(path) == {}
    declare(path, rule())
    assert said(path) == {"metrics/own.json#/n": "says 4, but there are 5 records in trades/"}
    put(path / "config/aggregates.json", {"aggregates": []})
    assert set(said(path)) == {"metrics/own.json#/n"}  # an edit that nobody accepted takes no rule away
    declare(path, rule(tolerance=0.5))
    assert said(path) == {}


def test_rules_without_the_shape_of_rules(path: Path) -> None:
    put(path / "metrics/own.json", {"n": 4})
    declare(path, rule(**{"is": "mean"}))
    assert said(path) == {}
    assert [one.pointer for one in findings(path, "MB201")] == ["/aggregates/0/is"]
    put(path / "config/aggregates.json", b"{")
    assert said(path) == {}


def test_rules_that_came_with_the_bank(make_bank: MakeBank) -> None:
    path = make_bank(2, adopt=False)
    put(path / "config/aggregates.json", {"aggregates": [rule()]})
    put(path / "metrics/own.json", {"n": 4})
    init(Context(bank=str(path)))
    assert said(path) == {"metrics/own.json#/n": "says 4, but there are 2 records in trades/"}


def test_a_rule_that_can_match_nothing(path: Path) -> None:
    put(path / "metrics/own.json", {"n": 5})
    declare(path, rule(), rule(file="metrics/gone.json", of="account_ghost"), rule(of="trades/2019"))
    assert [(one.path, one.pointer, one.severity, one.message) for one in findings(path, "MB204")] == [
        (
            "config/aggregates.json",
            "/aggregates/1",
            "error",
            "`file` names 'metrics/gone.json', which is no document that can be read here",
        ),
        ("config/aggregates.json", "/aggregates/1", "error", "`of` names 'account_ghost', where there are no records"),
        ("config/aggregates.json", "/aggregates/2", "error", "`of` names 'trades/2019', where there are no records"),
    ]
    put(path / "metrics/gone.json", {"n": 1})
    put(path / "trades/2019/a.json", trade(7))
    assert [one.message for one in findings(path, "MB204")] == [
        "`of` names 'account_ghost', where there are no records"
    ]
    put(path / "metrics/gone.json", b"{")
    assert len(findings(path, "MB204")) == 2


def test_a_rule_that_can_match_nothing_leaves_the_built_in_one(path: Path) -> None:
    put(path / "metrics/own.json", {"total_trades": 3})
    declare(path, rule(at="/total_trades", of="trade"))
    assert said(path) == {"metrics/own.json#/total_trades": "says 3, but there are 5 records in trades/"}
    put(path / "trades/2019/a.json", trade(7))
    declare(path, rule(at="/total_trades", of="trades/2019"))
    assert said(path) == {"metrics/own.json#/total_trades": "says 3, but there is 1 record in trades/2019/"}


def test_a_value_that_stands_nowhere_is_added_by_hand(path: Path) -> None:
    put(path / "metrics/own.json", {"null": None})
    declare(path, rule(at="/gone"), rule(at="/null"))
    assert {one.pointer: one.hint for one in findings(path, "MB207")} == {
        "/gone": "add /gone by hand: only a value that stands there can be replaced",
        "/null": "memorybank repair --aggregates metrics/own.json",
    }
