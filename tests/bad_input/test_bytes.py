"""Files whose bytes are no JSON that a bank may hold: each is named by its rule, and every other file is served."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from memorybank_cli.base.exact_json import loads
from tests.bad_input.surveying import Commands
from tests.conftest import Run, trade
from tests.operations.banks import adopt, contents, put

TRADE = json.dumps(trade(7), indent=2).encode()
WEI = 123456789012345678901234567890123456789

BAD = {
    "empty": (b"", "MB104"),
    "NULs only": (bytes(4096), "MB104"),
    "blanks only": (b" \n\t ", "MB104"),
    "truncated": (TRADE[:-30], "MB103"),
    "truncated in a character": ('{"timestamp": "2025-01-01T00:00:00Z", "note": "é'.encode()[:-1], "MB103"),
    "truncated and padded": (TRADE[:-30] + bytes(4096), "MB103"),
    "NUL-padded": (TRADE + bytes(2_000_000), "MB102"),
    "stale tail": (TRADE + TRADE[-60:], "MB102"),
    "two documents": (TRADE + b"\n" + TRADE, "MB102"),
    "latin-1": ('{"note": "café"}'.encode("latin-1"), "MB106"),
    "UTF-16": (TRADE.decode().encode("utf-16"), "MB106"),
    "UTF-16 without a mark": (TRADE.decode().encode("utf-16-le"), "MB101"),
    "UTF-32": (TRADE.decode().encode("utf-32"), "MB106"),
    "byte order mark": (b"\xef\xbb\xbf" + TRADE, "MB106"),
    "half a character": (b'{"note": "\\ud800"}', "MB106"),
    "duplicate keys": (b'{"timestamp": "2025-01-01T00:00:00Z", "price": 1, "price": 2}', "MB105"),
    "duplicate keys far down": (b'[{"a": [{"b": {"c": 1, "c": 1}}]}]', "MB105"),
    "NaN": (b'{"price": NaN}', "MB107"),
    "Infinity": (b'{"price": -Infinity}', "MB107"),
    "float overflow": (b'{"price": 1e999}', "MB107"),
    "10,000 digits": (b'{"price": ' + b"9" * 10_000 + b"}", "MB107"),
    "65 levels": (b"[" * 65 + b"]" * 65, "MB108"),
    "1,000 levels of objects": (b'{"a":' * 1_000 + b"1" + b"}" * 1_000, "MB108"),
    "100,000 levels": (b"[" * 100_000 + b"]" * 100_000, "MB108"),
    "100,000 levels, unclosed": (b"[" * 100_000, "MB108"),
    "100,000 levels of objects, unclosed": (b'{"a":' * 100_000, "MB108"),
    "a missing colon": (b'{"timestamp" "2025"}', "MB101"),
    "a trailing comma": (b'{"timestamp": "2025",}', "MB101"),
    "a comment": (b'{"timestamp": 1 /* now */}', "MB101"),
    "single quotes": (b"{'timestamp': 1}", "MB101"),
    "words": (b"nothing to see here\n", "MB101"),
    "control characters": (b'{"note": "a\x1b[31mb"}', "MB101"),
    "a binary file": (bytes(range(256)) * 40, "MB106"),
}
PLACES = ("trades/bad.json", "state/bad.json", "metrics/historical/bad.json", "agents/one/bad.json", "config/bad.json")


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_found_by_its_rule_and_nothing_else_suffers(name: str, bank: Path, commands: Commands) -> None:
    data, rule = BAD[name]
    others = contents(bank)
    put(bank / "trades/bad.json", data)
    assert commands.findings() == {"trades/bad.json": rule}
    assert commands("validate", "--json", expect=1).json["checked"] == len(others) + 1
    commands("validate", bank / "trades/bad.json", expect=1)
    commands.survey()
    assert {path: data for path, data in contents(bank).items() if path != "trades/bad.json"} == others


@pytest.mark.parametrize("place", PLACES)
def test_in_every_section(place: str, bank: Path, commands: Commands) -> None:
    for name, (data, rule) in BAD.items():
        put(bank / place, data)
        found = commands.findings()
        if name == "half a character" and rule not in found.values():
            pytest.fail(f"{name}: {found}")
        assert found == {place: rule}, name
    commands("repair", "--json")
    commands("backup", "--json")


@pytest.mark.parametrize("name", BAD)
def test_repair_of_a_recorded_file_brings_it_back(name: str, bank: Path, commands: Commands) -> None:
    good = (bank / "trades/trade_0.json").read_bytes()
    put(bank / "trades/trade_0.json", BAD[name][0])
    assert commands("repair", "--json", expect=0).json["repaired"][0]["path"] == "trades/trade_0.json"
    assert (bank / "trades/trade_0.json").read_bytes() == good
    assert commands.findings() == {}


def test_as_documents_of_the_banks_own(bank: Path, commands: Commands) -> None:
    for name, (data, _) in BAD.items():
        for path in ("config/memorybank.json", "config/schemas/trade.schema.json", "config/schemas/odd.schema.json"):
            put(bank / path, data)
        found = commands.findings()
        assert set(found) == {
            "config/memorybank.json",
            "config/schemas/trade.schema.json",
            "config/schemas/odd.schema.json",
        }, name
        commands("config", "show")
        commands("status", expect=0)


def test_as_messages_and_as_files_anywhere(bank: Path, commands: Commands, tmp_path: Path, run: Run) -> None:
    commands("account", "create", "alpha", expect=0)
    for name, (data, rule) in BAD.items():
        put(tmp_path / "anywhere.json", data)
        done = commands("validate", "--schema", "trade", tmp_path / "anywhere.json", "--json", expect=1)
        assert rule in {one["rule"] for one in done.json["findings"]}, name
    for name in ("latin-1", "NaN", "10,000 digits", "100,000 levels", "half a character", "control characters"):
        done = run("message", "add", "--stdin", "--account", "alpha", "--json", cwd=bank, stdin=BAD[name][0] + b"\n")
        assert (done.returncode, done.error["code"]) == (2, "usage"), (name, done.stderr)
        assert "line 1" in done.error["message"]
    assert run("message", "list", "--account", "alpha", "--json", cwd=bank).lines == []


# Integers of any size stay what they are


def test_wei_sized_integers_are_kept_exactly_in_messages(bank: Path, run: Run) -> None:
    run("account", "create", "alpha", cwd=bank)
    line = b'{"role": "user", "content": "paid", "id": "1", "metadata": {"wei": %d, "small": [-%d, 0.1]}}\n' % (
        WEI,
        WEI,
    )
    done = run("message", "add", "--stdin", "--account", "alpha", cwd=bank, stdin=line)
    assert done.returncode == 0, done.stderr
    for _ in range(2):
        (message,) = run("message", "list", "--account", "alpha", "--json", cwd=bank).lines
        assert message["metadata"] == {"wei": WEI, "small": [-WEI, 0.1]}
    assert str(WEI).encode() in (bank / "account_alpha/whole_history.json").read_bytes()
    (bank / "account_alpha/whole_history.json").write_bytes(b"")
    assert run("repair", cwd=bank).returncode == 0
    assert loads((bank / "account_alpha/short_term.json").read_bytes())["messages"][0]["metadata"]["wei"] == WEI
    assert run("validate", cwd=bank).returncode == 0


def test_wei_sized_integers_are_kept_exactly_by_repair_and_the_check(bank: Path, commands: Commands) -> None:
    data = put(bank / "state/wei.json", b'{"balance": %d, "ratio": 1.10e-7}' % WEI)
    put(bank / "trades/wei.json", {**trade(8), "amount": WEI, "net_profit": 10**60})
    assert commands.findings() == {}
    adopt(bank)
    put(bank / "state/wei.json", data + bytes(30))
    put(bank / "trades/recent_trades.json", b'{"trades": [{"timestamp": 1, "wei": %d}, {"wei": 5' % WEI)
    commands("repair", expect=0)
    assert (bank / "state/wei.json").read_bytes() == data
    assert loads((bank / "trades/recent_trades.json").read_bytes())["trades"] == [{"timestamp": 1, "wei": WEI}]
    commands("backup", expect=0)
    put(bank / "state/wei.json", b"{}")
    commands("rollback", "--yes", expect=0)
    assert (bank / "state/wei.json").read_bytes() == data


def test_4300_digits_are_read_and_one_more_is_not(bank: Path, commands: Commands) -> None:
    put(bank / "state/long.json", b'{"n": ' + b"7" * 4300 + b"}")
    assert commands.findings() == {}
    put(bank / "state/long.json", b'{"n": ' + b"7" * 4301 + b"}")
    assert commands.findings() == {"state/long.json": "MB107"}


def test_64_levels_are_read_and_one_more_is_not(bank: Path, commands: Commands) -> None:
    put(bank / "state/deep.json", b'{"a":' * 64 + b"1" + b"}" * 64)
    assert commands.findings() == {}
    put(bank / "state/deep.json", b'{"a":' * 65 + b"1" + b"}" * 65)
    assert commands.findings() == {"state/deep.json": "MB108"}
