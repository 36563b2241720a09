"""The table of probes around the data, its numbers, and the whole look that runs them."""

from __future__ import annotations

import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from memorybank_cli import open_bank
from memorybank_cli.alerts.heartbeats import beat
from memorybank_cli.bank.events import EventStore
from memorybank_cli.base import clock
from memorybank_cli.health.exposition import HELP
from memorybank_cli.health.probing import Reading
from memorybank_cli.health.status import COMPONENTS
from memorybank_cli.operations import probes, protection, surroundings
from memorybank_cli.operations.drill import drill
from memorybank_cli.operations.examining import examine
from memorybank_cli.operations.last_saved import Saved
from memorybank_cli.operations.probes import LOOK, look
from tests.conftest import MakeBank
from tests.operations.banks import backed_up, opened, put


@pytest.fixture
def path(make_bank: MakeBank) -> Path:
    return make_bank(2, padded=False)


def test_every_probe_tells_of_a_component() -> None:
    table = (*probes.PROBES, *surroundings.PROBES)
    assert {one.component for one in table} <= set(COMPONENTS)
    assert len({one.name for one in table}) == len(table)


def test_damage_of_what_was_known_of_alerts_is_told_until_somebody_saw_it(path: Path) -> None:
    (path / ".memorybank/findings.sqlite").write_bytes(b"no database" * 100)
    with opened(path) as bank:
        EventStore(bank.root).close()  # as `health` from cron does at its end
        [one] = surroundings.monitoring(bank).findings
        assert (one.rule, one.severity) == ("MB551", "warning")
        subprocess.run(["sh", "-c", one.hint.partition("; ")[2].partition(" when")[0]], check=True)
        assert surroundings.monitoring(bank).findings == ()


def test_numbers_of_the_last_look(path: Path) -> None:
    with opened(path) as bank:
        assert set(surroundings.counts(bank).samples) == {"journal_lines", "journal_bytes"}
        scan, _ = look(bank)
        found = surroundings.counts(bank).samples
        assert (found["files"], found["bytes"], found["records"]) == (scan.checked, scan.bytes, scan.records)
        assert found["journal_lines"] == bank.end.seq
        assert found["look_files_per_second"] >= 0


def test_every_sample_is_explained_to_prometheus(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORYBANK_HEALTH_OFFSITE_MAX_AGE_HOURS", "1")
    monkeypatch.setattr(protection, "_device", lambda place: int(place.startswith(str(path))))
    backed_up(path)
    with open_bank(path) as api:
        api.create_account("a").add(role="user", content="hello")
        api.account("a").messages()
    with opened(path) as bank:
        drill(bank)
        samples = set(examine(bank).samples)
    assert "read_error_rate" in samples or "write_error_rate" in samples
    assert {"offsite_age_seconds", "drill_age_seconds", "messages"} <= samples
    assert samples <= HELP.keys()
    for text in HELP.values():
        assert re.fullmatch(r"[A-Z0-9][^\\\n]+\.", text)


def test_what_somebody_else_wrote_there_is_not_told(path: Path) -> None:
    with opened(path) as bank:
        with bank.catalog.writing():
            bank.catalog.set_meta(LOOK, {"seconds": "no"})
        probe = next(one for one in surroundings.PROBES if one.name == "counts")
        [one] = probe.run(bank).findings
        assert one.rule == "MB507"
        assert probe.run(bank).findings == ()  # the catalog was made again


def test_what_keeps_watch_is_looked_at_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "uptime", lambda: timedelta(days=90))
    with opened(path) as bank:
        assert surroundings.monitoring(bank) == Reading({})
        beat(bank, "daily", True, 1.0, datetime.now(UTC) - timedelta(hours=5))
        beat(bank, "weekly", False, 1.0)
        assert [one.rule for one in surroundings.monitoring(bank).findings] == ["MB560", "MB561"]


def test_the_whole_look(path: Path) -> None:
    backed_up(path)
    put(path / "trades/trade_0.json", b"{")
    put(path / "config/memorybank.json", {"repository": "/x"})
    with opened(path) as bank:
        found = examine(bank)
    assert [one.rule for one in found.findings] == ["MB110", "MB103", "MB401"]
    by_probe = {one.probe.name: [finding.rule for finding in one.reading.findings] for one in found.results}
    assert by_probe["files"] == ["MB110", "MB103"]
    assert by_probe["settings"] == ["MB401"]
    assert list(by_probe)[1:] == [one.name for one in (*probes.PROBES, *surroundings.PROBES)]
    assert found.saved.time is not None
    assert found.parts == ()


def test_what_is_known_already_is_told_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(path) as bank:
        known = list(probes.PROBES[0].run(bank).findings) + examine(bank).findings
        again = probes.PROBES[0]._replace(look=lambda _bank, _known: Reading({}, tuple(known)))
        monkeypatch.setattr(surroundings, "PROBES", (*surroundings.PROBES, again))
        assert len(examine(bank).findings) == len(known)


def test_a_saving_that_could_not_be_looked_at(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surroundings, "PROBES", ())
    with opened(path) as bank:
        assert examine(bank).saved == Saved(trouble="it could not be looked at")
