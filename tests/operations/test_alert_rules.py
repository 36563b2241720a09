from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.base import clock
from memorybank_cli.base.errors import NotFound, UsageError
from memorybank_cli.operations import config
from memorybank_cli.operations.alert_rules import RouteReport, SilenceReport, route, silence
from memorybank_cli.operations.alerting import feed
from memorybank_cli.operations.alerts import list_
from tests.alerts.feeding import damage, open_to_others
from tests.conftest import MakeBank, Run
from tests.operations.banks import opened, put


@pytest.fixture
def path(make_bank: MakeBank) -> Path:
    found = make_bank(padded=False)
    with opened(found) as bank:
        feed(bank, [damage("trades/a.json"), damage("state/b.json"), open_to_others()], "health")
    return found


def silenced(path: Path, /, **options: Any) -> SilenceReport:
    with opened(path) as bank:
        return silence(bank, **options)


def routed(path: Path, /, *given: str, **options: Any) -> RouteReport:
    with opened(path) as bank:
        return route(bank, *given, **options)


def test_a_silence_is_made_listed_and_ended(path: Path) -> None:
    assert silenced(path).summary() == "0 silences in force"
    made = silenced(path, section=("trades",), until="2h", reason="rebuilt")
    assert made.changed is not None
    assert made.covers == 1  # the security alert of that section is not meant
    assert made.summary().startswith(f"Silence {made.changed.id} holds until ")
    with opened(path) as bank:
        muted = {one.alert.path: one.muted for one in list_(bank).alerts}
    assert muted["trades/a.json"] == f"silenced until {made.changed.ends_at} by {made.changed.id}: rebuilt"
    assert muted["state/b.json"] == muted["trades"] == ""
    assert silenced(path).summary() == "1 silence in force"
    ended = silenced(path, end=made.changed.id)
    assert ended.summary() == f"Silence {made.changed.id} has ended"
    assert silenced(path).as_dict()["silences"][0]["active"] is False


