from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.base.errors import Locked, NotFound, OperationFailed, UsageError
from memorybank_cli.base.records import Finding
from memorybank_cli.operations.alert_keeping import opened as opened_store
from memorybank_cli.operations.alert_rules import silence
from memorybank_cli.operations.alerting import feed, raise_alerts
from memorybank_cli.operations.alerts import AlertList, ack, list_, show
from memorybank_cli.operations.probes import alert_settings
from tests.alerts.feeding import damage, open_to_others, pass_time, slow
from tests.conftest import MakeBank, Run
from tests.operations.banks import opened, rules


@pytest.fixture
def path(make_bank: MakeBank) -> Path:
    return make_bank(padded=False)


def fed(path: Path, *findings: Finding, tell: bool = False) -> None:
    with opened(path) as bank:
        raise_alerts(bank, findings) if tell else feed(bank, findings, "health")


def listed(path: Path, /, **options: Any) -> AlertList:
    with opened(path) as bank:
        return list_(bank, **options)


def test_before_anybody_looked_nothing_is_known(path: Path) -> None:
    report = listed(path)
    assert (report.stale, report.looks, report.tone) == (True, {}, "warning")
    assert report.summary().startswith("Unknown: nobody has looked yet")


def test_what_fires_is_listed_with_its_reasons(path: Path) -> None:
    fed(path, damage("trades/a.json"), Finding("MB201", "no price", "trades/a.json"), slow(), open_to_others())
    report = listed(path)
    assert {one.alert.rule: (one.alert.state, one.muted) for one in report.alerts} == {
        "MB504": ("pending", ""),
        "MB303": ("firing", ""),
        "MB101": ("firing", ""),
        "MB201": ("firing", "inhibited by MB101 trades/a.json: a damaged file says nothing reliable"),
    }
    assert report.counts == {"firing": 3, "pending": 1, "resolved": 0}
    assert report.summary() == "3 alerts fire, 1 pending. Next: memorybank alert show FINGERPRINT"
    fed(path)
    report = listed(path)
    assert [one.alert.rule for one in report.alerts] == ["MB303"]  # security waits for somebody
    report = listed(path, all_=True)
    assert {one.alert.rule: one.alert.state for one in report.alerts} == {
        "MB303": "firing",
        "MB101": "resolved",
        "MB201": "resolved",
    }


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"rule": ("MB1",)}, {"MB101"}),
        ({"family": ("security",)}, {"MB303"}),
        ({"severity": "error"}, {"MB101"}),
        ({"section": ("state",)}, set()),
        ({"path": ("trades*",)}, {"MB101", "MB303"}),
    ],
)
def test_conditions_choose(path: Path, options: dict[str, Any], found: set[str]) -> None:
    fed(path, damage(), open_to_others())
    report = listed(path, **options)
    assert {one.alert.rule for one in report.alerts} == found
    assert report.counts["firing"] == 2


def test_what_nobody_looked_at_of_late_is_unknown(path: Path) -> None:
    fed(path, damage())
    with opened(path) as bank, opened_store(bank) as store:
        store.db.execute("UPDATE alert_looks SET at = '2026-01-01T00:00:00.000000Z'")
    report = listed(path)
    assert (report.stale, report.tone) == (True, "warning")
    assert report.summary() == (
        "Unknown since 2026-01-01T00:00:00Z, when the last look was (1 alert fires then). Next: memorybank watch"
    )


def test_all_is_well(path: Path) -> None:
    fed(path)
    report = listed(path)
    assert (report.summary(), report.tone, report.stale) == ("No alert fires.", "good", False)


def test_one_alert_with_what_became_of_its_message(path: Path) -> None:
    fed(path, damage(), tell=True)
    [one] = listed(path).alerts
    with opened(path) as bank:
        detail = show(bank, one.alert.fingerprint[:8])
    assert detail.alert.fingerprint == one.alert.fingerprint
    assert list(detail.channels) == ["log", "terminal"]
    assert detail.channels["log"] == {"group_wait": 30.0, "group_interval": 300.0, "repeat_interval": 14_400.0}
    [told] = detail.told
    assert (told["channel"], told["tries"], told["reason"]) == ("log", 1, "")
    assert told["delivered_at"] is not None
    assert detail.summary() == "Next: memorybank repair trades/a.json"
    with opened(path) as bank, pytest.raises(NotFound):
        show(bank, "nothing")


