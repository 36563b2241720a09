from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.alerts import settings
from memorybank_cli.alerts.routing import Timing
from memorybank_cli.bank.bank import Bank
from memorybank_cli.operations import config
from tests.conftest import MakeBank
from tests.operations.banks import opened, put

Write = Callable[..., Path]


@pytest.fixture
def write(home: Path) -> Write:
    def own(value: Any, mode: int = 0o600) -> Path:
        path = home / "alerts.json"
        home.mkdir(parents=True, exist_ok=True)
        path.write_bytes(value if isinstance(value, bytes) else json.dumps(value).encode())
        path.chmod(mode)
        return path

    return own


def test_without_a_file_alerts_go_to_log_and_terminal(make_bank: MakeBank) -> None:
    with opened(make_bank()) as bank:
        policy = settings.read(bank)
        assert (policy.routing.default, policy.channels, policy.findings) == (("log", "terminal"), {}, ())
        assert (policy.wait, policy.refractory, policy.messages) == (60.0, 300.0, 5)


def test_what_the_users_file_says_holds(make_bank: MakeBank, write: Write) -> None:
    write(
        {
            "description": "ours",
            "channels": {"ops": {"kind": "file", "path": "/tmp/x"}, "pager": {"kind": "command"}},
            "routes": [{"match": {"family": "security"}, "channels": ["pager"]}],
            "for": "2m",
            "refractory": "10m",
            "group_wait": "1m",
            "messages": 9,
            "heartbeats": {"daily": "https://example.org/ping"},
        }
    )
    with opened(make_bank()) as bank:
        policy = settings.read(bank)
        assert set(policy.channels) == {"ops", "pager"}
        assert [one.name for one in policy.routing.routes] == ["alerts.json routes/0"]
        assert policy.routing.default == ("log", "terminal", "ops", "pager")
        assert (policy.wait, policy.refractory, policy.messages) == (120.0, 600.0, 9)
        assert policy.routing.timing == {"group_wait": 60.0}
        assert settings.read_own(bank.owner).heartbeats == {"daily": "https://example.org/ping"}
        assert "example.org" not in repr(settings.read_own(bank.owner))
        assert "/tmp/x" not in repr(policy)


def test_the_default_can_be_said(make_bank: MakeBank, write: Write) -> None:
    write({"channels": {"ops": {}, "pager": {}}, "default": "ops"})
    with opened(make_bank()) as bank:
        assert settings.read(bank).routing.default == ("ops",)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"{", "it is damaged"),
        (b"[]", "it must be an object"),
        (b" " * ((1 << 20) + 1), "it is larger than 1 MiB"),
        ({"chanels": {}}, "there is no 'chanels' in it"),
        ({"channels": []}, "'channels' must be an object of objects"),
        ({"channels": {"a": "b"}}, "'channels' must be an object of objects"),
        ({"heartbeats": []}, "'heartbeats' must be an object"),
        ({"routes": {}}, "'routes' must be a list"),
        ({"routes": [{}]}, "alerts.json routes/0: 'channels' must be a list of names"),
        ({"messages": 0}, "'messages' must be a whole number"),
        ({"messages": True}, "'messages' must be a whole number"),
        ({"messages": 10**400}, "'messages' must be a whole number"),
        ({"group_wait": "\u00b2s"}, "is not a span of time"),
        ({"group_wait": "9" * 5_000 + "s"}, "is not a span of time"),
        ({"for": 60}, "60 is not a span of time"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_and_left_out(
    make_bank: MakeBank, write: Write, value: Any, words: str
) -> None:
    write(value)
    with opened(make_bank()) as bank:
        policy = settings.read(bank)
        [finding] = policy.findings
        assert (finding.rule, finding.severity) == ("MB550", "error")
        assert words in finding.message
        assert policy.routing.default == ("log", "terminal")


@pytest.mark.parametrize("mode", [0o602, 0o620, 0o666])
def test_a_file_that_others_may_write_is_not_used(make_bank: MakeBank, write: Write, mode: int) -> None:
    write({"channels": {"evil": {"kind": "command"}}}, mode)
    with opened(make_bank()) as bank:
        policy = settings.read(bank)
        assert policy.channels == {}
        assert "somebody else may write it" in policy.findings[0].message


def test_a_file_that_others_may_read_is_used_and_told(make_bank: MakeBank, write: Write) -> None:
    path = write({"channels": {"ops": {}}}, 0o640)
    with opened(make_bank()) as bank:
        policy = settings.read(bank)
        assert set(policy.channels) == {"ops"}
        assert [one.hint for one in policy.findings] == [f"chmod 600 {path}"]


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["directory", "fifo"])
def test_what_is_no_file_is_told(make_bank: MakeBank, home: Path, make: Callable[[Path], None]) -> None:
    home.mkdir(parents=True, exist_ok=True)
    make(home / "alerts.json")
    with opened(make_bank()) as bank:
        assert [one.rule for one in settings.read(bank).findings] == ["MB550"]


