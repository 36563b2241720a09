from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.alerts import waiting
from memorybank_cli.alerts.breaker import OPENS_AT, Breaker, Moment
from memorybank_cli.alerts.waiting import Waiting
from memorybank_cli.bank.events import EventStore
from memorybank_cli.base.walk import Root
from tests.alerts.receivers import notice, receiver, status
from tests.conftest import MakeBank, Run
from tests.operations import here

run = here.run


def alerts_json(home: Path, channels: dict[str, Any], mode: int = 0o600) -> None:
    home.mkdir(exist_ok=True)
    (home / "alerts.json").write_text(json.dumps({"channels": channels}))
    (home / "alerts.json").chmod(mode)


def test_without_a_file_there_is_the_log(make_bank: MakeBank, run: Run) -> None:
    bank = make_bank()
    done = run("alert", "test", "--bank", bank)
    assert done.returncode == 0
    assert "1 of 1 channel took the test" in done.stdout + done.stderr
    [line] = (bank / ".memorybank/alerts.log").read_text().splitlines()
    assert json.loads(line)["test"] is True


def test_each_channel_is_tried_and_failures_are_explained(
    make_bank: MakeBank, run: Run, home: Path, tmp_path: Path
) -> None:
    bank = make_bank()
    with receiver() as good, receiver(status(404)) as bad:
        hook = {"kind": "webhook", "allow_private": True}
        alerts_json(
            home,
            {
                "good": {**hook, "url": good.url},
                "bad": {**hook, "url": bad.url},
                "words": {"kind": "command", "argv": ["/bin/sh", "-c", f"cat > {tmp_path}/words"], "format": "text"},
                "odd": {"kind": "fax"},
            },
        )
        done = run("alert", "test", "--bank", bank, "--json")
        people = run("alert", "test", "--bank", bank)
    assert done.returncode == people.returncode == 1
    results = {one["channel"]: (one["kind"], one["ok"]) for one in done.json["channels"]}
    assert results == {
        "log": ("log", True),
        "good": ("webhook", True),
        "bad": ("webhook", False),
        "words": ("command", True),
    }
    assert [one["rule"] for one in done.json["findings"]] == ["MB554"]
    assert json.loads(good.bodies[0])["channel"] == "good"
    assert (tmp_path / "words").read_text() == f"memorybank {bank}: a test. Who reads this is told of alerts.\n"
    shown = people.stdout + people.stderr
    assert "bad: 127.0.0.1 answered 404" in shown
    assert "check the URL and its secret" in shown
    assert "kind is not one of" in shown
    assert "3 of 4 channels took the test; 1 definition cannot be used" in shown
    assert "T0KEN" not in shown + done.stdout + done.stderr


def test_one_channel_by_name(make_bank: MakeBank, run: Run, home: Path) -> None:
    bank = make_bank()
    with receiver() as there:
        alerts_json(
            home, {"desk": {"kind": "webhook", "url": there.url, "allow_private": True}, "odd": {"kind": "fax"}}
        )
        done = run("alert", "test", "desk", "desk", "--bank", bank, "--json")
        assert done.returncode == 0
        assert [one["channel"] for one in done.json["channels"]] == ["desk"]
        assert done.json["findings"] == []
        assert len(there.requests) == 1
        odd = run("alert", "test", "odd", "--bank", bank, "--json")
    assert (odd.returncode, odd.json["channels"]) == (1, [])
    assert not (bank / ".memorybank/alerts.log").exists()


def test_names_that_are_none(make_bank: MakeBank, run: Run, home: Path) -> None:
    bank = make_bank()
    alerts_json(home, {"desk": {"kind": "fax"}})
    wrong = run("alert", "test", "dekc", "--bank", bank, "--json")
    assert (wrong.returncode, wrong.error["hint"]) == (10, "did you mean desk?")
    assert (
        run("alert", "test", "\x1b[31m", "--bank", bank, "--json").error["message"] == "there is no channel '\\x1b[31m'"
    )
    terminal = run("alert", "test", "terminal", "--bank", bank, "--json")
    assert terminal.returncode == 2
    assert "memorybank watch shows" in terminal.error["message"]


def test_a_rehearsal_sends_nothing(make_bank: MakeBank, run: Run) -> None:
    bank = make_bank()
    done = run("alert", "test", "--dry-run", "--bank", bank, "--json")
    assert done.returncode == 0
    assert [one["ok"] for one in done.json["channels"]] == [None]
    assert done.json["message"]["test"] is True
    assert not (bank / ".memorybank/alerts.log").exists()
    people = run("alert", "test", "-n", "--bank", bank)
    assert "not tried" in people.stdout
    assert "Nothing was sent." in people.stdout + people.stderr


def test_a_channel_that_works_again_gets_what_waits_next(make_bank: MakeBank, run: Run, home: Path) -> None:
    bank = make_bank()
    root = Root(bank)
    with receiver(status(500), status(204)) as there, closing(EventStore(root)) as store:
        alerts_json(home, {"desk": {"kind": "webhook", "url": there.url, "allow_private": True}})
        down = Breaker()
        for _ in range(OPENS_AT):
            down = down.failed(Moment.now(), "it hangs")
        told = notice("desk")
        with store.writing() as db:
            waiting.keep_breaker(db, "desk", down)
            waiting.add(db, Waiting(told.id, "desk", told.as_dict(), told.created_at))
        [failed] = run("alert", "test", "desk", "--bank", bank, "--json").json["channels"]
        assert (failed["ok"], failed["breaker"], failed["waiting"]) == (False, "open", 1)
        assert waiting.breakers(store.db) == {"desk": down}
        [good] = run("alert", "test", "desk", "--bank", bank, "--json").json["channels"]
        assert (good["ok"], good["breaker"], good["waiting"]) == (True, "closed", 1)
        assert waiting.breakers(store.db) == {"desk": Breaker()}
    root.close()


def test_a_file_that_others_may_write_defines_nothing(
    make_bank: MakeBank, run: Run, home: Path, tmp_path: Path
) -> None:
    bank = make_bank()
    alerts_json(home, {"x": {"kind": "command", "argv": ["/usr/bin/touch", str(tmp_path / "ran")]}}, 0o622)
    done = run("alert", "test", "--bank", bank, "--json")
    assert done.returncode == 1
    assert [one["channel"] for one in done.json["channels"]] == ["log"]
    assert [one["rule"] for one in done.json["findings"]] == ["MB550"]
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("when", ["opening", "working"])
def test_a_database_that_fails_hinders_no_test(
    make_bank: MakeBank, run: Run, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    bank = make_bank()
    busy = sqlite3.OperationalError("database is locked")

    class Busy(EventStore):
        def __init__(self, root: Root) -> None:
            if when == "opening":
                raise busy
            super().__init__(root)
            self.db.execute("DROP TABLE channels")

    monkeypatch.setattr("memorybank_cli.operations.alert_test.EventStore", Busy)
    done = run("alert", "test", "--bank", bank)
    assert done.returncode == 0
    assert "findings.sqlite cannot be used" in done.stderr
    assert (bank / ".memorybank/alerts.log").exists()
