"""Which path means what: section, kind, policy, limits; and paths that are only built from good ids."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.bank import layout
from memorybank_cli.base.errors import UsageError
from memorybank_cli.base.settings import Settings
from memorybank_cli.base.walk import Entry, Listing


@pytest.mark.parametrize(
    ("path", "section", "kind", "policy", "is_json"),
    [
        ("bank.json", "bank", "bank", "managed", True),
        ("README.md", "documents", "", "open", False),
        ("LICENSE", "documents", "", "open", False),
        ("docs/x.json", "documents", "", "open", False),
        ("trades/notes.md", "documents", "", "open", False),
        ("trades/t.json", "trades", "trade", "append", True),
        ("trades/2025/03/t.json", "trades", "trade", "append", True),
        ("metrics/metrics.json", "metrics", "metrics", "open", True),
        ("metrics/other/deep.json", "metrics", "metrics", "open", True),
        ("metrics/historical/0100.json", "metrics", "historical_metrics", "append", True),
        ("metrics/historical/2025/0100.json", "metrics", "historical_metrics", "append", True),
        ("metrics/historical_too/x.json", "metrics", "metrics", "open", True),
        ("state/state.json", "state", "state", "open", True),
        ("agents/a/state.json", "agents", "", "open", True),
        ("shared/signals.json", "shared", "", "open", True),
        ("config/memorybank.json", "config", "memorybank", "managed", True),
        ("config/alerts_config.json", "config", "alerts_config", "managed", True),
        ("config/other.json", "config", "", "managed", True),
        ("config/schemas/trade.schema.json", "config", "schema", "managed", True),
        ("config/schemas/trade.json", "config", "", "managed", True),
        ("config/schemas/deep/trade.schema.json", "config", "", "managed", True),
        ("account_a/account.json", "account_a", "account", "managed", True),
        ("account_a/short_term.json", "account_a", "short_term", "managed", True),
        ("account_a/history/index.json", "account_a", "history_index", "managed", True),
        ("account_a/history/1001.json", "account_a", "history_segment", "managed", True),
        ("account_a/other.json", "account_a", "", "managed", True),
        ("account_a/deep/account.json", "account_a", "", "managed", True),
        ("account_/account.json", "stray", "", "open", False),
        ("account_.x/account.json", "stray", "", "open", False),
        ("elsewhere/x.json", "stray", "", "open", False),
        ("x.json", "stray", "", "open", False),
        ("deep/bank.json", "stray", "", "open", False),
    ],
)
def test_what_a_path_means(path: str, section: str, kind: str, policy: str, is_json: bool) -> None:
    where = layout.place(path)
    assert (where.section, where.kind, where.policy, where.is_json) == (section, kind, policy, is_json)
    assert where.bound == (policy == "managed")


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"timestamp": "x"}, "trade"),
        ([], "trade_list"),
        ([{}], "trade_list"),
        ({"trades": []}, "trade_list"),
        ({"trades": {}}, "trade"),
        ("text", "trade"),
    ],
)
def test_a_trades_file_holds_one_trade_or_a_list(value: object, kind: str) -> None:
    assert layout.kind_of(layout.place("trades/x.json"), value) == kind
    assert layout.kind_of(layout.place("metrics/x.json"), value) == "metrics"


def test_who_may_write_a_trades_file() -> None:
    where = layout.place("trades/live/x.json")
    assert layout.policy_of("trades/live/x.json", where, "trade") == "append"
    assert layout.policy_of("trades/live/x.json", where, "trade_list") == "open"
    assert layout.policy_of("trades/live/x.json", where, "trade", ("trades/live/*",)) == "open"
    assert layout.policy_of("trades/live/x.json", where, "trade", ("trades/dead/*",)) == "append"
    managed = layout.place("account_a/account.json")
    assert layout.policy_of("account_a/account.json", managed, "account", ("*",)) == "managed"


def test_limits_come_from_the_settings() -> None:
    assert layout.limits(Settings()) == {"trades": 1 << 20, "metrics": 10 << 20, "state": 5 << 20}
    assert layout.limits(Settings({"limits.trades_mib": 3}))["trades"] == 3 << 20


def entry(name: str) -> Entry:
    return Entry(name, 0, 0, 0, 0, 0, 1, 0)


def test_patterns_take_files_and_directories_out_of_a_listing() -> None:
    top = Listing("", -1, [entry("a.json"), entry("b.json")], [entry("trades"), entry("tmp")], [], [])
    found = layout.without(top, ("b*", "tmp"))
    assert [one.name for one in found.files + found.directories] == ["a.json", "trades"]
    below = layout.without(top._replace(path="state"), ("a.json", "state/b*"))
    assert [one.name for one in below.files] == ["a.json"]


def test_a_pattern_for_a_directory_excludes_what_is_below() -> None:
    assert layout.is_excluded("trades/old/a.json", ("trades/old",))
    assert layout.is_excluded("trades/old.json", ("trades/*",))
    assert not layout.is_excluded("trades/older/a.json", ("trades/old",))
    assert not layout.is_excluded("trades/a.json", ())


@pytest.mark.parametrize(
    "name", ["server.pem", "a.key", "b.p12", "c.pfx", "d.keystore", "prod.env", "id_rsa", "id_ed25519.pub"]
)
def test_names_of_secrets(name: str) -> None:
    assert layout.is_secret(name)


@pytest.mark.parametrize("name", ["keys.json", "env.json", "trade.json", "monkey"])
def test_names_of_no_secrets(name: str) -> None:
    assert not layout.is_secret(name)


def test_paths_of_an_account() -> None:
    assert layout.account_section("a.b-c_1") == "account_a.b-c_1"
    assert layout.account_file("a", "short_term") == "account_a/short_term.json"
    assert layout.account_of("account_a") == "a"
    assert layout.account_of("trades") == ""


@pytest.mark.parametrize("bad", ["", ".", "..", ".a", "a/b", "../a", "a\n", "a b", "ä", "x" * 65, "a\0"])
def test_no_path_is_built_from_an_unchecked_id(bad: str) -> None:
    with pytest.raises(UsageError, match="not a good account id"):
        layout.account_section(bad)
    assert layout.account_of(f"account_{bad}") == ""


@given(st.integers(1, 999_999_999_999))
def test_a_segment_is_named_by_its_first_line(first: int) -> None:
    path = layout.segment_file(first)
    assert path.startswith(".memorybank/journal/")
    assert layout.segment_first(path.rpartition("/")[2]) == first


@pytest.mark.parametrize("name", ["1.jsonl", "000000000001.json", "x00000000001.jsonl", "000000000001.jsonl.gz", ""])
def test_other_files_are_no_segments(name: str) -> None:
    assert layout.segment_first(name) is None


@given(st.integers(1, 999_999_999_999))
def test_a_sealed_segment_is_named_by_its_first_message(first: int) -> None:
    path = layout.history_segment("a", first)
    assert (layout.history_first(path), layout.place(path).kind) == (first, "history_segment")
    assert layout.place(layout.history_index("a")).kind == "history_index"


@pytest.mark.parametrize(
    "path",
    ["account_a/history/index.json", "account_a/history/1.json", "account_a/000000000001.json", "history/x.json", ""],
)
def test_other_files_are_no_sealed_segments(path: str) -> None:
    assert layout.history_first(path) is None


def test_the_same_bytes_in_the_same_second_are_kept_once() -> None:
    digest = "ab" * 32
    one = layout.quarantine_file("2026-11-20T14:00:00.000001Z", digest)
    assert one == ".memorybank/quarantine/20261120T140000Z-abababababababab"
    assert layout.quarantine_file("2026-11-20T14:00:00.9Z", digest) == one
    assert layout.quarantine_file("2026-11-20T14:00:01.0Z", digest) != one


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"decision_id": "d"}, "decision"),
        ({"decision_id": "d", "signal_id": "s"}, "decision"),
        ({"decision_id": "d", "signal_id": "s", "signal_type": "X"}, "signal"),
        ({"signal_id": "s"}, "signal"),
        ({"pattern_id": "p"}, "pattern"),
        ({"prediction_id": "p"}, "prediction"),
        ({"prediction_id": "p", "predicted_event": "x"}, "predictive_alert"),
        ({"corruption_id": "c"}, "corruption_event"),
        ({"event_id": "e"}, "security_event"),
        ({"state_type": "CURRENT"}, "agent_state"),
        ({"current_cycle": 1}, "agent_state"),
        ({"mood": "calm"}, ""),
        ([{"decision_id": "d"}], ""),
    ],
)
def test_records_of_agents_are_told_by_their_members(value: object, kind: str) -> None:
    assert layout.kind_of(layout.place("agents/a/x.json"), value) == kind
    assert layout.kind_of(layout.place("shared/deep/x.json"), value) == kind
    assert layout.kind_of(layout.place("state/x.json"), value) == "state"
