"""PATH arguments: what they mean from where, and what leads out of the bank."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memorybank_cli.base.errors import NotFound, UsageError
from memorybank_cli.base.names import escape
from memorybank_cli.operations.paths import bank_path, bank_paths
from tests.conftest import MakeBank, trade
from tests.decoys import outside, passwd
from tests.operations.banks import opened, put

NAMES = (
    st.binary(min_size=1, max_size=12)
    .map(lambda raw: raw.replace(b"/", b"\\").replace(b"\0", b"\n"))
    .filter(lambda raw: not raw.startswith(b"."))
)


@pytest.mark.parametrize(
    ("here", "given_path", "meant"),
    [
        ("", "trades/trade_0.json", "trades/trade_0.json"),
        ("", "./trades//trade_0.json", "trades/trade_0.json"),
        ("", "trades/", "trades"),
        ("", ".", ""),
        ("trades", "trade_0.json", "trades/trade_0.json"),
        ("trades", "../state/state.json", "state/state.json"),
        ("trades", "..", ""),
        ("trades", ".", "trades"),
        ("trades", "trades/trade_0.json", "trades/trade_0.json"),
        ("trades", "state", "state"),
        (None, "trades/trade_0.json", "trades/trade_0.json"),
        (None, ".", ""),
    ],
)
def test_relative_to_the_current_directory_inside_the_bank_else_to_its_root(
    make_bank: MakeBank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: str | None, given_path: str, meant: str
) -> None:
    path = make_bank(1)
    put(tmp_path / "trades/trade_0.json", trade(0))
    monkeypatch.chdir(tmp_path if here is None else path / here)
    with opened(path) as bank:
        assert bank_path(bank, given_path) == meant
        assert bank_paths(bank, [given_path] * 2) == [meant] * 2


def test_a_file_of_the_bank_as_tools_name_it_from_above(
    make_bank: MakeBank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    path = make_bank(1, name="data/memory-bank")
    put(path / "data/memory-bank/trades/trade_0.json", trade(0))
    (path / "trades/recent_trades.json").unlink()
    monkeypatch.chdir(tmp_path)
    with opened(path) as bank:
        named = "data/memory-bank/state/state.json"
        assert bank_path(bank, named) == "state/state.json"
        assert bank_path(bank, f"./{named}") == "state/state.json"
        assert bank_path(bank, "data/memory-bank") == "data/memory-bank"
        assert bank_path(bank, "data/memory-bank/trades/recent_trades.json") == "trades/recent_trades.json"
        assert bank_path(bank, "data/memory-bank/trades/trade_0.json") == "data/memory-bank/trades/trade_0.json"
        assert bank_path(bank, "data/memory-bank/new.json", must_exist=False) == "data/memory-bank/new.json"
        monkeypatch.chdir(tmp_path / "data")
        assert bank_path(bank, "memory-bank") == ""
        assert bank_path(bank, "../data/memory-bank/state") == "state"


def test_absolute_and_through_links(make_bank: MakeBank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_bank(1)
    (tmp_path / "link").symlink_to(path)
    with opened(tmp_path / "link") as bank:
        assert bank_path(bank, str(path / "trades/trade_0.json")) == "trades/trade_0.json"
        assert bank_path(bank, str(tmp_path / "link/trades/trade_0.json")) == "trades/trade_0.json"
        monkeypatch.chdir(tmp_path / "link/trades")
        assert bank_path(bank, "trade_0.json") == "trades/trade_0.json"


@pytest.mark.parametrize("outside", ["..", "../x", "/etc/passwd", "trades/../../x", "/", "../bank-too/x"])
def test_what_leads_out(make_bank: MakeBank, outside: str) -> None:
    path = make_bank(1)
    with opened(path) as bank, pytest.raises(UsageError, match="is not in the bank"):
        bank_path(bank, outside, must_exist=False)


def test_a_link_that_leads_out_stays_the_link(make_bank: MakeBank) -> None:
    path = make_bank(1)
    (path / "trades/away.json").symlink_to(passwd(path))
    (path / "state/etc").symlink_to(outside(path))
    with opened(path) as bank:
        assert bank_path(bank, "trades/away.json") == "trades/away.json"
        assert bank_path(bank, str(path / "trades/away.json")) == "trades/away.json"
        with pytest.raises(NotFound):
            bank_path(bank, "state/etc/passwd")
        with pytest.raises(UsageError):
            bank_path(bank, str(path / "state/etc/passwd"))


def test_what_is_not_there(make_bank: MakeBank) -> None:
    path = make_bank(2)
    (path / "trades/trade_1.json").unlink()
    with opened(path) as bank:
        assert bank_path(bank, "trades/trade_1.json") == "trades/trade_1.json"
        assert bank_path(bank, "trades/never.json", must_exist=False) == "trades/never.json"
        with pytest.raises(NotFound, match=r"there is no trades/never\.json") as caught:
            bank_path(bank, "trades/never.json")
        assert caught.value.exit_code == 10


def test_a_directory_that_is_gone_is_known(make_bank: MakeBank) -> None:
    path = make_bank(0, padded=False)
    (path / "state/state.json").unlink()
    (path / "state").rmdir()
    with opened(path) as bank:
        assert bank_path(bank, "state") == "state"


def test_both_spellings_of_an_odd_name(make_bank: MakeBank) -> None:
    path = make_bank(0)
    put(path / "trades/a\nb.json", trade(1))
    put(path / "trades/back\\x41.json", trade(1))
    with opened(path) as bank:
        assert bank_path(bank, "trades/a\nb.json") == "trades/a\\x0ab.json"
        assert bank_path(bank, "trades/a\\x0ab.json") == "trades/a\\x0ab.json"
        assert bank_path(bank, "trades/back\\\\x41.json") == "trades/back\\\\x41.json"


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(NAMES, min_size=1, max_size=3))
def test_any_name_comes_back(make_bank: MakeBank, tmp_path: Path, parts: list[bytes]) -> None:
    path = tmp_path / "bank"
    if not path.exists():
        make_bank(0, padded=False)
    names = [os.fsdecode(part) for part in parts]
    written = "/".join(escape(name) for name in names)
    with opened(path) as bank:
        if not os.path.lexists(written):
            assert bank_path(bank, written, must_exist=False) == written
        whole = os.path.join(path, *names)
        os.makedirs(os.path.dirname(whole), exist_ok=True)
        os.makedirs(whole, exist_ok=True)
        assert bank_path(bank, whole) == written
        assert bank_path(bank, written) == written
