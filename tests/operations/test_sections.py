"""Which sections and kinds a name means, and which files belong to them."""

from __future__ import annotations

import pytest

from memorybank_cli.base.errors import NotFound, Refused, UsageError
from memorybank_cli.operations.sections import KINDS, chosen, kind_of, one_of, section_files, section_of
from tests.conftest import MakeBank
from tests.operations.banks import opened, put


def test_a_section_means_all_its_kinds_and_a_kind_itself() -> None:
    assert chosen("trades/") == (("trades",), ("trade", "trade_list"))
    assert chosen("metrics/historical") == (("metrics/historical",), ("historical_metrics",))
    assert chosen("trade_list") == (("trades",), ("trade_list",))
    assert chosen("decision") == (("agents", "shared"), ("decision",))


@pytest.mark.parametrize("name", ["account_a", "config", ".memorybank", "bank.json"])
def test_what_memorybank_writes_is_refused(name: str) -> None:
    with pytest.raises(Refused) as caught:
        chosen(name)
    assert "trades" in caught.value.hint


def test_anything_else_is_not_there() -> None:
    with pytest.raises(NotFound) as caught:
        chosen("Trades")
    assert caught.value.hint == "did you mean trades or trade?"
    with pytest.raises(NotFound) as caught:
        chosen("\x1b[2J")
    assert caught.value.message.isprintable()
    assert caught.value.hint == f"there are {', '.join(KINDS)}"


@pytest.mark.parametrize(
    ("directory", "value", "kind"),
    [
        ("trades/2025", {}, "trade"),
        ("trades", [], "trade_list"),
        ("metrics/historical", {}, "historical_metrics"),
        ("agents/a", {"mood": 1}, "agents"),
        ("shared", {"signal_id": 1}, "signal"),
        ("account_a", {}, ""),
        ("config", {}, ""),
        ("elsewhere", {}, ""),
    ],
)
def test_the_kind_of_an_agents_document(directory: str, value: object, kind: str) -> None:
    assert kind_of(directory, "x.json", value) == kind


def test_the_files_of_a_section(make_bank: MakeBank) -> None:
    path = make_bank(2)
    put(path / "metrics/historical/deep/1.json", {})
    put(path / "metrics/notes.md", b"not a record")
    put(path / "trades/.hidden.json", {})
    with opened(path) as bank:
        assert list(section_files(bank, ("metrics",))) == [("metrics", "metrics.json")]
        assert list(section_files(bank, ("metrics/historical",))) == [("metrics/historical/deep", "1.json")]
        found = [name for _, name in section_files(bank, ("trades", "agents"))]
        assert found == ["recent_trades.json", "trade_0.json", "trade_1.json"]


def test_the_section_of_a_directory() -> None:
    assert section_of("metrics/historical/2025") == "metrics/historical"
    assert section_of("metrics/other") == "metrics"
    assert section_of("account_a") == ""


def test_one_document_goes_into_one_file() -> None:
    assert one_of(["trade"], "trades") == "trade"
    with pytest.raises(UsageError, match="2 kinds"):
        one_of(["trade", "trade_list"], "trades")