def test_security_is_acknowledged(path: Path) -> None:
    fed(path, open_to_others(), damage())
    fed(path, damage())
    names = [one.alert.fingerprint for one in listed(path).alerts]
    with opened(path) as bank:
        detail = show(bank, next(one.alert.fingerprint for one in listed(path).alerts if one.alert.gone_at))
        assert "it is resolved by: memorybank alert ack" in detail.summary()
        report = ack(bank, *names, reason="umask corrected")
        rest = "1 not repeated any more, and resolved as soon as the finding is gone"
        assert report.summary() == f"2 alerts acknowledged; 1 resolved by it; {rest}"
        assert {one.state for one in report.acknowledged} == {"firing", "resolved"}
        assert {one.acked_by for one in report.acknowledged} == {bank.journal.actor}
        over = next(one for one in report.acknowledged if one.state == "resolved")
        assert show(bank, over.fingerprint).summary() == "Resolved. memorybank explain MB303 says more"


def test_nothing_is_acknowledged_without_a_name_a_reason_or_an_alert(path: Path) -> None:
    fed(path, damage())
    [one] = listed(path).alerts
    with opened(path) as bank:
        for names, reason in (((), "x"), ((one.alert.fingerprint,), " ")):
            with pytest.raises(UsageError):
                ack(bank, *names, reason=reason)
        with pytest.raises(NotFound):
            ack(bank, one.alert.fingerprint, "nothing", reason="x")
    assert listed(path).alerts[0].alert.acked_at is None


def test_a_file_that_cannot_be_opened_is_not_called_empty(path: Path) -> None:
    fed(path, damage())
    file = path / ".memorybank/findings.sqlite"
    file.unlink()
    file.mkdir()
    with opened(path) as bank, pytest.raises(OperationFailed, match="cannot be opened for writing"):
        list_(bank)


def test_the_commands(path: Path, run: Run) -> None:
    fed(path, damage("trades/\x1b[31m.json"), open_to_others())
    done = run("alert", "list", "--bank", path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split(" ", 1)[1] == "error MB101 trades/\\x1b[31m.json: not JSON"
    assert lines[2] == f"    memorybank repair --bank {path} trades/\\x1b[31m.json"
    assert lines[3].split(" ", 1)[1] == "warning MB303 trades: may be read by others"
    assert lines[-1] == f"2 alerts fire. Next: memorybank alert show --bank {path} FINGERPRINT"
    found = run("alert", "list", "--bank", path, "--json").json
    assert [one["rule"] for one in found["alerts"]] == [one["rule"] for one in found["alerts"] if not one["muted"]]
    name = next(one["fingerprint"] for one in found["alerts"] if one["rule"] == "MB303")
    shown = run("alert", "show", name, "--bank", path)
    assert "family:" in shown.stdout
    assert "goes to:" in shown.stdout
    assert run("alert", "ack", name, "--reason", "mine", "--bank", path).stdout == (
        f"{name[:8]} firing MB303 trades\n"
        "1 alert acknowledged; 1 not repeated any more, and resolved as soon as the finding is gone\n"
    )
    assert "acknowledged by" in run("alert", "list", "--bank", path).stdout
    assert run("alert", "show", "nothing", "--bank", path).returncode == 10
    assert run("alert", "ack", name, "--bank", path).returncode == 2


def test_many_are_listed_in_part(path: Path, run: Run) -> None:
    fed(path, *(damage(f"trades/{number}.json") for number in range(60)))
    done = run("alert", "list", "--bank", path)
    assert "... and 40 more (--json shows all" in done.stdout
    assert len(run("alert", "list", "--bank", path, "--json").json["alerts"]) == 60


def test_what_the_banks_config_may_not_say_is_found(path: Path) -> None:
    (path / "config").mkdir(exist_ok=True)
    (path / "config/alerts_config.json").write_text('{"channels": {}, "routes": []}')
    assert rules(path, "MB4") == {"config/alerts_config.json": "MB401"}
    with opened(path) as bank:
        hints = {one.pointer: one.hint for one in alert_settings(bank)}
    assert (hints["/channels"], "config trust" in hints["/routes"]) == ("remove it", True)


def test_time_passes_for_what_is_listed_too(path: Path) -> None:
    fed(path, slow())
    with opened(path) as bank, opened_store(bank) as store:
        pass_time(store, 61)
    fed(path, slow())
    assert [(one.alert.rule, one.alert.state) for one in listed(path).alerts] == [("MB504", "firing")]


def test_a_look_that_lies_ahead_says_nothing_of_now(path: Path) -> None:
    fed(path, damage())
    with opened(path) as bank, opened_store(bank) as store:
        store.db.execute("UPDATE alert_looks SET at = '2999-01-01T00:00:00.000000Z'")
    report = listed(path)
    assert (report.stale, report.tone) == (True, "warning")
    assert report.summary() == (
        "Unknown: the last look was at 2999-01-01T00:00:00Z, which is still to come (1 alert fires then). Set the clock"
    )


def test_the_wall_clock_alone_makes_nothing_fresh(path: Path) -> None:
    fed(path, damage())
    with opened(path) as bank, opened_store(bank) as store:
        pass_time(store, 16 * 60)
    assert listed(path).stale


@pytest.mark.parametrize(
    "change",
    ["alert_clock SET ticks = 'x'", "alert_silences SET matcher = 'x'", "alerts SET severity = 'x'"],
)
def test_a_damaged_file_is_said_and_the_next_health_begins_a_new_one(path: Path, run: Run, change: str) -> None:
    fed(path, damage())
    with opened(path) as bank:
        silence(bank, rule=("MB5",), until="1h", reason="known")
        with opened_store(bank) as store:
            store.db.execute(f"UPDATE {change}")
    failed = run("alert", "list", "--bank", path)
    assert failed.returncode == 3
    assert "findings.sqlite is damaged" in failed.stderr
    assert "puts it into quarantine and begins a new one" in failed.stderr
    fed(path, damage(), tell=True)
    report = listed(path)
    assert {"MB101", "MB551"} == {one.alert.rule for one in report.alerts}
    assert [one.reason for one in report.silences] == ["known"]
    assert list((path / ".memorybank/quarantine").glob("findings-*.sqlite"))


def test_a_file_that_somebody_keeps_to_himself_is_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fed(path, damage())
    connect = sqlite3.connect
    monkeypatch.setattr("sqlite3.connect", lambda *given, **named: connect(*given, **{**named, "timeout": 0.01}))
    with closing(connect(path / ".memorybank/findings.sqlite", isolation_level=None)) as other, opened(path) as bank:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Locked, match=r"another process keeps .*findings.sqlite to itself"):
            ack(bank, damage().fingerprint, reason="x")
        assert list_(bank).summary() == (
            "Unknown: another process keeps findings.sqlite to itself, so nothing new is kept (1 alert fires before)."
            " Next: memorybank health"
        )


