"""`config`: what holds and why, changing it, and that a bank cannot loosen its own policy."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import BankNotFound, NotFound, Refused, UsageError
from memorybank_cli.base.settings import SETTINGS
from memorybank_cli.operations import config
from memorybank_cli.operations.config import check, get, set_, show, trust
from tests.conftest import MakeBank, Run, trade
from tests.operations.banks import adopt, journal, opened, put, rules

CONFIG = "config/memorybank.json"


def user_file() -> Path:
    return Path(os.environ["MEMORYBANK_STATE_HOME"]) / "config.json"


def value(path: Path, name: str, **options: object) -> tuple[object, str]:
    with opened(path, **options) as bank:
        [found] = get(bank, bank.context, name).settings
    return found.value, found.origin


# What holds


def test_everything_with_its_origin(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(0)
    done = run("config", "show", "--origin", "--bank", path, "--json")
    assert done.returncode == 0
    assert set(done.json["settings"]) == {one.name for one in SETTINGS}
    assert done.json["settings"]["lock_timeout"] == {
        "value": 30.0,
        "origin": "default",
        "help": "seconds to wait for another process",
    }
    people = run("config", "show", "--origin", "--bank", path).stdout
    assert "lock_timeout = 30.0  (default)\n" in people
    assert "lock_timeout = 30.0\n" in run("config", "show", "--bank", path).stdout


def test_which_one_wins(run: Run, make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_bank(0)
    assert value(path, "lock_timeout") == (30.0, "default")
    put(user_file(), {"lock_timeout": 1, "actor": "me"})
    assert value(path, "lock_timeout") == (1.0, "user")
    with opened(path) as bank:
        set_(bank, bank.context, "lock_timeout", "2")
    assert value(path, "lock_timeout") == (2.0, "bank")
    monkeypatch.setenv("MEMORYBANK_LOCK_TIMEOUT", "3")
    assert value(path, "lock_timeout") == (3.0, "environment")
    assert value(path, "lock_timeout", lock_timeout=4.0) == (4.0, "option")
    found = run("config", "get", "lock_timeout", "--lock-timeout", "4", "--bank", path, "--json").json
    assert found["settings"]["lock_timeout"]["origin"] == "option"
    assert value(path, "actor") == ("me", "user")


def test_without_a_bank(run: Run, tmp_path: Path) -> None:
    assert run("config", "show", "--json", cwd=tmp_path).returncode == 0
    done = run("config", "set", "actor", "me", "--json", cwd=tmp_path)
    assert (done.returncode, done.json) == (0, {"name": "actor", "value": "me", "file": str(user_file())})
    assert get(None, Context(), "actor").settings[0].value == "me"
    assert set_(None, Context(), "lock_timeout", "7").file == str(user_file())
    assert json.loads(user_file().read_bytes()) == {"actor": "me", "lock_timeout": 7.0}
    assert user_file().stat().st_mode & 0o777 == 0o600
    with pytest.raises(BankNotFound):
        set_(None, Context(), "lock_timeout", "7", scope="bank")
    assert check(None, Context()).findings == ()
    assert show(None, Context()).text().startswith('actor = "me"\n')


def test_a_place_is_kept_as_an_absolute_path(run: Run, make_bank: MakeBank, home: Path, tmp_path: Path) -> None:
    bank = make_bank(0)
    inner = tmp_path / "inner"
    inner.mkdir()
    for name, value, kept in (
        ("repository", "../saved", str(tmp_path / "saved")),
        ("key_file", "~/key", os.path.expanduser("~/key")),
        ("password_file", "-", "-"),
        ("repository", "", ""),
    ):
        done = run("config", "set", name, value, "--bank", bank, "--json", cwd=inner)
        assert done.returncode == 0, done.stderr
        assert json.loads((home / "config.json").read_bytes())[name] == kept


def test_a_setting_that_is_none(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(0)
    done = run("config", "get", "lock_timout", "--bank", path, "--json")
    assert (done.returncode, done.error["hint"]) == (2, "did you mean lock_timeout?")
    assert run("config", "set", "nothing", "1", "--bank", path).returncode == 2


def test_a_damaged_user_file(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(0)
    put(user_file(), b"{")
    done = run("status", "--bank", path, "--json")
    assert (done.returncode, done.error["code"]) == (3, "operation_failed")
    assert str(user_file()) in done.error["message"]


# Changing it


def test_into_the_banks_config(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(0, padded=False)
    done = run("config", "set", "limits.trades_mib", "4", "--bank", path, "--json")
    assert (done.returncode, done.json) == (0, {"name": "limits.trades_mib", "value": 4, "file": CONFIG})
    assert json.loads((path / CONFIG).read_bytes()) == {"limits": {"trades_mib": 4}}
    assert value(path, "limits.trades_mib") == (4, "bank")
    assert rules(path, "MB") == {}
    assert journal(path)[-1]["reason"] == "config set limits.trades_mib"
    run("config", "set", "open_patterns", "trades/a*,trades/b*", "--bank", path)
    assert json.loads((path / CONFIG).read_bytes()) == {
        "limits": {"trades_mib": 4},
        "open_patterns": ["trades/a*", "trades/b*"],
    }
    assert value(path, "open_patterns") == (("trades/a*", "trades/b*"), "bank")
    assert (path / CONFIG).stat().st_mode & 0o777 == 0o600


def test_a_raised_limit_holds_at_once(make_bank: MakeBank) -> None:
    path = make_bank(0, padded=False)
    put(path / "trades/large.json", {**trade(1), "notes": "x" * (1 << 20)}, age=4000)
    adopt(path)
    for _ in range(3):
        assert rules(path, "MB") == {"trades/large.json": "MB301"}
    with opened(path) as bank:
        set_(bank, bank.context, "limits.trades_mib", "4")
    assert rules(path, "MB") == {}


def test_into_the_users_file(make_bank: MakeBank) -> None:
    path = make_bank(0)
    with opened(path) as bank:
        assert set_(bank, bank.context, "repository", "/mnt/x").file == str(user_file())
        assert set_(bank, bank.context, "lock_timeout", "5", scope="user").file == str(user_file())
        with pytest.raises(Refused, match="never taken from a bank's config") as caught:
            set_(bank, bank.context, "repository", "/mnt/x", scope="bank")
    assert caught.value.exit_code == 13
    assert json.loads(user_file().read_bytes()) == {"lock_timeout": 5.0, "repository": "/mnt/x"}
    assert not (path / CONFIG).exists()
    assert value(path, "repository") == ("/mnt/x", "user")


@pytest.mark.parametrize(("name", "bad"), [("lock_timeout", "soon"), ("settle_ms", "1.5"), ("settle_ms", "-1")])
def test_a_value_that_does_not_fit(make_bank: MakeBank, name: str, bad: str) -> None:
    path = make_bank(0)
    with opened(path) as bank, pytest.raises(UsageError, match=f"'{name}' must be"):
        set_(bank, bank.context, name, bad)
    assert not (path / CONFIG).exists()


def test_a_damaged_config_is_not_overwritten(make_bank: MakeBank) -> None:
    path = make_bank(0)
    put(path / CONFIG, b'{"lock_timeout": 1')
    with opened(path) as bank, pytest.raises(Refused, match="is damaged"):
        set_(bank, bank.context, "lock_timeout", "5")
    assert (path / CONFIG).read_bytes() == b'{"lock_timeout": 1'


# Agents write the bank


def test_what_a_bank_says_of_repositories_and_actors_is_inert(run: Run, make_bank: MakeBank, tmp_path: Path) -> None:
    path = make_bank(1, padded=False)
    put(path / CONFIG, {"repository": str(tmp_path / "evil"), "actor": "root", "trusted_banks": ["/"], "command": "rm"})
    done = run("validate", "--bank", path, "--json")
    found = {(one["rule"], one["pointer"]) for one in done.json["findings"]}
    assert found >= {("MB401", "/repository"), ("MB401", "/actor"), ("MB401", "/trusted_banks"), ("MB401", "/command")}
    assert run("backup", "--bank", path, "--json").json["repository"] != str(tmp_path / "evil")
    assert run("config", "trust", "--bank", path).returncode == 0
    assert value(path, "repository") == ("", "default")
    assert set(rules(path, "MB4").values()) == {"MB401"}
    assert not (tmp_path / "evil").exists()
    assert {core["actor"] for core in journal(path)} == {journal(path)[0]["actor"]}


def test_loosening_needs_trust(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(2, padded=False)
    put(path / CONFIG, {"open_patterns": ["trades/*"], "limits": {"trades_mib": 9}, "settle_ms": 99})
    assert value(path, "open_patterns") == ((), "default")
    assert value(path, "settle_ms") == (99, "bank")
    put(path / "trades/trade_1.json", trade(7))
    done = run("validate", "--bank", path, "--json")
    found = [(one["rule"], one["path"], one["pointer"]) for one in done.json["findings"]]
    assert sorted(found) == [
        ("MB110", CONFIG, ""),
        ("MB113", "trades/trade_1.json", ""),
        ("MB401", CONFIG, "/limits.trades_mib"),
        ("MB401", CONFIG, "/open_patterns"),
    ]
    trusted = run("config", "trust", "--bank", path, "--json")
    assert (trusted.returncode, trusted.json) == (
        0,
        {"trusted": [CONFIG], "settings": ["open_patterns", "limits.trades_mib"]},
    )
    assert value(path, "open_patterns") == (("trades/*",), "bank")
    assert rules(path, "MB") == {}


def test_a_config_that_changes_again_is_inert_again(make_bank: MakeBank) -> None:
    path = make_bank(1, padded=False)
    put(path / CONFIG, {"exclude": ["trades/old"]})
    with opened(path) as bank:
        assert trust(bank).summary().startswith(f"Trusted as they are now: {CONFIG}.")
    assert value(path, "exclude") == (("trades/old",), "bank")
    put(path / CONFIG, {"exclude": ["*"]})
    assert value(path, "exclude") == ((), "default")
    assert rules(path, "MB1") == {CONFIG: "MB110"}


def test_setting_one_key_does_not_trust_what_an_agent_wrote_beside_it(make_bank: MakeBank) -> None:
    path = make_bank(1, padded=False)
    put(path / CONFIG, {"exclude": ["*"]})
    with opened(path) as bank:
        set_(bank, bank.context, "settle_ms", "50")
    assert value(path, "settle_ms") == (50, "bank")
    assert value(path, "exclude") == ((), "default")
    with opened(path) as bank:
        set_(bank, bank.context, "exclude", "trades/old")
    assert value(path, "exclude") == (("trades/old",), "bank")


@pytest.mark.parametrize("bad", ["abc", -1, [], {"a": 1}, True])
def test_a_value_of_the_wrong_kind_stops_nothing(run: Run, make_bank: MakeBank, bad: object) -> None:
    path = make_bank(1, padded=False)
    put(path / CONFIG, {"lock_timeout": bad, "reconcile_seconds": bad, "settle_ms": bad})
    assert value(path, "lock_timeout") == (30.0, "default")
    put(path / "trades/new.json", trade(5))
    assert run("accept", "trades", "--bank", path).returncode == 0
    assert run("watch", "--once", "--bank", path).returncode == 0
    done = run("config", "check", "--bank", path, "--json")
    assert (done.returncode, done.json["ok"]) == (1, False)
    assert {"MB110"} < {one["rule"] for one in done.json["findings"]}


def test_trust_of_some_files(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_bank(1, padded=False)
    with opened(path) as bank, pytest.raises(NotFound, match="no config to trust"):
        trust(bank)
    put(path / CONFIG, {"exclude": ["trades/old"]})
    put(path / "config/alerts_config.json", {})
    put(path / "config/schemas/signal.schema.json", {"type": "object"})
    monkeypatch.chdir(path / "config")
    with opened(path) as bank:
        assert trust(bank, path=("memorybank.json",)).trusted == (CONFIG,)
        assert trust(bank, path=("schemas",)).trusted == ("config/schemas/signal.schema.json",)
        with pytest.raises(UsageError, match="no config file"):
            trust(bank, path=("../trades/trade_0.json",))
        with pytest.raises(NotFound):
            trust(bank, path=("gone.json",))
    assert rules(path) == {"config/alerts_config.json": "MB110"}


def test_a_damaged_config_is_not_trusted(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(1, padded=False)
    put(path / CONFIG, b"{")
    done = run("config", "trust", "--bank", path, "--json")
    assert (done.returncode, done.error["code"]) == (13, "refused")


# Checking it


def test_check(run: Run, make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_bank(1)
    done = run("config", "check", "--bank", path, "--json")
    assert (done.returncode, done.json) == (0, {"ok": True, "findings": [], "groups": []})
    assert "The config is good." in run("config", "check", "--bank", path).stdout
    with opened(path) as bank:
        set_(bank, bank.context, "lock_timeout", "5")
    put(path / CONFIG, {"exclude": ["x"]})
    with opened(path) as bank:
        trust(bank)
    put(user_file(), {"settle_ms": "often"})
    monkeypatch.setenv("MEMORYBANK_RECONCILE_SECONDS", "rarely")
    with opened(path) as bank:
        report = check(bank, bank.context)
    assert [(one.rule, one.pointer) for one in report.findings] == [
        ("MB201", "/settle_ms"),
        ("MB201", "/reconcile_seconds"),
    ]
    assert (report.exit_code(), report.summary()) == (1, "2 findings in the config")


def test_inert_settings_are_warnings(make_bank: MakeBank) -> None:
    path = make_bank(1)
    put(path / CONFIG, {"repository": "/x"})
    with opened(path) as bank:
        config.trust(bank)
        report = check(bank, bank.context)
    assert [one.rule for one in report.findings] == ["MB401"]
    assert (report.exit_code(), report.as_dict()["ok"]) == (0, False)


def test_a_damaged_state_of_trust_trusts_nothing(make_bank: MakeBank) -> None:
    path = make_bank(1)
    put(path / CONFIG, {"exclude": ["x"]})
    with opened(path) as bank:
        trust(bank)
    assert value(path, "exclude") == (("x",), "bank")
    bank_id = json.loads((path / "bank.json").read_bytes())["bank_id"]
    put(user_file().parent / f"state/{bank_id}/trusted.json", b"{")
    assert value(path, "exclude") == ((), "default")


def test_what_a_terminal_would_obey_is_shown_as_an_escape(make_bank: MakeBank, run: Run) -> None:
    bank = make_bank(1)
    text = "a\x9b31m\x7f\u2028\U000e0001b"
    assert run("config", "set", "actor", text, cwd=bank).returncode == 0
    shown = run("config", "get", "actor", cwd=bank).stdout
    assert shown.strip().isprintable()
    assert json.loads(shown.removeprefix("actor = ").rpartition("  (")[0]) == text
