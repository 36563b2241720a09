"""`health` and `status`: one number and one word, the documents of the specs, and the forms for other programs."""

from __future__ import annotations

import json
import os
import re
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.alerts.ledger import Ledger
from memorybank_cli.bank.events import EventStore
from memorybank_cli.bank.schemas import Registry
from memorybank_cli.base.locks import Lock
from memorybank_cli.base.records import Progress
from memorybank_cli.integrity.requests import LOCK, prepare
from memorybank_cli.operations import sampling
from memorybank_cli.operations.health import HealthReport, health
from memorybank_cli.operations.status import StatusReport, status
from tests.conftest import MakeBank, Run, trade
from tests.operations.banks import adopt, backed_up, contents, journal, journal_file, opened, put
from tests.operations.here import run
from tests.operations.owners import OWNER, as_root, give_away, own_ids_again, public_place

__all__ = ("run",)  # a fixture

SAMPLES = {
    "files",
    "bytes",
    "records",
    "pending_changes",
    "journal_lines",
    "journal_bytes",
    "look_seconds",
    "look_files_per_second",
    "disk_free_bytes",
    "disk_size_bytes",
    "disk_write_seconds",
    "disk_read_seconds",
    "clock_behind_seconds",
    "metrics_age_seconds",
    "state_age_seconds",
}
SYSTEM = {
    "clock_in_step",
    "inodes",
    "inodes_free",
    "memory_available_bytes",
    "memory_size_bytes",
    "open_handles",
    "machine_handles",
}
"""What not every system tells."""
SAVED = {"snapshot_age_seconds", "snapshots", "snapshots_to_forget", "repository_encrypted"}


def report(path: Path, **options: Any) -> HealthReport:
    with opened(path) as bank:
        found = health(bank, **options)
    assert isinstance(found, HealthReport)
    return found


def looked(path: Path) -> StatusReport:
    with opened(path) as bank:
        return status(bank)