def test_what_people_decide_is_in_the_journal(path: Path, run: Run) -> None:
    fed(path, damage(), open_to_others())
    run("alert", "ack", damage().fingerprint, open_to_others().fingerprint, "--reason", "seen\x1bto", "--bank", path)
    made = run("alert", "silence", "--rule", "MB5", "--until", "1h", "--reason", "x", "--bank", path, "--json").json
    name = made["changed"]["id"]
    run("alert", "silence", "--end", name, "--bank", path)
    run("alert", "silence", "--end", name, "--bank", path)
    told = [json.loads(line) for line in run("log", "--bank", path, "--json").stdout.splitlines()]
    acked, begun, ended = [one for one in told if one["op"].startswith(("alert.", "silence."))]
    assert (acked["op"], acked["reason"]) == ("alert.acknowledged", r"seen\x1bto")
    assert {(one["rule"], one["path"]) for one in acked["alerts"]} == {("MB101", "trades/a.json"), ("MB303", "trades")}
    assert (begun["op"], begun["silence"], begun["match"]) == ("silence.begun", name, {"rule": ["MB5"]})
    assert (begun["until"], begun["reason"]) == (made["changed"]["ends_at"], "x")
    assert (ended["op"], ended["silence"]) == ("silence.ended", name)
    words = run("log", "--bank", path).stdout
    assert r"alert.acknowledged (seen\x1bto) MB101 trades/a.json MB303 trades" in words
    assert f"silence.begun (x) {name}" in words


def test_a_damaged_journal_hinders_nobody_who_acknowledges(path: Path, run: Run) -> None:
    fed(path, damage())
    segment = max((path / ".memorybank/journal").glob("*.jsonl"))
    segment.write_bytes(bytes(1_000))
    done = run("alert", "ack", damage().fingerprint, "--reason", "x", "--bank", path)
    assert (done.returncode, "this was not recorded in the journal" in done.stderr) == (0, True)
    assert [one.alert.ack_reason for one in listed(path).alerts] == ["x"]


def test_bytes_that_are_no_text_are_said(path: Path) -> None:
    with pytest.raises(UsageError, match="'section' has bytes that are no text"):
        listed(path, section=("a\udcff",))
