"""Snapshots of the metrics: what they hold, when one is due, that they are recorded, and banks that don't want any."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.base import files
from memorybank_cli.base.errors import Locked
from memorybank_cli.operations import metric_snapshots
from memorybank_cli.operations.accept import accept
from memorybank_cli.operations.metric_snapshots import record_if_due
from tests.conftest import MakeBank
from tests.operations.banks import adopt, backed_up, journal, opened, put, rules

VALUES = {"score": 96, "disk_free_bytes": 1 << 40, "write_p95_seconds": 0.25}


@pytest.fixture
def path(make_bank: MakeBank) -> Path:
    return make_bank(1, padded=False)


def record(path: Path, values: dict[str, Any] = VALUES) -> str | None:
    with opened(path) as bank:
        return record_if_due(bank, values)


def read(path: Path, name: str | None) -> dict[str, Any]:
    assert name is not None
    found: dict[str, Any] = json.loads((path / name).read_bytes())
    return found


def test_what_one_holds(path: Path) -> None:
    name = record(path)
    document = read(path, name)
    assert document["metrics"] == {"memorybank": VALUES, "metrics": {"gas_price": 35.5, "wallet_balance": 1.25}}
    taken = datetime.fromisoformat(document["taken_at"])
    assert name == f"metrics/historical/{taken:%Y-%m}/{taken:%Y%m%dT%H%M%SZ}.json"
    assert (path / name).stat().st_mode & 0o777 == 0o600


def test_it_is_recorded_and_append_only(path: Path) -> None:
    name = record(path)
    assert name is not None
    core = journal(path)[-1]
    assert (core["op"], core["reason"], core["files"][0][0], core["files"][0][5]) == (
        "file.adopted",
        "generated",
        name,
        "historical_metrics",
    )
    assert rules(path, "MB") == {}
    assert adopt(path) == []
    put(path / name, {"taken_at": "2026-11-20T14:00:00Z", "metrics": {}})
    assert rules(path) == {name: "MB113"}


def test_one_in_so_many_minutes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = record(path)
    assert first is not None
    assert record(path) is None
    old = datetime.now(UTC) - timedelta(minutes=61)
    (path / first).unlink()
    put(
        path / f"metrics/historical/{old:%Y-%m}/{old:%Y%m%dT%H%M%SZ}.json",
        {"ts": "2026-11-20T14:00:00Z", "metrics": {}},
    )
    assert record(path) is not None
    monkeypatch.setenv("MEMORYBANK_HEALTH_HISTORICAL_MINUTES", "0")
    assert record(path) is None


def test_what_lies_in_the_future_stops_nobody(path: Path) -> None:
    ahead = datetime.now(UTC) + timedelta(days=40)
    put(
        path / f"metrics/historical/{ahead:%Y-%m}/{ahead:%Y%m%dT%H%M%SZ}.json",
        {"metrics": {}, "ts": "2026-11-20T14:00:00Z"},
    )
    put(path / f"metrics/historical/{ahead:%Y-%m}/agents-own.json", {"metrics": {}, "ts": "2026-11-20T14:00:00Z"})
    assert record(path) is not None
    assert record(path) is None


@pytest.mark.parametrize(
    "theirs", [b"{", b"[1]", b"{}", b'{"success_rate": 7}', b'{"a": "%s"}' % (b"x" * metric_snapshots.LARGEST)]
)
def test_metrics_of_agents_that_are_no_good_are_left_out(path: Path, theirs: bytes) -> None:
    put(path / "metrics/metrics.json", theirs)
    assert read(path, record(path))["metrics"] == {"memorybank": VALUES}


def test_numbers_of_agents_stay_exact(path: Path) -> None:
    put(path / "metrics/metrics.json", b'{"wei": 100000000000000000001, "rate": 0.1}')
    name = record(path)
    assert name is not None
    assert b"100000000000000000001" in (path / name).read_bytes()


def test_banks_that_do_not_want_any(path: Path, make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = make_bank(1, adopt=False, name="bare")
    put(bare / "bank.json", {"format": 1, "bank_id": "x", "identity_key": "0" * 64})
    assert record(bare) is None
    monkeypatch.setenv("MEMORYBANK_EXCLUDE", "metrics/historical/*")
    assert record(path) is None
    assert list((path / "metrics/historical").iterdir()) == []


def test_somebody_was_faster(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "create", lambda *_: False)
    lines = journal(path)
    assert record(path) is None
    assert journal(path) == lines
    monkeypatch.undo()
    answers = iter([True, False])
    monkeypatch.setattr(metric_snapshots, "_is_due", lambda *_: next(answers))
    assert record(path) is None


def test_a_bank_that_is_locked(path: Path) -> None:
    with opened(path) as other, other.locked(), opened(path, lock_timeout=0.01) as bank, pytest.raises(Locked):
        record_if_due(bank, VALUES)


def test_killed_before_it_is_recorded_it_is_adopted_as_any_other(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with opened(path) as bank:
        monkeypatch.setattr(bank, "commit", killed)
        with pytest.raises(KeyboardInterrupt):
            record_if_due(bank, VALUES)
        monkeypatch.undo()
    [name] = adopt(path)
    assert name.startswith("metrics/historical/")
    assert record(path) is None
    assert rules(path) == {}


def test_they_are_in_backups_and_can_be_accepted_away(path: Path) -> None:
    name = record(path)
    assert name is not None
    assert backed_up(path).exit_code() == 0
    (path / name).unlink()
    assert rules(path) == {name: "MB111"}
    with opened(path) as bank:
        accept(bank, name)
    assert rules(path) == {}