def test_a_healthy_bank(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(3, padded=False)
    backed_up(path)
    done = run("health", "--bank", path, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert (done.json["score"], done.json["status"], done.json["findings"]) == (100, "healthy", [])
    assert set(done.json["samples"]) - SYSTEM == SAMPLES | SAVED
    assert done.json["samples"]["files"] == 8
    assert done.json["samples"]["pending_changes"] == 0
    assert done.json["samples"]["journal_lines"] == len(journal(path))
    assert {one["status"] for one in done.json["components"]} == {"healthy"}
    assert "100 of 100, healthy" in run("health", "--bank", path).stdout


def test_without_a_snapshot(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(1, padded=False)
    done = run("health", "--bank", path, "--json")
    assert (done.returncode, done.json["score"], done.json["status"]) == (0, 96, "degraded")
    assert [one["rule"] for one in done.json["findings"]] == ["MB501"]
    assert done.json["findings"][0]["message"] == "there is no good snapshot"
    assert set(done.json["samples"]) - SYSTEM == SAMPLES


def test_damage(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(1)
    done = run("health", "--bank", path, "--explain")
    assert done.returncode == 1
    assert (
        "48 of 100, error\n"
        "  -50 MB102 (error, 1 finding; the worst rule: not more than 50)\n"
        "  -2 MB501 (warning, 1 finding; of what is left)" in done.stdout
    )
    assert re.search(r"disk +system +storage +healthy +5 s +[0-9]", done.stdout)
    assert "48 of 100, error: MB102, MB501. Next: memorybank explain MB102" in run("health", "--bank", path).stdout
    found = report(path).as_dict()
    assert [one["rule"] for one in found["deductions"]] == ["MB102", "MB501"]
    assert {one["component"]: one["status"] for one in found["components"]}["trades"] == "error"


def test_an_old_snapshot(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_bank(1, padded=False)
    backed_up(path)
    assert report(path).findings == ()
    monkeypatch.setenv("MEMORYBANK_SNAPSHOT_MAX_AGE_HOURS", "0")
    [one] = report(path).findings
    assert (one.rule, one.message) == ("MB501", "the newest good snapshot is 0 hours old")


def test_a_full_disk(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_bank(1, padded=False)
    monkeypatch.setenv("MEMORYBANK_HEALTH_DISK_PERCENT", "100")
    assert "MB502" in {one.rule for one in report(path).findings}


@pytest.mark.parametrize(
    ("padded", "saved", "code", "word"),
    [(False, True, 0, "OK"), (False, False, 1, "WARNING"), (True, True, 2, "CRITICAL")],
)
def test_for_nagios(run: Run, make_bank: MakeBank, padded: bool, saved: bool, code: int, word: str) -> None:
    path = make_bank(1, padded=padded)
    if saved:
        backed_up(path)
    done = run("health", "--format", "nagios", "--bank", path)
    assert done.returncode == code
    head = done.stdout.splitlines()[0]
    assert re.fullmatch(
        rf"MEMORYBANK {word} - \d+ of 100: [^|]+ \| score=\d+;97:;51:;0;100 files=6 [a-z_=0-9.esB+ -]+", head
    )


def test_for_prometheus(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(1)
    done = run("health", "--format", "prometheus", "--bank", path)
    assert done.returncode == 1
    assert report(path, format_="prometheus").exit_code() == 1
    lines = done.stdout.splitlines()
    assert f'memorybank_health_score{{bank="{path}"}} 48' in lines
    assert f'memorybank_files{{bank="{path}"}} 6' in lines
    assert f'memorybank_findings{{bank="{path}",rule="MB102",severity="error"}} 1' in lines
    assert done.stdout.endswith("\n")


def test_a_textfile(run: Run, make_bank: MakeBank, tmp_path: Path) -> None:
    path, place = make_bank(1, padded=False), tmp_path / "new/node exporter"
    for _ in range(2):
        done = run("health", "--bank", path, "--quiet", "--textfile", place / "memory.prom")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    [file] = place.iterdir()
    assert file.stat().st_mode & 0o777 == 0o644
    text = file.read_text()
    assert text.startswith("# HELP memorybank_health_score ")
    assert f'memorybank_health_score{{bank="{path}"}} 96\n' in text
    done = run("health", "--bank", path, "--textfile", tmp_path / "new")
    assert (done.returncode, file.read_text()) == (3, text)


def test_the_directory_of_a_textfile_is_made_for_another_users_exporter(
    run: Run, make_bank: MakeBank, tmp_path: Path
) -> None:
    former = os.umask(0o022)
    run("health", "--bank", make_bank(1), "--quiet", "--textfile", tmp_path / "node/memory.prom")
    os.umask(former)
    assert (tmp_path / "node").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(("form", "where"), [(["--format", "nagios"], "nowhere"), (["--format=nagios"], "bank")])
def test_nagios_where_nothing_can_be_looked_at(
    run: Run, make_bank: MakeBank, form: list[str], where: str, tmp_path: Path
) -> None:
    path = make_bank(1)
    put(path / "bank.json", {"format": 99, "bank_id": "x", "identity_key": "0" * 64})
    done = run("health", *form, "--bank", tmp_path / where)
    assert done.returncode == 3
    assert re.fullmatch(r"MEMORYBANK UNKNOWN - [^|\n]+\n", done.stdout)
    assert done.stderr


def test_quiet_says_nothing_on_a_good_day(run: Run, make_bank: MakeBank) -> None:
    good, bad = make_bank(1, padded=False), make_bank(1, name="bad")
    done = run("health", "--quiet", "--bank", good)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = run("health", "--quiet", "--bank", bad)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("48 of 100, error: MB102, MB501. Next: ")


def test_what_cannot_be_looked_at_is_unknown(run: Run, make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_bank(1, padded=False)
    backed_up(path)

    def refuse(*_: Any) -> Any:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "statvfs", refuse)
    done = run("health", "--bank", path, "--json")
    assert (done.returncode, done.json["score"], done.json["status"]) == (1, 75, "unknown")
    assert {one["component"]: one["status"] for one in done.json["components"]}["storage"] == "unknown"
    [probe] = [one for one in done.json["probes"] if one["probe"] == "disk"]
    assert (probe["unknown"], probe["status"], probe["group"], probe["cadence_seconds"]) == (
        True,
        "unknown",
        "system",
        5,
    )
    assert run("health", "--format", "nagios", "--bank", path).returncode == 3
    done = run("status", "--bank", path, "--json")
    assert (done.json["health"], done.json["memory_bank_status"]["health_status"]) == ("unknown", "degraded")
    assert "disk could not be looked at" in done.json["memory_bank_status"]["alerts"][0]["message"]


def test_alerts_are_raised_and_told_once(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(1)
    for _ in range(2):
        run("health", "--bank", path)
    lines = (path / ".memorybank/alerts.log").read_text().splitlines()
    assert sum("MB102" in line for line in lines) == 1


def test_where_alerts_cannot_be_raised_health_is_told_all_the_same(
    run: Run, make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sampling, "raise_alerts", refuse)
    done = run("health", "--bank", make_bank(1, padded=False))
    assert (done.returncode, "96 of 100" in done.stdout) == (0, True)
    assert "no alert was raised" in done.stderr


def test_where_somebody_watches_that_one_tells(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(1)
    with opened(path) as bank:
        prepare(bank.root)
        lock = Lock(bank.root, LOCK)
        lock.acquire(0)
        with closing(EventStore(bank.root)) as store:
            Ledger(store).tells(alive=True)
        run("health", "--bank", path)
        lock.close()
        assert not (path / ".memorybank/alerts.log").exists()
    run("health", "--bank", path)
    assert "MB102" in (path / ".memorybank/alerts.log").read_text()


# History


def test_history(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(1, padded=False)
    done = run("health", "--history", "1h", "--bank", path)
    assert done.returncode == 0
    assert done.stdout.startswith("No samples of the last 1h. Next: memorybank watch")
    run("health", "--bank", path)
    done = run("health", "--history", "1h", "--json", "--bank", path)
    series = {one["name"]: one for one in done.json["series"]}
    assert done.json["step_seconds"] == 60
    assert [one for one in series["score"]["values"] if one is not None] == [96]
    assert series["files"]["last"] == 6
    assert "disk free" in run("health", "--history", "1h", "--bank", path).stdout
    done = run("health", "--history", "5m", "--sample", "score", "--bank", path)
    assert done.stdout.startswith("score: last 96, mean 96\n100 |")


def test_wrong_ways_to_ask_for_history(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(1, padded=False)
    assert run("health", "--history", "soon", "--bank", path).returncode == 2
    assert run("health", "--history", "0s", "--bank", path).returncode == 2
    assert run("health", "--sample", "score", "--bank", path).returncode == 2
    assert run("health", "--history", "1h", "--sample", "scor", "--bank", path).returncode == 0  # nothing is known yet
    run("health", "--bank", path)
    done = run("health", "--history", "1h", "--sample", "scor", "--bank", path)
    assert (done.returncode, "there is no sample 'scor'" in done.stderr, "score" in done.stderr) == (2, True, True)
    assert run("health", "--history", "99999999d", "--bank", path).returncode == 0


@pytest.mark.parametrize(
    "option",
    [["--format", "nagios"], ["--format", "prometheus"], ["--explain"], ["--record"], ["--textfile", "x.prom"]],
)
def test_history_is_no_look_at_the_bank(run: Run, make_bank: MakeBank, option: list[str]) -> None:
    """A monitor that is given 0 for it would call a bank fine that nobody looked at."""
    done = run("health", "--history", "1h", *option, "--bank", make_bank(1))
    assert (done.returncode in (2, 3), "without a look" in done.stderr) == (True, True)


def test_a_metric_snapshot_is_made_when_asked_for(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(1, padded=False)
    assert run("health", "--json", "--bank", path).json["recorded"] is None
    done = run("health", "--record", "--json", "--bank", path)
    assert done.json["recorded"].startswith("metrics/historical/")
    assert run("health", "--record", "--json", "--bank", path).json["recorded"] is None


def test_where_no_metric_snapshot_can_be_made_health_is_told_all_the_same(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(1, padded=False)
    segment = journal_file(path)
    segment.write_bytes(segment.read_bytes().replace(b"recent_trades", b"recent_tradez", 1))
    for file in (path / ".memorybank").glob("catalog*"):
        file.unlink()
    done = run("health", "--record", "--bank", path)
    assert (done.returncode, "MB120" in done.stdout) == (1, True)
    assert "no snapshot of the metrics was made: the journal is damaged" in done.stderr


def test_a_look_by_the_clock_leaves_a_sign_of_life(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(1, padded=False)
    run("health", "--bank", path)
    assert not (path / ".memorybank/heartbeats").exists()
    run("health", "--quiet", "--scheduled", "--bank", path)
    assert (path / ".memorybank/heartbeats/samples.json").exists()


def test_as_json_by_format(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(1)
    assert run("health", "--format", "json", "--bank", path).json["score"] == 48
    assert run("health", "--format", "nagios", "--json", "--bank", path).json["score"] == 48


# Status


def test_the_status_document(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(4, padded=False)
    snapshot = backed_up(path).document
    assert snapshot is not None
    put(path / "trades/new.json", trade(9))
    put(path / "metrics/metrics.json", {"gas_price": 36})
    (path / "state/state.json").unlink()
    done = run("status", "--bank", path, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    document = {"memory_bank_status": done.json["memory_bank_status"]}
    assert Registry().misfits("status", document, 5) == []
    checks = document["memory_bank_status"]["integrity_checks"]
    assert checks["trades"]["file_count"] == 6
    assert checks["state"]["last_snapshot"] == snapshot.time
    assert checks["metrics"]["last_updated"][:19] == time.strftime(
        "%Y-%m-%dT%H:%M:%S", time.gmtime((path / "metrics/metrics.json").stat().st_mtime)
    )
    assert sorted((one["path"], one["change"]) for one in done.json["changes"]) == [
        ("metrics/metrics.json", "changed"),
        ("state/state.json", "removed"),
        ("trades/new.json", "new"),
    ]
    last = (path / ".memorybank/journal").iterdir()
    line = json.loads(next(last).read_bytes().splitlines()[-1])
    assert done.json["head"] == {"seq": line["core"]["seq"], "hash": line["hash"]}
    assert done.json["sections"] == {"bank": 1, "documents": 1, "metrics": 1, "trades": 6}
    assert (done.json["path"], done.json["score"], done.json["errors"]) == (str(path), 100, 0)
    assert (
        json.loads((path / ".memorybank/status.json").read_bytes())["memory_bank_status"]["health_status"] == "healthy"
    )


def test_status_of_a_damaged_bank(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(60)
    for number in range(60):
        put(path / f"trades/trade_{number}.json", b"{")
    done = run("status", "--bank", path)
    assert done.returncode == 0
    assert "error (38 of 100), 61 errors. Next: memorybank validate" in done.stdout
    found = looked(path)
    assert found.errors == 61
    assert len(found.document["memory_bank_status"]["alerts"]) == 50


def test_what_to_do_next(make_bank: MakeBank) -> None:
    path = make_bank(1, padded=False)
    assert looked(path).summary() == "degraded (96 of 100), 0 errors. Next: memorybank backup"
    put(path / "trades/new.json", trade(9))
    assert looked(path).summary().endswith("0 errors, 1 change not recorded yet. Next: memorybank backup")


def test_nothing_is_adopted(make_bank: MakeBank) -> None:
    path = make_bank(1, padded=False)
    put(path / "trades/new.json", trade(9))
    lines = journal(path)
    looked(path)
    report(path)
    assert journal(path) == lines
    assert adopt(path) == ["trades/new.json"]


def test_status_changes_nothing_but_its_document(make_bank: MakeBank) -> None:
    path = make_bank(1, padded=False)
    looked(path)
    before = {one for one in contents(path, private=True) if "catalog" not in one}
    (path / ".memorybank/status.json").unlink()
    looked(path)
    assert {one for one in contents(path, private=True) if "catalog" not in one} == before
    assert not {"probe", "samples.sqlite", "findings.sqlite", "alerts.log"} & {
        one.name for one in (path / ".memorybank").iterdir()
    }


@as_root
def test_where_the_status_cannot_be_written() -> None:
    notes: list[str] = []

    class Notes(Progress):
        def note(self, text: str) -> None:
            notes.append(text)

    with public_place() as place, own_ids_again():
        path = place / "bank"
        put(path / "bank.json", {"format": 1, "bank_id": "x", "identity_key": "0" * 64})
        with opened(path, progress=Notes()) as bank:
            give_away(path)
            status(bank)
            (path / ".memorybank/status.json").unlink()
            (path / ".memorybank").chmod(0o500)
            os.seteuid(OWNER)
            found = status(bank)
            os.seteuid(0)
        assert not (path / ".memorybank/status.json").exists()
    assert notes == ["status.json could not be written: permission denied"]
    assert "memory_bank_status" in found.document
