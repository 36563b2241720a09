"""What names tell: data that is used as keys, moments, words."""

from __future__ import annotations

import pytest

from memorybank_cli.meaning.names import are_data, in_words, is_growing, is_kind, is_moment


@pytest.mark.parametrize(
    "names",
    [
        ["BTC", "ETH"],
        ["BTC-USD", "ETH/USD"],
        ["WETH-USDbC", "WETH-wstETH", "USDC-USDbC"],
        ["1", "2", "-3.5"],
        ["0xab12", "0xFF"],
        ["2025-01-01", "2025-01-02T10:00:00Z"],
        ["123e4567-e89b-42d3-a456-426614174000", "0123456789abcdef"],
        [f"member_{n}" for n in range(101)],
    ],
)
def test_keys_that_are_data(names: list[str]) -> None:
    assert are_data(names)


@pytest.mark.parametrize(
    "names", [[], ["BTC"], ["price", "size"], ["PK", "SK", "agent_id"], ["tokenPair", "dexOne"], ["a-b", "c-d"]]
)
def test_names_of_members(names: list[str]) -> None:
    assert not are_data(names)


@pytest.mark.parametrize(
    "name", ["timestamp", "ts", "opened_at", "openedAt", "last_updated", "time_ms", "date", "iso_timestamp"]
)
def test_names_of_moments(name: str) -> None:
    assert is_moment(name)


@pytest.mark.parametrize("name", ["format", "state", "price", "attempts", "timeframe", ""])
def test_names_of_other_things(name: str) -> None:
    assert not is_moment(name)


@pytest.mark.parametrize("name", ["type", "eventType", "record_kind", "action", "kind_of"])
def test_names_that_say_what_a_record_is(name: str) -> None:
    assert is_kind(name)
    assert not is_kind(f"{name}_count")


@pytest.mark.parametrize("name", ["pair", "dex_1", "tokenIn", "strategies", "buy_exchange", "agent_id", "token0"])
def test_names_of_things_of_which_more_will_come(name: str) -> None:
    assert is_growing(name)
    assert not is_growing(f"{name}_status")


@pytest.mark.parametrize("name", ["status", "side", "market_type", "id", "name", "", "0"])
def test_names_of_things_that_are_few(name: str) -> None:
    assert not is_growing(name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("historical_metrics", "Historical metrics"),
        ("tokenPair", "Token pair"),
        ("dex_1", "Dex 1"),
        ("BTC-USD", "BTC USD"),
        ("", ""),
    ],
)
def test_names_in_words(name: str, words: str) -> None:
    assert in_words(name) == words