def test_a_file_that_cannot_be_opened_is_told(make_bank: MakeBank, home: Path) -> None:
    home.mkdir(parents=True, exist_ok=True)
    (home / "alerts.json").symlink_to("alerts.json")
    with opened(make_bank()) as bank:
        assert [one.rule for one in settings.read(bank).findings] == ["MB550"]


BANKS = {"routes": [{"channels": []}], "repeat_interval": "7d", "messages": 2, "channels": {"x": {"kind": "command"}}}


def trusted(bank: Bank) -> settings.Policy:
    config.trust(bank)
    return settings.read(bank)


def test_the_banks_own_routes_hold_once_they_are_trusted(make_bank: MakeBank) -> None:
    path = make_bank(padded=False)
    put(path / settings.CONFIG, BANKS)
    with opened(path) as bank:
        assert settings.read(bank).routing.routes == ()
        assert [name for name, *_ in settings.inert(bank)] == ["routes", "repeat_interval", "messages", "channels"]
        policy = trusted(bank)
        assert [one.channels for one in policy.routing.routes] == [()]
        assert policy.routing.timing == {"repeat_interval": 604_800.0}
        assert policy.messages == 2
        assert policy.channels == {}
        [(name, why, _)] = settings.inert(bank)
        assert (name, why) == ("channels", "it is not taken from there")
    put(path / settings.CONFIG, {**BANKS, "description": "changed since"})
    with opened(path) as bank:
        assert settings.read(bank).routing.routes == ()


def test_the_users_routes_come_first_and_his_times_win(make_bank: MakeBank, write: Write) -> None:
    write({"routes": [{"match": {"rule": "MB1"}, "channels": ["log"]}], "repeat_interval": "1h", "messages": 7})
    path = make_bank(padded=False)
    put(path / settings.CONFIG, {**BANKS, "group_wait": "9s", "default": ["nobody"]})
    with opened(path) as bank:
        policy = trusted(bank)
        assert [one.name for one in policy.routing.routes] == [
            "alerts.json routes/0",
            "config/alerts_config.json routes/0",
        ]
        assert policy.routing.timing == {"repeat_interval": 3_600.0, "group_wait": 9.0}
        assert policy.messages == 7
        assert policy.routing.default == ("nobody",)
        assert set(policy.routing.timing) < set(Timing._fields)


def test_a_trusted_file_that_cannot_be_used_is_told(make_bank: MakeBank) -> None:
    path = make_bank(padded=False)
    put(path / settings.CONFIG, {"routes": [{"channels": ["log"], "match": {"rule": "x"}}]})
    with opened(path) as bank:
        [finding] = trusted(bank).findings
        assert (finding.rule, finding.path) == ("MB550", settings.CONFIG)


@pytest.mark.parametrize("data", [b"[]", b"{", b""])
def test_a_bank_file_without_members_says_nothing(make_bank: MakeBank, data: bytes) -> None:
    path = make_bank(padded=False)
    put(path / settings.CONFIG, data)
    with opened(path) as bank:
        assert settings.inert(bank) == []
        assert settings.read(bank).routing.routes == ()


def test_a_change_of_either_file_shows(make_bank: MakeBank, write: Write) -> None:
    path = make_bank(padded=False)
    with opened(path) as bank:
        seen = [settings.signature(bank)]
        write({})
        seen.append(settings.signature(bank))
        put(path / settings.CONFIG, {})
        seen.append(settings.signature(bank))
        config.trust(bank)
        seen.append(settings.signature(bank))
        assert len({repr(one) for one in seen}) == 4
        assert settings.signature(bank) == seen[-1]