def test_an_end_may_be_a_time(path: Path) -> None:
    wanted = clock.show(datetime.now(UTC) + timedelta(days=3))
    made = silenced(path, rule=("MB303",), until=wanted, reason="x")
    assert made.changed is not None
    assert (made.changed.ends_at, made.covers) == (wanted, 1)
    with pytest.raises(UsageError, match="within 90 days"):
        silenced(path, rule=("MB303",), until="2100-01-01T00:00:00Z", reason="x")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rule": ("MB1",), "reason": "x"}, "until when"),
        ({"rule": ("MB1",), "until": "2h"}, "needs a reason"),
        ({"until": "2h", "reason": "x"}, "which alerts"),
        ({"rule": ("MB1",), "until": "soon", "reason": "x"}, "is not a span of time"),
        ({"rule": ("MB1",), "until": "9999999999w", "reason": "x"}, "is not a span|within 90 days"),
        ({"rule": ("MB1",), "until": "2020-01-01", "reason": "x"}, "ends after now"),
        ({"rule": ("MB1",), "end": "1f0c9a3e"}, "goes with nothing else"),
        ({"family": ("x",)}, "there is no family"),
    ],
)
def test_what_is_missing_is_said(path: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        silenced(path, **options)


def test_what_is_not_there_cannot_be_ended(path: Path) -> None:
    with pytest.raises(NotFound):
        silenced(path, end="nothing")


@pytest.fixture
def own(home: Path) -> None:
    home.mkdir(parents=True, exist_ok=True)
    put(
        home / "alerts.json",
        {
            "channels": {"ops": {"kind": "file", "path": "/tmp/ops"}, "pager": {"kind": "command", "argv": ["true"]}},
            "routes": [
                {"match": {"family": "security"}, "channels": ["pager"], "continue": True},
                {"match": {"severity": "error"}, "channels": ["ops"]},
            ],
            "default": ["log"],
        },
    )
    (home / "alerts.json").chmod(0o600)


@pytest.mark.usefixtures("own")
def test_the_routes_that_hold(path: Path) -> None:
    report = routed(path)
    assert report.summary() == "2 routes; what none takes goes to log"
    assert report.channels == {"log": "log", "ops": "file", "pager": "command"}
    assert "/tmp/ops" not in str(report.as_dict())


@pytest.mark.usefixtures("own")
def test_where_one_would_go_and_why(path: Path) -> None:
    report = routed(path, "MB303", path="trades", explain=True)
    assert report.summary() == "MB303 goes to pager"
    assert [(one.fits, one.why) for one in report.steps] == [
        (True, "every condition holds, and the next ones are asked too"),
        (False, "severity is warning, below error"),
    ]
    assert routed(path, "MB303", severity="error").summary() == "MB303 goes to pager, ops"
    assert routed(path, "MB301").summary() == "MB301 goes to log"


def test_where_one_that_fires_goes(path: Path) -> None:
    with opened(path) as bank:
        name = next(one.alert.fingerprint for one in list_(bank).alerts if one.alert.path == "trades/a.json")
    silenced(path, rule=("MB1",), until="1h", reason="x")
    report = routed(path, name)
    assert report.alert is not None
    assert report.alert.fingerprint == name
    assert report.summary().startswith("MB101 goes to log, terminal, but is not told now: silenced until ")
    assert routed(path, "MB201", path="trades/a.json").muted.startswith("inhibited by MB101 trades/a.json")
    with pytest.raises(NotFound):
        routed(path, "MB999")


def test_what_is_wrong_with_the_settings_is_told(path: Path, home: Path) -> None:
    home.mkdir(parents=True, exist_ok=True)
    put(home / "alerts.json", b"{")
    report = routed(path)
    assert [one.rule for one in report.findings] == ["MB550"]
    assert report.exit_code() == 1


def test_the_check_of_the_config_looks_at_alerts_too(path: Path, home: Path) -> None:
    home.mkdir(parents=True, exist_ok=True)
    channels = {"ops": {"kind": "fax"}}
    put(home / "alerts.json", {"channels": channels, "routes": [{"channels": ["nobody"]}], "default": ["log"]})
    (home / "alerts.json").chmod(0o600)
    with opened(path) as bank:
        report = config.check(bank, bank.context)
    assert [one.rule for one in report.findings] == ["MB554", "MB555"]
    assert report.exit_code() == 1
    assert [one.rule for one in routed(path).findings] == ["MB554", "MB555"]


@pytest.mark.usefixtures("own")
def test_the_commands(path: Path, run: Run) -> None:
    done = run("alert", "route", "--bank", path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^alerts.json routes/0 +family security +pager +yes$", done.stdout, re.MULTILINE)
    done = run("alert", "route", "MB303", "--path", "trades", "--explain", "--bank", path)
    assert done.stdout.splitlines() == [
        "alerts.json routes/0: every condition holds, and the next ones are asked too → pager",
        "alerts.json routes/1: severity is warning, below error",
        "CHANNEL  GROUP WAIT  GROUP INTERVAL  REPEAT INTERVAL",
        "pager    5s          1m              4h",
        "MB303 goes to pager",
    ]
    done = run("alert", "silence", "--rule", "MB101", "--until", "2h", "--reason", "\x1b[31m", "--bank", path)
    assert done.returncode == 0, done.stderr
    assert "it covers 2 alerts that fire now" in done.stdout
    done = run("alert", "silence", "--bank", path)
    assert "rule MB101" in done.stdout
    assert "\x1b" not in done.stdout
    for wrong in (["--rule", "MB101"], ["--family", "x"], ["--severity", "bad"]):
        assert run("alert", "silence", *wrong, "--bank", path).returncode == 2
    done = run("alert", "silence", "--rule", "MB999", "--until", "2h", "--reason", "misspelt", "--bank", path)
    assert (done.returncode, "there is no rule 'MB999'" in done.stderr) == (2, True)
    name = run("alert", "silence", "--bank", path, "--json").json["silences"][0]["id"]
    assert run("alert", "silence", "--end", name, "--bank", path).stdout == f"Silence {name} has ended\n"
