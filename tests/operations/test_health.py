"""`health` and `status`: one number and one word, the documents of the specs, and the forms for other programs."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.bank.schemas import Registry
from memorybank_cli.base.records import Progress
from memorybank_cli.operations import health as module
from memorybank_cli.operations.health import HealthReport, StatusReport, health, status
from tests.conftest import MakeBank, Run, trade
from tests.operations.banks import adopt, backed_up, journal, opened, put
from tests.operations.here import run
from tests.operations.owners import OWNER, as_root, give_away, own_ids_again, public_place

__all__ = ("run",)  # a fixture

SAMPLES = {"files", "bytes", "records", "pending_changes", "journal_lines", "journal_bytes", "disk_free_bytes"}


def report(path: Path, **options: Any) -> HealthReport:
    with opened(path) as bank:
        return health(bank, **options)


def looked(path: Path) -> StatusReport:
    with opened(path) as bank:
        return status(bank)


def test_a_healthy_bank(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(3, padded=False)
    backed_up(path)
    done = run("health", "--bank", path, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert (done.json["score"], done.json["status"], done.json["findings"]) == (100, "healthy", [])
    assert set(done.json["samples"]) == SAMPLES | {"snapshot_age_seconds"}
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
    assert set(done.json["samples"]) == SAMPLES


def test_damage(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(1)
    done = run("health", "--bank", path, "--explain")
    assert done.returncode == 1
    assert "77 of 100, error\n  -20 MB102 (error, 1 finding)\n  -3.2 MB501 (warning, 1 finding)" in done.stdout
    assert "77 of 100, error: MB102, MB501. Next: memorybank explain MB102" in run("health", "--bank", path).stdout
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
    monkeypatch.setattr(module, "LOW_DISK_SHARE", 1.0)
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
    assert re.fullmatch(
        rf"MEMORYBANK {word} - \d+ of 100: [^|\n]+ \| score=\d+ files=6 [a-z_=0-9.e+ -]+\n", done.stdout
    )


def test_for_prometheus(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(1)
    done = run("health", "--format", "prometheus", "--bank", path)
    assert done.returncode == 1
    assert report(path, format_="prometheus").exit_code() == 1
    lines = done.stdout.splitlines()
    assert "memorybank_health_score 77" in lines
    assert "memorybank_files 6" in lines
    assert 'memorybank_findings{rule="MB102",severity="error"} 1' in lines
    for line in lines:
        assert re.fullmatch(r'# TYPE [a-z_]+ gauge|[a-z_]+(\{rule="MB\d+",severity="[a-z]+"\})? [-0-9.e+]+', line)
    assert done.stdout.endswith("\n")


def test_as_json_by_format(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(1)
    assert run("health", "--format", "json", "--bank", path).json["score"] == 77
    assert run("health", "--format", "nagios", "--json", "--bank", path).json["score"] == 77


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
    assert "error (61 of 100), 61 errors. Next: memorybank validate" in done.stdout
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
