"""Sections that agents stopped writing: told where they were written regularly, and nowhere else."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from memorybank_cli.base.settings import BY_NAME
from memorybank_cli.base.walk import Root
from memorybank_cli.health.cadences import SEEN, cadences
from memorybank_cli.health.probing import Reading
from memorybank_cli.health.samples import Samples
from tests.conftest import MakeBank
from tests.operations.banks import opened, put

HOUR = 3_600


@pytest.fixture
def path(make_bank: MakeBank) -> Path:
    return make_bank(1, padded=False)


def look(path: Path) -> Reading:
    with opened(path) as bank:
        return cadences(bank)


def told(path: Path) -> list[tuple[str, str]]:
    return [(one.rule, one.path) for one in look(path).findings]


def seen(path: Path, times: int, age: float = 5, ago: float = HOUR, section: str = "metrics") -> None:
    """Samples that saw a section so young, one each five minutes until so long ago."""
    root = Root(path)
    rings = Samples(root)
    now = time.time()
    for number in range(times, 0, -1):
        rings.put({f"{section}_age_seconds": age}, now - ago - number * 300)
    rings.close()
    root.close()


def written(path: Path, section: str, ago: float) -> None:
    put(path / f"{section}/{section}.json", {"a": 1}, ago)


def test_ages(path: Path) -> None:
    written(path, "metrics", 100)
    written(path, "state", 0)
    found = look(path)
    assert found.findings == ()
    assert 99 < found.samples["metrics_age_seconds"] < 160
    assert 0 <= found.samples["state_age_seconds"] < 60
    (path / "state/state.json").unlink()
    assert set(look(path).samples) == {"metrics_age_seconds"}


def test_a_file_of_the_future_does_not_make_a_section_young(path: Path) -> None:
    written(path, "metrics", HOUR)
    seen(path, SEEN)
    put(path / "metrics/ahead.json", {"a": 1}, -30 * 24 * HOUR)
    assert told(path) == [("MB302", "metrics")]
    (path / "metrics/metrics.json").unlink()
    assert "metrics_age_seconds" not in look(path).samples


def test_who_never_wrote_regularly_is_not_missed(path: Path) -> None:
    written(path, "metrics", 2 * HOUR)
    assert told(path) == []
    seen(path, 20, age=2 * HOUR)
    assert told(path) == []


def test_who_wrote_regularly_is(path: Path) -> None:
    written(path, "metrics", HOUR)
    seen(path, SEEN - 1)
    assert told(path) == []
    seen(path, SEEN)
    assert told(path) == [("MB302", "metrics")]
    [one] = look(path).findings
    assert one.message.startswith("not updated for 3,6")
    written(path, "metrics", 0)
    assert told(path) == []


def test_after_a_day_it_is_no_longer_told(path: Path) -> None:
    written(path, "metrics", 25 * HOUR)
    seen(path, 10, ago=25 * HOUR)
    assert told(path) == []


def test_each_section_has_its_limit(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(path, "metrics", 200)
    written(path, "state", 200)
    for section in ("metrics", "state"):
        seen(path, SEEN, section=section, ago=300 if section == "state" else 2 * HOUR)
    assert told(path) == [("MB302", "metrics")]
    monkeypatch.setenv(BY_NAME["health.state_seconds"].variable, "100")
    monkeypatch.setenv(BY_NAME["health.metrics_seconds"].variable, "0")
    assert told(path) == [("MB302", "state")]
